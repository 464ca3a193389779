"""When the alarms came: rows, flagged ones and high scores along the table's time column."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Bool, Float

from advae.display.charts import Tick
from advae.display.text import shorten
from advae.tables.columns import RangedColumn
from advae.tables.times import spelled

PARTS = 120
"""Most parts that the time of a table is cut into."""

SECOND = 1_000_000
STEPS = (1, 5, 15, 60, 300, 900, 3600, 2 * 3600, 6 * 3600, 86_400, 7 * 86_400)
"""Lengths of a part in seconds; each is a multiple of the one before. Longer ones double."""

_Part = tuple[int, int, float]
"""Rows, flagged ones among them, and the highest score."""

_EMPTY: _Part = (0, 0, 0.0)


@dataclass(frozen=True)
class Timeline:
    """Rows, flagged ones and high scores in equal parts of time, from the first row to the last.

    Attributes
    ----------
    column
        The column that tells when a row came.
    rows, flagged
        How many there are in each part.
    highest
        The highest score in each part, 0 where there are no rows: where most rows are flagged, an
        episode shows in it alone.
    ticks
        Begin, middle and end, as the column writes them.
    busiest
        Begin of the part with the most flagged rows; empty where none is.
    """

    column: str
    rows: tuple[int, ...]
    flagged: tuple[int, ...]
    highest: tuple[float, ...]
    ticks: tuple[Tick, ...]
    busiest: str


class TimeTally:
    """Counts rows along a column of times, and notes their highest scores, in bounded memory."""

    def __init__(self, column: RangedColumn) -> None:
        self._column = column
        self._length = STEPS[0] * SECOND
        self._parts: dict[int, _Part] = {}

    def update(
        self,
        frame: pl.DataFrame,
        flagged: Bool[np.ndarray, "rows"],
        scores: Float[np.ndarray, "rows"],
    ) -> None:
        """Take in the next rows."""
        instants = self._column.reading.numbers(frame[self._column.name], 0)
        known = ~np.isnan(instants)
        if not known.any():
            return
        instants, flagged, scores = instants[known], flagged[known], scores[known]
        begins = [part * self._length for part in self._parts]
        self._lengthen(min([instants.min(), *begins]), max([instants.max(), *begins]))
        parts, places = np.unique(instants // self._length, return_inverse=True)
        rows, alarms = np.bincount(places), np.bincount(places, flagged)
        highest = np.zeros(len(parts))
        np.maximum.at(highest, places, scores)
        for part, *found in zip(parts, rows, alarms, highest, strict=True):
            row, alarm, score = found
            _add(self._parts, int(part), (int(row), int(alarm), float(score)))

    def _lengthen(self, low: float, high: float) -> None:
        """Make the parts long enough for all instants between these."""
        before = self._length
        while high // self._length - low // self._length >= PARTS:
            seconds = self._length // SECOND
            self._length = next((step for step in STEPS if step > seconds), 2 * seconds) * SECOND
        held, self._parts = self._parts, {}
        for part, counts in held.items():
            _add(self._parts, part * before // self._length, counts)

    def view(self) -> Timeline | None:
        """Return what the report shows; None where all rows came at one time."""
        if len(self._parts) < 2:
            return None
        first, last = min(self._parts), max(self._parts)
        counts = [self._parts.get(part, _EMPTY) for part in range(first, last + 1)]
        rows, flagged, highest = zip(*counts, strict=True)
        middle = (first + last + 1) // 2
        busiest = first + int(np.argmax(flagged)) if any(flagged) else None
        shown = self._shown([first, middle, last, busiest or first])
        places = (0.0, (middle - first) / (last + 1 - first), 1.0)
        return Timeline(
            column=self._column.name,
            rows=rows,
            flagged=flagged,
            highest=highest,
            ticks=tuple(Tick(at, text) for at, text in zip(places, shown, strict=False)),
            busiest="" if busiest is None else shown[-1],
        )

    def _shown(self, parts: list[int]) -> list[str]:
        instants = np.array(parts, np.float64) * self._length
        texts = self._column.in_texts(self._column.reading.show("", instants))
        return [shorten(spelled(text, self._length)) for text in texts]


def _add(parts: dict[int, _Part], part: int, found: _Part) -> None:
    rows, flagged, highest = parts.get(part, _EMPTY)
    parts[part] = rows + found[0], flagged + found[1], max(highest, found[2])
