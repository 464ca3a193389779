"""What would have made a row normal: a few columns to change, and to which values.

Contributions say where a row and its reconstruction differ. But an odd value in one column also
changes the reconstruction of other columns, whose values are usual. So values are replaced, and the
row is scored again: only where that lowers the score was the column odd.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Int

from advae.core.arrays import HostMatrix
from advae.detector.detector import Detector, unjudged
from advae.display.text import shorten
from advae.errors import InputError
from advae.parallel import rows_at_once
from advae.tables.encoder import TableEncoder

MOST_CHANGES = 3
"""Columns changed at most."""

CANDIDATES = 12
"""Columns that may be changed: those that contribute most to the row as it came."""

COVERED = 0.8
"""Of these, each step but the last tries the largest that make up this part of the score."""

ROUNDS = 4
"""How often a replaced value is expected anew from the row that it was put into."""

SEARCHED_ROWS = 1024
"""Most rows at a time: each stands for up to `CANDIDATES` rows to be scored."""

MOST_REMEDIES = 10_000
"""Flagged rows of a table that are told what would clear them: it takes some twenty scores each."""


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
    values
        The new value of each of these columns, by name: a text in the table's units, None for a
        missing value.

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
    >>> list(found.values), abs(float(found.values["column_1"])) < 3
    (['column_1'], True)
    >>> bool(found.scores[-1] <= detector.threshold.value)
    True
    >>> found.to_frame().columns
    ['column', 'value', 'score']
    """

    columns: tuple[int, ...]
    scores: tuple[float, ...]
    encoded: Float[np.ndarray, "width"]
    normal: bool
    values: dict[str, str | None]

    def to_frame(self) -> pl.DataFrame:
        """Return a row for each change: the column, its new value as text, and the score then."""
        return pl.DataFrame(
            {
                "column": list(self.values),
                "value": list(self.values.values()),
                "score": self.scores,
            },
            {"column": pl.String, "value": pl.String, "score": pl.Float64},
        )


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

    Raises
    ------
    InputError
        For rows of another width, such as those of a table that is not encoded.

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
    width = detector.table.width
    if not isinstance(encoded, np.ndarray) or encoded.shape[1:] != (width,):
        raise InputError(
            f"the encoded rows are no array of shape (rows, {width}). Give what "
            "detector.table.transform makes of a table."
        )
    found: list[Counterfactual] = []
    at_once = rows_at_once(CANDIDATES * encoded.shape[1], SEARCHED_ROWS)
    for first in range(0, len(encoded), at_once):
        found += _Search(detector, encoded[first : first + at_once]).run(most)
    return found


def shown_estimates(table: TableEncoder, encoded: Float[np.ndarray, "rows width"]) -> np.ndarray:
    """Return decoded values as texts, shape (rows, features), None where missing."""
    shown = [_shown(table, number, encoded) for number in range(len(table.features))]
    return np.stack(shown, axis=1)


def _shown(table: TableEncoder, number: int, encoded: HostMatrix) -> np.ndarray:
    """Return the decoded values of one column as texts, shape (rows,)."""
    column = table.features[number]
    decoded = column.decode(encoded[:, list(table.places[number])])
    return column.in_texts(column.rounded(decoded), column.digits)


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
    return [
        ", ".join(
            f"{shorten(name, 40)} {'missing' if value is None else shorten(value)}"
            for name, value in each.values.items()
        )
        if each.normal and each.columns
        else None
        for each in found
    ]


class Remedies:
    """Says of the flagged rows of a table with what values they would not be flagged.

    Of the first `MOST_REMEDIES` of them, so that a table in which all rows are flagged does not
    take twenty times as long.

    Parameters
    ----------
    detector
        What scores the rows.
    """

    def __init__(self, detector: Detector) -> None:
        self._detector = detector
        self._left = MOST_REMEDIES

    def of(self, encoded: HostMatrix, scores: Float[np.ndarray, "rows"]) -> pl.Series:
        """Return the column ``not_flagged_with`` of the next rows, see `not_flagged_with`."""
        said: list[str | None] = [None] * len(scores)
        flagged = np.flatnonzero(scores > self._detector.threshold.value)[: self._left]
        self._left -= len(flagged)
        words = not_flagged_with(self._detector, encoded[flagged])
        for row, each in zip(flagged.tolist(), words, strict=True):
            said[row] = each
        return pl.Series("not_flagged_with", said, pl.String)


