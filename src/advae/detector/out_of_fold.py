"""Training rows scored as new ones, by members that never saw them: cross-conformal calibration."""

from dataclasses import replace

import numpy as np
from jaxtyping import Float, Int

from advae.core.arrays import HostMatrix
from advae.detector.detector import Detector
from advae.errors import ConfigError
from advae.tables.columns import LIMIT


def out_of_fold_scores(
    detector: Detector,
    encoded: HostMatrix,
    fold: Int[np.ndarray, "rows"],
    kept: Int[np.ndarray, "kept"],
) -> Float[np.ndarray, "rows"]:
    """Return the score of each training row by the members that never saw it.

    The row is scored as a new one would be: nothing that scores it may know it, neither members
    nor kept rows nor the encoder. The encoder knows the ranges of all rows, this one among them,
    while a new row can lie beyond them. So the columns of a row count in units of the range that
    the other rows have. Where the other rows all have one value and this row another, 1 is added,
    as for a new row. The cycles of a time keep their units.

    Parameters
    ----------
    detector
        Fitted to the rows, with ``Split.member_rows``.
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
    table = detector.table
    whole = detector.method.whole
    varied = encoded if whole else encoded[:, : table.network_width]
    units = _units(varied)
    units[:, ~table.spanned[: varied.shape[1]]] = 1
    for number in range(folds):
        own = fold == number
        members, absent = slice(number, None, folds), np.flatnonzero(own[kept])
        strangers = detector.method.strangers(detector.scorer, members, absent)
        scores[own] = replace(detector, scorer=strangers).anomaly_score_encoded(
            encoded[own], units[own]
        )
    if whole:
        return scores
    # Where the other rows all have one value, and this row another.
    alone = np.zeros((len(encoded), len(table.features)), bool)
    rows, columns = np.nonzero(units == 0)
    alone[rows, table.owner[columns]] = True
    return np.asarray(scores + alone.sum(axis=1))


def _units(rows: HostMatrix) -> Float[np.ndarray, "rows columns"]:
    """Return the units of the columns in each row: the range of all rows over that of the others.

    A unit is 1, unless the row alone has the highest or the lowest value of the column. Then it is
    greater, at most `LIMIT`, beyond which the encoder does not follow a new row either. It is 0
    where the other rows all have one value, and this row another.
    """
    ordered = np.sort(rows, axis=0)
    low, high = ordered[0], ordered[-1]
    # Where two rows have the lowest value, the second in order is the same, and the range stays.
    others_low = np.where(rows == low, ordered[1], low)
    others_high = np.where(rows == high, ordered[-2], high)
    width, span = high - low, others_high - others_low
    units = width / np.where(span > 0, np.maximum(span, width / LIMIT), 1)
    # A column without a range here varies only in rows that the sample left out.
    return np.select([width == 0, span == 0], [1, 0], units).astype(np.float32)
