"""Numbers that stay the same for longer than is usual of their column, as of a stuck sensor."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from jaxtyping import Float, Int

from advae.errors import quoted
from advae.tables.frames import joined
from advae.tables.sampling import Highest
from advae.tables.values import to_texts

STUCK = 20
"""Rows in a row with the same number from which on a column may have been stuck."""

COMPARED = 64
"""Longest runs of a column that are kept: the one in question, and those it is compared with."""

FEWEST_RUNS = 20
"""Other runs below which nothing tells what is usual."""

LONGER = 3
"""How many times as long as the longest usual one a run must be."""

BY_CHANCE = 0.001
"""Chance that some run of a column is as long below which one is no chance."""

STUCK_TOGETHER = 3
"""Runs of a column that may each have been stuck."""

RESTING = 8
"""Longest usual runs: a value that half of them have is where the column rests, as rain does at 0.
"""

MOST_STATIONS = 20
"""Different texts in a column up to which they may name the stations that rows come from."""

IN_TURN = 0.5
"""Neighbours with the same text, by those of a random order, up to which the texts come in turn."""

MOST_COLUMNS = 200
"""Columns up to which rows of each station are looked at by themselves."""

DECIDED = 2000
"""Rows after which it is decided which column names stations."""


@dataclass(frozen=True)
class Run:
    """Rows one after another that have the same number.

    Attributes
    ----------
    value
        The number.
    rows
        How many rows.
    first, last
        The numbers of the first and the last row.
    usual
        The longest usual run of the column.
    where
        Which rows follow each other, in words; empty for those of the whole table.
    """

    value: float
    rows: int
    first: int
    last: int
    usual: int
    where: str = ""


class Standstill:
    """Finds a run of rows in which a number stays the same for longer than is usual, as they pass.

    What is usual is told by the longest other runs of the same numbers. By how far they exceed the
    shortest of them, a geometric distribution is fitted, which says how likely a run as long is.
    """

    def __init__(self) -> None:
        self._ended = Highest(COMPARED)
        self._ends = 0
        self._latest: dict[str, np.ndarray] = {}

    def update(self, column: pl.Series, places: Int[np.ndarray, "rows"]) -> None:
        """Take in the next values of a column, and the numbers of their rows."""
        if not (len(column) and column.dtype.is_numeric()):
            return
        values = _numbers(column)
        starts = np.flatnonzero(np.append(True, values[1:] != values[:-1]))
        rows = np.diff(starts, append=len(values))
        runs = {
            "value": values[starts],
            "rows": rows,
            "first": places[starts],
            "last": places[starts + rows - 1],
        }
        if self._latest and self._latest["value"][0] == values[0]:
            runs["rows"][0] += self._latest["rows"][0]
            runs["first"][0] = self._latest["first"][0]
        elif self._latest:
            self._end(self._latest)
        self._end({name: each[:-1] for name, each in runs.items()})
        self._latest = {name: each[-1:].copy() for name, each in runs.items()}

    def _end(self, runs: dict[str, np.ndarray]) -> None:
        """Take in runs that are over."""
        lengths = runs["rows"].astype(np.float64)
        best = self._ended.candidates(lengths)
        self._ended.update(lengths[best], {name: each[best] for name, each in runs.items()})
        self._ends += len(lengths)

    def found(self) -> Run | None:
        """Return the longest run, if it is longer than is usual of the column."""
        if self._latest:
            self._end(self._latest)
            self._latest = {}
        rows = self._ended.scores
        for longest in range(min(STUCK_TOGETHER, len(rows) - 1)):
            if rows[longest] < STUCK:
                break
            if self._ends - longest > FEWEST_RUNS and self._apart(longest):
                first = {name: self._ended[name][0].item() for name in self._ended.names}
                return Run(**first, usual=int(rows[longest + 1]))
        return None

    def _apart(self, last: int) -> bool:
        """Return whether the longest runs, up to this one, are longer than the others explain."""
        rows, values = self._ended.scores, self._ended["value"]
        run, others = rows[last], rows[last + 1 :]
        if run < LONGER * others[0]:
            return False
        if np.mean(values[last + 1 :][:RESTING] == values[0]) >= 0.5:
            return False
        beyond = float((others - others[-1]).sum()) + 1  # one more: that none repeats is no proof
        going_on = beyond / (beyond + len(others))
        return bool(self._ends * going_on ** (run - others[-1]) < BY_CHANCE)


class Standstills:
    """Finds numbers of a table that stand still, in all rows and in those of each station.

    In a log of several stations, which come in turn, a row's neighbours are of other ones. A column
    of few texts names them if its values come in turn, and neighbours within each have the same
    numbers more often than in the table as it is; of several columns the one where most have.
    """

    def __init__(self, columns: Sequence[str]) -> None:
        self._whole = {name: Standstill() for name in columns}
        self._of_stations: dict[str, dict[str, Standstill]] = {}
        self._named_by: str | None = None
        self._undecided: list[tuple[pl.DataFrame, Int[np.ndarray, "rows"]]] | None = []
        if len(self._whole) > MOST_COLUMNS:
            self._undecided = None

    def update(self, frame: pl.DataFrame, places: Int[np.ndarray, "rows"]) -> None:
        """Take in the next rows of the table, and their numbers."""
        for name, standstill in self._whole.items():
            standstill.update(frame[name], places)
        if self._undecided is None:
            self._divide(frame, places)
        else:
            self._undecided.append((frame, places))
            if sum(each.height for each, _ in self._undecided) >= DECIDED:
                self._decide(self._undecided)

    def found(self, column: str) -> Run | None:
        """Return a run of a column that is longer than usual, of all rows or else of a station."""
        if self._undecided:
            self._decide(self._undecided)
        run = self._whole[column].found()
        if run is not None:
            return run
        runs = [
            replace(run, where=f" where {quoted(self._named_by)} is {quoted(station)}")
            for station, standstills in self._of_stations.items()
            if (run := standstills[column].found()) is not None
        ]
        return max(runs, key=lambda run: run.rows, default=None)

    def _decide(self, begun: list[tuple[pl.DataFrame, Int[np.ndarray, "rows"]]]) -> None:
        """Choose the column that names stations by the first rows, and take these in."""
        frame = joined([each for each, _ in begun])
        numbers = [_numbers(frame[name]) for name in self._whole if frame[name].dtype.is_numeric()]
        alike = _repeats(numbers, np.zeros(frame.height))
        for name in frame.columns:
            stations = _stations(frame[name])
            if stations is not None and (more := _repeats(numbers, stations)) > alike:
                self._named_by, alike = name, more
        self._undecided = None
        for each, places in begun:
            self._divide(each, places)

    def _divide(self, frame: pl.DataFrame, places: Int[np.ndarray, "rows"]) -> None:
        """Take in rows station by station."""
        if self._named_by is None:
            return
        stations, numbers = to_texts(frame[self._named_by]), frame[list(self._whole)]
        for station in stations.drop_nulls().unique(maintain_order=True):
            if station not in self._of_stations:
                if len(self._of_stations) == MOST_STATIONS:
                    continue
                self._of_stations[station] = {name: Standstill() for name in self._whole}
            own = (stations == station).fill_null(value=False)
            rows, its_places = numbers.filter(own), places[own.to_numpy()]
            for name, standstill in self._of_stations[station].items():
                standstill.update(rows[name], its_places)


def _stations(column: pl.Series) -> Int[np.ndarray, "rows"] | None:
    """Return the number of each row's station; None for a column that names none."""
    if column.dtype not in (pl.String, pl.Categorical, pl.Enum):
        return None
    if not 1 < column.n_unique() <= MOST_STATIONS:
        return None
    stations = column.rank("dense").fill_null(0).cast(pl.Int64).to_numpy()
    shares = np.bincount(stations) / len(stations)
    in_turn = np.mean(np.diff(stations) == 0) <= IN_TURN * np.square(shares).sum()
    return stations if in_turn else None


def _numbers(column: pl.Series) -> Float[np.ndarray, "rows"]:
    return column.cast(pl.Float64).fill_null(np.nan).to_numpy()


def _repeats(numbers: Sequence[np.ndarray], stations: np.ndarray) -> int:
    """Return how many numbers equal the one of the row before of their station."""
    order = np.argsort(stations, kind="stable")
    same = np.diff(stations[order]) == 0
    return sum(int(((np.diff(each[order]) == 0) & same).sum()) for each in numbers)
