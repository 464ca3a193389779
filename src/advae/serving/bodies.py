"""Bodies of requests and answers: JSON, CSV, NDJSON and Arrow streams, as tables and back."""

import io
import json
import struct
import tempfile
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import polars as pl

from advae.detector.detector import Detector
from advae.errors import AdVAEError, ColumnError, InputError, quoted
from advae.files.ndjson import Number, typed_values
from advae.tables.frames import as_frame

JSON = "application/json"
CSV = "text/csv"
NDJSON = "application/x-ndjson"
ARROW = "application/vnd.apache.arrow.stream"
KINDS = (JSON, CSV, NDJSON, ARROW)
"""Media types of the bodies that are read and written."""

OTHER_NAMES = {
    "application/csv": CSV,
    "application/ndjson": NDJSON,
    "application/jsonl": NDJSON,
    "application/vnd.apache.arrow": ARROW,
}
MOST_COLUMNS = 10_000
"""Columns in a body, unless the model has more."""

COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "Zstandard",
    b"\x04\x22\x4d\x18": "LZ4",
    b"\xfd7zXZ": "xz",
    b"PK\x03\x04": "zip",
}
"""How bodies begin that are compressed. A small one can become gigabytes, so none is read."""

DEEPEST = 16
"""Lists and structs in one another, in a column of an Arrow stream that the model does not know."""

LARGEST_INFLATION = 64
"""Bytes that a byte of a compressed Arrow buffer may become."""


class RequestError(AdVAEError):
    """A request that is answered with an error.

    Parameters
    ----------
    status
        The status code of HTTP, 400 to 599.
    code
        A short name of the kind of error, for programs.
    message
        What is wrong, and what to do about it.
    column, row
        Where it is wrong, if that is known; rows count from 0.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        column: str | None = None,
        row: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message
        self.column, self.row = column, row

    def body(self) -> bytes:
        """Return the error as JSON; ``error`` is where Open Inference clients look for it."""
        told = {"error": self.message, "code": self.code, "column": self.column, "row": self.row}
        return json.dumps(told).encode()


def refusal_of(error: AdVAEError, detector: Detector) -> RequestError:
    """Return a refusal for rows that cannot be scored, unless the error is one."""
    if isinstance(error, RequestError):
        return error
    column, row = None, None
    if isinstance(error, ColumnError):
        names = detector.table.feature_names
        column = next((name for name in names if quoted(name) == error.column), error.column)
        row = error.row
    return RequestError(422, "unusable_rows", str(error), column, row)


@dataclass
class Rows:
    """The rows of a request: Python values by column, or a frame.

    Rows of Python values wait to become a frame, since those of several requests can become one
    together, in the time of one. Where they are as ``written``, as `read_json` can give them, they
    mean what they mean in JSON lines. ``size`` is that of the body in bytes, and ``again`` reads it
    for another model, which may use other columns.
    """

    height: int
    columns: dict[str, list[Any]] | None = None
    written: bool = False
    frame: pl.DataFrame | None = None
    types: dict[str, type] = field(default_factory=dict)
    unused: list[str] = field(default_factory=list)
    size: int = 0
    again: "Callable[[Detector], Rows] | None" = None

    @classmethod
    def of_columns(
        cls,
        columns: dict[str, list[Any]],
        detector: Detector,
        size: int = 0,
        written: bool = False,
    ) -> "Rows":
        """Return rows of Python values; columns that the model does not know are left out."""
        if columns:
            _check_columns(detector, columns)
        used = {name: columns[name] for name in detector.table.feature_names if name in columns}
        for name, values in used.items():
            # Polars takes very long to find out what a deeply nested value is.
            if not {list, dict}.isdisjoint(map(type, values)):
                row = next(row for row, v in enumerate(values) if isinstance(v, list | dict))
                raise RequestError(
                    422,
                    "unusable_rows",
                    f"column {quoted(name)}, row {row}: a list or an object is no value. Send a "
                    "number, a text, true, false or null.",
                    name,
                    row,
                )
        height = len(next(iter(columns.values()), []))
        known = {*used, *detector.ignored}
        return cls(
            height,
            used,
            written,
            unused=[name for name in columns if name not in known],
            size=size,
            again=lambda other: cls.of_columns(columns, other, size, written),
        )

    def single_types(self) -> bool:
        """Tell whether each column's values have one type; then ``types`` holds it."""
        for name, values in (self.columns or {}).items():
            kinds = {type(value) for value in values} - {type(None)}
            if len(kinds) > 1:
                return False
            self.types.update((name, kind) for kind in kinds)
        return True

    def as_frame(self, detector: Detector) -> pl.DataFrame:
        """Return the rows as a frame to be scored by a detector.

        Raises
        ------
        InputError, RequestError
            For a value that cannot be read.
        """
        if self.frame is not None:
            return self.frame
        columns = self.columns or {}
        return _as_lines(columns, detector) if self.written else as_frame(columns)