class _Search:
    """The search for some rows at once."""

    def __init__(self, detector: Detector, encoded: HostMatrix) -> None:
        self._detector, self._rows = detector, encoded.copy()
        scored = detector.score_encoded(encoded)
        contributions = detector.table.group(scored.contributions)
        order = np.argsort(-contributions, axis=1, kind="stable")[:, :CANDIDATES]
        self._free: Bool[np.ndarray, "rows features"] = np.zeros(contributions.shape, bool)
        np.put_along_axis(self._free, order, True, axis=1)
        self._changed: Bool[np.ndarray, "rows features"] = np.zeros(contributions.shape, bool)
        self._contributions = contributions
        self._columns: list[list[int]] = [[] for _ in encoded]
        self._scores: list[list[float]] = [[] for _ in encoded]
        self._flagged = scored.score > detector.threshold.value

    def run(self, most: int) -> list[Counterfactual]:
        active = self._flagged
        steps = min(most, CANDIDATES, self._free.shape[1])
        for step in range(steps):
            # The last one tries all: no row stays flagged for want of a few trials.
            covered = COVERED if step < steps - 1 else 1.0
            active = self._step(np.flatnonzero(active), covered)
        return [
            Counterfactual(tuple(columns), tuple(scores), row, not flagged, values)
            for columns, scores, row, flagged, values in zip(
                self._columns, self._scores, self._rows, active, self._values(), strict=True
            )
        ]

    def _values(self) -> list[dict[str, str | None]]:
        """Return the values of the changed columns of each row, by name."""
        table = self._detector.table
        shown = np.full(self._changed.shape, None, object)
        for number in np.flatnonzero(self._changed.any(axis=0)).tolist():
            rows = self._changed[:, number]
            shown[rows, number] = _shown(table, number, self._rows[rows])
        names = table.feature_names
        return [
            {names[number]: shown[row, number] for number in columns}
            for row, columns in enumerate(self._columns)
        ]

    def _step(self, rows: Int[np.ndarray, "active"], covered: float) -> Bool[np.ndarray, "rows"]:
        """Change one more column of each of these rows; return which rows are still flagged."""
        still = np.zeros(len(self._rows), bool)
        if not len(rows):
            return still
        place, column = self._tried(rows, covered)
        changed = self._changed[rows][place]
        changed[np.arange(len(changed)), column] = True
        trial = replaced(self._detector, self._rows[rows][place], changed)
        scored = self._detector.score_encoded(trial)
        # Of each row the trial that scores lowest, of equal ones the first.
        order = np.lexsort((scored.score, place))
        best = order[np.searchsorted(place, np.arange(len(rows)))]
        chosen = column[best]
        self._changed[rows, chosen] = True
        self._free[rows, chosen] = False
        self._rows[rows] = trial[best]
        self._contributions[rows] = self._detector.table.group(scored.contributions[best])
        for row, number, score in zip(
            rows.tolist(), chosen.tolist(), scored.score[best].tolist(), strict=True
        ):
            self._columns[row].append(number)
            self._scores[row].append(score)
        still[rows] = scored.score[best] > self._detector.threshold.value
        return still

    def _tried(
        self, rows: Int[np.ndarray, "active"], covered: float
    ) -> tuple[Int[np.ndarray, "trials"], Int[np.ndarray, "trials"]]:
        """Return the columns to try: a place in ``rows`` and a column for each trial."""
        parts = np.where(self._free[rows], self._contributions[rows], -1.0)
        order = np.argsort(-parts, axis=1, kind="stable")
        sizes = np.take_along_axis(parts, order, axis=1)
        weights = np.maximum(sizes, 0.0)
        before = weights.cumsum(axis=1) - weights
        tried = (sizes >= 0) & (before <= covered * weights.sum(axis=1, keepdims=True))
        place, rank = np.nonzero(tried)
        return place, order[place, rank]


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
    mask[:, unjudged(table, detector.config)] = False  # another hour, not another day
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
