"""Samples of the rows of a stream in bounded memory: uniform ones, and the highest scores."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float
from numpy.typing import NDArray

from advae.errors import InputError
from advae.tables.frames import joined

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
    """A uniform sample without replacement of the rows of a stream, wherever it is cut.

    One random number is drawn per row, so that the sample does not depend on the batches.

    Parameters
    ----------
    size
        How many rows to keep at most: all rows, in order, while there are no more.
    draws
        Where the random numbers come from; equal ones keep equal samples.
    """

    def __init__(self, size: int, draws: np.random.Generator) -> None:
        super().__init__()
        self.seen = 0
        self._size, self._draws = size, draws

    def update(self, rows: Rows) -> NDArray[np.intp]:
        """Take in the next rows; return the positions among them of those that entered."""
        count = len(next(iter(rows.values())))
        ordinal = np.arange(self.seen, self.seen + count)
        self.seen += count
        drawn = (self._draws.random(count) * (ordinal + 1)).astype(np.int64)
        places = np.where(ordinal < self._size, ordinal, drawn)
        entering = np.flatnonzero(places < self._size)
        places = places[entering]
        grown = int(places.max(initial=-1)) + 1 - len(self)
        for name, values in rows.items():
            kept = self._rows.get(name, values[:0])
            if grown > 0:
                kept = np.concatenate([kept, np.empty((grown, *kept.shape[1:]), kept.dtype)])
            # A place may occur twice: of its rows the last one stays.
            kept[places] = values[entering]
            self._rows[name] = kept
        return entering

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
    """A `Reservoir` of the rows of frames; for its parameters see there."""

    def __init__(self, size: int, draws: np.random.Generator) -> None:
        self._size = size
        self._chosen = Reservoir(size, draws)
        self._held: list[pl.DataFrame] = []
        self._numbers: list[NDArray[np.int64]] = []

    def add(self, batch: pl.DataFrame) -> None:
        """Take in the next rows of the stream, of columns that `joined` can put together."""
        first = self._chosen.seen
        entering = self._chosen.update({"number": np.arange(first, first + batch.height)})
        self._held.append(batch[entering])
        self._numbers.append(first + entering)
        # Rows that were replaced are let go many at a time: each time copies the whole sample.
        if sum(map(len, self._numbers)) >= 2 * self._size:
            self._held = [self.frame()]
            self._numbers = [self._chosen["number"].copy()]

    def frame(self) -> pl.DataFrame:
        """Return the sample.

        Raises
        ------
        InputError
            If the stream had not a single batch.
        """
        if not self._held:
            raise InputError("there are no rows to sample from")
        numbers = np.concatenate(self._numbers)
        order = np.argsort(numbers)
        return joined(self._held)[order[np.searchsorted(numbers[order], self._chosen["number"])]]