def compressed_body(method: str) -> RequestError:
    """Return a refusal for a body that is compressed."""
    return RequestError(
        415,
        "compressed_body",
        f"bodies compressed with {quoted(method)} are not read. Send it uncompressed.",
    )


def kind_of(content_type: str) -> str:
    """Return which of `KINDS` a header names; 415 for another."""
    name = content_type.partition(";")[0].strip().lower()
    kind = OTHER_NAMES.get(name, name)
    if kind not in KINDS:
        raise RequestError(
            415,
            "unknown_media_type",
            f"bodies of type {quoted(name)} are not read. Send one of {', '.join(KINDS)}.",
        )
    return kind


def accepted(accept: str, kind: str) -> str:
    """Return which of `KINDS` to answer with: that of the request, if the client takes any."""
    wanted = []
    for part in accept.split(","):
        name, *parameters = (piece.strip() for piece in part.lower().split(";"))
        weight = next((p[2:] for p in parameters if p.startswith("q=")), "1")
        if weight.strip("0.") and name:
            wanted.append(OTHER_NAMES.get(name, name))
    if not wanted or any(name in ("*/*", kind) for name in wanted):
        return kind
    for name in wanted:
        if name in KINDS:
            return name
        for known in KINDS:
            if name.endswith("/*") and known.startswith(name[:-1]):
                return known
    raise RequestError(
        406,
        "no_acceptable_kind",
        f"no answer of type {quoted(accept)} can be given. Accept one of {', '.join(KINDS)}.",
    )


def read_rows(kind: str, body: bytes, detector: Detector, most_rows: int) -> Rows:
    """Return the rows in a body.

    Parameters
    ----------
    kind
        One of `KINDS`.
    body
        The body, not compressed.
    detector
        The model that is to score the rows.
    most_rows
        More are refused.

    Raises
    ------
    RequestError
        413 for too many rows or columns, 415 for a compressed body, 422 for one that cannot be
        read.
    """
    for beginning, method in COMPRESSED.items():
        if body.startswith(beginning):
            raise compressed_body(method)
    if not body:
        raise RequestError(422, "empty_body", "the body is empty. Send rows.")
    most = max(MOST_COLUMNS, 2 * len(detector.table.features))
    if kind == JSON:
        columns = _json_columns(read_json(body, as_written=True), most)
        check_height(len(next(iter(columns.values()), [])), most_rows)
        rows = Rows.of_columns(columns, detector, len(body), written=True)
    else:
        if kind == ARROW:
            frame, names = _read_arrow(body, detector, most, most_rows)
        else:
            frame, names = _read_text(kind, body, detector, most)
        _check_width(len(names), most)
        known = {*detector.table.feature_names, *detector.ignored}
        unused = [name for name in names if name not in known]
        rows = Rows(
            frame.height,
            frame=frame,
            unused=unused,
            size=len(body),
            again=lambda other: read_rows(kind, body, other, most_rows),
        )
    if not rows.height:
        raise RequestError(422, "no_rows", "the body holds no rows. Send at least one.")
    check_height(rows.height, most_rows)
    return rows


def check_height(height: int, most: int) -> None:
    """Refuse more rows than are taken at once."""
    if height > most:
        raise RequestError(
            413,
            "too_many_rows",
            f"the body holds {height} rows; at most {most} are taken at once. Send them in parts.",
        )


