"""From trained networks and their training rows to what scoring knows of these rows."""

import jax
import numpy as np
from jaxtyping import Float, Int

from advae import scoring
from advae._types import HostMatrix
from advae.config import Config
from advae.networks import AdVAE, Sizes
from advae.residuals import Memory, Reference, Whitening, remember, whitening, whitening_of
from advae.streams import choice
from advae.training import diverged, initial_state

RESIDUAL_ROWS = 20_000
"""Most training rows whose residuals are measured."""


def learn_reference(
    model: AdVAE,
    noise: Float[np.ndarray, "points latent"],
    rows: HostMatrix,
    config: Config,
    member_rows: Int[np.ndarray, "members member_rows"] | None = None,
) -> tuple[Reference, Int[np.ndarray, "kept"]]:
    """Return what scoring is to know of the training rows, and the positions of those it keeps.

    Parameters
    ----------
    model
        Trained members, stacked on a leading axis.
    noise
        Latent noise of the score, shape (points, latent).
    rows
        Encoded training rows, shape (rows, columns).
    config
        ``whiten``, ``memory`` and ``seed`` decide.
    member_rows
        Positions of the rows that each member saw; None for all.
    """
    matrices = None
    if config.whiten:
        every = -(-len(rows) // RESIDUAL_ROWS)
        found = [
            _member_whitening(
                _member(model, member),
                noise,
                rows[::every] if member_rows is None else rows[member_rows[member][::every]],
            )
            for member in range(config.members)
        ]
        matrices = jax.tree.map(lambda *leaves: np.stack(leaves), *found)
    if not config.memory:
        return Reference(matrices), np.empty(0, int)
    kept = np.arange(len(rows))
    if len(rows) > config.memory:
        drawn = choice(config.seed, "kept rows").permutation(len(rows))
        kept = np.sort(drawn[: config.memory])
    rows = rows[kept]
    errors = rows - scoring.score_rows(model, noise, rows).expected
    return Reference(matrices, remember(rows, errors)), kept


def _member(model: AdVAE, number: int) -> AdVAE:
    member: AdVAE = jax.tree.map(lambda leaf: leaf[number : number + 1], model)
    return member


def _member_whitening(
    member: AdVAE, noise: Float[np.ndarray, "points latent"], rows: HostMatrix
) -> Whitening:
    residuals = rows - scoring.score_rows(member, noise, rows).expected
    if not np.isfinite(residuals).all():
        # The terms of the last block do not know of the last step.
        raise diverged("the reconstructions of the training rows are not finite")
    return whitening(residuals)


def compile_for(
    sizes: Sizes,
    rows: int,
    noise: Float[np.ndarray, "points latent"],
    config: Config,
    member_rows: Int[np.ndarray, "members member_rows"] | None = None,
) -> None:
    """Compile what `learn_reference` of ``rows`` training rows, and then the score, will need.

    By scoring a row of zeros with what has the right shapes.
    """
    untrained = initial_state(sizes, config).model
    row = np.zeros((1, sizes.columns), np.float32)
    matrices = memory = None
    if config.whiten:
        scoring.score_rows(_member(untrained, 0), noise, row)
        own = rows if member_rows is None else member_rows.shape[1]
        measured = len(range(0, own, -(-rows // RESIDUAL_ROWS)))
        matrices = whitening_of(_zeros, config.members, sizes.columns, measured)
    if config.memory:
        scoring.score_rows(untrained, noise, row)
        kept = np.zeros((min(rows, config.memory), sizes.columns), np.float32)
        memory = Memory(kept, kept, np.ones(1, np.float32))
    scoring.score_rows(untrained, noise, row, Reference(matrices, memory))


def _zeros(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.float32)


def without(reference: Reference, absent: Int[np.ndarray, "absent"]) -> Reference:
    """Return a reference whose memory lacks the rows at these positions of it.

    Others stand in their places, so that the compiled program serves it too.
    """
    if reference.memory is None:
        return reference
    rows, errors, bandwidth = map(np.asarray, reference.memory)
    # Rows of NaN are none.
    rows = rows.copy()
    rows[absent] = np.nan
    return reference._replace(memory=Memory(rows, errors, bandwidth))
