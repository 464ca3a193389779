"""Training rows that a row is compared with: how near the nearest is, what error is expected.

Two distances serve two ends. Which rows are like x, for the error that is to be expected, says
the squared distance on the encoded columns. How far x is from the nearest of them, n(x), says the
city-block distance on squashed columns,

    q_j(x) = asinh((x_j - centre_j) / unit_j) / span_j,

with the median and the standard deviation of the column for its centre and unit, and the range of
the squashed values for its span. Squashing is straight near the middle of a column and logarithmic
in its tails, so that one long tail does not make all differences in the middle, where most rows
lie, look small. The city-block distance adds up many small differences where the squares see the
largest ones only, which the residual sees anyway.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from advae._types import HostMatrix, Matrix, Vector

BANDWIDTH = 0.7
"""Of the weights of rows, in mean squared distances between a training row and its nearest."""

DOUBT = 0.001
"""Weight of expecting no error, in rows that equal the one asked about: half of the error is
expected where the weights of all rows come to this."""

SAME = 1e-6
"""Squared distance of rows that count as equal, in their mean squared distances from the centre:
what rounding leaves."""

_SMALLEST_BANDWIDTH = 1e-5
"""In mean squared distances from the centre: where most rows have a duplicate. Above `SAME`."""

_ROWS_AT_ONCE = 16
"""Rows compared with the memory at a time: their distances stay in a core's cache."""

_COLUMNS_AT_ONCE = 8
"""Columns added up in one pass over these distances."""


class Squash(NamedTuple):
    """How columns are squashed; each of shape (columns,), the last two above 0."""

    centre: Float[Array, "columns"] | Float[np.ndarray, "columns"]
    unit: Float[Array, "columns"] | Float[np.ndarray, "columns"]
    span: Float[Array, "columns"] | Float[np.ndarray, "columns"]

    def __call__(self, x: Matrix) -> Matrix:
        """Return squashed rows, shape (rows, columns)."""
        return jnp.arcsinh((x - self.centre) / self.unit) / self.span


class Memory(NamedTuple):
    """Training rows that a row is compared with.

    ``rows``: shape (kept, columns); rows of NaN are none. ``errors``: what the members' mean
    reconstruction leaves of them, same shape. ``bandwidth``: of the weights
    exp(-squared distance / bandwidth), above 0, shape (1,).
    """

    rows: Matrix | HostMatrix
    errors: Matrix | HostMatrix
    bandwidth: Float[Array, "1"] | Float[np.ndarray, "1"]
    squash: Squash


class Recalled(NamedTuple):
    """What a memory has beside each row asked about, both of shape (rows, columns).

    ``error``: e(x). ``gap``: how far the squashed columns of the nearest row are, at least 0.
    """

    error: Matrix
    gap: Matrix


def remember(rows: HostMatrix, errors: HostMatrix) -> Memory:
    """Return the memory of training rows and their errors, both (kept, columns), at least 2."""
    exact = rows.astype(np.float64)
    centred = exact - exact.mean(axis=0)
    squares = np.square(centred).sum(axis=1)
    nearest = np.empty(len(rows))
    for first in range(0, len(rows), 256):
        part = slice(first, first + 256)
        distances = squares[part, None] + squares - 2 * centred[part] @ centred.T
        np.fill_diagonal(distances[:, first:], np.inf)
        nearest[part] = distances.min(axis=1)
    smallest = max(_SMALLEST_BANDWIDTH * float(squares.mean()), 1e-12)
    bandwidth = max(BANDWIDTH * float(np.maximum(nearest, 0.0).mean()), smallest)
    return Memory(rows, errors, np.full(1, bandwidth, np.float32), _squash_for(exact))


def _squash_for(rows: Float[np.ndarray, "kept columns"]) -> Squash:
    centre, unit = np.median(rows, axis=0), rows.std(axis=0)
    unit = np.where(unit > 0, unit, 1.0)
    span = np.ptp(np.arcsinh((rows - centre) / unit), axis=0)
    parts = centre, unit, np.where(span > 0, span, 1.0)
    return Squash(*(np.asarray(part, np.float32) for part in parts))


