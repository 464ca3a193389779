"""Columns of times: dates, moments, times of day and durations."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl

from advae.graph import Graph, Value
from advae.tables.columns import (
    WHOLE,
    Caution,
    Encoded,
    OnePart,
    RangedColumn,
    Scale,
    check,
    without_missing,
)
from advae.tables.profile import QUANTILE_LEVELS
from advae.tables.values import DAY, TIMES, YEAR, FloatArray, ValueKind
from advae.variables import Variable

CYCLES = {"day": DAY, "week": 7 * DAY, "year": YEAR}
_CYCLE_NAMES = {"day": "time of day", "week": "day of the week", "year": "time of year"}

SECOND = 1e6
MINUTE = 60 * SECOND
LONG = 100 * SECOND
"""Microseconds from which on a fraction of a second tells nothing."""

_ZONE = r"(Z|[-+]\d\d:\d\d)?$"
_MIDNIGHT, _WHOLE_MINUTE = (
    re.compile(rf" 00:00(:00)?{_ZONE}"),
    re.compile(rf"( \d\d:\d\d):00{_ZONE}"),
)


def spelled(text: str, unit: float) -> str:
    """Return a moment as people write it: 2024-12-31 23:59:59Z, without clocks that tell nothing.

    Parameters
    ----------
    text
        The moment in full, as `shown_values` has it.
    unit
        The microseconds of which moments like it are multiples: days need no time of day, and whole
        minutes no seconds.
    """
    if unit % DAY == 0 and _MIDNIGHT.search(text):
        return _MIDNIGHT.sub("", text)
    text = text.replace("+00:00", "Z")
    return _WHOLE_MINUTE.sub(r"\1\2", text) if unit % MINUTE == 0 else text


@dataclass(frozen=True, kw_only=True)
class TimeColumn(RangedColumn):
    """A column of instants: their position in the training range, and where they fall in cycles.

    Each cycle gives a sine and a cosine, moved to [0, 1].
    """

    kind = "time"

    reading: ValueKind
    scale: Scale
    median: float
    cycles: tuple[str, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self.reading.like in TIMES and set(self.cycles) <= set(CYCLES), self.name)

    @property
    def fixed(self) -> tuple[bool, ...]:
        """Position and cycles varied; the mark of a missing time perhaps."""
        return *(False,) * (1 + 2 * len(self.cycles)), self.missing_is_new

    @property
    def spanned(self) -> tuple[bool, ...]:
        """A day is a day, whatever the rows."""
        return True, *(False,) * (2 * len(self.cycles)), True

    def variables(self, places: tuple[int, ...]) -> tuple[Variable, ...]:
        """Return the position, and the place in each cycle."""
        first = len(places) - 1 - 2 * len(self.cycles)
        found = [Variable("number", places[:1], places[-1])] if first else []
        for number, cycle in enumerate(self.cycles):
            own = places[first + 2 * number : first + 2 * number + 2]
            found.append(Variable("weekday" if cycle == "week" else "phase", own, places[-1]))
        return tuple(found)

    def encode(self, values: pl.Series, into: Sequence[Encoded], first_row: int) -> None:
        """Place the times in the training range and in their cycles."""
        instants = self.reading.numbers(values, first_row)
        missing = np.isnan(instants)
        instants = np.where(missing, self.median, instants)
        into[0][:] = self.scale.apply(instants)
        for number, cycle in enumerate(self.cycles):
            # Weeks and years turn by whole days: the time of day has a cycle of its own.
            moment = instants if cycle == "day" else instants // DAY * DAY
            angle = 2 * np.pi * (moment % CYCLES[cycle] / CYCLES[cycle])
            into[1 + 2 * number][:] = (1 + np.sin(angle)) / 2
            into[2 + 2 * number][:] = (1 + np.cos(angle)) / 2
        into[-1][:] = missing

    def _beside(self, graph: Graph, numbers: Value) -> list[Value]:
        """Write down sine and cosine of each cycle."""
        instants, parts = numbers.cast(np.int64), []
        days = instants - graph.op("Mod", instants, np.int64(DAY))
        for cycle in self.cycles:
            length = CYCLES[cycle]
            moment = graph.op("Mod", instants if cycle == "day" else days, np.int64(length))
            angle = moment.cast(np.float64) / np.float64(length) * np.float64(2 * np.pi)
            for side in ("Sin", "Cos"):
                moved = (graph.op(side, angle) + np.float64(1)) / np.float64(2)
                parts.append(moved.cast(np.float32))
        return parts

    def decode(self, encoded: Encoded) -> pl.Series:
        """Return the times at their positions, moved to the weekday and the time of day."""
        instants = self.scale.invert(encoded[:, 0])
        if self.cycles:
            clock = np.full(len(instants), self.scale.low % DAY)  # as ever, if it has no cycle
            if "day" in self.cycles:
                clock = self._phase("day", encoded)
            days = np.rint((instants - clock) / DAY)
            if "week" in self.cycles:
                days += (np.rint(self._phase("week", encoded) / DAY) - days + 3) % 7 - 3
            instants = clock if self.reading.like == "time" else days * DAY + clock
        return without_missing(self.show(instants), encoded)

    def _phase(self, cycle: str, encoded: Encoded) -> FloatArray:
        """Return how far into a cycle the times of encoded columns are, in microseconds."""
        place = 1 + 2 * self.cycles.index(cycle)
        sine, cosine = 2.0 * encoded[:, place : place + 2].T.astype(np.float64) - 1.0
        phase: FloatArray = np.arctan2(sine, cosine) / (2 * np.pi) % 1.0 * CYCLES[cycle]
        return phase

    def show(self, instants: FloatArray) -> pl.Series:
        """Return instants [n] in the user's units, without fractions of a second that tell nothing.

        Those of a long duration, and of a moment where training spans a long time.
        """
        moment = self.reading.like != "duration"
        size = self.scale.high - self.scale.low if moment else np.abs(instants)
        whole = np.rint(instants / SECOND) * SECOND
        if self.reading.like == "time":
            whole = np.minimum(whole, DAY - SECOND)
        return self.reading.show(self.name, np.where(size < LONG, instants, whole))

    @cached_property
    def unit(self) -> float:
        """What all moments of training were multiples of: a day, a minute or less, in microseconds.

        Between two neighbours in order, a quantile lies at some twentieths of the way, of which it
        is a multiple, too.
        """
        quantiles = np.array(self.profile.quantiles)
        steps = len(QUANTILE_LEVELS) - 1
        for unit in (DAY, MINUTE) if self.reading.like == "datetime" else ():
            ends, between = quantiles[[0, -1]] / unit, quantiles * steps / unit
            if all(np.abs(each - np.rint(each)).max() < WHOLE for each in (ends, between)):
                return unit
        return 1.0

    def rounded(self, estimates: pl.Series) -> pl.Series:
        """Round the moments to whole days or minutes where training had these only."""
        if self.unit == 1:
            return estimates
        instants = self.reading.numbers(estimates, 0)
        missing = np.isnan(instants)
        whole = np.where(missing, 0.0, np.rint(instants / self.unit) * self.unit)
        shown = self.reading.show(self.name, whole)
        return shown.zip_with(pl.Series(~missing), pl.Series([None], dtype=shown.dtype))

    def in_texts(self, values: pl.Series, digits: int | None = None) -> np.ndarray:
        """Return moments in one spelling, however a file writes them."""
        if self.reading.like == "datetime":
            instants = self.reading.numbers(values, 0)
            known = np.isfinite(instants)
            texts = np.full(len(values), None, object)
            shown = super().in_texts(self.reading.show(self.name, instants[known]))
            texts[known] = [spelled(text, self.unit) for text in shown]
            return texts
        return super().in_texts(values, digits)

    @property
    def dated_dtype(self) -> pl.DataType | None:
        """Dates, with a time or without one."""
        return {"date": pl.Date(), "datetime": pl.Datetime("us")}.get(self.reading.like)

    @property
    def _dated(self) -> bool:
        return self.dated_dtype is not None

    @property
    def caution(self) -> Caution | None:
        """A date after the training period is an anomaly by itself."""
        return "dated" if self._dated else None

    def settled(self, expected: Encoded) -> Encoded:
        """Move the times as their cycles move them when they are decoded."""
        return self.possible(expected)

    @property
    def _words(self) -> tuple[str, str]:
        """An instant is later, a duration higher."""
        return ("higher", "lower") if self.reading.like == "duration" else ("later", "earlier")

    def in_words(self, values: pl.Series) -> str:
        """Name the times of the day of nine tenths of all, if they are close together.

        Of a date without a time the range is named.
        """
        if not (self._dated and "day" in self.cycles):
            return super().in_words(values)
        first, length = self._clocks(values)
        if np.isnan(length):
            return ""
        if length > DAY / 3:  # which dates it was tells nothing: where in a day counts
            return "at various times of day"
        low, high = (_clock(each) for each in (first, first + length))
        return f"at {low}" if low == high else f"at {low} to {high}"

    def telling(self, values: pl.Series) -> bool:
        """Return whether the times of day are close together; the date tells nothing by itself."""
        if not (self._dated and "day" in self.cycles):
            return True
        return self._clocks(values)[1] <= DAY / 3

    def _clocks(self, values: pl.Series) -> tuple[float, float]:
        """Return where the shortest part of a day begins that nine tenths are in, and its length.

        In microseconds; NaN where all are missing.
        """
        instants = self.reading.numbers(values, 0)
        clock = np.sort(instants[~np.isnan(instants)] % DAY)
        if not len(clock):
            return np.nan, np.nan
        most = int(np.ceil(0.9 * len(clock)))
        # From each time to the one that is so many further, perhaps on the next day.
        arcs = np.concatenate([clock, clock + DAY])[most - 1 : most - 1 + len(clock)] - clock
        return float(clock[int(arcs.argmin())]), float(arcs.min())

    def standing(self, position: float, added: OnePart) -> str:
        """Name the cycle that counts most, if it counts more than the place in time."""
        by_cycle = added[1:-1].reshape(-1, 2).sum(axis=1)
        if self._dated and by_cycle.max(initial=0.0) > added[0]:
            return f"the {_CYCLE_NAMES[self.cycles[int(by_cycle.argmax())]]} counts most"
        return super().standing(position, added)


def _clock(instant: float) -> str:
    """Return the time of the day of an instant, in hours and minutes."""
    minutes = int(instant % DAY // MINUTE)
    return f"{minutes // 60:02}:{minutes % 60:02}"
