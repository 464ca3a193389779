"""Codes of rows: where the encoder places them in latent space, and what the transformer makes.

No score needs them: the latent view of a report does.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from advae._types import HostMatrix, Matrix
from advae.compilation import compiled, shielded
from advae.gaussian import Gaussian
from advae.networks import INPUT_RANGE, AdVAE
from advae.processes import check_process
from advae.row_blocks import fill

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
    def block(rows: HostMatrix, _: int) -> tuple[np.ndarray, np.ndarray]:
        mean, log_variance = program(moved, rows)
        return np.asarray(mean), np.asarray(log_variance)

    fill(codes, x, block)
    return codes
