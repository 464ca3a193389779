"""Find out what is wrong with a text file that Polars could not read, and say it with the place.

Polars reports a bad value without its row, and fills short rows with nulls without a word. Nothing
here runs on the way of a sound file, so it may read one line after another.
"""

import csv
import gzip
import itertools
import json
import math
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

import polars as pl

from advae.delimited import Dialect, long_fields, open_bytes, read_dialect, wrong_encoding
from advae.errors import InputError
from advae.frames import exactly
from advae.values import quoted

LARGEST = 2**127
"""Beyond Polars' largest type of whole numbers."""


def explain_delimited(
    path: Path, dtypes: Mapping[str, pl.DataType], error: BaseException
) -> InputError:
    """Describe why a file of delimited columns cannot be read.

    Parameters
    ----------
    path
        The file.
    dtypes
        The types its columns were to be read as.
    error
        What Polars raised; its first line is the answer when nothing is found.
    """
    try:
        dialect = read_dialect(path)
        found = find_uneven_row(path, dialect) or _find_misfit(path, dialect, dtypes)
    except _DAMAGED_GZIP:
        return _damaged_gzip(path)
    except (pl.exceptions.PolarsError, OSError):  # Polars itself, once more
        return _damaged_gzip(path) if path.suffix.lower() == ".gz" else _unexplained(path, error)
    return found or _unexplained(path, error)


def explain_ndjson(
    path: Path, dtypes: Mapping[str, pl.DataType], error: BaseException
) -> InputError:
    """Describe why a file of JSON lines cannot be read; see `explain_delimited`."""
    try:
        return _find_bad_line(path, dtypes) or _unexplained(path, error)
    except _DAMAGED_GZIP:
        return _damaged_gzip(path)


_DAMAGED_GZIP = (EOFError, gzip.BadGzipFile, zlib.error)


def _damaged_gzip(path: Path) -> InputError:
    return InputError(f"{path}: the compressed file is damaged. Make or fetch it again.")


def _unexplained(path: Path, error: BaseException) -> InputError:
    return InputError(f"{path}: cannot be read: {str(error).splitlines()[0]}")


def find_uneven_row(path: Path, dialect: Dialect) -> InputError | None:
    """Describe the first row with more or fewer fields than the header; None without one.

    Also text that is not UTF-8 and a quote that never ends, which come to light on the way.
    """
    width, separator = len(dialect.names), dialect.separator
    with open_bytes(path) as stream, long_fields():
        lines = _Lines(stream)
        try:
            for record in itertools.count():
                start = lines.number + 1
                line = next(lines, None)
                if line is None:
                    return None
                if '"' in line:  # a quote may hide separators and line ends; else counting is fast
                    rest = itertools.chain([line], lines)
                    fields = len(next(csv.reader(rest, delimiter=separator, strict=True)))
                else:
                    fields = line.count(separator) + 1 if line.strip("\r\n") or width == 1 else 0
                if fields != width:
                    return InputError(
                        f"{path}: line {start} (row {record - 1}; the first data row is row 0) has "
                        f"{fields} field{'' if fields == 1 else 's'}, the header has {width}. "
                        "Complete or remove that line."
                    )
        except UnicodeDecodeError:
            return wrong_encoding(path, lines.number + 1)
        except csv.Error as error:
            return InputError(
                f"{path}: line {start}: a quoted text does not end as it should ({error}). Close "
                "the quote, or double a quote that is part of the text."
            )
    return None


class _Lines(Iterator[str]):
    """The decoded lines of a file, and how many were read."""

    def __init__(self, stream: BinaryIO) -> None:
        self.number = 0
        self._stream = stream

    def __next__(self) -> str:
        line = next(self._stream).decode()
        self.number += 1
        return line


def _find_misfit(
    path: Path, dialect: Dialect, dtypes: Mapping[str, pl.DataType]
) -> InputError | None:
    """Describe the first value that cannot be read as its column's type; None without one."""
    texts = dialect.scan(path, dict.fromkeys(dialect.names, pl.String()))
    for name in dialect.names:
        dtype = dtypes.get(name, pl.String())
        if not dtype.is_numeric():
            continue
        text = exactly(name)
        plain = text.str.replace(",", ".", literal=True) if dialect.decimal_comma else text
        bad = plain.cast(dtype, strict=False).is_null() & text.is_not_null()
        found = texts.select(text).with_row_index("row " + name).filter(bad).head(1).collect()
        if found.height:
            row, value = found.row(0)
            return InputError(
                f"{path}: column {quoted(name)}, row {row} (the first data row is row 0): "
                f"{quoted(value)} is not a number. Correct the value, or remove the row."
            )
    return None


def _find_bad_line(path: Path, dtypes: Mapping[str, pl.DataType]) -> InputError | None:
    """Describe the first line that is no JSON object, or whose values are not of their types."""
    empty = True
    with open_bytes(path) as stream:
        lines = _Lines(stream)
        try:
            for line in lines:
                if not line.strip():
                    continue
                empty = False
                record = json.loads(line, parse_constant=_refuse_constant)
                if not isinstance(record, dict):
                    return InputError(
                        f"{path}: line {lines.number} is no JSON object. Write one object "
                        '{"column": value, ...} per line.'
                    )
                for name, value in record.items():
                    wanted = _misfit(value, dtypes.get(name, pl.Null()))
                    if wanted:
                        return InputError(
                            f"{path}: line {lines.number}, column {quoted(name)}: "
                            f"{quoted(json.dumps(value))} is not {wanted}. Correct or remove the "
                            "line."
                        )
        except UnicodeDecodeError:
            return wrong_encoding(path, lines.number + 1)
        except json.JSONDecodeError as problem:
            return InputError(
                f"{path}: line {lines.number} is not JSON ({problem.msg} at character "
                f"{problem.colno}). Correct or remove the line."
            )
        except (ValueError, RecursionError) as problem:
            return InputError(
                f"{path}: line {lines.number} cannot be read ({problem}). Correct or remove the "
                "line."
            )
    return InputError(f"{path}: the file is empty. Give it rows.") if empty else None


def _refuse_constant(word: str) -> None:
    """Refuse what Python reads and writes, and JSON does not know."""
    raise ValueError(f"{word} is no JSON; a missing value is null")


def _misfit(value: object, dtype: pl.DataType) -> str | None:
    """Say what a value of a column of this type should be; None where it may be of the type."""
    if (isinstance(value, int) and abs(value) >= LARGEST) or value in (math.inf, -math.inf):
        return "a number of a size that can be read"
    if dtype.is_numeric() and isinstance(value, bool | str | list | dict):
        return "a number, as elsewhere in the column"
    if dtype.is_nested() and not isinstance(value, list | dict | None):
        return "a list or an object, as elsewhere in the column"
    return None
