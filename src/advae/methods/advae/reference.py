"""What the networks leave unexplained, beside what they leave of normal rows like it.

NOTE[DIFF]: the paper's score is the plain squared norm of the residual, equation (12); the `paper`
preset keeps it. Here

    s(x) = ‖W (x − x̂ − e(x))‖ · ‖x − n(x)‖

The first factor is the paper's residual, with x̂ the mean reconstruction, less the error e(x) that
is to be expected of x: the mean of the errors of training rows, each weighed by its closeness to
x. Networks leave some groups of normal rows worse than others; what they leave of x counts only as
far as it differs from what they leave of rows like it. Far from all training rows nothing is
expected, and the residual counts in full. W undoes the correlations that residuals of training
rows have: errors that usually come together count once, and one that breaks the pattern counts
more. The second factor is the distance to the nearest training row n(x). The networks know the
dependencies between columns, the rows know the gaps between the groups of normal rows: each finds
anomalies that the others miss. The score is the geometric mean of two squared norms in units of
the training ranges, a squared norm as the paper's is; it needs no scale for its factors, where a
sum does.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from advae.core.arrays import ColumnsByRows, HostMatrix, Matrix

SHRINKAGE = 0.1
"""Share of the identity in the correlations of residuals: a combination of columns in which
training rows have no residual at all weighs ten times as much as it would by itself."""

BANDWIDTH = 0.7
"""Of the weights of rows, in mean squared distances between a training row and its nearest."""

DOUBT = 0.001
"""Weight of expecting no error, in rows that equal the one asked about: half of the error is
expected where the weights of all rows come to this."""

SAME = 1e-6
"""Squared distance up to which rows count as equal, in their mean squared distances from the
centre."""

_ROUNDED = 8 * SAME
"""What rounding may make of a squared distance of 0 that comes from products, in the same unit."""

TILE = 128
"""Kept rows that are compared with a block of rows at a time."""

_SMALLEST_BANDWIDTH = 1e-5
"""In mean squared distances from the centre: where most rows have a duplicate. Above `SAME`."""


class Memory(NamedTuple):
    """Training rows that a row is compared with.

    ``rows``: shape (kept, columns). ``errors``: what the members' mean reconstruction leaves of
    them, same shape. ``bandwidth``: of the weights exp(-squared distance / bandwidth), above 0,
    shape (1,).
    """

    rows: Matrix | HostMatrix
    errors: Matrix | HostMatrix
    bandwidth: Float[Array, "1"] | Float[np.ndarray, "1"]


class Factors(NamedTuple):
    """A square matrix that few rows gave: diagonal(``diagonal``) + ``into`` @ ``back``.

    Shapes (columns,), (columns, rows) and (rows, columns); all may lead with a member axis. In a
    table with many more columns than rows it is far smaller than the square, and faster.
    """

    diagonal: Array | np.ndarray
    into: Array | np.ndarray
    back: Array | np.ndarray


Whitening = Array | np.ndarray | Factors
"""W, of one member or, with a leading axis, of all: the square matrix itself, or its factors."""


class Reference(NamedTuple):
    """What scoring knows of the training rows besides the networks; the paper's knows nothing.

    ``whitening``: W of each member; None leaves residuals as they are. ``memory``: None expects no
    error, and leaves out the other factor; for the compiled score it is in `Tiles`.
    """

    whitening: Whitening | None = None
    memory: Any = None


def in_factors(rows: int, columns: int) -> bool:
    """Return whether the residuals of so many rows give a whitening in factors."""
    return 2 * rows < columns


def whitening(
    residuals: Float[np.ndarray, "rows columns"],
) -> Float[np.ndarray, "columns columns"] | Factors:
    """Return the symmetric matrix that undoes the correlations of usual residuals.

    The inverse square root of their correlations about 0, shrunk towards the identity by
    `SHRINKAGE`; shape (columns, columns), float32. Columns keep their scale: one that hardly ever
    varies would otherwise weigh so much that its rare other values decide every score.
    """
    r = residuals.astype(np.float64)
    if in_factors(*r.shape):
        return _whitening_of_few(r)
    covariance = r.T @ r / len(r)
    spread = np.sqrt(np.diagonal(covariance))
    spread = np.where(spread > 0, spread, 1.0)
    correlations = covariance / np.outer(spread, spread)
    np.fill_diagonal(correlations, 1.0)
    strengths, axes = np.linalg.eigh(correlations)
    return np.asarray((axes / _shrunk(strengths)) @ axes.T, np.float32)


def _whitening_of_few(r: Float[np.ndarray, "rows columns"]) -> Factors:
    """Return `whitening` for few rows, by way of their products with each other.

    Those have the strengths above 0 of the columns' correlations, and their axes lead to those of
    the columns. All other axes have strength 0. So the work grows with the columns, not their cube.
    """
    spread = np.sqrt(np.square(r).mean(axis=0))
    r = r / (np.where(spread > 0, spread, 1.0) * np.sqrt(len(r)))
    strengths, axes = np.linalg.eigh(r @ r.T)
    # What rounding leaves of a strength of 0 belongs to no axis.
    found = strengths > strengths[-1] * len(strengths) * np.finfo(np.float64).eps
    axes = r.T @ (axes / np.sqrt(np.where(found, strengths, np.inf)))
    nothing = 1 / _shrunk(np.zeros(1))
    # A column without residuals keeps its scale.
    diagonal = np.where(spread > 0, nothing, 1.0)
    beyond = np.where(found, 1 / _shrunk(np.where(found, strengths, 0.0)) - nothing, 0.0)
    return Factors(*(part.astype(np.float32) for part in (diagonal, axes * beyond, axes.T)))


def _shrunk(strengths: Float[np.ndarray, "axes"]) -> Float[np.ndarray, "axes"]:
    """Return the size that residuals along each axis count by, shrunk towards 1."""
    sizes: Float[np.ndarray, "axes"] = np.sqrt((1 - SHRINKAGE) * strengths + SHRINKAGE)
    return sizes


def weighed(residual: Matrix, whitening: Whitening | None) -> Matrix:
    """Return residuals times W of one member."""
    if whitening is None:
        return residual
    if isinstance(whitening, Factors):
        return residual * whitening.diagonal + (residual @ whitening.into) @ whitening.back
    return residual @ whitening


def whitening_of(make: Callable[..., Any], members: int, columns: int, rows: int) -> Whitening:
    """Return what ``make`` makes of the shapes of the whitening of all members.

    For the residuals of so many rows of each.
    """
    if not in_factors(rows, columns):
        square: np.ndarray = make(members, columns, columns)
        return square
    shapes = (members, columns), (members, columns, rows), (members, rows, columns)
    return Factors(*(make(*shape) for shape in shapes))


class Tiles(NamedTuple):
    """A `Memory` for the compiled score: its rows in tiles, whose distances stay in a core's cache.

    ``rows``: less their centre, and in one more column their negated squares, -inf where there is
    no row; shape (tiles, `TILE`, columns + 1). ``errors``: transposed, and a row of ones,
    (tiles, columns + 1, `TILE`). ``plain``: the rows as they are, (kept, columns). ``centre``:
    their mean, (columns,). ``typical``: their mean square about it, (1,). ``bandwidth``: as in
    `Memory`.
    """

    rows: Any
    errors: Any
    plain: Any
    centre: Any
    typical: Any
    bandwidth: Any


def tiles_of(memory: Memory) -> Tiles:
    """Return the tiles of a memory, up to the next power of two, so that programs are shared."""
    rows, errors, bandwidth = map(np.asarray, memory)
    missing = max(2 * TILE, 1 << (len(rows) - 1).bit_length()) - len(rows)
    rows = np.pad(rows, ((0, missing), (0, 0)), constant_values=np.nan)
    errors = np.pad(errors, ((0, missing), (0, 0)))
    there = ~np.isnan(rows[:, 0])
    # About their centre, where squares are small and little is lost by rounding.
    centre = rows[there].mean(axis=0, dtype=np.float64).astype(np.float32)
    plain = np.where(there[:, None], rows, centre)
    kept = plain - centre
    squares = np.square(kept).sum(axis=1)
    closing = np.where(there, -squares, -np.inf)[:, None]
    tiles = np.concatenate([kept, closing], axis=1).reshape(-1, TILE, rows.shape[1] + 1)
    sides = np.concatenate([errors, np.ones_like(closing)], axis=1).reshape(tiles.shape)
    return Tiles(
        tiles.astype(np.float32),
        np.ascontiguousarray(np.swapaxes(sides, 1, 2), np.float32),
        plain,
        centre,
        squares[there].mean(keepdims=True),
        bandwidth,
    )


class Recalled(NamedTuple):
    """What a memory has beside each row asked about: e(x) and n(x), both (rows, columns)."""

    error: Matrix
    nearest: Matrix


class _Found(NamedTuple):
    """What the tiles so far have for each row: the nearest, whether one was left out, and sums."""

    closeness: Float[Array, "rows"]
    place: Int[Array, "rows"]
    dropped: Bool[Array, "rows"]
    sums: ColumnsByRows


def recall(known: Tiles, x: Matrix, units: Float[Array, "rows columns"] | None = None) -> Recalled:
    """Return what the memory has beside each row: the expected error, and the nearest row.

    A row cannot vouch for itself: of the memory's rows that equal x, one is left out. A training
    row is then as strange to the memory as it was before it was kept, and an anomaly among them
    does not excuse itself when its table is scored.

    Parameters
    ----------
    known
        Training rows, as `tiles_of` returns them.
    x
        Rows, shape (rows, columns).
    units
        Of the columns in each row, for the distances that say which row is nearest; None for 1.
        The error expected has the weights of plain distances.
    """
    rows = len(x)
    x = (x - known.centre).T
    own_square = jnp.sum(x**2, axis=0)
    beside = jnp.concatenate([2.0 * x, jnp.ones((1, rows), x.dtype)])
    whole = own_square + known.typical
    weights = None if units is None else units.T**2

    def add_tile(
        found: _Found, tile: tuple[Array, ColumnsByRows, Int[Array, ""]]
    ) -> tuple[_Found, None]:
        kept, errors, first = tile
        # Less than the negated squared distance by the square of x, which all kept rows share.
        # Every pass over it costs as much as a product, so sums come with the products.
        closeness = kept @ beside
        best, itself = _best(closeness)
        maybe = (best >= own_square - _ROUNDED * whole) & ~found.dropped
        # Rarely: a difference taken anew tells rows that are equal from those that are near.
        apart = jax.lax.cond(
            jnp.any(maybe),
            lambda: jnp.sum((x - kept[:, :-1][itself].T) ** 2, axis=0),
            lambda: whole,
        )
        drop = maybe & (apart <= SAME * whole)
        left_out = jnp.arange(TILE)[:, None] == jnp.where(drop, itself, TILE)
        closeness = jnp.where(left_out, -jnp.inf, closeness)
        if weights is None:
            nearness = closeness
        else:
            plain = kept[:, :-1]
            apart = plain @ (2.0 * weights * x) - plain**2 @ weights
            nearness = jnp.where(jnp.isneginf(closeness), closeness, apart)
        best, place = _best(nearness)
        nearer = best > found.closeness
        near = jnp.exp(jnp.minimum(closeness - own_square, 0.0) / known.bandwidth)
        return _Found(
            jnp.where(nearer, best, found.closeness),
            jnp.where(nearer, first + place, found.place),
            found.dropped | drop,
            found.sums + errors @ near,
        ), None

    nothing = _Found(
        jnp.full(rows, -jnp.inf, x.dtype),
        jnp.zeros(rows, np.int32),
        jnp.zeros(rows, bool),
        jnp.zeros_like(beside),
    )
    firsts = TILE * jnp.arange(len(known.rows), dtype=np.int32)
    (_, place, _, sums), _ = jax.lax.scan(add_tile, nothing, (known.rows, known.errors, firsts))
    return Recalled((sums[:-1] / (sums[-1] + DOUBT)).T, jnp.asarray(known.plain)[place])


def _best(
    closeness: Float[Array, "kept rows"],
) -> tuple[Float[Array, "rows"], Int[Array, "rows"]]:
    """Return the largest number of each column and its place, in two passes: faster than argmax."""
    best = jnp.max(closeness, axis=0)
    places = jnp.arange(len(closeness), dtype=np.int32)[:, None]
    return best, jnp.min(jnp.where(closeness == best, places, len(closeness)), axis=0)


def geometric_mean(*factors: Matrix) -> Matrix:
    """Return by column the geometric mean of squared norms, given the squares that add up to each.

    A column's part is the mean of its shares of the sums, in units of the whole: nothing is
    negative, and the parts add up to the whole.
    """
    sums = [jnp.sum(squares, axis=1, keepdims=True) for squares in factors]
    # Roots first: the product of the sums could overflow.
    whole = jnp.prod(jnp.stack([total ** (1 / len(sums)) for total in sums]), axis=0)
    # A norm of 0 makes the whole 0, whatever the other columns are.
    shares = [m / jnp.where(total > 0, total, 1) for m, total in zip(factors, sums, strict=True)]
    mean: Matrix = whole * sum(shares[1:], shares[0]) / len(shares)
    return mean


def remember(rows: HostMatrix, errors: HostMatrix) -> Memory:
    """Return the memory of training rows and their errors, both (kept, columns), at least 2."""
    centred = rows.astype(np.float64) - rows.mean(axis=0, dtype=np.float64)
    squares = np.square(centred).sum(axis=1)
    nearest = np.empty(len(rows))
    for first in range(0, len(rows), 256):
        part = slice(first, first + 256)
        distances = squares[part, None] + squares - 2 * centred[part] @ centred.T
        np.fill_diagonal(distances[:, first:], np.inf)
        nearest[part] = distances.min(axis=1)
    smallest = max(_SMALLEST_BANDWIDTH * float(squares.mean()), 1e-12)
    bandwidth = max(BANDWIDTH * float(np.maximum(nearest, 0.0).mean()), smallest)
    return Memory(rows, errors, np.full(1, bandwidth, np.float32))


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
