"""Text files of delimited columns: how one is written, the types of its columns, and its rows."""

import csv
import io
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import polars as pl

from advae.errors import ColumnError, InputError, quoted, quoted_list
from advae.files.blocks import Block, Blocks, long_fields, records_of
from advae.files.options import ReadOptions
from advae.files.paths import described
from advae.files.streams import LONGEST_ROW, TextStream, decoded, too_long
from advae.files.text_types import NATIVE, TextReader, TypeFinder, nulled, unpadded
from advae.tables.frames import exactly

SEPARATORS = "\t;|,"
"""Of equals the first: commas are decimal signs and stand within names."""

OTHER_SEPARATORS = " ^~:!\x01"
"""Recognised in a header only to say that the user is to name them."""

HEAD_BYTES = 1 << 20

SEPARATOR_LINE = re.compile(r'"?sep=(.)"?\s*$', re.IGNORECASE)
"""The first line of some files that Excel wrote, or is to read."""


@dataclass(frozen=True)
class Dialect:
    """How one file is written.

    Attributes
    ----------
    names
        The column names of its header, without blanks around.
    separator, quote, encoding
        As in `ReadOptions`; the quote may be empty.
    decimal_comma
        Whether 1,5 is one and a half.
    lines
        How many lines there are up to the end of the header.
    padded
        Whether names have blanks around, as in ``a, b``: then those of texts do not count either.
    grouped
        Columns of numbers with groups of thousands, which are read as texts, with one of each.
    """

    names: tuple[str, ...]
    separator: str
    quote: str
    encoding: str
    decimal_comma: bool
    lines: int
    padded: bool
    grouped: Mapping[str, str]


