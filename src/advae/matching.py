"""Batches of one stream as one table: columns told by name, types widened where they differ."""

from collections.abc import Sequence

import polars as pl

from advae.errors import InputError
from advae.frames import check_name
from advae.readings import Reading
from advae.values import is_missing, quoted, quoted_list


class Matching:
    """Makes every batch of a stream fit the ones before it, or says why it does not.

    Whoever cuts a table into batches may tell types batch by batch: whole numbers are floats where
    one is missing, and a column without any value has a type by chance. So a column must hold the
    same kind of values throughout, numbers or texts or dates, in whatever type; one without a value
    in a batch has type Null there. Batches so matched are ready for `joined`.
    """

    def __init__(self) -> None:
        self._columns: dict[str, None] | None = None
        self._held: dict[str, tuple[Reading | pl.DataType, pl.DataType]] = {}
        self._batches = 0
        self._rows = 0

    def match(self, batch: pl.DataFrame) -> pl.DataFrame:
        """Return the next batch with the columns of the first, in their order.

        Raises
        ------
        InputError
            For a column that is missing, was not there before, or holds another kind of values;
            or whose name is a pattern.
        """
        self._batches += 1
        columns = dict.fromkeys(batch.columns)
        if self._columns is None:
            self._columns = columns
            for name in columns:
                check_name(name)
        if columns.keys() != self._columns.keys():
            lacking = [name for name in self._columns if name not in columns]
            added = [name for name in columns if name not in self._columns]
            raise InputError(
                f"{self._where()} has other columns than the first: "
                + (f"it lacks {quoted_list(lacking)}. " if lacking else "")
                + (f"It adds {quoted_list(added)}. " if added else "")
                + "Give batches with the same columns."
            )
        matched = batch.select(self._matched(batch[name]) for name in self._columns)
        self._rows += batch.height
        return matched

    def _matched(self, values: pl.Series) -> pl.Series:
        name = values.name
        if is_missing(values).all():
            return pl.Series(name, [None] * len(values), dtype=pl.Null)
        kind, dtype = _kind(values), values.dtype
        known, before = self._held.setdefault(name, (kind, dtype))
        if kind != known:
            raise InputError(
                f"{self._where()} holds values of type {dtype} in column {quoted(name)}, but "
                f"{before} stood there before. Give the column one type throughout, or leave it "
                "out."
            )
        return values.cast(_plain(dtype))

    def _where(self) -> str:
        return f"batch {self._batches} of the table (from row {self._rows} on; the first is row 0)"


def joined(frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Return matched batches, at least one, as one frame."""
    return pl.concat(frames, how="vertical_relaxed")


def _kind(values: pl.Series) -> Reading | pl.DataType:
    try:
        return Reading.of(values) or values.dtype
    except InputError:
        return values.dtype  # not to be learned; that is said where columns are learned


def _plain(dtype: pl.DataType) -> pl.DataType:
    """Return the type for which there is a common one with all types of its kind, without loss.

    Polars takes the coarser of two units of time, knows no common type of two Enums, and has no
    Decimal with the places of one and the size of another: as floats they are learned anyway.
    """
    if isinstance(dtype, pl.Datetime):
        return pl.Datetime("us", dtype.time_zone)
    if isinstance(dtype, pl.Duration):
        return pl.Duration("us")
    if isinstance(dtype, pl.Decimal):
        return pl.Float64()
    return pl.String() if isinstance(dtype, pl.Enum) else dtype