def _check_width(width: int, most: int) -> None:
    if width > most:
        raise RequestError(
            413,
            "too_many_columns",
            f"the body holds {width} columns; at most {most} are taken. Send those of the model.",
        )


def read_json(body: bytes, as_written: bool = False) -> Any:
    """Return what JSON says, numbers that are none and names that stand twice refused.

    Numbers are `Number` where they are wanted as they are written.
    """
    try:
        return json.loads(
            body,
            parse_int=Number if as_written else None,
            parse_float=Number if as_written else None,
            parse_constant=_no_number,
            object_pairs_hook=_pairs,
        )
    except RecursionError:
        raise RequestError(422, "invalid_json", "the JSON is nested too deep. Send rows.") from None
    except ValueError as error:  # of the syntax, or of the encoding
        where = f" at byte {error.pos}" if isinstance(error, json.JSONDecodeError) else ""
        raise RequestError(422, "invalid_json", f"no JSON{where}. Correct the body.") from None


def _no_number(text: str) -> NoReturn:
    raise RequestError(
        422, "invalid_json", f"{text} is not a number of JSON. Send null where a value is missing."
    )


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        counted = Counter(name for name, _ in pairs)
        twice = next(name for name, times in counted.items() if times > 1)
        raise RequestError(
            422, "invalid_json", f"a record names {quoted(twice)} twice. Send it once.", twice
        )
    return found


def _as_lines(columns: dict[str, list[Any]], detector: Detector) -> pl.DataFrame:
    """Return values as a file of JSON lines gives them."""
    from advae.detector.rows import text_types

    try:
        return typed_values(columns, text_types(detector, detector.reading), detector.reading)
    except UnicodeError:
        raise RequestError(
            422,
            "invalid_json",
            "a text holds half of a pair of escapes such as \\ud83d. Correct it.",
        ) from None


def _json_columns(data: Any, most: int) -> dict[str, list[Any]]:
    """Return the columns of a list of records, or of an object of lists."""
    if isinstance(data, list) and data:
        first = data[0]
        if isinstance(first, dict):
            _check_width(len(first), most)
            for row, record in enumerate(data):
                if not isinstance(record, dict):
                    break
                if record.keys() != first.keys():
                    other = sorted(first.keys() ^ record.keys())[0]
                    raise RequestError(
                        422,
                        "unequal_records",
                        f"record {row} (the first is 0) has other columns than the first: see "
                        f"{quoted(other)}. Send null where a value is missing.",
                        other,
                        row,
                    )
            else:
                return {name: [record[name] for record in data] for name in first}
    if isinstance(data, dict):
        _check_width(len(data), most)
        if all(isinstance(values, list) for values in data.values()):
            heights = {name: len(values) for name, values in data.items()}
            if len(set(heights.values())) > 1:
                short = min(heights, key=heights.__getitem__)
                raise RequestError(
                    422,
                    "unequal_columns",
                    f"column {quoted(short)} has {heights[short]} values, others have "
                    f"{max(heights.values())}. Send null where a value is missing.",
                    short,
                )
            return data
    if data == []:
        return {}
    raise RequestError(
        422,
        "no_rows",
        'the JSON is not a table. Send a list of records, such as [{"amount": 1.5}], or an object '
        'of columns, such as {"amount": [1.5]}.',
    )


def _read_text(
    kind: str, body: bytes, detector: Detector, most: int
) -> tuple[pl.DataFrame, Sequence[str]]:
    """Read CSV or NDJSON as ``advae score`` reads a file of it; with the names of all columns."""
    from advae.detector.rows import open_rows

    header = body[: body.find(b"\n") if b"\n" in body else len(body)]
    if kind == CSV:
        _check_width(1 + max(header.count(mark) for mark in b",;\t|"), most)
    suffix = ".csv" if kind == CSV else ".ndjson"
    with tempfile.NamedTemporaryFile(prefix="advae-", suffix=suffix) as file:
        file.write(body)
        file.flush()
        try:
            source = open_rows(detector, file.name)
            _check_columns(detector, source.columns)
            return source.read(), source.columns
        except InputError as error:
            told = str(error).replace(f"{file.name}: ", "").replace(file.name, "the body")
            raise RequestError(422, "unreadable_body", told) from None


