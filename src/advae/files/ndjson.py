"""Files of JSON lines, read as texts as they are written, and then as delimited text is."""

import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

import polars as pl

from advae.errors import InputError, quoted
from advae.files.options import ReadOptions
from advae.files.streams import BLOCK_BYTES, LONGEST_ROW, TextStream, decoded, too_long
from advae.files.text_types import TextReader, TypeFinder
from advae.parallel import rows_at_once

ROWS = 8192

MOST_NAMES = 10_000
"""Different names in a file. Where values are keys, as in ``{"user 17": 1}``, they have no end."""


AS_JSON = pl.Struct({"JSON": pl.String()})
"""The type of a column of lists and objects, of which no two need to be alike: the text of each."""

_NESTED = {list, dict}

DEEPEST = 64
"""Lists and objects in one another; more are refused."""


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
        self._texts = TextReader.of(options)
        self.notes: list[str] = []
        self._names: dict[str, None] = {}

    def types(
        self, given: Mapping[str, pl.DataType], only: Collection[str] | None
    ) -> dict[str, pl.DataType]:
        """Return the type of each column; see `DelimitedFile.types`."""
        finders: dict[str, TypeFinder] = {}
        held: dict[str, set[type]] = {}
        nested: set[str] = set()
        for lines, records in self._records():
            here = dict.fromkeys(name for record in records for name in record)
            untyped = [n for n in here if n not in given and (only is None or n in only)]
            for name in untyped:
                kinds, values = held.setdefault(name, set()), [r.get(name) for r in records]
                for line, value in zip(lines, values, strict=True):
                    kinds.add(type(value))
                    if bool in kinds and Number in kinds:
                        self._refuse(line, name, value, "of one kind with those before")
                if kinds & _NESTED:
                    nested.add(name)
                else:
                    finder = finders.setdefault(name, TypeFinder([name], self._texts))
                    finder.update(_texts(name, values).to_frame())
        if not self._names:
            raise InputError(f"{self._path}: the file is empty. Give it rows.")
        found: dict[str, pl.DataType] = {}
        for finder in finders.values():
            found |= finder.found()
            self.notes += finder.notes()
        found |= dict.fromkeys(nested, AS_JSON)
        types = {name: given.get(name, found.get(name, pl.Null())) for name in self._names}
        return types | {name: given[name] for name in self._optional if name not in types}

    def batches(self, schema: Mapping[str, pl.DataType]) -> Iterator[pl.DataFrame]:
        """Read the rows in order as the types of ``schema``; see `DelimitedFile.batches`."""
        row = 0
        for lines, records in self._records():
            columns = {}
            for name, dtype in schema.items():
                values = [record.get(name) for record in records]
                if dtype.is_nested():
                    columns[name] = self._nested(name, values, lines)
                    continue
                if not _NESTED.isdisjoint(map(type, values)):
                    row = next(row for row, v in enumerate(values) if type(v) in _NESTED)
                    self._refuse(lines[row], name, values[row], "a single value, as the column has")
                columns[name] = _texts(name, values)
            yield self._texts.typed(pl.DataFrame(columns), schema, row)
            row += len(records)

    def _nested(self, name: str, values: list[object], lines: list[int]) -> pl.Series:
        """Return lists or objects as `AS_JSON`."""
        texts: list[dict[str, str] | None] = []
        for line, value in zip(lines, values, strict=True):
            if not isinstance(value, list | dict | None):
                self._refuse(line, name, value, "a list or an object, as elsewhere there")
            try:
                texts.append(None if value is None else {"JSON": _written(value, DEEPEST)})
            except RecursionError:
                raise InputError(
                    f"{self._path}: line {line}, column {quoted(name)}: more than {DEEPEST} lists "
                    "or objects in one another. Leave the column out."
                ) from None
        return pl.Series(name, texts, AS_JSON)

    def _refuse(self, line: int, name: str, value: object, wanted: str) -> NoReturn:
        raise InputError(
            f"{self._path}: line {line}, column {quoted(name)}: {quoted(json.dumps(value))} is not "
            f"{wanted}. Correct or remove the line."
        )

    def _records(self) -> Iterator[tuple[list[int], list[dict[str, object]]]]:
        """Yield the objects of the file and their lines, some at a time; numbers as texts."""
        decoder = json.JSONDecoder(
            parse_float=Number, parse_int=Number, parse_constant=_refuse_constant
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


class Number(str):
    """A number as it is written."""

    __slots__ = ()


def typed_values(
    columns: Mapping[str, list[Any]], types: Mapping[str, pl.DataType], options: ReadOptions
) -> pl.DataFrame:
    """Return single values of JSON, numbers as `Number`, as a file of lines gives them.

    Raises
    ------
    ColumnError
        For the first that cannot be read as the type of its column.
    """
    found: dict[str, pl.Series] = {}
    for name, values in columns.items():
        kinds, dtype = set(map(type, values)), types[name]
        if dtype == pl.Float64 and kinds <= {Number, type(None)}:
            numbers = [None if value is None else float(value) for value in values]
            found[name] = pl.Series(name, numbers, dtype)
        elif dtype == pl.String and bool not in kinds:
            texts = [None if value is None else str(value) for value in values]
            found[name] = pl.Series(name, texts, dtype)
        else:
            spelled = _texts(name, values).to_frame()
            found[name] = TextReader.of(options).typed(spelled, {name: dtype}, 0)[name]
    return pl.DataFrame(found)


def _texts(name: str, values: list[object]) -> pl.Series:
    """Return single values as texts as they are written."""
    if bool in set(map(type, values)):
        values = [str(v).lower() if isinstance(v, bool) else v for v in values]
    return pl.Series(name, values, pl.String)


def _written(value: object, deepest: int) -> str:
    """Return a value as JSON, numbers as they were written; RecursionError if it is too deep."""
    if isinstance(value, Number):
        return value
    if not isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False)
    if not deepest:
        raise RecursionError
    if isinstance(value, list):
        return f"[{', '.join(_written(part, deepest - 1) for part in value)}]"
    fields = (f"{_written(name, 1)}: {_written(part, deepest - 1)}" for name, part in value.items())
    return f"{{{', '.join(fields)}}}"


def _is_text(record: object) -> bool:
    """Return whether all texts of a record can be written in UTF-8."""
    try:
        json.dumps(record, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _refuse_constant(word: str) -> None:
    raise ValueError(f"{word} is no JSON; a missing value is null")
