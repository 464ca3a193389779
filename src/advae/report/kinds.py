"""Where the alarms are: rows and flagged ones by the values of a column."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Bool

from advae.display.text import LONGEST, shorten
from advae.tables.values import to_texts

MOST_VALUES = 50
"""Different values up to which a column is looked at: one of more names rows, not kinds of them."""

ALL_BUT = 0.8
"""Different values for each row above which a column names rows, however few they are."""

MOST_COLUMNS = 30
"""Columns looked at, those asked for first."""

MISSING = "(missing)"


@dataclass(frozen=True)
class Segment:
    """The rows with one value."""

    value: str
    rows: int
    flagged: int


@dataclass(frozen=True)
class Segments:
    """The rows of a table by the values of one column, the most frequent value first."""

    column: str
    segments: tuple[Segment, ...]

    @property
    def names_rows(self) -> bool:
        """Whether hardly a value has more than one row, so that the values are rows' names."""
        return len(self.segments) > ALL_BUT * sum(each.rows for each in self.segments)

    @property
    def contrast(self) -> float:
        """How far the values' shares of flagged rows differ from each other: chi-squared."""
        rows = np.array([each.rows for each in self.segments])
        flagged = np.array([each.flagged for each in self.segments])
        expected = rows * flagged.sum() / rows.sum()
        return float((np.square(flagged - expected) / np.maximum(expected, 1e-12)).sum())


class SegmentTally:
    """Counts rows and flagged ones by the values of a column, as long as these are few."""

    def __init__(self, column: str) -> None:
        self.column = column
        self._counts: dict[str, tuple[int, int]] | None = {}

    def update(self, frame: pl.DataFrame, flagged: Bool[np.ndarray, "rows"]) -> None:
        """Take in the next rows."""
        if self._counts is None:
            return
        # Under another name: to Polars' expressions, which compute texts, "*" is a pattern.
        values = frame[self.column].alias("value")
        texts = to_texts(values).str.head(LONGEST + 1).fill_null(MISSING)
        table = pl.DataFrame({"value": texts, "flagged": pl.Series(flagged)})
        found = table.group_by("value").agg(pl.len().alias("rows"), pl.col("flagged").sum())
        for value, rows, alarms in found.iter_rows() if found.height <= MOST_VALUES else ():
            shown = shorten(value)
            before = self._counts.get(shown, (0, 0))
            self._counts[shown] = before[0] + rows, before[1] + alarms
        if max(found.height, len(self._counts)) > MOST_VALUES:
            self._counts = None

    def view(self) -> Segments | None:
        """Return what the report shows; None for a column of one value, or of too many."""
        if self._counts is None or len(self._counts) < 2:
            return None
        ordered = sorted(self._counts.items(), key=lambda item: (-item[1][0], item[0]))
        return Segments(self.column, tuple(Segment(value, *each) for value, each in ordered))


def view_segments(tallies: list[SegmentTally]) -> tuple[Segments, ...]:
    """Return the columns that can be looked at, those that tell most of the alarms first.

    A column that names rows is among them only where all do.
    """
    views = [view for tally in tallies if (view := tally.view()) is not None]
    kinds = [view for view in views if not view.names_rows] or views
    return tuple(sorted(kinds, key=lambda view: -view.contrast))