class DelimitedFile:
    """One file of delimited columns.

    Parameters
    ----------
    path
        The file.
    options
        What the user said about it.
    known
        Columns that it should have: a header with one of these names may hold only numbers.
    numeric
        Columns that may hold numbers; all if not given.
    pointed
        Columns of numbers that are asked for as texts: with a decimal point in any case.
    rowless
        Whether the file may have a header line alone.

    Attributes
    ----------
    notes
        What the user should know about how the file is read, once its types are found.

    Raises
    ------
    InputError
        For a file that is no text, has no rows, or whose header names no usable columns.
    """

    def __init__(
        self,
        path: Path,
        options: ReadOptions,
        known: Sequence[str] = (),
        numeric: Collection[str] | None = None,
        pointed: Collection[str] = (),
        *,
        rowless: bool = False,
    ) -> None:
        self._path, self._options, self._pointed = path, options, pointed
        self.dialect = _find_dialect(path, options, known, numeric, rowless=rowless)
        self.notes = [
            f"{quoted(name)} holds numbers with groups of thousands, such as {quoted(text)}, which "
            "are read as texts: write them without groups"
            for name, text in self.dialect.grouped.items()
        ]
        self._texts = TextReader.of(options, decimal_comma=self.dialect.decimal_comma)

    def types(
        self, given: Mapping[str, pl.DataType], only: Collection[str] | None
    ) -> dict[str, pl.DataType]:
        """Return the type of each column: as given, or one that all its values suit.

        Of columns that are not to be read, which are those not among ``only``, any type.
        """
        strings = dict.fromkeys(self.dialect.names, pl.String())
        untyped = [n for n in strings if n not in given and (only is None or n in only)]
        found: dict[str, pl.DataType] = {}
        if untyped:
            finder = TypeFinder(untyped, self._texts)
            for block in self._blocks():
                guess = finder.now()
                read = self._native(block, strings | guess) if block.row else None
                finder.update(self._as_texts(block) if read is None else read)
            found = finder.found()
            self.notes += finder.notes()
        return {name: given.get(name, found.get(name, pl.String())) for name in strings}

    def batches(self, schema: Mapping[str, pl.DataType]) -> Iterator[pl.DataFrame]:
        """Read the rows in order as the types of ``schema``, whose columns are the file's.

        Raises
        ------
        InputError
            For the first row that cannot be read; with its line, or with its column and row.
        """
        for block in self._blocks():
            read = self._native(block, schema)
            if read is None:
                read = self._as_texts(block)
            if self.dialect.decimal_comma:
                read = read.with_columns(
                    exactly(name).str.replace(",", ".", literal=True)
                    for name in self._pointed
                    if schema.get(name) == pl.String
                )
            try:
                yield self._texts.typed(read, schema, block.row)
            except ColumnError as error:
                line = self._line(block, 0 if error.row is None else error.row - block.row)
                raise InputError(f"{self._path}: line {line}, {error}") from None

    def _native(self, block: Block, schema: Mapping[str, pl.DataType]) -> pl.DataFrame | None:
        """Return a block as Polars reads it, types that it lacks as texts; None if it cannot."""
        if block.records is not None:
            return None
        dialect, data = self.dialect, block.data
        wanted = {name: schema.get(name, pl.String()) for name in dialect.names}
        types = {name: t if t in NATIVE else pl.String() for name, t in wanted.items()}
        if dialect.decimal_comma and b"." in data and set(types.values()) != {pl.String()}:
            return None  # Polars takes 1.5 for a number even so
        has_quotes = bool(dialect.quote) and dialect.quote.encode() in data
        try:
            read = pl.read_csv(
                data,
                has_header=False,
                schema=types,
                separator=dialect.separator,
                quote_char=dialect.quote if has_quotes else None,
                decimal_comma=dialect.decimal_comma,
                # Each word costs time, to search for its first character next to none.
                null_values=[w for w in self._options.missing if w[:1].encode() in data],
            )
        except pl.exceptions.PolarsError:
            return None
        if read.height != block.rows:
            return None
        if dialect.padded:
            texts = [name for name, dtype in types.items() if dtype == pl.String]
            read = read.with_columns(unpadded(self._options.missing, texts))
        return read

    def _as_texts(self, block: Block) -> pl.DataFrame:
        """Return a block as the texts that it holds, null where one stands for a missing value."""
        names, missing = self.dialect.names, list(self._options.missing)
        if block.records is None:
            read = self._native(block, dict.fromkeys(names, pl.String()))
            if read is None:
                raise InputError(
                    f"{self._path}: the {block.rows} rows from line {block.line} on cannot be "
                    "told apart. Quote texts that hold separators, quotes or line ends."
                )
            return read
        columns = zip(*block.records, strict=True)
        read = pl.DataFrame(
            {n: pl.Series(v, dtype=pl.String) for n, v in zip(names, columns, strict=True)}
        )
        if self.dialect.padded:
            return read.with_columns(unpadded(missing, names))
        return pl.DataFrame({held.name: nulled(held, missing) for held in read.iter_columns()})

    def _line(self, block: Block, row: int) -> int:
        """Return the line that a row of a block, counted there, begins in."""
        text = io.StringIO(block.data.decode(), newline="")
        records: Iterable[Sequence[str]] = block.records or records_of(
            text, self.dialect.separator, self.dialect.quote
        )
        return block.line + sum(
            1 + sum(field.count("\n") for field in record) for record in islice(records, row)
        )

    def _blocks(self) -> Iterator[Block]:
        dialect = self.dialect
        with TextStream(self._path, dialect.encoding) as stream:
            yield from Blocks(
                self._path,
                stream,
                names=dialect.names,
                separator=dialect.separator,
                quote=dialect.quote,
                skipped=dialect.lines,
            )


