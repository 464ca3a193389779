"""Files of JSON lines, read as texts as they are written, and then as delimited text is."""

import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import NoReturn

import polars as pl

from advae.errors import InputError, quoted
from advae.files.options import ReadOptions
from advae.files.streams import BLOCK_BYTES, LONGEST_ROW, TextStream, decoded, too_long
from advae.files.text_types import TextReader, TypeFinder
from advae.parallel import rows_at_once

ROWS = 8192

MOST_NAMES = 10_000
"""Different names in a file. Where values are keys, as in ``{"user 17": 1}``, they have no end."""


AS_JSON = pl.List(pl.String)
"""The type of lists and objects that Polars has none for: one text each, in a list."""


class NdjsonFile:
    """One file of JSON lines.

    Parameters
    ----------
    path
        The file.
    options
        What the user said about it.
    optional
        Columns that the file may lack, missing in all of its rows.

    Raises
    ------
    InputError
        For a file without rows, and the first line that is no JSON object.
    """

    def __init__(self, path: Path, options: ReadOptions, optional: Collection[str] = ()) -> None:
        self._path, self._options, self._optional = path, options, optional
        self._texts = TextReader(
            decimal_comma=False, missing=options.missing, date_format=options.date_format
        )
        self.notes: list[str] = []
        self._names: dict[str, None] = {}
        self._nested: dict[str, pl.DataType] = {}

    def types(
        self, given: Mapping[str, pl.DataType], only: Collection[str] | None
    ) -> dict[str, pl.DataType]:
        """Return the type of each column; see `DelimitedFile.types`."""
        finders: dict[str, TypeFinder] = {}
        held: dict[str, set[type]] = {}
        for lines, records in self._records():
            here = dict.fromkeys(name for record in records for name in record)
            untyped = [n for n in here if n not in given and (only is None or n in only)]
            for name in untyped:
                kinds = held.setdefault(name, set())
                for line, record in zip(lines, records, strict=True):
                    kinds.add(type(record.get(name)))
                    if bool in kinds and _Number in kinds:
                        self._refuse(line, name, record[name], "of one kind with those before")
            for column in self._frame(lines, records, untyped):
                if column.dtype == pl.String:
                    finder = finders.setdefault(column.name, TypeFinder([column.name], self._texts))
                    finder.update(column.to_frame())
        if not self._names:
            raise InputError(f"{self._path}: the file is empty. Give it rows.")
        found: dict[str, pl.DataType] = {}
        for finder in finders.values():
            found |= finder.found()
            self.notes += finder.notes()
        found |= self._nested
        types = {name: given.get(name, found.get(name, pl.Null())) for name in self._names}
        return types | {name: given[name] for name in self._optional if name not in types}

    def batches(self, schema: Mapping[str, pl.DataType]) -> Iterator[pl.DataFrame]:
        """Read the rows in order as the types of ``schema``; see `DelimitedFile.batches`."""
        row = 0
        for lines, records in self._records():
            texts = self._frame(lines, records, list(schema))
            for held in texts.iter_columns():
                if held.dtype.is_nested() and not schema[held.name].is_nested():
                    self._refuse_nested(lines, records, held.name)
                    texts = texts.with_columns(pl.lit(None, pl.String).alias(held.name))
            yield self._texts.typed(texts, schema, row)
            row += texts.height

    def _frame(
        self, lines: list[int], records: list[dict[str, object]], names: list[str]
    ) -> pl.DataFrame:
        """Return records as texts, or as lists and objects where a column holds such."""
        columns = {}
        for name in names:
            values = [record.get(name) for record in records]
            kinds = set(map(type, values))
            if name in self._nested or kinds & {list, dict}:
                for line, value in zip(lines, values, strict=True):
                    if not isinstance(value, list | dict | None):
                        self._refuse(line, name, value, "a list or an object, as elsewhere there")
                columns[name] = self._nest(name, values)
                continue
            if bool in kinds:
                values = [str(v).lower() if isinstance(v, bool) else v for v in values]
            columns[name] = pl.Series(name, values, pl.String)
        return pl.DataFrame(columns)

    def _nest(self, name: str, values: list[object]) -> pl.Series:
        """Return lists or objects; as JSON where those of a column have no type in common."""
        known = self._nested.get(name)
        if known != AS_JSON:
            try:
                found = known or pl.Series(name, values, strict=False).dtype
                column = pl.Series(name, values, found, strict=False)
            except (TypeError, pl.exceptions.PolarsError):
                column = pl.Series(name, [], pl.Object)
            if column.dtype != pl.Object:
                self._nested[name] = column.dtype
                return column
            self._nested[name] = AS_JSON
        texts = [None if value is None else [json.dumps(value)] for value in values]
        return pl.Series(name, texts, AS_JSON)

    def _refuse_nested(self, lines: list[int], records: list[dict[str, object]], name: str) -> None:
        """Refuse the first list or object in a column that is to hold none."""
        for line, record in zip(lines, records, strict=True):
            if record.get(name) is not None:
                self._refuse(line, name, record[name], "a single value, as the column has")

    def _refuse(self, line: int, name: str, value: object, wanted: str) -> NoReturn:
        raise InputError(
            f"{self._path}: line {line}, column {quoted(name)}: {quoted(json.dumps(value))} is not "
            f"{wanted}. Correct or remove the line."
        )

    def _records(self) -> Iterator[tuple[list[int], list[dict[str, object]]]]:
        """Yield the objects of the file and their lines, some at a time; numbers as texts."""
        decoder = json.JSONDecoder(
            parse_float=_Number, parse_int=_Number, parse_constant=_refuse_constant
        )
        records: list[dict[str, object]] = []
        lines: list[int] = []
        size = 0
        for number, line in self._lines():
            try:
                record = decoder.decode(line.strip(" \t\r\n"))
            except json.JSONDecodeError as problem:
                raise InputError(
                    f"{self._path}: line {number} is not JSON ({problem.msg} at character "
                    f"{problem.colno}). Correct or remove the line."
                ) from None
            except (ValueError, RecursionError) as problem:
                raise InputError(
                    f"{self._path}: line {number} cannot be read ({problem}). Correct or remove "
                    "the line."
                ) from None
            if not isinstance(record, dict):
                raise InputError(
                    f"{self._path}: line {number} is no JSON object. Write one object "
                    '{"column": value, ...} per line.'
                )
            if "\\ud" in line.lower() and not _is_text(record):
                raise InputError(
                    f"{self._path}: line {number} holds half of a pair of escapes such as \\ud83d, "
                    "which is no text. Correct or remove the line."
                )
            self._names.update(dict.fromkeys(record))
            if len(self._names) > MOST_NAMES:
                raise InputError(
                    f"{self._path}: up to line {number} there are more than {MOST_NAMES:,} "
                    "different names. Write values as values, not as names."
                )
            records.append(record)
            lines.append(number)
            size += len(line)
            if len(records) >= rows_at_once(len(self._names), ROWS) or size >= BLOCK_BYTES:
                yield lines, records
                records, lines, size = [], [], 0
        if records:
            yield lines, records

    def _lines(self) -> Iterator[tuple[int, str]]:
        """Yield the lines that are not blank, with their numbers."""
        number, rest = 1, b""
        with TextStream(self._path, self._options.encoding) as stream:
            while True:
                more = stream.read(BLOCK_BYTES)
                rest += more
                end = rest.rfind(b"\n") + 1 if more else len(rest)
                if not end and not more:
                    return
                text = decoded(rest[:end], self._path, number)
                rest = rest[end:]
                if len(rest) > LONGEST_ROW:
                    raise too_long(self._path, number + text.count("\n"))
                for line in text.split("\n")[: None if not more else -1]:
                    if line.strip():
                        yield number, line
                    number += 1


class _Number(str):
    """A number as it is written."""

    __slots__ = ()


def _is_text(record: object) -> bool:
    """Return whether all texts of a record can be written in UTF-8."""
    try:
        json.dumps(record, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _refuse_constant(word: str) -> None:
    raise ValueError(f"{word} is no JSON; a missing value is null")