def _check_columns(detector: Detector, names: Collection[str]) -> None:
    try:
        detector.check_columns(names, "the table")
    except InputError as error:
        raise refusal_of(error, detector) from None


def _read_arrow(
    body: bytes, detector: Detector, most_columns: int, most_rows: int
) -> tuple[pl.DataFrame, Sequence[str]]:
    """Read the model's columns of a stream of Arrow's IPC format; with the names of all."""
    wanted = detector.table.feature_names
    try:
        claimed, names = _claimed_rows(body, wanted, most_columns, most_rows)
    except (struct.error, OverflowError):
        raise _bad_arrow() from None
    _check_columns(detector, names)
    try:
        frame = pl.read_ipc_stream(io.BytesIO(body), columns=list(wanted))
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, ValueError, OSError):
        raise _bad_arrow() from None
    if frame.height != claimed:
        raise _bad_arrow()
    return frame, names


def _bad_arrow() -> RequestError:
    return RequestError(
        422,
        "unreadable_body",
        "the body is no complete Arrow stream of columns that can be read. Send one of numbers, "
        "texts, true/false and times, as pyarrow.ipc.new_stream writes it.",
    )


def _claimed_rows(
    body: bytes, wanted: Collection[str], most_columns: int, most_rows: int
) -> tuple[int, list[str]]:
    """Return how many rows an Arrow stream says that it has, and its columns, before any is read.

    What a message claims is checked against its bytes: otherwise a short body could make the
    process reserve all of its memory.
    """
    rows, place = 0, 0
    names: list[str] | None = None
    while place < len(body):
        mark, size = struct.unpack_from("<II", body, place)
        if mark != 0xFFFFFFFF:
            raise _bad_arrow()
        place += 8
        if size == 0:
            break
        message = _Flat.root(body[place : place + size])
        place += size
        kind, length = message.number(1, "<B"), message.number(3, "<q")
        if place + length > len(body) or length < 0:
            raise _bad_arrow()
        content = message.table(2)
        if kind == 1:
            if names is not None:
                raise _bad_arrow()
            names = _checked_fields(content, wanted, most_columns)
        elif kind == 2:  # a dictionary: the texts of a column of categories
            content = content.table(1)
        if kind in (2, 3):
            claimed = content.number(0, "<q")
            if claimed < 0:
                raise _bad_arrow()
            _check_buffers(content, body[place : place + length], claimed)
            if kind == 3:
                rows += claimed
                check_height(rows, most_rows)
            else:
                check_height(claimed, max(most_rows, 1_000_000))
        elif kind != 1:
            raise _bad_arrow()
        place += length
    if names is None:
        raise _bad_arrow()
    return rows, names


def _checked_fields(schema: "_Flat", wanted: Collection[str], most: int) -> list[str]:
    """Return the names of columns; refuse too many, and nested ones that are wanted or too deep."""
    columns = list(schema.tables(1)) if schema.count(1) else []
    _check_width(len(columns), most)
    names = [column.text(0) for column in columns]
    total = 0
    for name, column in zip(names, columns, strict=True):
        within, depth = [column], 0
        while within:
            depth, total = depth + 1, total + len(within)
            _check_width(total, most)
            # Depth could exhaust the stack of what reads it.
            if depth > (1 if name in wanted else DEEPEST):
                raise RequestError(
                    422,
                    "unreadable_body",
                    f"column {quoted(name)} of the Arrow stream holds lists or structs. Leave it "
                    "out.",
                    name,
                )
            _check_width(total + sum(each.count(5) for each in within), most)
            within = [part for each in within if each.count(5) for part in each.tables(5)]
    return names


