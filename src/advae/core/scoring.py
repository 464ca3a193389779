"""Scores of many rows by any method: in blocks of one compiled shape, on all cores.

Every row passes through the same program, wherever it stands, so that its score does not depend,
not even in the last bit, on the rows beside it.
"""

from collections.abc import Hashable
from functools import lru_cache, partial
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from advae.core.arrays import HostMatrix, HostVector, Matrix, shape_of
from advae.core.compilation import compiled, shielded
from advae.core.method import Method, Scored, Tree
from advae.parallel import BLOCK_ROWS, check_process, fill

PROGRAMS = 32
"""How many programs that score are kept. A fit takes three or four, a loaded model one: so many
models can be asked in turn."""


def score_rows(
    method: Method,
    scorer: Tree,
    x: HostMatrix,
    units: Float[np.ndarray, "rows columns"] | None = None,
    known: Tree = None,
) -> Scored:
    """Return score, contributions and expected values of encoded rows.

    Parameters
    ----------
    method
        What scores.
    scorer
        What ``method.learn`` returned.
    x
        Encoded rows, shape (rows, columns); training rows lie in [0, 1], new ones anywhere finite
        within +/-1e9.
    units
        Of the columns in each row, at least 0, shape (rows, columns): a difference between what is
        observed and expected counts so many times. None for 1 everywhere.
    known
        What ``method.prepared`` made of the scorer, for those who score with it again and again;
        None to make it here.
    """
    return _filled(method, scorer, x, units, known, scores_only=False)


def anomaly_scores(
    method: Method,
    scorer: Tree,
    x: HostMatrix,
    units: Float[np.ndarray, "rows columns"] | None = None,
    known: Tree = None,
) -> HostVector:
    """Return the scores of `score_rows`, the same to the last bit, without where they come from."""
    scores: HostVector = _filled(method, scorer, x, units, known, scores_only=True).score
    return scores


@shielded
def _filled(
    method: Method,
    scorer: Tree,
    x: HostMatrix,
    units: Float[np.ndarray, "rows columns"] | None,
    known: Tree,
    *,
    scores_only: bool,
) -> Scored:
    check_process()
    rows, columns = x.shape
    at_once = _blocks_at_once(columns)
    known = method.prepared(scorer) if known is None else known
    if rows > at_once * BLOCK_ROWS:
        known = jax.device_put(known)  # once; what a single call moves by itself is there sooner

    leaves, structure = jax.tree.flatten((known, x[:0], None if units is None else x[:0]))
    shapes = _shapes(
        cast(Hashable, method), structure, tuple((leaf.shape, leaf.dtype) for leaf in leaves)
    )
    if scores_only:
        shapes = Scored(shapes.score, None, None)
    wholes, parts = jax.tree.flatten(
        jax.tree.map(lambda leaf: np.empty((rows, *leaf.shape[1:]), np.float32), shapes)
    )

    @shielded  # it is called in other threads
    def blocks(
        filled: int, x: HostMatrix, units: HostMatrix | None = None
    ) -> tuple[np.ndarray, ...]:
        # One program for both, so that the scores are equal; what is not asked for is not fetched.
        scored = _score_blocks(known, x, units, filled, method=method)
        return tuple(map(np.asarray, jax.tree.leaves(scored)[: len(wholes)]))

    fill(tuple(wholes), (x,) if units is None else (x, units), blocks, at_once)
    scored: Scored = jax.tree.unflatten(parts, wholes)
    return scored


@lru_cache(maxsize=PROGRAMS)
def _shapes(
    method: Any, structure: Hashable, leaves: tuple[tuple[tuple[int, ...], Any], ...]
) -> Scored:
    """Return what has the shapes of the scores of a block, for what is given in such shapes."""
    given = [shape_of(*leaf) for leaf in leaves]
    scorer, x, units = jax.tree.unflatten(structure, given)
    block = shape_of((BLOCK_ROWS, x.shape[1]), np.float32)
    scored: Scored = jax.eval_shape(method.score, scorer, block, None if units is None else block)
    return scored


def _blocks_at_once(columns: int) -> int:
    """Return how many blocks one call scores, 1 to 8: a call costs as much as a tenth of a block.

    Not more, so that several cores share out a small table too, and that a wide one stays small.
    """
    return max(1, min(8, 2**17 // (BLOCK_ROWS * columns)))


@partial(compiled, keep=PROGRAMS)
def _score_blocks(
    scorer: Tree,
    x: Matrix,
    units: Matrix | None,
    blocks: Int[Array, ""] | int,
    method: Method,
) -> Scored:
    """Score the first ``blocks`` blocks of rows, one after the other, by one program."""

    def score(i: Array, wholes: Scored) -> Scored:
        first = i * BLOCK_ROWS
        given = jax.tree.map(
            lambda whole: jax.lax.dynamic_slice_in_dim(whole, first, BLOCK_ROWS), (x, units)
        )
        filled: Scored = jax.tree.map(
            partial(jax.lax.dynamic_update_slice_in_dim, start_index=first, axis=0),
            wholes,
            method.score(scorer, *given),
        )
        return filled

    first = jax.tree.map(lambda whole: whole[:BLOCK_ROWS], (x, units))
    shapes = jax.eval_shape(method.score, scorer, *first)
    empty = jax.tree.map(lambda leaf: jnp.zeros((len(x), *leaf.shape[1:]), leaf.dtype), shapes)
    scored: Scored = jax.lax.fori_loop(0, blocks, score, empty)
    return scored
