"""The anomaly score, equations (11) and (12), and what each column adds to it.

`residuals` has what the ``default`` preset does with the residual beyond the paper.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from advae.config import Config
from advae.core.arrays import HostMatrix, HostVector, Matrix, Points, Upright
from advae.core.compilation import compiled, shielded
from advae.core.randomness import choice
from advae.core.training import diverged, initial_state
from advae.methods.advae import scoring
from advae.methods.advae.gaussian import Gaussian
from advae.methods.advae.networks import INPUT_RANGE, AdVAE, Generator, Sizes
from advae.methods.advae.reference import (
    Memory,
    Reference,
    Whitening,
    geometric_mean,
    padded,
    recall,
    remember,
    weighed,
    whitening,
    whitening_of,
)
from advae.parallel import BLOCK_ROWS, check_process, fill

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


PROGRAMS = 32
"""How many programs that score are kept. A fit takes three or four, a loaded model one: so many
models can be asked in turn."""

PAPER = Reference()
"""The paper's score: nothing is known of the training rows besides the networks."""


class Scored(NamedTuple):
    """Scores of encoded rows and where they come from.

    ``score``: shape (rows,), at least 0. ``contributions``: shape (rows, columns), at least 0, sums
    to the score. ``expected``: shape (rows, columns), in [0, 1], the mean reconstruction; with a
    memory also the error that it expects.
    """

    score: HostVector
    contributions: HostMatrix
    expected: HostMatrix


@partial(compiled, keep=PROGRAMS)
def _score_blocks(
    model: AdVAE,
    noise: Points,
    reference: Reference,
    x: Matrix,
    blocks: Int[Array, ""] | int,
) -> tuple[Array, Matrix, Matrix]:
    """Score the first ``blocks`` blocks of rows, one after the other, by one program."""

    def score(i: Array, wholes: tuple[Array, Matrix, Matrix]) -> tuple[Array, Matrix, Matrix]:
        first = i * BLOCK_ROWS
        block = jax.lax.dynamic_slice_in_dim(x, first, BLOCK_ROWS)
        parts = _score_block(model, noise, reference, block)
        filled: tuple[Array, Matrix, Matrix] = jax.tree.map(
            partial(jax.lax.dynamic_update_slice_in_dim, start_index=first, axis=0), wholes, parts
        )
        return filled

    empty = (jnp.zeros(len(x), x.dtype), jnp.zeros_like(x), jnp.zeros_like(x))
    scored: tuple[Array, Matrix, Matrix] = jax.lax.fori_loop(0, blocks, score, empty)
    return scored


def _score_block(
    model: AdVAE, noise: Points, reference: Reference, x: Matrix
) -> tuple[Array, Matrix, Matrix]:
    """Score one block of rows by the members of ``model``, one after the other.

    NOTE[DIFF]: the paper has one network; of several the squared residuals are averaged.
    """
    seen = jnp.clip(x, *INPUT_RANGE)
    recalled = None if reference.memory is None else recall(reference.memory, seen)

    def add_member(
        sums: tuple[Matrix, Matrix], one: tuple[AdVAE, Whitening | None]
    ) -> tuple[tuple[Matrix, Matrix], None]:
        member, whitening = one
        expected = _expected(member.generator, member.encoder(seen.T), noise)
        if recalled is not None:
            expected += recalled.error
        residual = weighed(x - expected, whitening)
        squares, expectations = sums
        return (squares + residual**2, expectations + expected), None

    zeros = jnp.zeros_like(x)
    (squares, expected), _ = jax.lax.scan(add_member, (zeros, zeros), (model, reference.whitening))
    members = jax.tree.leaves(model)[0].shape[0]
    contributions, expected = squares / members, expected / members
    if recalled is not None:
        contributions = geometric_mean(contributions, (x - recalled.nearest) ** 2)
        expected = jnp.clip(expected, 0.0, 1.0)
    return jnp.sum(contributions, axis=1), contributions, expected


def _expected(generator: Generator, q: Gaussian, noise: Points) -> Matrix:
    """Return the mean of G(mu + sigma * eps_l) over the points, one point at a time.

    The same arithmetic as ``Generator``, with all that is the same for every point outside of the
    loop: the weights' transposes, and the constants of the sigmoid, (1 + tanh(v / 2)) / 2.
    """
    first, second, head = generator.layers
    mean, deviation = q.mean, q.deviation
    weights = first.weight.T, second.weight.T, 0.5 * head.weight.T
    biases = first.bias[:, None], second.bias[:, None], 0.5 * head.bias[:, None]

    def add_point(total: Upright, point: Float[Array, "latent"]) -> tuple[Upright, None]:
        z = mean + deviation * point[:, None]
        hidden = jax.nn.relu(weights[0] @ z + biases[0])
        hidden = jax.nn.relu(weights[1] @ hidden + biases[1])
        return total + jnp.tanh(weights[2] @ hidden + biases[2]), None

    zeros = jnp.zeros((head.bias.shape[0], mean.shape[1]), mean.dtype)
    total, _ = jax.lax.scan(add_point, zeros, noise)
    return 0.5 + (0.5 / len(noise)) * total.T


def score_rows(
    model: AdVAE,
    noise: Float[np.ndarray, "points latent"],
    x: HostMatrix,
    reference: Reference = PAPER,
) -> Scored:
    """Score encoded rows.

    Parameters
    ----------
    model
        Members stacked on a leading axis; their squared residuals are averaged.
    noise
        Latent noise, shape (points, latent).
    x
        Encoded rows, shape (rows, columns); training rows lie in [0, 1], new ones anywhere finite
        within +/-1e9.
    reference
        What is known of the training rows; by default nothing, and the score is the paper's,
        s(x) = ||x - mean over l of G(mu + sigma * eps_l)||^2. See `residuals` for the other one.

    Returns
    -------
    Score, contributions and expected values.
    """
    shape = x.shape
    scored = Scored(*(np.empty(each, np.float32) for each in (len(x), shape, shape)))
    _score_into(scored, model, noise, x, reference)
    return scored


def anomaly_scores(
    model: AdVAE,
    noise: Float[np.ndarray, "points latent"],
    x: HostMatrix,
    reference: Reference = PAPER,
) -> HostVector:
    """Return the scores of `score_rows`, the same to the last bit, without where they come from."""
    scores = np.empty(len(x), np.float32)
    _score_into((scores,), model, noise, x, reference)
    return scores


@shielded
def _score_into(
    wholes: tuple[np.ndarray, ...],
    model: AdVAE,
    noise: Float[np.ndarray, "points latent"],
    x: HostMatrix,
    reference: Reference,
) -> None:
    """Write into ``wholes`` the parts of `Scored` that there is an array for, the first ones."""
    check_process()
    rows, columns = x.shape
    at_once = _blocks_at_once(columns)
    known = (model, noise, padded(reference))
    if rows > at_once * BLOCK_ROWS:
        known = jax.device_put(known)  # once; what a single call moves by itself is there sooner

    @shielded  # it is called in other threads
    def blocks(some: HostMatrix, filled: int) -> tuple[np.ndarray, ...]:
        parts = _score_blocks(*known, some, filled)[: len(wholes)]
        return tuple(map(np.asarray, parts))

    fill(wholes, x, blocks, at_once)


def _blocks_at_once(columns: int) -> int:
    """Return how many blocks one call scores, 1 to 8: a call costs as much as a tenth of a block.

    Not more, so that several cores share out a small table too, and that a wide one stays small.
    """
    return max(1, min(8, 2**17 // (BLOCK_ROWS * columns)))
