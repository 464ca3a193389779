"""Uniform samples of the rows of a stream, in memory bounded by the sample."""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from advae.errors import InputError
from advae.matching import joined
from advae.slots import Slots


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
