"""The latent noise vectors over which a score is a mean.

NOTE[DIFF]: the paper draws noise of its own for every row, and independently. Here all rows share
the vectors, so that a score is a function of the row and the model alone. Those of the ``default``
preset are Sobol points: 32 of them come as near the mean as the paper's 1000 draws, and scores of 8
find as much.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.special import ndtri

from advae.config import VARIANTS, Config
from advae.core.arrays import HostMatrix, Matrix
from advae.core.compilation import compiled, shielded
from advae.core.randomness import generator
from advae.methods.advae.gaussian import Gaussian
from advae.methods.advae.networks import INPUT_RANGE, AdVAE
from advae.parallel import check_process, fill

_Part = Float[Array, "rows latent"]


class Codes(NamedTuple):
    """Gaussians in latent space, one for each row; both of shape (rows, latent)."""

    mean: Float[np.ndarray, "rows latent"]
    log_variance: Float[np.ndarray, "rows latent"]


@compiled
def _encode_block(model: AdVAE, x: Matrix) -> tuple[_Part, _Part]:
    q = _first_member(model).encoder(jnp.clip(x, *INPUT_RANGE).T)
    return q.mean.T, q.log_variance.T


@compiled
def _transform_block(model: AdVAE, code: Float[Array, "rows both"]) -> tuple[_Part, _Part]:
    q_T = _first_member(model).transformer(Gaussian(*jnp.split(code.T, 2)))
    return q_T.mean.T, q_T.log_variance.T


def encode_rows(model: AdVAE, x: HostMatrix) -> Codes:
    """Return q = E(x) of the first member, for encoded rows of shape (rows, columns)."""
    return _codes(model, x, _encode_block)


def transform_codes(model: AdVAE, codes: Codes) -> Codes:
    """Return q_T = T(q) of the first member: the anomalies that training made of these rows."""
    return _codes(model, np.concatenate(codes, axis=1), _transform_block)


def _first_member(model: AdVAE) -> AdVAE:
    first: AdVAE = jax.tree.map(lambda leaf: leaf[0], model)
    return first


@shielded
def _codes(
    model: AdVAE, x: HostMatrix, program: Callable[[AdVAE, HostMatrix], tuple[_Part, _Part]]
) -> Codes:
    check_process()
    shape = (len(x), model.sizes.latent)
    codes = Codes(np.empty(shape, np.float32), np.empty(shape, np.float32))
    moved = jax.device_put(model)

    @shielded  # it is called in other threads
    def block(_: int, rows: HostMatrix) -> tuple[np.ndarray, np.ndarray]:
        mean, log_variance = program(moved, rows)
        return np.asarray(mean), np.asarray(log_variance)

    fill(codes, (x,), block)
    return codes


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
