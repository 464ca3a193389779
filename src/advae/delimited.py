"""Text files of delimited columns: their separator, their names, their rows.

Polars reads the rows, but it renames duplicate columns and knows no separator by itself, so the
header is read here.
"""

import codecs
import csv
import gzip
import io
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import polars as pl

from advae.errors import InputError
from advae.values import quoted_list

SEPARATORS = ",;\t|"
OTHER_SEPARATORS = " ^~:!\x01"
"""Recognised in a header only to say that they are not supported."""

MISSING_WORDS = ("NA", "N/A", "NaN", "nan", "NULL", "null", "None")
"""These count as missing in delimited files, as the empty field does, quoted or not."""

GUESSED_ROWS = 1000
"""First rows that types are guessed from."""

HEAD_BYTES = 1 << 20
LONGEST_FIELD = 1 << 26
"""Characters; a quote that never ends would else take the rest of the file."""

WITH_COMMA = re.compile(r"[+-]?\d*,\d+([eE][+-]?\d+)?$")
WHOLE = re.compile(r"[+-]?\d+$")


@dataclass(frozen=True)
class Dialect:
    """How one file is written.

    Attributes
    ----------
    names
        The column names of its header.
    separator
        The character between fields.
    decimal_comma
        Whether 1,5 is one and a half; only where the separator is another.
    """

    names: tuple[str, ...]
    separator: str
    decimal_comma: bool

    def scan(
        self,
        path: Path,
        dtypes: Mapping[str, pl.DataType],
        *,
        infer_rows: int | None = GUESSED_ROWS,
    ) -> pl.LazyFrame:
        """Return the file's rows, lazily, under the names of its header.

        Columns without a given type take one that suits the first ``infer_rows`` rows, or all.
        """
        return pl.scan_csv(
            path,
            separator=self.separator,
            decimal_comma=self.decimal_comma,
            null_values=["", *MISSING_WORDS],
            schema_overrides={name: dtypes[name] for name in self.names if name in dtypes},
            infer_schema_length=infer_rows,
            try_parse_dates=True,
            with_column_names=lambda _: list(self.names),
            glob=False,
        )


def open_bytes(path: Path) -> BinaryIO:
    """Open a file, through gzip where its name says so."""
    return cast(BinaryIO, gzip.open(path)) if path.suffix.lower() == ".gz" else path.open("rb")


def read_dialect(path: Path) -> Dialect:
    """Read the header of a file and find out how it is written.

    Raises
    ------
    InputError
        For a file that is no UTF-8 text, has no rows, or whose header names no usable columns.
    """
    with open_bytes(path) as stream:
        text = _decode(stream.read(HEAD_BYTES), path)
    if not text.strip():
        raise InputError(f"{path}: the file is empty. Give it a header line and rows.")
    if "\r" in text and "\n" not in text:  # Python ends lines there, Polars does not
        raise InputError(
            f"{path}: its lines end with carriage returns alone, as on old Macs. Save it with line "
            "feeds."
        )
    with long_fields():
        return _find_dialect(text, path)


@contextmanager
def long_fields() -> Iterator[None]:
    """Let Python's reader take longer fields in the block: it stops at 128 KiB, Polars does not."""
    before = csv.field_size_limit(LONGEST_FIELD)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _find_dialect(text: str, path: Path) -> Dialect:
    """Tell how a file is written from its first part."""
    try:
        starts = {separator: _first_records(text, separator) for separator in SEPARATORS}
    except csv.Error as error:
        raise InputError(f"{path}: the header line cannot be read ({error}).") from None
    # Of equals, max takes the first, the comma.
    separator, (names, row) = max(starts.items(), key=lambda start: len(start[1][0]))
    _check_header(names, path)
    if not row:
        raise InputError(f"{path}: the file has a header line but no rows. Give it rows.")
    if len(names) == len(row) == 1:
        _check_one_column(names[0], row[0], path)
    decimal_comma = separator != "," and _has_decimal_comma(text, separator, len(names))
    return Dialect(tuple(names), separator, decimal_comma)


def _decode(head: bytes, path: Path) -> str:
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise InputError(f"{path}: the file is written in UTF-16. Save it as UTF-8.")
    if b"\0" in head:
        raise InputError(f"{path}: this is a binary file, not text. Give a text file.")
    try:
        # The incremental decoder, because the head may end inside a character.
        return codecs.getincrementaldecoder("utf-8-sig")().decode(head)
    except UnicodeDecodeError as error:
        raise wrong_encoding(path, head.count(b"\n", 0, error.start) + 1) from None


def wrong_encoding(path: Path, line: int) -> InputError:
    """Say that a text file is not in UTF-8."""
    return InputError(f"{path}: line {line} is not UTF-8 text. Save the file in UTF-8.")


def _first_records(text: str, separator: str) -> tuple[list[str], list[str]]:
    """Return the header and the first row that is not blank, empty where there is none."""
    records = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    return next(records, []), next(filter(None, records), [])


def _has_decimal_comma(text: str, separator: str, width: int) -> bool:
    """Return whether a column holds numbers with a comma, and whole ones, in all rows of a text.

    Up to a tenth of its values may be something else, such as marks for missing ones. Commas in
    more mixed columns are part of texts, such as the list 1,2,3.
    """
    with_comma, whole, present = [0] * width, [0] * width, [0] * width
    records = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    try:
        next(records)
        for record in records:
            for place, value in enumerate(record[:width]):
                if not value or value in MISSING_WORDS:
                    continue
                present[place] += 1
                with_comma[place] += WITH_COMMA.match(value) is not None
                whole[place] += WHOLE.match(value) is not None
    except csv.Error:
        pass  # what is wrong with the rows is said by those who read them
    return any(
        commas and 10 * (commas + numbers) >= 9 * values
        for commas, numbers, values in zip(with_comma, whole, present, strict=True)
    )


def _check_header(names: list[str], path: Path) -> None:
    if not names:
        raise InputError(f"{path}: the first line is blank. Begin the file with its header line.")
    if "" in names:
        place = names.index("") + 1
        why = ""
        if place == 1:
            why = " (pandas writes its index there; to_csv(index=False) does not)"
        elif place == len(names):
            why = " (a separator at the end of a line begins one more column)"
        raise InputError(
            f"{path}: the header names no column in position {place} of {len(names)}{why}. Give "
            "every column a name."
        )
    repeated = [name for name, times in Counter(names).items() if times > 1]
    if repeated:
        raise InputError(
            f"{path}: the header has columns of the same name: {quoted_list(repeated)}. "
            "Rename or remove the repeated ones."
        )
    if all(map(_is_number, names)):
        raise InputError(
            f"{path}: the first line holds only numbers ({quoted_list(names, 3)}), so the file "
            "seems to have no header line. Add one with the column names."
        )


def _check_one_column(name: str, value: str, path: Path) -> None:
    for separator in OTHER_SEPARATORS:
        if 0 < name.count(separator) == value.count(separator):
            raise InputError(
                f"{path}: the columns seem to be separated by {separator!r}, so the file reads as "
                "one column. Separate them by comma, semicolon, tab or |."
            )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
