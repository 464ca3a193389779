"""Generated files, sound and damaged, read by us and by Python's own readers."""

import csv
import gzip
import io
import json
import random
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import polars as pl
from backports import zstd

from advae.errors import InputError
from advae.files.delimited import DelimitedFile
from advae.files.ndjson import NdjsonFile
from advae.files.options import ReadOptions

CELLS = ["a", "b c", "1", "2.5", 'q"q', "l\nm", "l\r\nm", "", " pad ", "é", "💥", '"', "'", "\\"]
NO_WORDS = ("\x7f",)
"""So that no text stands for a missing value, but the empty one."""


def delimited(draw: random.Random) -> tuple[str, str]:
    """Return a separator, and a text that in half of the cases has one character damaged."""
    separator = draw.choice(",;\t|")
    width = draw.randint(1, 4)
    cells = [*CELLS, f"x{separator}y", f'a\\"{separator}b']
    rows = [[draw.choice(cells) for _ in range(width)] for _ in range(draw.randint(1, 9))]
    if draw.random() < 0.1:
        draw.choice(rows).append("more")
    stream = io.StringIO()
    writer = csv.writer(
        stream,
        delimiter=separator,
        quoting=draw.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
        lineterminator=draw.choice(["\n", "\n", "\r\n"]),
    )
    writer.writerows([[f"n{number}" for number in range(width)], *rows])
    text = stream.getvalue()
    if draw.random() < 0.5:
        at = draw.randrange(len(text))
        sign = draw.choice(['"', '"', separator, "\n", "\r", "\\", "x"])
        text = text[:at] + draw.choice(["", sign, sign + text[at]]) + text[at + 1 :]
    if draw.random() < 0.2:
        text += draw.choice(["\n", "\n\n", "  \n"])
    return separator, text


def by_python(text: str, separator: str, *, strict: bool) -> list[list[str]] | None:
    """Return the header and the rows as Python's csv reads them; None if they are none."""
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=strict))
    except csv.Error:
        return None

    def is_blank(row: list[str]) -> bool:
        return len(row) < 2 and not "".join(row).strip()

    while rows and is_blank(rows[0]):
        del rows[0]
    if not rows:
        return None
    width = len(rows[0])
    while width > 1 and is_blank(rows[-1]):
        del rows[-1]
    table = [row or [""] for row in rows]
    return table if all(len(row) == width for row in table) else None


def unpadded(text: str) -> str:
    """Return a text without blanks around, and without quotes behind a blank."""
    return re.sub('(?s)^"(.*)"$', r"\1", text.strip())


def encoded(text: str, draw: random.Random) -> tuple[bytes, ReadOptions]:
    """Return a text in some encoding and compression, and what the user has to say of it."""
    encoding = draw.choice(["utf-8"] * 6 + ["utf-8-sig", "utf-16", "utf-16-le", "latin-1"])
    said = encoding if encoding in ("utf-16-le", "latin-1") else None
    if encoding == "latin-1":
        text.encode(encoding)  # or UnicodeEncodeError
    pack: Callable[[bytes], bytes] = draw.choice([bytes] * 8 + [gzip.compress, zstd.compress])
    return pack(text.encode(encoding)), ReadOptions(encoding=said, null=NO_WORDS)


def check_place(message: str, places: str, text: str) -> None:
    """Fail for a message that does not say where the fault is."""
    if re.search(places, message) is None:
        raise AssertionError((text, message))


def compare(numbers: range, path: Path) -> Counter[str]:
    """Read the files of these numbers; fail for one that is read as Python does not."""
    outcomes: Counter[str] = Counter()
    for number in numbers:
        draw = random.Random(number)
        separator, text = delimited(draw)
        try:
            data, options = encoded(text, draw)
        except UnicodeEncodeError:
            data, options = text.encode(), ReadOptions(null=NO_WORDS)
        path.write_bytes(data)
        options = options.updated(ReadOptions(separator=separator))
        expected = [by_python(text, separator, strict=strict) for strict in (True, False)]
        try:
            file = DelimitedFile(path, options)
            texts = dict.fromkeys(file.dialect.names, pl.String())
            batches = list(file.batches(texts))
        except InputError as error:
            # A file with a fault in a row is refused with its line; others have no header or rows.
            check_place(str(error), r"line \d+|header|is empty|carriage returns", text)
            outcomes["refused"] += 1
            if expected[0] and any(map(any, expected[0][1:])):
                outcomes["refused, though strict csv reads it"] += 1
            continue
        rows = [["" if cell is None else cell for cell in row] for b in batches for row in b.rows()]
        if file.dialect.padded:  # then blanks do not count, which Python's csv cannot be told
            expected = [t and [list(map(unpadded, row)) for row in t] for t in expected]
        table = [list(file.dialect.names), *rows]
        assert table in expected, (number, text, table, expected)
        outcomes["same"] += 1
    return outcomes


def records(draw: random.Random) -> str:
    """Return lines of JSON, of which in half of the cases one character is damaged."""
    values = [1, -2.5, 1e300, 10**18 + 1, True, None, "a", "é💥", 'q"', "l\nm", "", "1.5", " x "]
    names = [f"n{number}" for number in range(draw.randint(1, 4))]
    kinds = {name: draw.choice([values[:4], values[4:5], values[6:]]) for name in names}
    lines = []
    for _ in range(draw.randint(1, 9)):
        record = {n: draw.choice([*kinds[n], None]) for n in names if draw.random() < 0.9}
        ascii_only = draw.random() < 0.5
        lines.append(json.dumps(record, ensure_ascii=ascii_only))
        if draw.random() < 0.1:
            lines.append(draw.choice(["", "  "]))
    text = draw.choice(["\n", "\r\n"]).join(lines) + draw.choice(["", "\n", "\n\n"])
    if draw.random() < 0.5:
        at = draw.randrange(len(text))
        sign = draw.choice('"{}[]:,\\x\n1')
        text = text[:at] + draw.choice(["", sign, sign + text[at]]) + text[at + 1 :]
    return text


def shown(value: object) -> str | None:
    """Return a value of JSON as the text that it is read as."""
    if value is None or value == "":
        return None
    return str(value).lower() if isinstance(value, bool) else str(value)


def compare_json(numbers: range, path: Path) -> Counter[str]:
    """Read the files of these numbers as JSON lines; fail for one that is read otherwise."""
    outcomes: Counter[str] = Counter()
    for number in numbers:
        draw = random.Random(number)
        text = records(draw)
        bom = draw.choice(["", "", "\ufeff"])
        path.write_bytes((bom + text).encode())
        expected: list[dict[str, object]] | None
        try:
            lines = [line for line in text.split("\n") if line.strip()]
            expected = [json.loads(line, parse_int=str, parse_float=str) for line in lines]
            if not all(isinstance(record, dict) for record in expected):
                expected = None
        except json.JSONDecodeError:
            expected = None
        try:
            file = NdjsonFile(path, ReadOptions(null=NO_WORDS))
            names = list(file.types({}, None))
            batches = list(file.batches(dict.fromkeys(names, pl.String())))
        except InputError as error:
            check_place(str(error), r"line \d+|is empty", text)
            outcomes["refused"] += 1
            if expected:
                outcomes["refused, though json reads it"] += 1
            continue
        rows = [row for batch in batches for row in batch.rows()]
        assert expected is not None, (number, text, rows)
        wanted = [tuple(shown(record.get(name)) for name in names) for record in expected]
        found = [tuple(cell or None for cell in row) for row in rows]
        assert found == wanted, (number, text, found, wanted)
        outcomes["same"] += 1
    return outcomes
