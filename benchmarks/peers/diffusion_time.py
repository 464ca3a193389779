"""DTE-NP: how long a row must have diffused, by its nearest training rows.

V. Livernoche, V. Jain, Y. Hezaveh, S. Ravanbakhsh, "On diffusion modeling for anomaly detection",
ICLR 2024. Noise of variance v moves a row of d columns by a squared distance around d v, so the
variance that a row of mean squared distance m to its neighbours has seen has an inverse gamma
posterior of shape d / 2 - 1 and scale m / 2. The score is the time at which it is highest.
"""

import numpy as np

from benchmarks.harness.data import Array

TIMES, FIRST_NOISE, LAST_NOISE = 300, 0.0001, 0.01
"""The authors' schedule: how many times, and the share of noise added at the first and the last."""


def variances() -> Array:
    """Return the variance of the noise at each time, ascending."""
    shares = np.linspace(FIRST_NOISE, LAST_NOISE, TIMES)
    return np.asarray(1 - np.cumprod(1 - shares))


def most_likely_time(squared_distance: Array, columns: int) -> Array:
    """Return for each mean squared distance the time at which the posterior is highest."""
    variance = variances()
    # The logarithm of an inverse gamma density, without what does not depend on the time.
    log_posterior = -columns / 2 * np.log(variance) - squared_distance[:, None] / 2 / variance
    return np.argmax(log_posterior, axis=1).astype(np.float64)
