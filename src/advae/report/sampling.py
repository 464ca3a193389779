"""Samples of bounded size from a stream of rows: uniform ones, and the rows that score highest."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from advae.slots import Slots, placed

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
