"""Blanks without a meaning in delimited files: lines at either end, and around names and values."""

import csv
import io
import re
from collections.abc import Callable, Mapping, Sequence
from typing import BinaryIO

import polars as pl

from advae.frames import exactly

MISSING_WORDS = (
    *("NA", "N/A", "NaN", "nan", "NULL", "null", "None"),
    *("n/a", "#N/A", "<NA>"),
)
"""These count as missing in delimited files, as the empty field does, quoted or not.

Each makes reading 2 % slower.
"""

ReadAs = Callable[[pl.Expr, pl.DataType], pl.Expr]

BLOCK_BYTES = 1 << 16
GUESSED_ROWS = 1000
"""First rows that types are guessed from."""

NUMBERS = (pl.Int64(), pl.Float64())
"""What texts may be: Polars takes +3 for a text where it guesses, and a column with it."""

TYPES = (*NUMBERS, pl.Boolean(), pl.Date(), pl.Datetime("us"), pl.Time())
"""What texts with blanks around may be, each tried before the next."""


def blanks_beside(separator: str) -> str:
    """Return the characters that a blank line may hold; a tab may be a separator."""
    return " \t\r\n".replace(separator, "")


def blank_lines_after(stream: BinaryIO, separator: str) -> int:
    """Count the blank lines at the end of an open file."""
    blanks = blanks_beside(separator).encode()
    end = b""
    place = stream.seek(0, io.SEEK_END)
    while place:
        before, place = place, max(0, place - BLOCK_BYTES)
        stream.seek(place)
        block = stream.read(before - place)
        kept = block.rstrip(blanks)
        end = block[len(kept) :] + end
        if kept:
            break
    # The first of these blanks, up to the first line end, stand behind the last row.
    lines = end.partition(b"\n")[2]
    return lines.count(b"\n") + (lines[-1:] not in (b"", b"\n"))


def unpadded_name(name: str) -> str:
    """Return a name of a header without blanks around, and without quotes behind a blank."""
    stripped = name.strip()
    padded = stripped != name
    return stripped[1:-1] if padded and _is_quoted(stripped) else stripped


def _is_quoted(text: str) -> bool:
    return len(text) > 1 and text.startswith('"') and text.endswith('"')


def has_padded_numbers(text: str, separator: str) -> bool:
    """Return whether a number in a text of delimited fields has blanks around."""
    mark = re.escape(separator)
    beside = {
        f"{separator} ": f"{mark} +[-+.,0-9]",
        "\n ": "\n +[-+.,0-9]",
        f" {separator}": f"[.,0-9] +{mark}",
        " \n": "[.,0-9] +\n",
        " \r": "[.,0-9] +\r",
    }
    # To search a megabyte for two characters costs next to nothing, to read its fields does not.
    if not any(pair in text and re.search(sign, text) for pair, sign in beside.items()):
        return False
    try:
        for record in csv.reader(io.StringIO(text, newline=""), delimiter=separator):
            for value in record:
                if value[:1] in " \t" or value[-1:] in " \t":
                    try:
                        float(value.replace(",", "."))
                    except ValueError:
                        continue
                    return True
    except csv.Error:
        pass  # what is wrong with the rows is said by those who read them
    return False


def unpadded(text: pl.Expr) -> pl.Expr:
    """Return texts without blanks around, or quotes behind them; null where nothing is left."""
    stripped = text.str.strip_chars().str.replace('(?s)^"(.*)"$', "${1}")
    # Not replace: with many columns Polars' streaming takes time that grows by their square.
    return pl.when(~stripped.is_in(["", *MISSING_WORDS])).then(stripped).name.keep()


def read_as(
    text: pl.Expr, dtype: pl.DataType, *, decimal_comma: bool, strict: bool = True
) -> pl.Expr:
    """Read `unpadded` texts as numbers or another of `TYPES`; other types stay texts."""
    if dtype.is_numeric():
        plain = text.str.replace(",", ".", literal=True) if decimal_comma else text
        return plain.cast(dtype, strict=strict)
    if dtype == pl.Boolean:
        word = text.str.to_lowercase()
        return pl.when(word.is_in(["true", "false"])).then(word == "true").name.keep()
    if dtype == pl.Date:
        return text.str.to_date(strict=strict)
    if isinstance(dtype, pl.Datetime):
        return text.str.to_datetime(time_unit="us", strict=strict)
    return text.str.to_time(strict=strict) if dtype == pl.Time else text


def types_of_texts(
    rows: pl.LazyFrame,
    names: Sequence[str],
    types: Sequence[pl.DataType],
    read_as: ReadAs,
) -> Mapping[str, pl.DataType]:
    """Return the first type that all values of a column can be read as, where there is one.

    ``read_as`` gives texts as one of the types, null where they cannot be.
    """
    found: dict[str, pl.DataType] = {}
    if not names or not types:
        return found
    texts = rows.select(exactly(*names))
    first = texts.head(GUESSED_ROWS).collect().lazy()
    for dtype in types:
        left = [name for name in names if name not in found]
        likely = _readable(first, left, dtype, read_as)
        found |= dict.fromkeys(_readable(texts, likely, dtype, read_as), dtype)
    return found


def _readable(
    rows: pl.LazyFrame, names: Sequence[str], dtype: pl.DataType, read_as: ReadAs
) -> list[str]:
    """Return the columns all of whose texts can be read as a type."""
    misread = (
        read_as(exactly(name), pl.String()).is_not_null() & read_as(exactly(name), dtype).is_null()
        for name in names
    )
    checks = [each.any().alias(str(number)) for number, each in enumerate(misread)]
    try:
        found = rows.select(checks).collect(engine="streaming").row(0) if checks else ()
    except pl.exceptions.PolarsError:  # of a column that holds no times at all
        if len(names) == 1:
            return []
        return [name for name in names if _readable(rows, [name], dtype, read_as)]
    return [name for name, bad in zip(names, found, strict=True) if not bad]
