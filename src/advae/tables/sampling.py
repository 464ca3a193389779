"""Samples of the rows of a stream, in bounded memory: uniform ones, and the highest scores."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float
from numpy.typing import NDArray

from advae.tables.frames import joined

Rows = Mapping[str, NDArray[Any] | pl.DataFrame]
"""Named parts of rows, each an array or a frame with one entry per row."""


class Reservoir:
    """A uniform sample without replacement of at most ``size`` rows, however many pass.

    Algorithm R (Vitter 1985). All rows stay, in order, while there are no more than ``size``. One
    random number is drawn per row, so the sample does not depend on where the stream is cut.

    Parameters
    ----------
    size
        How many rows the sample has at most.
    draws
        Where the random numbers come from: equal generators keep equal samples.
    """

    def __init__(self, size: int, draws: np.random.Generator) -> None:
        self.seen = 0
        self._size = size
        self._draws = draws
        self._kept: dict[str, Any] = {}
        self._entered: list[Rows] = []
        self._places: list[NDArray[np.int64]] = []

    def __len__(self) -> int:
        return min(self.seen, self._size)

    def __contains__(self, name: str) -> bool:
        return name in self._settled()

    def __getitem__(self, name: str) -> Any:
        return self._settled()[name]

    def update(self, rows: Rows) -> None:
        """Take in the next rows; frames are of columns that `joined` can put together."""
        count = len(next(iter(rows.values())))
        ordinal = np.arange(self.seen, self.seen + count)
        self.seen += count
        drawn = (self._draws.random(count) * (ordinal + 1)).astype(np.int64)
        places = np.where(ordinal < self._size, ordinal, drawn)
        entering = np.flatnonzero(places < self._size)
        self._places.append(places[entering])
        self._entered.append({name: values[entering] for name, values in rows.items()})
        # Rows are put in their places many at a time: each time copies the whole sample.
        if sum(map(len, self._places)) >= self._size:
            self._settled()

    @property
    def complete(self) -> bool:
        """Whether the sample holds every row."""
        return self.seen == len(self)

    def _settled(self) -> dict[str, Any]:
        """Return the sample after all that entered took their places."""
        if self._entered:
            parts = [self._kept, *self._entered] if self._kept else self._entered
            places = np.concatenate(self._places)
            kept = len(next(iter(self._kept.values()))) if self._kept else 0
            # Which row of "kept, then entered" each place now holds; of several, the latest.
            source = np.arange(max(kept, int(places.max(initial=-1)) + 1))
            source[places] = kept + np.arange(len(places))
            for name in parts[0]:
                values: list[Any] = [part[name] for part in parts]
                frames = isinstance(values[0], pl.DataFrame)
                self._kept[name] = (joined(values) if frames else np.concatenate(values))[source]
            self._entered, self._places = [], []
        return self._kept


class Highest:
    """The ``size`` rows of a stream that score highest, the earlier of two equal ones."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._rows: dict[str, NDArray[Any]] = {}
        self.scores: Float[np.ndarray, "kept"] = np.empty(0)

    def __len__(self) -> int:
        return len(self.scores)

    def __contains__(self, name: str) -> bool:
        return name in self._rows

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self._rows[name]

    @property
    def names(self) -> tuple[str, ...]:
        """What is kept of each row."""
        return tuple(self._rows)

    def candidates(self, scores: Float[np.ndarray, "rows"]) -> NDArray[np.intp]:
        """Return which of the next rows would enter, ascending; give ``update`` only these."""
        full = len(self.scores) == self._size
        rows = np.flatnonzero(scores > self.scores[-1]) if full else np.arange(len(scores))
        best = np.argsort(-scores[rows], kind="stable")[: self._size]
        return np.sort(rows[best])

    def update(self, scores: Float[np.ndarray, "rows"], rows: Mapping[str, NDArray[Any]]) -> None:
        """Take in the next candidates."""
        if not self._rows:
            self._rows = {name: values[:0] for name, values in rows.items()}
        together = np.concatenate([self.scores, scores])
        best = np.argsort(-together, kind="stable")[: self._size]
        self.scores = together[best]
        self._rows = {
            name: np.concatenate([self._rows[name], values])[best] for name, values in rows.items()
        }
