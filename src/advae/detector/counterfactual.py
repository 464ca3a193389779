"""What would have made a row normal: a few columns to change, and to which values.

Contributions say where a row and its reconstruction differ. But an odd value in one column also
changes the reconstruction of other columns, whose values are usual. So values are replaced, and the
row is scored again: only where that lowers the score was the column odd.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from advae.core.arrays import HostMatrix
from advae.detector.detector import Detector
from advae.display.text import shorten
from advae.tables.encoder import TableEncoder
from advae.tables.values import shown_values

MOST_CHANGES = 3
"""Columns changed at most."""

CANDIDATES = 12
"""Columns tried in each step: those that contribute most."""

ROUNDS = 4
"""How often a replaced value is expected anew from the row that it was put into."""

SEARCHED_ROWS = 1024
"""Rows at a time: each stands for `CANDIDATES` rows to be scored."""


@dataclass(frozen=True, eq=False)
class Counterfactual:
    """A row as it would have to be to score low.

    Attributes
    ----------
    columns
        Positions of the columns changed, in the order in which they help; empty for a row that
        is not flagged.
    scores
        The score after each change, with all changed columns at their new values.
    encoded
        The row with all changes, shape (width,).
    normal
        Whether the last score is not above the threshold.

    Examples
    --------
    >>> import polars as pl
    >>> import numpy as np
    >>> import advae
    >>> normal = np.random.default_rng(0).normal(size=(300, 2))
    >>> detector = advae.fit_detector(normal, advae.Config(iterations=50))
    >>> from advae.detector.counterfactual import counterfactuals
    >>> row = pl.DataFrame({"column_0": [0.0], "column_1": [9.0]})
    >>> (found,) = counterfactuals(detector, detector.table.transform(row))
    >>> detector.table.feature_names[found.columns[0]]
    'column_1'
    >>> bool(found.scores[-1] <= detector.threshold.value)
    True
    >>> bool(detector.table.decode(found.encoded[None])["column_1"].item() < 3)
    True
    """

    columns: tuple[int, ...]
    scores: tuple[float, ...]
    encoded: Float[np.ndarray, "width"]
    normal: bool


def counterfactuals(
    detector: Detector, encoded: HostMatrix, most: int = MOST_CHANGES
) -> list[Counterfactual]:
    """Find for each row the columns to change until it is no longer flagged.

    Greedy: in each step the column whose replacement lowers the score most. A column is replaced,
    together with those found before, by what the model expects given the rest of the row.

    Parameters
    ----------
    detector
        A fitted detector.
    encoded
        Rows that ``detector.table.transform`` encoded, shape (rows, width).
    most
        How many columns may be changed, at least 1; more than `CANDIDATES` never are.

    Examples
    --------
    >>> import polars as pl
    >>> import numpy as np
    >>> import advae
    >>> normal = np.random.default_rng(0).normal(size=(300, 2))
    >>> detector = advae.fit_detector(normal, advae.Config(iterations=50))
    >>> from advae.detector.counterfactual import counterfactuals
    >>> row = pl.DataFrame({"column_0": [0.0], "column_1": [9.0]})
    >>> (found,) = counterfactuals(detector, detector.table.transform(row))
    >>> found.columns, found.normal  # another value in the second column, and all is well
    ((1,), True)
    """
    found: list[Counterfactual] = []
    for first in range(0, len(encoded), SEARCHED_ROWS):
        found += _Search(detector, encoded[first : first + SEARCHED_ROWS]).run(most)
    return found


def shown_estimates(table: TableEncoder, encoded: Float[np.ndarray, "rows width"]) -> np.ndarray:
    """Return decoded values as texts, shape (rows, features), None where missing."""
    decoded = table.decode(encoded)
    shown = [
        shown_values(decoded[:, [number]], column.digits)
        for number, column in enumerate(table.features)
    ]
    return np.concatenate(shown, axis=1)


def not_flagged_with(detector: Detector, encoded: HostMatrix) -> list[str | None]:
    """Say of each row with what values it would not be flagged, the most helpful first.

    Parameters
    ----------
    detector
        A fitted detector.
    encoded
        Rows that ``detector.table.transform`` encoded, shape (rows, width).

    Returns
    -------
        Such as ``"amount 50.1, shop food"``; None of a row that is not flagged, or that a change
        of `MOST_CHANGES` columns leaves flagged.
    """
    found = counterfactuals(detector, encoded)
    if not found:
        return []
    values = shown_estimates(detector.table, np.stack([each.encoded for each in found]))
    names = detector.table.feature_names
    return [
        ", ".join(
            f"{shorten(names[column], 40)} "
            + ("missing" if (value := values[row, column]) is None else shorten(value))
            for column in each.columns
        )
        if each.normal and each.columns
        else None
        for row, each in enumerate(found)
    ]


class _Search:
    """The search for some rows at once."""

    def __init__(self, detector: Detector, encoded: HostMatrix) -> None:
        self._detector, self._encoded = detector, encoded
        table, scored = detector.table, detector.score_encoded(encoded)
        contributions = table.group(scored.contributions)
        self._candidates = np.argsort(-contributions, axis=1, kind="stable")[:, :CANDIDATES]
        self._changed: Bool[np.ndarray, "rows features"] = np.zeros(contributions.shape, bool)
        self._columns: list[list[int]] = [[] for _ in encoded]
        self._scores: list[list[float]] = [[] for _ in encoded]
        self._flagged = scored.score > detector.threshold.value
        self._rows = encoded.copy()

    def run(self, most: int) -> list[Counterfactual]:
        active = self._flagged
        for _ in range(min(most, self._candidates.shape[1])):
            active = self._step(np.flatnonzero(active))
        return [
            Counterfactual(tuple(columns), tuple(scores), row, not flagged)
            for columns, scores, row, flagged in zip(
                self._columns, self._scores, self._rows, active, strict=True
            )
        ]

    def _step(self, rows: Int[np.ndarray, "active"]) -> Bool[np.ndarray, "rows"]:
        """Change one more column of each of these rows; return which rows are still flagged."""
        still = np.zeros(len(self._encoded), bool)
        if not len(rows):
            return still
        candidates = self._candidates[rows]
        tries = candidates.shape[1]
        changed = np.repeat(self._changed[rows], tries, axis=0)
        changed[np.arange(len(changed)), candidates.ravel()] = True
        trial = replaced(self._detector, np.repeat(self._encoded[rows], tries, axis=0), changed)
        scores = self._detector.anomaly_score_encoded(trial).reshape(len(rows), tries)
        scores[np.take_along_axis(self._changed[rows], candidates, axis=1)] = np.inf
        best = scores.argmin(axis=1)
        for position, row in enumerate(rows):
            choice = int(best[position])
            column = int(candidates[position, choice])
            self._changed[row, column] = True
            self._columns[row].append(column)
            self._scores[row].append(float(scores[position, choice]))
            self._rows[row] = trial[position * tries + choice]
            still[row] = scores[position, choice] > self._detector.threshold.value
        return still


def replaced(
    detector: Detector, encoded: HostMatrix, changed: Bool[np.ndarray, "rows features"]
) -> HostMatrix:
    """Return encoded rows with some columns as the model expects them, given the others.

    Parameters
    ----------
    detector
        A fitted detector.
    encoded
        Encoded rows, shape (rows, width).
    changed
        The columns to replace in each row, shape (rows, features).
    """
    table = detector.table
    mask = changed[:, table.owner]
    trial = np.where(mask, _typical(table), encoded)
    for _ in range(ROUNDS):
        trial = np.where(mask, detector.score_encoded(trial).expected, trial)
    for number in np.flatnonzero(changed.any(axis=0)).tolist():
        part = np.flatnonzero(changed[:, number])[:, None], np.array(table.places[number])
        trial[part] = table.features[number].possible(trial[part])
    return trial


def _typical(table: TableEncoder) -> HostMatrix:
    """Return a row of typical values, encoded, shape (1, width)."""
    row = np.zeros((1, table.width), np.float32)
    for column, places in zip(table.features, table.places, strict=True):
        row[0, list(places)] = column.typical
    return row
