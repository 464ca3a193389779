"""Training rows scored as new ones, by members that never saw them: cross-conformal calibration."""

from dataclasses import replace
from operator import itemgetter

import jax
import numpy as np
from jaxtyping import Float, Int

from advae.core.arrays import HostMatrix
from advae.detector.detector import Detector
from advae.errors import ConfigError
from advae.methods.advae.reference import SAME, Factors, Memory, in_units, without
from advae.tables.columns import LIMIT


def out_of_fold_scores(
    detector: Detector,
    encoded: HostMatrix,
    fold: Int[np.ndarray, "rows"],
    kept: Int[np.ndarray, "kept"],
) -> Float[np.ndarray, "rows"]:
    """Return the score of each training row by the members that never saw it.

    Not only the networks and the kept rows must be strangers to a row: so must the encoder. It
    knows the ranges and categories of all rows, where a new row can lie beyond them, the more
    often the longer the tails. So a row's columns count in units of the range that all other rows
    have, and a value unlike the only one that these have adds 1, as it does in a new row. The
    cycles of a time keep their own units.

    Parameters
    ----------
    detector
        Fitted to the rows, with ``Plan.member_rows``.
    encoded
        The rows as its table encodes them, shape (rows, width).
    fold
        The fold of each row, from 0.
    kept
        Positions of the rows in the reference's memory.

    Returns
    -------
    scores : ndarray of shape (rows,)
        At least 0, float64.

    Raises
    ------
    ConfigError
        If all rows of the memory are of one fold.
    """
    if len(kept) and np.ptp(fold[kept]) == 0:
        raise ConfigError(
            f"memory = {detector.config.memory} keeps too few rows: for the rows of one fold there "
            "are none of another to compare with. Raise memory, or set it to 0."
        )
    folds = int(fold.max()) + 1
    scores = np.empty(len(fold))
    varied = encoded[:, : detector.table.network_width]
    units = _units(varied)
    units[:, ~detector.table.spanned[: varied.shape[1]]] = 1
    plain = (units == 1).all(axis=1)
    owners = detector.table.owner[: varied.shape[1]]
    for number in range(folds):
        own = fold == number
        members = slice(number, None, folds)
        reference = without(detector.reference, np.flatnonzero(own[kept]))
        whitening = reference.whitening
        if whitening is None:
            whitening = _identity(detector.config.members, len(owners))
        whitening = jax.tree.map(lambda leaf, own=members: np.asarray(leaf)[own], whitening)
        strangers = replace(
            detector,
            model=jax.tree.map(itemgetter(members), detector.model),
            reference=reference._replace(whitening=whitening),
        )
        scores[own] = strangers.anomaly_score_encoded(encoded[own])
        for row in np.flatnonzero(own & ~plain):
            # Residuals are weighed before they are squared: their units are a matter of weights.
            weighed = reference._replace(whitening=in_units(whitening, units[row]))
            score = replace(strangers, reference=weighed).anomaly_score_encoded(encoded[[row]])[0]
            if reference.memory is not None:
                score *= np.sqrt(_nearer(varied[row], reference.memory, units[row]))
            scores[row] = score + len(np.unique(owners[units[row] == 0]))
    return scores


def _identity(members: int, columns: int) -> Factors:
    nothing = np.zeros((members, columns, 1), np.float32)
    return Factors(np.ones((members, columns), np.float32), nothing, nothing.swapaxes(1, 2))


def _units(rows: HostMatrix) -> Float[np.ndarray, "rows columns"]:
    """Return for each row the units of columns that span what the other rows span.

    Where the given units span what all rows do: 1 for most, and above it for a row that alone is
    the highest or the lowest, up to `LIMIT`, where the encoder stops in a new row. 0 for one unlike
    the only value that the others have.
    """
    ordered = np.sort(rows, axis=0)
    low, high = ordered[0], ordered[-1]
    # At a tie the next in order is the same, so that the others span as much.
    others_low = np.where(rows == low, ordered[1], low)
    others_high = np.where(rows == high, ordered[-2], high)
    width, span = high - low, others_high - others_low
    units = width / np.where(span > 0, np.maximum(span, width / LIMIT), 1)
    # No width: what varies among other rows than those of a sample.
    return np.select([width == 0, span == 0], [1, 0], units).astype(np.float32)


def _nearer(
    row: Float[np.ndarray, "columns"], memory: Memory, units: Float[np.ndarray, "columns"]
) -> float:
    """Return the squared distance to the nearest kept row, of that without units.

    As ``residuals.recall`` has it: of kept rows that equal the row, one is left out.
    """
    rows = np.asarray(memory.rows, np.float64)
    rows = rows[~np.isnan(rows[:, 0])]
    squares = np.square(rows - row)
    plain = squares.sum(axis=1)
    centred = rows - rows.mean(axis=0)
    size = np.square(row - rows.mean(axis=0)).sum() + np.square(centred).sum(axis=1).mean()
    nearest = int(plain.argmin())
    if plain[nearest] <= SAME * size:
        squares, plain = np.delete(squares, nearest, axis=0), np.delete(plain, nearest)
    if not len(plain) or plain.min() == 0:
        return 1.0
    return float((squares @ np.square(units, dtype=np.float64)).min() / plain.min())
