"""The types of columns that an Arrow or Parquet file declares, and those that Polars cannot read.

At such a type Polars stops without naming the column, or drops all rows. So the schema, a table of
[FlatBuffers](https://flatbuffers.dev), is read here before Polars reads the file.
"""

import base64
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from advae.errors import InputError, quoted

MAGIC = b"ARROW1"
DECIMAL = 7
LARGEST_PRECISION = 38
UNREADABLE = {
    11: "interval",
    14: "union",
    22: "run-end encoded",
    25: "list view",
    26: "large list view",
}
"""By the numbers that Arrow's Schema.fbs gives types."""


@dataclass(frozen=True)
class _Table:
    """A table of FlatBuffers: fields found by their number, absent ones None."""

    data: bytes
    start: int

    @classmethod
    def root(cls, data: bytes) -> "_Table":
        """Return the outermost table."""
        return cls(data, _number("<I", data, 0))

    def field(self, number: int) -> int | None:
        """Return where a field is."""
        directory = self.start - _number("<i", self.data, self.start)
        place = 4 + 2 * number
        if place >= _number("<H", self.data, directory):
            return None
        offset = _number("<H", self.data, directory + place)
        return self.start + offset if offset else None

    def number(self, number: int, form: str, default: int) -> int:
        """Return a field that holds a number, of a form that `struct` knows."""
        place = self.field(number)
        return default if place is None else _number(form, self.data, place)

    def table(self, number: int) -> "_Table":
        """Return a field that holds a table."""
        place = self.field(number) or 0
        return _Table(self.data, place + _number("<I", self.data, place))

    def tables(self, number: int) -> Iterator["_Table"]:
        """Return a field that holds a list of tables."""
        place = self.field(number)
        if place is None:
            return
        start = place + _number("<I", self.data, place)
        for slot in range(start + 4, start + 4 + 4 * _number("<I", self.data, start), 4):
            yield _Table(self.data, slot + _number("<I", self.data, slot))

    def text(self, number: int) -> str:
        """Return a field that holds a text."""
        place = self.field(number)
        if place is None:
            return ""
        start = place + _number("<I", self.data, place)
        length = _number("<I", self.data, start)
        return self.data[start + 4 : start + 4 + length].decode()


def _number(form: str, data: bytes, place: int) -> int:
    if place < 0:
        raise struct.error("before the beginning")
    return int(struct.unpack_from(form, data, place)[0])


def check_types(path: Path, kind: str) -> None:
    """Refuse a Parquet or Arrow file with a column of a type that Polars cannot read.

    Raises
    ------
    InputError
        Names the column and its type. Of a damaged file nothing is said here.
    """
    try:
        found = list(_unreadable(path, kind))
    except (struct.error, ValueError, RecursionError, OSError, pl.exceptions.PolarsError):
        return
    for name, dtype in found:
        raise InputError(
            f"{path}: column {quoted(name)} is of type {dtype}, which cannot be read. Where the "
            "file is written, cast it to numbers, texts or times, or leave it out."
        )


def _unreadable(path: Path, kind: str) -> Iterator[tuple[str, str]]:
    """Yield the columns of types that cannot be read."""
    if kind == "arrow":
        schema = _arrow_schema(path)
    else:
        stored = pl.read_parquet_metadata(path).get("ARROW:schema", "")
        schema = _Table.root(base64.b64decode(stored)[8:]).table(2) if stored else None
    for field in schema.tables(1) if schema is not None else ():
        dtype = _unreadable_type(field, wide=kind == "parquet")
        if dtype is not None:
            yield field.text(0), dtype
    if kind == "parquet" and schema is None:
        for name, held in pl.read_parquet_schema(path).items():
            if isinstance(held, pl.Decimal) and held.precision > LARGEST_PRECISION:
                yield name, _decimal(held.precision)


def _arrow_schema(path: Path) -> _Table | None:
    """Return the schema in the last part of an Arrow file."""
    with path.open("rb") as stream:
        size = stream.seek(0, 2)
        stream.seek(max(0, size - 10))
        length, magic = struct.unpack("<I6s", stream.read(10))
        if magic != MAGIC or length + 10 > size:
            return None
        stream.seek(size - 10 - length)
        return _Table.root(stream.read(length)).table(1)


def _unreadable_type(field: _Table, *, wide: bool) -> str | None:
    """Return the name of a field's type, or of one within it, that cannot be read.

    Decimals of 256 bits can be read where they are stored ``wide``, if few enough digits are used.
    """
    dtype = field.number(2, "<B", 0)
    if dtype in UNREADABLE:
        return UNREADABLE[dtype]
    if dtype == DECIMAL:
        precision = field.table(3).number(0, "<i", 0)
        bits = field.table(3).number(2, "<i", 128)
        if precision > LARGEST_PRECISION or (bits > 128 and not wide):
            return _decimal(precision)
    inner = (_unreadable_type(child, wide=wide) for child in field.tables(5))
    return next((f"nested {name}" for name in inner if name is not None), None)


def _decimal(precision: int) -> str:
    return f"decimal of 256 bits and {precision} digits"
