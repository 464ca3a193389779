"""Rows that may be anomalies, told from the others before anything has learned them."""

import numpy as np
from jaxtyping import Float, Int

from advae.core.arrays import HostMatrix
from advae.core.randomness import choice

FAR = 1.3
"""How many times as far from the trusted rows a suspect must be as 95 % of these are from each
other. This and `NEAR` were chosen with half of the open sets, for the average precision of fits
with and without anomalies among the rows; `benchmarks/README.md` has the figures."""

NEAR = 0.3
"""In standard deviations from a column's median: how far distances count as they are. Beyond it
their logarithm counts."""

REFERENCE_ROWS = 4096
"""Most rows that all rows are compared with; of more, a uniform sample."""

_TILE = 2**21
"""Distances held at a time."""


def suspects(rows: HostMatrix, most: float, seed: int = 0) -> Int[np.ndarray, "suspects"]:
    """Return the rows that lie far from all rows but a few.

    First, the distance of each row to its k-th neighbour, k being the share ``most`` of the rows: a
    group of anomalies of that size or smaller cannot vouch for each other. All but the ``most``
    farthest are trusted. Then the distance to the nearest trusted row decides: a row is suspected
    if that is `FAR` times what is usual among them.

    Columns count by the inverse hyperbolic sine of their standard deviations from the median over
    `NEAR`: a long tail, or a rare other value of a column that hardly varies, hardly makes a
    suspect by itself.

    Rows of a rare kind look the same as anomalies: of clean rows, up to the share ``most`` can be
    suspected. Anomalies amid normal rows are not found. Equal rows are suspected all or none.

    Parameters
    ----------
    rows
        Encoded rows, shape (rows, columns).
    most
        Largest share of them to be suspected, in [0, 0.5).
    seed
        Of the sample of rows that are compared with, where not all are.

    Returns
    -------
    Their positions, the most suspect first; at most ``most * len(rows)`` of them.
    """
    chosen = np.arange(len(rows))
    if len(rows) > REFERENCE_ROWS:
        sampled = choice(seed, "compared rows").choice(len(rows), REFERENCE_ROWS, replace=False)
        chosen = np.sort(sampled)
    neighbours = int(most * len(chosen))
    if not neighbours:
        return np.empty(0, int)
    spread = rows.std(axis=0, dtype=np.float64)
    apart = (rows - np.median(rows, axis=0)) / np.where(spread > 0, spread, 1.0)
    scaled = np.arcsinh(apart / NEAR)
    company = _distance(scaled, chosen, chosen, neighbours)
    trusted = np.sort(chosen[np.argsort(company, kind="stable")[: len(chosen) - neighbours]])
    distance = _distance(scaled, np.arange(len(rows)), trusted, 1)
    far = distance > FAR * np.quantile(distance[trusted], 0.95)
    farthest = np.argsort(-distance, kind="stable")[: int(most * len(rows))]
    return _without_copies_of_kept(rows, farthest[far[farthest]])


def _without_copies_of_kept(
    rows: HostMatrix, suspected: Int[np.ndarray, "suspects"]
) -> Int[np.ndarray, "copies_apart"]:
    """Return the suspects that equal no row that is kept.

    Of equal rows one can be suspected alone: the only trusted one, since it does not vouch for
    itself as it does for the others, or the last that the largest share has room for.
    """
    keys = [row.tobytes() for row in rows[suspected] + 0.0]  # + 0.0: of -0.0 it makes 0.0
    wanted = set(keys)
    kept = np.delete(np.arange(len(rows)), suspected)
    copied = {key for place in kept if (key := (rows[place] + 0.0).tobytes()) in wanted}
    return suspected[[key not in copied for key in keys]]


def _distance(
    rows: Float[np.ndarray, "rows columns"],
    asked: Int[np.ndarray, "asked"],
    company: Int[np.ndarray, "company"],
    neighbour: int,
) -> Float[np.ndarray, "asked"]:
    """Return how far the asked rows are from their k-th neighbour in a company, bar themselves."""
    others = rows[company]
    norms = np.square(others).sum(axis=1)
    found = np.empty(len(asked))
    step = max(1, _TILE // len(company))
    for start in range(0, len(asked), step):
        own = asked[start : start + step]
        squares = np.square(rows[own]).sum(axis=1)[:, None] + norms - 2 * rows[own] @ others.T
        squares[squares < 1e-9] = 0.0  # what rounding leaves between equal rows
        squares[own[:, None] == company] = np.inf
        squares.partition(neighbour - 1, axis=1)
        found[start : start + step] = np.sqrt(squares[:, neighbour - 1])
    return found
