"""The latent noise vectors over which a score is a mean.

NOTE[DIFF]: the paper draws noise of its own for every row, and independently. Here all rows share
the vectors, so that a score is a function of the row and the model alone. Those of the ``default``
preset are Sobol points: 32 of them come as near the mean as the paper's 1000 draws.
"""

import numpy as np
from jaxtyping import Float
from scipy.special import ndtri

from advae.config import VARIANTS, Config
from advae.streams import generator


def latent_noise(config: Config, latent: int) -> Float[np.ndarray, "points latent"]:
    """Return the latent noise vectors that every row shares.

    They are drawn once and kept in the model file. A variant that does not sample has the single
    vector 0.

    Parameters
    ----------
    config
        ``sampling``, ``points``, ``variant`` and ``seed`` decide.
    latent
        Latent size.
    """
    if not VARIANTS[config.variant].stochastic:
        return np.zeros((1, latent), np.float32)
    draws = generator(config.seed, "latent noise")
    if config.sampling == "random":
        return draws.standard_normal((config.points, latent), np.float32)
    from scipy.stats import qmc  # slow to import

    # With enough of them, half the points and their mirror images: odd errors cancel.
    mirrored = config.points % 2 == 0 and config.points >= 2 * latent
    wanted = config.points // 2 if mirrored else config.points
    # Drawn to the next power of two, where Sobol points are balanced, and cut.
    power = (wanted - 1).bit_length()
    shares = qmc.Sobol(latent, scramble=True, rng=draws).random_base2(power)[:wanted]
    # The scrambling can round to 0, whose quantile is minus infinity.
    tiny = np.finfo(np.float64).eps
    points = ndtri(np.clip(shares, tiny, 1.0 - tiny))
    return _matched(np.concatenate([points, -points]) if mirrored else points).astype(np.float32)


def _matched(
    points: Float[np.ndarray, "points latent"],
) -> Float[np.ndarray, "points latent"]:
    """Return the points moved and stretched to the mean and covariance of a standard normal.

    A mean over them is then exact for quadratic functions of the noise. With no more points than
    latents only the variances can be matched.
    """
    points = points - points.mean(axis=0)
    covariance = points.T @ points / len(points)
    variances, axes = np.linalg.eigh(covariance)
    if variances[0] > 1e-6:
        matched: Float[np.ndarray, "points latent"] = points @ (axes / np.sqrt(variances)) @ axes.T
    else:
        matched = points / np.sqrt(np.maximum(np.diagonal(covariance), 1e-6))
    return matched