def recall(memory: Memory, x: Matrix, seen: Matrix | None = None) -> Recalled:
    """Return what the memory has beside each row: the expected error, and the nearest row.

    A row cannot vouch for itself: of the memory's rows that equal x, one is left out. A training
    row is then as strange to the memory as it was before it was kept, and an anomaly among them
    does not excuse itself when its table is scored.

    Parameters
    ----------
    memory
        Training rows.
    x
        Rows, shape (rows, columns).
    seen
        The same rows, for the expected error, with values far outside of the training range
        brought nearer; None for ``x``.
    """
    there = ~jnp.isnan(memory.rows[:, 0])
    like, itself = _likeness(memory, there, x if seen is None else seen)
    sums = like @ _beside(jnp.asarray(memory.errors), jnp.ones(len(there)))
    error = sums[:, :-1] / (sums[:, -1:] + DOUBT)
    squashed = memory.squash(x)
    kept = memory.squash(jnp.asarray(memory.rows))
    nearest = _nearest(jnp.where(there[:, None], kept, jnp.inf), squashed, itself)
    # Equal values are 0 apart, whatever the last bits of two logarithms are.
    equal = x == jnp.asarray(memory.rows)[nearest]
    return Recalled(error, jnp.where(equal, 0.0, jnp.abs(squashed - kept[nearest])))


def _likeness(
    memory: Memory, there: Array, x: Matrix
) -> tuple[Float[Array, "rows kept"], Int[Array, "rows"]]:
    """Return exp(-squared distance / bandwidth), and the place of the row itself.

    The place is that of one row that equals x, which has weight 0; outside of the memory for none.
    """
    # About their centre, where squares are small and little is lost by rounding.
    centre = jnp.nanmean(memory.rows, axis=0)
    kept, x = jnp.where(there[:, None], memory.rows - centre, 0.0), x - centre
    squares, own_square = jnp.sum(kept**2, axis=1), jnp.sum(x**2, axis=1)
    typical = jnp.mean(squares, where=there)
    # Less than the negated squared distance by the square of x, which all rows of the memory share.
    # Every pass over it costs as much as a product, so sums come with the products.
    closeness = (
        _beside(2.0 * x, jnp.ones(len(x))) @ _beside(kept, jnp.where(there, -squares, -jnp.inf)).T
    )
    # Two passes, for the largest and for its place: faster than argmax.
    best = jnp.max(closeness, axis=1)
    places = jnp.arange(len(kept))
    itself = jnp.min(jnp.where(closeness == best[:, None], places, len(places)), axis=1)
    itself = jnp.where(own_square - best <= SAME * (own_square + typical), itself, len(kept))
    closeness = closeness.at[jnp.arange(len(x)), itself].set(-jnp.inf, mode="drop")
    return jnp.exp(jnp.minimum(closeness - own_square[:, None], 0.0) / memory.bandwidth), itself


def _nearest(kept: Matrix, x: Matrix, itself: Int[Array, "rows"]) -> Int[Array, "rows"]:
    """Return the place of the nearest kept row by city-block distance, but for the row itself."""
    missing = -x.shape[1] % _COLUMNS_AT_ONCE
    shape = (-1, _COLUMNS_AT_ONCE)
    columns = jnp.pad(kept, ((0, 0), (0, missing))).T.reshape(*shape, len(kept))
    places = jnp.arange(len(kept))

    def place(asked: tuple[Vector, Array]) -> Int[Array, ""]:
        row, itself = asked

        def add(total: Vector, some: tuple[Vector, Matrix]) -> tuple[Vector, None]:
            for value, column in zip(*some, strict=True):
                total = total + jnp.abs(value - column)
            return total, None

        row = jnp.pad(row, (0, missing)).reshape(shape)
        total, _ = jax.lax.scan(add, jnp.where(places == itself, jnp.inf, 0.0), (row, columns))
        return jnp.min(jnp.where(total == jnp.min(total), places, len(places)))

    found: Int[Array, "rows"] = jax.lax.map(place, (x, itself), batch_size=_ROWS_AT_ONCE)
    return found


def _beside(rows: Matrix, last: Float[Array, "rows"]) -> Float[Array, "rows wider"]:
    """Return rows with one more column."""
    return jnp.concatenate([rows, last[:, None]], axis=1)
