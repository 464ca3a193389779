"""Blanks without a meaning in delimited files: lines at either end, and around names and values."""

import csv
import io
import re
from typing import BinaryIO

import polars as pl

MISSING_WORDS = (
    *("NA", "N/A", "NaN", "nan", "NULL", "null", "None"),
    *("n/a", "#N/A", "<NA>"),
)
"""These count as missing in delimited files, as the empty field does, quoted or not.

Each makes reading 2 % slower.
"""

BLOCK_BYTES = 1 << 16


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