def _find_dialect(
    path: Path,
    options: ReadOptions,
    known: Sequence[str],
    numeric: Collection[str] | None,
    *,
    rowless: bool,
) -> Dialect:
    """Tell how a file is written from its first part."""
    with path.open("rb") as raw:
        what = described(raw.read(16), "csv")
    if what is not None:
        raise InputError(f"{path}: this is no delimited text, but {what}.")
    with TextStream(path, options.encoding) as stream:
        head = stream.read(HEAD_BYTES)
        # The header of a wide table can be longer: it and two rows are to be whole.
        while head.count(b"\n") < 3 and (more := stream.read(HEAD_BYTES)):
            head += more
            if len(head) - head.rfind(b"\n") > LONGEST_ROW:
                raise too_long(path, 1 + head.count(b"\n"))
        encoding, whole = stream.encoding, not stream.read(1)
    text = _text_of(head, path, whole)
    before = text[: len(text) - len(text.lstrip())].count("\n")
    text = text.split("\n", before)[-1]
    separators = options.separator or SEPARATORS
    named = SEPARATOR_LINE.match(text.partition("\n")[0])
    if named:
        separators = options.separator or named[1]
        text = text.partition("\n")[2]
        blank = text[: len(text) - len(text.lstrip())].count("\n")
        text = text.split("\n", blank)[-1]
        before += 1 + blank
    quote = '"' if options.quote is None else options.quote
    heads = [_Head.read(text, separator, quote, whole=whole) for separator in separators]
    best = max(heads, key=lambda head: head.rank)
    if len(best.header) == 1:
        best = heads[-1]
    # A name that is known with blanks around is that name.
    padded = any(name != name.strip() and name not in known for name in best.header)
    names = [name if name in known else _unpadded_name(name) for name in best.header]
    # A quote that is never closed makes many lines one header.
    alone = whole and "\n" not in text.strip()
    if not best.rows and not (rowless and alone):
        raise InputError(f"{path}: the file has a header line but no rows. Give it rows.")
    _check_header(names, best.rows, path, known)
    one_unknown = len(names) == 1 and (known or not options.separator) and names[0] not in known
    if one_unknown and best.rows:
        _check_one_column(names[0], best.rows[0][0], path, options, before + best.lines)
    comma, grouped = _decimal_comma(names, numeric, best.rows, options, path, best.separator)
    return Dialect(
        names=tuple(names),
        separator=best.separator,
        quote=quote,
        encoding=encoding,
        decimal_comma=comma,
        lines=before + best.lines,
        padded=padded,
        grouped=grouped,
    )


def _text_of(head: bytes, path: Path, whole: bool) -> str:
    # The head may end inside a character: up to the last line end it does not.
    end = len(head) if whole else head.rfind(b"\n") + 1
    text = decoded(head[:end] or head, path, 1)
    if not text.strip():
        raise InputError(f"{path}: the file is empty. Give it a header line and rows.")
    if "\r" in text and "\n" not in text:
        raise InputError(
            f"{path}: its lines end with carriage returns alone, as on old Macs. Save it with line "
            "feeds."
        )
    return text


@dataclass(frozen=True)
class _Head:
    """The first rows of a file as a separator tells them apart; blank lines are left out."""

    separator: str
    header: list[str]
    lines: int
    rows: list[list[str]]

    @classmethod
    def read(cls, text: str, separator: str, quote: str, *, whole: bool) -> "_Head":
        """Read a text from the header on; of a part of a file, the last row may be cut."""
        reader = records_of(io.StringIO(text, newline=""), separator, quote, strict=False)
        header: list[str] = []
        rows: list[list[str]] = []
        lines = 0
        with long_fields(), suppress(csv.Error):  # what is wrong is said where all rows are read
            header = next(reader, [])
            lines = reader.line_num
            rows.extend(row for row in reader if len(row) > 1 or "".join(row).strip())
        return cls(separator, header, lines, rows if whole else rows[:-1])

    @property
    def rank(self) -> tuple[bool, bool, int]:
        """How well the separator suits: the header and all rows are to have as many fields."""
        width = len(self.header)
        several = width > 1
        agree = all(len(row) == width for row in self.rows)
        return several and agree, several, width


def _unpadded_name(name: str) -> str:
    """Return a name of a header without blanks around, and without quotes behind a blank."""
    stripped = name.strip()
    is_quoted = len(stripped) > 1 and stripped[0] == stripped[-1] == '"'
    return stripped[1:-1] if stripped != name and is_quoted else stripped


