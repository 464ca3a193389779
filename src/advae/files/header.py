"""Find out how a file of delimited columns is written: its header, its separator, its commas.

Polars renames duplicate columns and knows no separator by itself, so the header is read here.
"""

import codecs
import csv
import gzip
import io
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

from advae.errors import InputError, quoted, quoted_list
from advae.files import blanks
from advae.files.blanks import MISSING_WORDS
from advae.files.delimited import Dialect, long_fields, open_bytes, wrong_encoding
from advae.files.paths import described

SEPARATORS = ",;\t|"
OTHER_SEPARATORS = " ^~:!\x01"
"""Recognised in a header only to say that they are not supported."""

HEAD_BYTES = 1 << 20

WITH_COMMA = re.compile(r"[+-]?\d*,\d+([eE][+-]?\d+)?$")
WHOLE = re.compile(r"[+-]?\d+$")
SEPARATOR_LINE = re.compile(r'"?sep=(.)"?\s*$', re.IGNORECASE)
"""The first line of some files that Excel wrote, or is to read."""


def read_dialect(path: Path) -> Dialect:
    """Read the header of a file and find out how it is written.

    Raises
    ------
    InputError
        For a file that is no UTF-8 text, has no rows, or whose header names no usable columns.
    """
    with open_bytes(path) as stream:
        head = stream.read(HEAD_BYTES)
        text = _decode(head, path)
        with long_fields():
            dialect = _find_dialect(_checked(text, path), path)
        # In a table of one column a blank line is a row whose value is missing.
        if len(dialect.names) == 1:
            return dialect
        if isinstance(stream, gzip.GzipFile):
            # To reach the end of a long one takes as long as to read its rows.
            stream = io.BytesIO(b"" if stream.read(1) else head)
        return replace(dialect, after=blanks.blank_lines_after(stream, dialect.separator))


def _checked(text: str, path: Path) -> str:
    """Refuse a text without lines."""
    if not text.strip():
        raise InputError(f"{path}: the file is empty. Give it a header line and rows.")
    if "\r" in text and "\n" not in text:  # Python ends lines there, Polars does not
        raise InputError(
            f"{path}: its lines end with carriage returns alone, as on old Macs. Save it with line "
            "feeds."
        )
    return text


def _find_dialect(text: str, path: Path) -> Dialect:
    """Tell how a file is written from its first part."""
    before, text = _without_blank_lines(text)
    separators = SEPARATORS
    named = SEPARATOR_LINE.match(text.partition("\n")[0])
    if named:
        separators = named[1]
        if separators not in SEPARATORS:
            raise InputError(
                f"{path}: its first line says that the columns are separated by "
                f"{quoted(separators)}. Separate them by comma, semicolon, tab or |."
            )
        blank, text = _without_blank_lines(text.partition("\n")[2])
        before += 1 + blank
    try:
        starts = {separator: _first_records(text, separator) for separator in separators}
    except csv.Error as error:
        raise InputError(f"{path}: the header line cannot be read ({error}).") from None
    # Of equals, max takes the first, the comma.
    separator, (names, row) = max(starts.items(), key=lambda start: len(start[1][0]))
    padded = any(name != name.strip() for name in names)
    names = [blanks.unpadded_name(name) for name in names]
    _check_header(names, path)
    if not row:
        raise InputError(f"{path}: the file has a header line but no rows. Give it rows.")
    if len(names) == len(row) == 1:
        _check_one_column(names[0], row[0], path)
    decimal_comma = separator != "," and _has_decimal_comma(text, separator, len(names))
    return Dialect(
        tuple(names),
        separator,
        decimal_comma,
        before=before,
        padded=padded,
        padded_numbers=blanks.has_padded_numbers(text, separator),
    )


def _without_blank_lines(text: str) -> tuple[int, str]:
    """Return how many blank lines a text begins with, and the rest of it."""
    before = text[: len(text) - len(text.lstrip())].count("\n")
    return before, text.split("\n", before)[-1]


def _decode(head: bytes, path: Path) -> str:
    if head.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        raise InputError(f"{path}: the file is written in UTF-32. Save it as UTF-8.")
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise InputError(f"{path}: the file is written in UTF-16. Save it as UTF-8.")
    what = described(head[:16], "csv")
    if what is not None:
        raise InputError(f"{path}: this is no delimited text, but {what}.")
    if b"\0" in head:
        raise InputError(f"{path}: this is a binary file, not text. Give a text file.")
    try:
        # The incremental decoder, because the head may end inside a character.
        return codecs.getincrementaldecoder("utf-8-sig")().decode(head)
    except UnicodeDecodeError as error:
        raise wrong_encoding(path, head.count(b"\n", 0, error.start) + 1) from None


def _first_records(text: str, separator: str) -> tuple[list[str], list[str]]:
    """Return the header and the first row that is not blank, empty where there is none."""
    records = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    header = next(records, [])
    return header, next((row for row in records if len(row) > 1 or "".join(row).strip()), [])


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
            for place, value in enumerate(map(str.strip, record[:width])):
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
