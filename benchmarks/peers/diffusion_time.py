"""DTE-NP: how long a row must have diffused, by its nearest training rows.

V. Livernoche, V. Jain, Y. Hezaveh, S. Ravanbakhsh, "On diffusion modeling for anomaly detection",
ICLR 2024. Noise of variance v moves a row of d columns by a squared distance around d v, so the
variance that a row of mean squared distance m to its neighbours has seen has an inverse gamma
posterior of shape d / 2 - 1 and scale m / 2.

NOTE[DIFF]: the score is where that posterior is highest, m / d. The authors' program gives the
nearest of 300 times of their schedule, whose last has a variance of 0.78: it ties all rows beyond.
"""

from benchmarks.harness.data import Array


def most_likely_variance(squared_distance: Array, columns: int) -> Array:
    """Return for each mean squared distance the variance at which the posterior is highest."""
    shape, scale = columns / 2 - 1, squared_distance / 2
    return scale / (shape + 1)