_FORMS = {
    ",": re.compile(r"[+-]?\d*(,\d+([eE][+-]?\d+)?|(,\d{3})+)$"),
    ".": re.compile(r"[+-]?\d*(\.\d+([eE][+-]?\d+)?|(\.\d{3})+)$"),
}
"""Numbers with a sign, decimal or between groups of thousands."""

_WHOLE = re.compile(r"[+-]?\d+$")
_GROUPED = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3}|\.\d{3})+$")


def _decimal_comma(
    names: Sequence[str],
    numeric: Collection[str] | None,
    rows: Sequence[Sequence[str]],
    options: ReadOptions,
    path: Path,
    separator: str,
) -> tuple[bool, dict[str, str]]:
    """Return whether columns hold numbers with a decimal comma, and those with groups of thousands.

    Up to a tenth of the values of such a column may be something else. Commas in more mixed columns
    are part of texts, such as the list 1,2,3.

    Raises
    ------
    InputError
        Where a sign may as well be the decimal one as stand between groups of thousands, and
        where both signs seem to be decimal.
    """
    grouped: dict[str, dict[str, str]] = {",": {}, ".": {}}
    mixed: set[str] = set()
    decimal: dict[str, tuple[str, str]] = {}
    for place, name in enumerate(names):
        if numeric is not None and name not in numeric:
            continue
        values = [row[place].strip() for row in rows if len(row) == len(names)]
        values = [value for value in values if value not in options.missing]
        whole = sum(_WHOLE.match(value) is not None for value in values)
        for sign, form in _FORMS.items():
            numbers = [value for value in values if form.match(value)]
            if not numbers or 10 * (len(numbers) + whole) < 9 * len(values):
                continue
            if all(map(_GROUPED.match, numbers)):
                grouped[sign][name] = numbers[0]
                mixed |= {name} if whole else set()
            elif sign != separator:
                example = next(number for number in numbers if not _GROUPED.match(number))
                decimal.setdefault(sign, (name, example))
    if len(decimal) > 1 and options.decimal is None:
        (name, text), (other, number) = decimal.values()
        raise InputError(
            f"{path}: column {quoted(name)} holds {quoted(text)} and column {quoted(other)} "
            f"{quoted(number)}: a file has one decimal sign. Say which it is, or write all "
            "numbers with the same."
        )
    comma = options.decimal == "," or (options.decimal is None and "," in decimal)
    if decimal or options.decimal:
        return comma, grouped["." if comma else ","]
    asked = grouped[","] or {name: text for name, text in grouped["."].items() if name in mixed}
    if asked and separator != ",":
        name, text = next(iter(asked.items()))
        raise InputError(
            f"{path}: column {quoted(name)} holds numbers such as {quoted(text)}, with three "
            "digits behind each sign: these may be thousands or decimals. Write them without "
            "groups, or say which sign is the decimal one."
        )
    return False, grouped[","]


def _check_header(
    names: Sequence[str], rows: Sequence[Sequence[str]], path: Path, known: Sequence[str]
) -> None:
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
    if not all(map(_is_number, names)) or set(names) & set(known):
        return
    # Whole numbers over rows that hold others are names, such as years or 0, 1, 2 from pandas.
    counted = all(name.isdecimal() and name == str(int(name)) for name in names)
    if not (counted and any(not value.isdecimal() for row in rows[:1] for value in row)):
        raise InputError(
            f"{path}: the first line holds only numbers ({quoted_list(names, 3)}), so the file "
            "seems to have no header line. Add one with the column names."
        )


def _check_one_column(name: str, value: str, path: Path, options: ReadOptions, line: int) -> None:
    said = options.separator
    for separator in (SEPARATORS if said else "") + OTHER_SEPARATORS:
        if 0 < name.count(separator) == value.count(separator) and separator != said:
            if said:
                raise InputError(
                    f"{path}: line {line}: the columns seem to be separated by {separator!r}, not "
                    f"by {said!r} as was said. Say what separates those of this file."
                )
            raise InputError(
                f"{path}: the columns seem to be separated by {separator!r}, so the file reads as "
                "one column. Separate them by comma, semicolon, tab or |, or name the separator."
            )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
