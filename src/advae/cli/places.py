"""Where rows come from: the numbers that they have in their files."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from advae.tables.frames import check_free

if TYPE_CHECKING:
    from advae.files.source import Source
    from advae.files.sql import QuerySource

FILE, ROW = "in file", "row in file"


def numbered(frame: pl.DataFrame, source: "Source | QuerySource", rows: np.ndarray) -> pl.DataFrame:
    """Return scored rows with their numbers and, of several files, the file that holds each.

    ``rows`` are their positions among all rows of the source.
    """
    added: list[pl.Series] = []
    if len(source.paths) > 1:
        check_free(frame.columns, ["file"])
        numbers, rows = source.places(rows)
        files = pl.Series([str(path) for path in source.paths])
        added.append(files.gather(numbers).alias("file"))
    added.append(pl.Series("row", rows))
    rest = [held for held in frame.iter_columns() if held.name != "row"]
    # Not a list: Polars would give a column without a name one.
    return pl.DataFrame({held.name: held for held in (*added, *rest)})


def placed(
    frames: Iterable[pl.DataFrame], source: "Source | QuerySource"
) -> Iterator[pl.DataFrame]:
    """Yield all frames of a source with `FILE` and `ROW`: where each row comes from."""
    files, first = pl.Series([Path(path).name for path in source.paths]), 0
    for frame in frames:
        check_free(frame.columns, [FILE, ROW])
        numbers, rows = source.places(np.arange(first, first + frame.height))
        first += frame.height
        yield frame.with_columns(files.gather(numbers).alias(FILE), pl.Series(ROW, rows))
