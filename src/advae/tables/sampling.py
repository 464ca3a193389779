"""Uniform samples of the rows of a stream, in memory bounded by the sample."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float
from numpy.typing import NDArray

from advae.errors import InputError
from advae.tables.frames import joined


class Slots:
    """The places of a uniform sample without replacement, as they fill and are filled again.

    One random number is drawn per row, so the sample does not depend on the batches.

    Parameters
    ----------
    size
        How many rows the sample has at most.
    draws
        Where the random numbers come from.
    """

    def __init__(self, size: int, draws: np.random.Generator) -> None:
        self._size = size
        self._seen = 0
        self._draws = draws

    def place(self, rows: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the slots that the next ``rows`` rows fill, in order, and those rows' numbers.

        A slot may occur twice: the later row replaces the earlier one.
        """
        ordinal = np.arange(self._seen, self._seen + rows)
        self._seen += rows
        drawn = (self._draws.random(rows) * (ordinal + 1)).astype(np.int64)
        slots = np.where(ordinal < self._size, ordinal, drawn)
        entering = np.flatnonzero(slots < self._size)
        return slots[entering], entering


def placed(kept: NDArray[Any], slots: NDArray[np.int64], entering: NDArray[Any]) -> NDArray[Any]:
    """Return an array [kept, ...] with entries in these slots of it, or next after its last one.

    It may be ``kept`` itself, written over.
    """
    grown = int(slots.max(initial=-1)) + 1 - len(kept)
    if grown > 0:
        kept = np.concatenate([kept, np.empty((grown, *kept.shape[1:]), kept.dtype)])
    kept[slots] = entering
    return kept


Rows = Mapping[str, NDArray[Any]]
"""Named columns of rows, each with one entry (a number, an array, an object) per row."""


class Sample:
    """Named columns of the rows kept so far."""

    def __init__(self) -> None:
        self._rows: dict[str, NDArray[Any]] = {}

    def __len__(self) -> int:
        return len(next(iter(self._rows.values()))) if self._rows else 0

    def __contains__(self, name: str) -> bool:
        return name in self._rows

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self._rows[name]


class Reservoir(Sample):
    """A uniform sample of at most ``size`` rows, however many pass, and the same for any cuts."""

    def __init__(self, size: int, seed: int) -> None:
        super().__init__()
        self.seen = 0
        self._slots = Slots(size, np.random.default_rng(seed))

    def update(self, rows: Rows) -> None:
        """Take in the next rows."""
        count = len(next(iter(rows.values())))
        self.seen += count
        slots, entering = self._slots.place(count)
        if not self._rows:
            self._rows = {name: values[:0] for name, values in rows.items()}
        for name, values in rows.items():
            self._rows[name] = placed(self._rows[name], slots, values[entering])

    @property
    def complete(self) -> bool:
        """Whether the sample holds every row."""
        return self.seen == len(self)


class Highest(Sample):
    """The ``size`` rows of a stream that score highest, the earlier of two equal ones."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self._size = size
        self.scores: Float[np.ndarray, "kept"] = np.empty(0)

    def candidates(self, scores: Float[np.ndarray, "rows"]) -> NDArray[np.intp]:
        """Return which of the next rows would enter, ascending; give ``update`` only these."""
        full = len(self.scores) == self._size
        rows = np.flatnonzero(scores > self.scores[-1]) if full else np.arange(len(scores))
        best = np.argsort(-scores[rows], kind="stable")[: self._size]
        return np.sort(rows[best])

    def update(self, scores: Float[np.ndarray, "rows"], rows: Rows) -> None:
        """Take in the next candidates."""
        if not self._rows:
            self._rows = {name: values[:0] for name, values in rows.items()}
        together = np.concatenate([self.scores, scores])
        best = np.argsort(-together, kind="stable")[: self._size]
        self.scores = together[best]
        self._rows = {
            name: np.concatenate([self._rows[name], values])[best] for name, values in rows.items()
        }


class RowSample:
    """A uniform sample without replacement of the rows of a stream.

    Parameters
    ----------
    size
        How many rows to keep; all rows, in order, while there are no more.
    draws
        Equal ones keep equal samples, wherever the stream is cut.
    """

    def __init__(self, size: int, draws: np.random.Generator) -> None:
        self._size = size
        self._slots = Slots(size, draws)
        self._kept: pl.DataFrame | None = None
        self._entered: list[pl.DataFrame] = []
        self._places: list[NDArray[np.int64]] = []

    def add(self, batch: pl.DataFrame) -> None:
        """Take in the next rows of the stream, of columns that `joined` can put together."""
        if self._kept is None:
            self._kept = batch.clear()
        places, rows = self._slots.place(batch.height)
        self._places.append(places)
        self._entered.append(batch[rows])
        # Rows are put in their places many at a time: each time copies the whole sample.
        if sum(map(len, self._places)) >= self._size:
            self._settle(self._kept)

    def frame(self) -> pl.DataFrame:
        """Return the sample.

        Raises
        ------
        InputError
            If the stream had not a single batch.
        """
        if self._kept is None:
            raise InputError("there are no rows to sample from")
        return self._settle(self._kept)

    def _settle(self, kept: pl.DataFrame) -> pl.DataFrame:
        places = np.concatenate([np.empty(0, np.int64), *self._places])
        # Which row of "kept, then entered" each place now holds; of several, the latest.
        source = np.arange(max(kept.height, int(places.max(initial=-1)) + 1))
        source[places] = kept.height + np.arange(len(places))
        self._kept = joined([kept, *self._entered])[source]
        self._entered, self._places = [], []
        return self._kept
