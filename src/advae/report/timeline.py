"""When the alarms came: rows and flagged ones along the table's time column."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Bool

from advae.display.charts import Tick
from advae.display.text import shorten
from advae.tables.times import TimeColumn
from advae.tables.values import shown_values

PARTS = 120
"""Most parts that the time of a table is cut into."""

SECOND = 1_000_000
STEPS = (1, 5, 15, 60, 300, 900, 3600, 2 * 3600, 6 * 3600, 86_400, 7 * 86_400)
"""Lengths of a part in seconds; each is a multiple of the one before. Longer ones double."""


@dataclass(frozen=True)
class Timeline:
    """Rows and flagged ones in equal parts of time, from the first row to the last.

    Attributes
    ----------
    column
        The column that tells when a row came.
    rows, flagged
        How many there are in each part.
    ticks
        Begin, middle and end, as the column writes them.
    busiest
        Begin of the part with the most flagged rows; empty where none is.
    """

    column: str
    rows: tuple[int, ...]
    flagged: tuple[int, ...]
    ticks: tuple[Tick, ...]
    busiest: str


class TimeTally:
    """Counts rows and flagged ones along a column of times, in bounded memory."""

    def __init__(self, column: TimeColumn) -> None:
        self._column = column
        self._length = STEPS[0] * SECOND
        self._parts: dict[int, tuple[int, int]] = {}

    def update(self, frame: pl.DataFrame, flagged: Bool[np.ndarray, "rows"]) -> None:
        """Take in the next rows."""
        instants = self._column.reading.numbers(frame[self._column.name], 0)
        known = ~np.isnan(instants)
        if not known.any():
            return
        instants, flagged = instants[known], flagged[known]
        begins = [part * self._length for part in self._parts]
        self._lengthen(min([instants.min(), *begins]), max([instants.max(), *begins]))
        parts, places = np.unique(instants // self._length, return_inverse=True)
        rows, alarms = np.bincount(places), np.bincount(places, flagged)
        for part, row, alarm in zip(parts, rows, alarms, strict=True):
            _add(self._parts, int(part), (int(row), int(alarm)))

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
        counts = [self._parts.get(part, (0, 0)) for part in range(first, last + 1)]
        flagged = tuple(alarms for _, alarms in counts)
        middle = (first + last + 1) // 2
        busiest = first + int(np.argmax(flagged)) if any(flagged) else None
        shown = self._shown([first, middle, last, busiest or first])
        places = (0.0, (middle - first) / (last + 1 - first), 1.0)
        return Timeline(
            column=self._column.name,
            rows=tuple(rows for rows, _ in counts),
            flagged=flagged,
            ticks=tuple(Tick(at, text) for at, text in zip(places, shown, strict=False)),
            busiest="" if busiest is None else shown[-1],
        )

    def _shown(self, parts: list[int]) -> list[str]:
        instants = np.array(parts, np.float64) * self._length
        texts = shown_values(self._column.reading.show("", instants).to_frame())[:, 0]
        whole_days = self._length % (STEPS[-2] * SECOND) == 0
        return [shorten(text.removesuffix(" 00:00:00") if whole_days else text) for text in texts]


def _add(parts: dict[int, tuple[int, int]], part: int, counts: tuple[int, int]) -> None:
    rows, flagged = parts.get(part, (0, 0))
    parts[part] = rows + counts[0], flagged + counts[1]