def _check_buffers(batch: "_Flat", data: bytes, rows: int) -> None:
    """Refuse buffers outside the body, and compressed ones that become much larger."""
    compressed = batch.field(3) is not None
    for length, nulls in batch.pairs(1):
        if not 0 <= nulls <= length or length > max(rows, 8 * LARGEST_INFLATION * len(data)):
            raise _bad_arrow()
    for offset, length in batch.pairs(2):
        if offset < 0 or length < 0 or offset + length > len(data):
            raise _bad_arrow()
        if compressed and length:
            inflated = struct.unpack_from("<q", data, offset)[0]
            if inflated != -1 and not 0 <= inflated <= LARGEST_INFLATION * length + 1024:
                raise RequestError(
                    413,
                    "too_much_inflated",
                    "a compressed buffer of the Arrow stream becomes too large. Send it without "
                    "compression.",
                )


@dataclass(frozen=True)
class _Flat:
    """A table of FlatBuffers, the form of Arrow's messages: fields found by their number."""

    data: bytes
    start: int

    @classmethod
    def root(cls, data: bytes) -> "_Flat":
        return cls(data, struct.unpack_from("<I", data)[0])

    def field(self, number: int) -> int | None:
        (back,) = struct.unpack_from("<i", self.data, self.start)
        directory = self.start - back
        if directory < 0:
            raise struct.error("before the beginning")
        (size,) = struct.unpack_from("<H", self.data, directory)
        if 4 + 2 * number >= size:
            return None
        (offset,) = struct.unpack_from("<H", self.data, directory + 4 + 2 * number)
        return self.start + offset if offset else None

    def number(self, number: int, form: str) -> int:
        place = self.field(number)
        return 0 if place is None else int(struct.unpack_from(form, self.data, place)[0])

    def table(self, number: int) -> "_Flat":
        return _Flat(self.data, self._target(number))

    def count(self, number: int) -> int:
        if self.field(number) is None:
            return 0
        return int(struct.unpack_from("<I", self.data, self._target(number))[0])

    def tables(self, number: int) -> Iterator["_Flat"]:
        """Yield the entries of a list of tables."""
        start = self._target(number)
        for place in range(start + 4, start + 4 + 4 * self.count(number), 4):
            yield _Flat(self.data, place + int(struct.unpack_from("<I", self.data, place)[0]))

    def text(self, number: int) -> str:
        start = self._target(number)
        return self.data[start + 4 : start + 4 + self.count(number)].decode(errors="replace")

    def pairs(self, number: int) -> Iterator[tuple[int, int]]:
        """Yield the entries of a list of pairs of numbers of 64 bits."""
        if self.field(number) is not None:
            start = self._target(number)
            for entry in range(self.count(number)):
                yield struct.unpack_from("<qq", self.data, start + 4 + 16 * entry)

    def _target(self, number: int) -> int:
        place = self.field(number)
        if place is None:
            raise struct.error("a field is missing")
        return place + int(struct.unpack_from("<I", self.data, place)[0])


def write_answer(kind: str, scored: pl.DataFrame) -> bytes:
    """Return scored rows, a frame of `Detector.score_batches`, as CSV, NDJSON or Arrow.

    Scores keep all their digits.
    """
    if kind == CSV:
        return scored.write_csv().encode()
    if kind == NDJSON:
        return scored.write_ndjson().encode()
    stream = io.BytesIO()
    scored.write_ipc_stream(stream)
    return stream.getvalue()


def json_answer(records: list[dict[str, Any]], unused: list[str]) -> bytes:
    """Return scored rows as JSON; the reasons of a row become a list.

    Parameters
    ----------
    records
        The rows, changed by the call.
    unused
        Columns of the request that the model does not know.
    """
    for record in records:
        reasons: list[dict[str, Any]] = []
        while (name := f"reason_{len(reasons) + 1}") in record:
            reason = {"column": record.pop(name)}
            for part in ("contribution", "observed", "expected"):
                reason[part] = record.pop(f"{name}_{part}")
            if f"{name}_kind" in record:
                reason["kind"] = record.pop(f"{name}_kind")
            reasons.append(reason)
        if reasons:
            record["reasons"] = reasons
    answer: dict[str, Any] = {"rows": records}
    if unused:
        answer["unused_columns"] = unused
    return json.dumps(answer, ensure_ascii=False).encode(errors="replace")
