"""The rows of delimited text in blocks: sure ones, and ones that Python's csv has told apart.

A block is sure if every quote begins or ends a field or is doubled, and every line has as many
fields as the header: there is one way to read such text. What is not goes through Python's csv.
"""

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from advae.errors import InputError, quoted
from advae.files.streams import BLOCK_BYTES, LONGEST_ROW, TextStream, decoded, too_long

if TYPE_CHECKING:
    from _csv import Reader

_LINE = re.compile(rb"[^\r\n]*(?:\r?\n|\r(?!\n)|\Z)")
LINE_FEED, RETURN = ord("\n"), ord("\r")


@dataclass(frozen=True)
class Block:
    """Some rows: as sure text, or as records told apart; ``row`` and ``line`` are the first."""

    row: int
    line: int
    rows: int
    data: bytes = b""
    records: Sequence[Sequence[str]] | None = None


class Blocks:
    """The blocks of a file, one after another.

    Parameters
    ----------
    path
        The file, for errors.
    stream
        Its text from the beginning.
    names
        The columns.
    separator, quote
        One character each; the quote may be empty.
    skipped
        How many lines come before the first row.
    """

    def __init__(
        self,
        path: Path,
        stream: TextStream,
        *,
        names: Sequence[str],
        separator: str,
        quote: str,
        skipped: int,
    ) -> None:
        self._path, self._stream, self._names = path, stream, names
        self._separator, self._quote, self._skipped = separator, quote, skipped
        self._held = b""  # text not yet told apart, from self._at on
        self._at = 0
        self._ended = False
        self._line, self._row = 1, 0
        self._blank: InputError | None = None

    def __iter__(self) -> Iterator[Block]:
        """Yield the blocks in order, with at least one row each."""
        self._fill(BLOCK_BYTES)
        for _ in range(self._skipped):
            self._take_line()
        while True:
            self._fill(BLOCK_BYTES)
            if not self._held:
                return
            end, rows, odd = self._sure()
            if end:
                block = self._cut_off(end, rows)
            elif odd or self._ended or len(self._held) > LONGEST_ROW:
                block = self._examined()
            else:
                self._fill(2 * len(self._held))
                continue
            if block.rows:
                self._row += block.rows
                yield block

    def _fill(self, size: int) -> None:
        """Hold at least so many bytes, if the file has them."""
        self._held, self._at = self._held[self._at :], 0
        while len(self._held) < size and not self._ended:
            more = self._stream.read(size - len(self._held))
            self._ended = not more
            self._held += more

    def _take_line(self) -> bytes:
        """Return the next line, with its end; nothing after the last."""
        found = _LINE.match(self._held, self._at)
        while not self._ended and (found is None or found.end() == len(self._held)):
            if len(self._held) - self._at > LONGEST_ROW:
                raise too_long(self._path, self._line)
            self._fill(2 * (len(self._held) - self._at) + 1)
            found = _LINE.match(self._held, self._at)
        assert found is not None
        self._at = found.end()
        self._line += bool(found[0])
        return found[0]

    def _sure(self) -> tuple[int, int, bool]:
        """Return where the sure rows end, how many they are, and whether an odd one follows."""
        data, limit = np.frombuffer(self._held, np.uint8), len(self._held)
        marks, ends = data == ord(self._separator), data == LINE_FEED
        quotes = np.flatnonzero(data == ord(self._quote)) if self._quote else data[:0]
        if len(quotes):
            inside = np.bitwise_xor.accumulate(data == ord(self._quote))
            limit = min(limit, self._first_stray(data, quotes))
            marks &= ~inside
            ends &= ~inside
        if b"\r" in self._held:
            returns = np.flatnonzero(data == RETURN)
            returns = returns[~inside[returns]] if len(quotes) else returns
            follow = data[np.minimum(returns + 1, len(data) - 1)]
            alone = (follow != LINE_FEED) & ((returns + 1 < len(data)) | self._ended)
            limit = min([limit, *returns[alone][:1].tolist()])
        found = np.flatnonzero(ends[:limit])
        end, rows, odd = int(found[-1]) + 1 if len(found) else 0, len(found), limit < len(data)
        if self._ended and not odd and end < len(data):
            if len(quotes) % 2:
                odd = True  # a quote that never ends
            else:
                end, rows = len(data), rows + 1
        if np.count_nonzero(marks[:end]) != rows * (len(self._names) - 1):
            return 0, 0, True
        return end, rows, odd

    def _first_stray(self, data: "np.ndarray", quotes: "np.ndarray") -> int:
        """Return where the first quote is that neither begins nor ends a field, nor is doubled."""
        mark, size = ord(self._separator), len(data)
        opening, closing = quotes[::2], quotes[1::2]
        before, after = data[opening - 1], data[np.minimum(closing + 1, size - 1)]
        good = (before == mark) | (before == LINE_FEED) | (opening == 0)
        ended = (after == mark) | (after == LINE_FEED) | (closing + 1 == size)
        if not ended.all():
            second = data[np.minimum(closing + 2, size - 1)]
            ended |= (after == RETURN) & ((second == LINE_FEED) | (closing + 2 >= size))
            doubled = opening[1 : len(closing) + 1] == closing[: len(opening) - 1] + 1
            good[1:] |= doubled
            ended[: len(doubled)] |= doubled
        return int(min([size, *opening[~good][:1].tolist(), *closing[~ended][:1].tolist()]))

    def _cut_off(self, end: int, rows: int) -> Block:
        """Return sure text."""
        if self._blank is not None:
            raise self._blank
        data, line = self._held[:end], self._line
        if not data.isascii():
            decoded(data, self._path, line)
        self._at = end
        self._line += data.count(b"\n")
        return Block(self._row, line, rows, data=data)

    def _examined(self) -> Block:
        """Return what is held as records that Python's csv has told apart."""
        first, size, row = self._line, len(self._held), self._row
        records: list[list[str]] = []
        taken: list[str] = []
        start = first
        consumed = begun = 0

        def lines() -> Iterator[str]:
            nonlocal consumed
            while line := self._take_line():
                consumed += len(line)
                if consumed - begun > LONGEST_ROW:
                    raise too_long(self._path, start)
                taken.append(decoded(line, self._path, self._line - 1))
                yield taken[-1]

        reader = records_of(lines(), self._separator, self._quote)
        with long_fields():
            while consumed < size:
                start, begun = self._line, consumed
                taken.clear()
                try:
                    record = next(reader, None)
                except csv.Error as error:
                    raise self._broken("".join(taken), start, error) from None
                if record is None:
                    break
                if self._is_row(record, start, row + len(records)):
                    records.append(record or [""])
        return Block(row, first, len(records), records=records)

    def _is_row(self, record: list[str], line: int, row: int) -> bool:
        """Tell rows from blank lines, which may only stand at the end; refuse ragged rows."""
        width = len(self._names)
        where = f"{self._path}: line {line} (row {row}; the first data row is row 0)"
        if width > 1 and not "".join(record).strip() and len(record) < 2:
            self._blank = self._blank or InputError(
                f"{where} is blank, and others follow. Remove that line."
            )
            return False
        if self._blank is not None:
            raise self._blank
        fields = len(record) or 1
        if fields != width:
            raise InputError(
                f"{where} has {fields} field{'' if fields == 1 else 's'}, the header has {width}. "
                + (_NO_HEADER if width == 1 else "Complete or remove that line.")
            )
        return True

    def _broken(self, text: str, line: int, error: csv.Error) -> InputError:
        """Describe where the first field of a record is that cannot be told from the next."""
        if "\r" in text.rstrip("\r\n") and "new-line" in str(error):
            return InputError(
                f"{self._path}: line {line} holds a carriage return that ends no line. Remove it."
            )
        mark, number, place = re.escape(self._quote), 0, 0
        after = rf"(?={re.escape(self._separator)}|\r|\n|\Z)"
        whole = re.compile(f"{mark}(?:[^{mark}]|{mark}{mark})*{mark}{after}")
        while True:
            if text.startswith(self._quote, place):
                found = whole.match(text, place)
                if found is None:
                    break
                end = found.end()
            else:
                end = min(
                    (at for sign in (self._separator, "\n") if (at := text.find(sign, place)) >= 0),
                    default=len(text),
                )
            if end >= len(text) or text[end] != self._separator:
                break
            number, place = number + 1, end + 1
        column = self._names[number] if number < len(self._names) else ""
        begin = text.rfind("\n", 0, place) + 1
        return InputError(
            f"{self._path}: line {line + text.count(chr(10), 0, place)}: a quoted text does not "
            f"end as it should, in column {quoted(column)}, character {place - begin + 1} "
            f"({error}). Close the quote, or double a quote that is part of the text."
        )


_NO_HEADER = "Remove what comes before the header line, or quote texts that hold separators."


def records_of(
    lines: Iterable[str], separator: str, quote: str, *, strict: bool = True
) -> "Reader":
    """Tell the records of some lines apart with Python's csv; ``quote`` may be empty."""
    return csv.reader(
        lines,
        delimiter=separator,
        quotechar=quote or None,
        quoting=csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE,
        strict=strict,
    )


@contextmanager
def long_fields() -> Iterator[None]:
    """Let Python's csv take long fields in the block: by itself it stops at 128 KiB."""
    before = csv.field_size_limit(LONGEST_ROW)
    try:
        yield
    finally:
        csv.field_size_limit(before)
