"""Find out what is wrong with a file that Polars could not read, and say it with the place.

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
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import polars as pl

from advae.errors import InputError, quoted
from advae.files.blanks import blanks_beside
from advae.files.delimited import Dialect, long_fields, open_bytes, wrong_encoding
from advae.files.header import read_dialect
from advae.files.paths import described
from advae.tables.frames import exactly

LARGEST = 2**127
"""Beyond Polars' largest type of whole numbers."""

READ_ERRORS = (
    pl.exceptions.PolarsError,
    pl.exceptions.PanicException,
    OSError,
    EOFError,
    zlib.error,
    UnicodeDecodeError,
)
"""What reading a file can raise."""


@contextmanager
def failures_explained(path: Path, kind: str, dtypes: Mapping[str, pl.DataType]) -> Iterator[None]:
    """Turn what reading a file can raise into one `InputError` that says what is wrong in it.

    Parameters
    ----------
    path
        The file.
    kind
        Its format, see `files.FORMATS`.
    dtypes
        The types that columns of a text file were to be read as.
    """
    try:
        yield
    except OSError as error:
        if error.errno is not None:
            raise InputError(f"{path}: cannot be read: {error.strerror}.") from None
        raise _explain(path, kind, dtypes, error) from None
    except READ_ERRORS as error:
        raise _explain(path, kind, dtypes, error) from None


def _beginning(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(16)


def _explain(
    path: Path, kind: str, dtypes: Mapping[str, pl.DataType], error: BaseException
) -> InputError:
    if kind == "csv":
        return _explain_delimited(path, dtypes, error)
    if kind == "ndjson":
        return _explain_ndjson(path, dtypes, error)
    if kind == "arrow" and _beginning(path).startswith(b"\xff" * 4):
        return InputError(
            f"{path}: an Arrow stream, not an Arrow file. Write it as one (in pyarrow with "
            "ipc.new_file), or as Parquet."
        )
    what = described(_beginning(path), kind)
    if what is not None:
        return InputError(f"{path}: this is no {kind} file, but {what}.")
    return damaged(path, kind, str(error).splitlines()[0])


def damaged(path: Path, kind: str, reason: str) -> InputError:
    """Say that a file of a format with types cannot be read."""
    return InputError(f"{path}: damaged, or no {kind} file ({reason}). Make or fetch it again.")


def _explain_delimited(
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
        rows_checked(path, dialect)
        found = _find_misfit(path, dialect, dtypes)
    except InputError as explained:
        return explained
    except _DAMAGED_GZIP:
        return _damaged_gzip(path)
    except (pl.exceptions.PolarsError, OSError):  # Polars itself, once more
        return _damaged_gzip(path) if path.suffix.lower() == ".gz" else _unexplained(path, error)
    return found or _unexplained(path, error)


def _explain_ndjson(
    path: Path, dtypes: Mapping[str, pl.DataType], error: BaseException
) -> InputError:
    """Describe why a file of JSON lines cannot be read; see `_explain_delimited`."""
    try:
        return _find_bad_line(path, dtypes) or _unexplained(path, error)
    except _DAMAGED_GZIP:
        return _damaged_gzip(path)


_DAMAGED_GZIP = (EOFError, gzip.BadGzipFile, zlib.error)


def _damaged_gzip(path: Path) -> InputError:
    return InputError(f"{path}: the compressed file is damaged. Make or fetch it again.")


def _unexplained(path: Path, error: BaseException) -> InputError:
    return InputError(f"{path}: cannot be read: {str(error).splitlines()[0]}")


def rows_checked(path: Path, dialect: Dialect) -> int:
    """Return how many rows a file of delimited columns has; blank lines at its end are none.

    Raises
    ------
    InputError
        For the first row with more or fewer fields than the header. Also for text that is not UTF-8
        and a quote that never ends, which come to light on the way.
    """
    width, separator = len(dialect.names), dialect.separator
    blanks, blank, row = blanks_beside(separator), None, -1
    with open_bytes(path) as stream, long_fields():
        lines = _Lines(stream)
        try:
            for _ in range(dialect.before):
                next(lines, None)
            while True:  # the header is row -1
                start = lines.number + 1
                line = next(lines, None)
                if line is None:
                    return row
                if width > 1 and not line.strip(blanks):
                    blank = blank or InputError(
                        f"{path}: line {start} (row {row}; the first data row is row 0) is "
                        "blank, and others follow. Remove that line."
                    )
                    continue
                if blank:
                    raise blank
                if '"' in line:  # a quote may hide separators and line ends; else counting is fast
                    rest = itertools.chain([line], lines)
                    fields = len(next(csv.reader(rest, delimiter=separator, strict=True)))
                else:
                    fields = line.count(separator) + 1
                if fields != width:
                    raise InputError(
                        f"{path}: line {start} (row {row}; the first data row is row 0) has "
                        f"{fields} field{'' if fields == 1 else 's'}, the header has {width}. "
                        + (_NO_HEADER if width == 1 else "Complete or remove that line.")
                    )
                row += 1
        except UnicodeDecodeError:
            raise wrong_encoding(path, lines.number + 1) from None
        except csv.Error as error:
            raise InputError(
                f"{path}: line {start}: a quoted text does not end as it should ({error}). Close "
                "the quote, or double a quote that is part of the text."
            ) from None


_NO_HEADER = "Remove what comes before the header line, or quote texts that hold separators."


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
        bare = text.str.strip_chars_start()  # as Polars does where it reads numbers
        bad = dialect.read_as(bare, dtype, strict=False).is_null() & (bare != "")
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
