"""Scored rows that wait in a file, for a column that depends on all of them."""

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import polars as pl

from advae.detector.groups import Grouper, Groups
from advae.files.sink import write_frames
from advae.files.source import open_source
from advae.tables.frames import check_free


@contextmanager
def waiting(frames: Iterable[pl.DataFrame], folder: Path | None) -> Iterator[Path]:
    """Write frames to a temporary file in a folder, the system's if None; give its path."""
    with tempfile.TemporaryDirectory(prefix=".advae-", dir=folder) as temporary:
        path = Path(temporary) / "scored.arrow"
        write_frames(frames, path)
        yield path


def without_clash(frames: Iterable[pl.DataFrame], added: str) -> Iterator[pl.DataFrame]:
    """Pass on frames; refuse a kept column that has the name of the column to be added."""
    for frame in frames:
        check_free(frame.columns, [added])
        yield frame


class GroupMarker:
    """Adds ``group`` to scored rows: the number of a flagged row's group, null for other rows.

    Parameters
    ----------
    grouper
        Takes in the rows while they are scored.
    """

    def __init__(self, grouper: Grouper) -> None:
        self._grouper = grouper
        self.groups: Groups | None = None

    def mark(
        self, frames: Iterable[pl.DataFrame], folder: Path | None = None
    ) -> Iterator[pl.DataFrame]:
        """Yield the frames with ``group`` after ``p_value``, once the last row is scored.

        Parameters
        ----------
        frames
            Scored rows, at least one frame.
        folder
            Where the rows may wait, with room for all; the system's temporary folder when None.
        """
        with waiting(without_clash(frames, "group"), folder) as path:
            self.groups = found = self._grouper.found()
            # By their order: "row" is the number in a file, and of several files not unique.
            first = 0
            for frame in open_source(path, rowless=True).batches():
                own = slice(*np.searchsorted(found.rows, [first, first + frame.height]))
                numbers = pl.Series("group", [None], pl.Int64).new_from_index(0, frame.height)
                numbers = numbers.scatter(found.rows[own] - first, found.numbers[own])
                first += frame.height
                yield frame.insert_column(frame.columns.index("p_value") + 1, numbers)
