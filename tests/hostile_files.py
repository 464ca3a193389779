"""Malformed input files that the command line must refuse with one clear message each.

Every file is wrong in one way. The files for "score" are wrong for a model that was fitted on
`good_table`; those for "evaluate" have that table's columns and a bad column ``label``.
"""

import gzip
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import polars as pl

ROWS = 60


def good_table() -> pl.DataFrame:
    """Return a sound table of numbers, truth values, categories and dates to fit a model on."""
    return pl.DataFrame(
        {
            "amount": [10.0 + (7 * row % 31) / 3 for row in range(ROWS)],
            "items": [row % 5 for row in range(ROWS)],
            "paid": [row % 3 == 0 for row in range(ROWS)],
            "shop": [("north", "south", "east")[row % 3] for row in range(ROWS)],
            "day": pl.date_range(pl.date(2024, 1, 1), pl.date(2024, 2, 29), eager=True),
        }
    )


@dataclass(frozen=True)
class HostileFile:
    """One malformed file.

    Attributes
    ----------
    name
        What is wrong, fit for a test id.
    operation
        The command that must fail on it.
    message
        A regular expression that the error message must match (`re.search`).
    write
        Writes the file, or files, into a folder and returns the path or pattern to give.
    """

    name: str
    operation: Literal["fit", "score", "evaluate"]
    message: str
    write: Callable[[Path], Path]


def _raw(name: str, content: str | bytes) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        path = folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def _table(name: str, *changes: pl.Expr | pl.Series, drop: str = "") -> Callable[[Path], Path]:
    """Write the good table with some columns changed."""

    def write(folder: Path) -> Path:
        frame = good_table().with_columns(*changes).drop([drop] if drop else [])
        path = folder / name
        if name.endswith(".parquet"):
            frame.write_parquet(path)
        else:
            frame.write_csv(path)
        return path

    return write


def _cut(name: str) -> Callable[[Path], Path]:
    """Write the good table and lose the second half of the file."""

    def write(folder: Path) -> Path:
        path = folder / name
        frame = good_table()
        if name.endswith(".gz"):
            path.write_bytes(gzip.compress(frame.write_csv().encode()))
        elif name.endswith(".parquet"):
            frame.write_parquet(path)
        else:
            frame.write_ipc(path)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        return path

    return write


def _arrow_stream(folder: Path) -> Path:
    good_table().write_ipc_stream(folder / "stream.arrow")
    return folder / "stream.arrow"


def _folder(folder: Path) -> Path:
    path = folder / "folder.csv"
    path.mkdir()
    return path


def _uneven_glob(folder: Path) -> Path:
    (folder / "part-1.csv").write_text("a,b\n1,2\n2,3\n")
    (folder / "part-2.csv").write_text("a,c\n1,2\n2,3\n")
    return folder / "part-*.csv"


def _late(rows: int, last: str) -> str:
    return "a,b\n" + "1,2\n3,5\n" * (rows // 2) + last


def _changed(column: str, value: object) -> pl.Series:
    """Return a column of the good table as texts, with another value in row 17."""
    texts = good_table()[column].cast(pl.String).to_list()
    texts[17] = None if value is None else str(value)
    return pl.Series(column, texts)


def _labels(value: object) -> pl.Series:
    labels = ["0", "1"] * (ROWS // 2)
    return pl.Series("label", [*labels[:17], value, *labels[18:]], dtype=pl.String)


HOSTILE_FILES = [
    HostileFile("missing", "fit", "no such file", lambda folder: folder / "nowhere.csv"),
    HostileFile("folder", "fit", "this is a folder", _folder),
    HostileFile("no-match", "fit", "no file matches", lambda folder: folder / "day-*.csv"),
    HostileFile("zip", "fit", "'.zip'.*Unpack it", _raw("a.csv.zip", "PK")),
    HostileFile("zip-as-csv", "fit", "but a ZIP archive", _raw("a.csv", b"PK\x03\x04\0\0")),
    HostileFile("parquet-as-csv", "fit", r"end in \.parquet", _raw("a.csv", b"PAR1\0\0PAR1")),
    HostileFile("parquet-as-arrow", "fit", "but a Parquet", _raw("a.arrow", b"PAR1\0\0PAR1")),
    HostileFile(
        "title",
        "fit",
        "line 3 .*Remove what comes before",
        _raw("a.csv", "All sales\n\na,b\n1,2\n"),
    ),
    HostileFile("empty", "fit", "is empty", _raw("a.csv", "")),
    HostileFile("blank", "fit", "is empty", _raw("a.csv", "\n\n  \n")),
    HostileFile("empty-parquet", "fit", "is empty", _raw("a.parquet", "")),
    HostileFile("header-only", "fit", "header line but no rows", _raw("a.csv", "a,b\n")),
    HostileFile(
        "no-header", "fit", "no header line", _raw("a.csv", "1,2.5,-3\n4,5.5,6\n7,8.5,9\n")
    ),
    HostileFile("blank-row-only", "fit", "header line but no rows", _raw("a.csv", "a,b\n \n\n")),
    HostileFile(
        "padded-duplicate-names", "fit", "same name.*'a'", _raw("a.csv", "a, a,b\n1,2,3\n4,5,6\n")
    ),
    HostileFile("duplicate-names", "fit", "same name.*'a'", _raw("a.csv", "a,b,a\n1,2,3\n4,5,6\n")),
    HostileFile(
        "empty-name", "fit", "no column in position 2 of 3", _raw("a.csv", "a,,b\n1,2,3\n4,5,6\n")
    ),
    HostileFile("pandas-index", "fit", r"index=False\)", _raw("a.csv", ",a,b\n0,1,2\n1,4,5\n")),
    HostileFile("ends-in-separator", "fit", "at the end of a line", _raw("a.csv", "a,b,\n1,2,\n")),
    HostileFile(
        "long-row",
        "fit",
        r"line 3 \(row 1;.*has 3 fields, the header has 2",
        _raw("a.csv", "a,b\n1,2\n3,4,5\n6,7\n"),
    ),
    HostileFile(
        "short-row",
        "fit",
        r"line 3 \(row 1;.*has 1 field, the header has 2",
        _raw("a.csv", "a,b\n1,2\n3\n6,7\n"),
    ),
    HostileFile("late-short-row", "fit", "line 3002 ", _raw("a.csv", _late(3000, "7\n"))),
    HostileFile(
        "blank-line",
        "fit",
        r"line 3 \(row 1;.*is blank, and others",
        _raw("a.csv", "a,b\n1,2\n\n6,7\n"),
    ),
    HostileFile(
        "old-mac", "fit", "lines end with carriage returns alone", _raw("a.csv", "a,b\r1,2\r3,4\r")
    ),
    HostileFile("binary", "fit", "binary file, not text", _raw("a.csv", bytes(range(256)) * 9)),
    HostileFile("nul-bytes", "fit", "binary file", _raw("a.csv", b"a,b\n1,\x00\n3,4\n")),
    HostileFile(
        "latin-1",
        "fit",
        "line 3 is not UTF-8",
        _raw("a.csv", "a,b\n1,x\n2,café\n".encode("latin-1")),
    ),
    HostileFile(
        "late-latin-1",
        "fit",
        "line 300002 is not UTF-8",
        _raw("a.csv", _late(300_000, "1,é\n").encode("latin-1")),
    ),
    HostileFile(
        "open-quote",
        "fit",
        "line 3: a quoted text does not end",
        _raw("a.csv", 'a,b\n1,2\n3,"x\n5,6\n'),
    ),
    HostileFile("wrong-separator", "fit", r"separated by '\^'", _raw("a.csv", "a^b\n1^2\n3^4\n")),
    HostileFile("spaces", "fit", "separated by ' '", _raw("a.txt", "a b c\n1 2 3\n3 4 5\n")),
    HostileFile(
        "fake-parquet", "fit", "no parquet file, but text", _raw("a.parquet", "a,b\n1,2\n" * 9)
    ),
    HostileFile("cut-parquet", "fit", "damaged, or no parquet file", _cut("a.parquet")),
    HostileFile("fake-arrow", "fit", "no arrow file, but text", _raw("a.arrow", "a,b\n1,2\n" * 9)),
    HostileFile("arrow-stream", "fit", "an Arrow stream, not an Arrow file", _arrow_stream),
    HostileFile("cut-arrow", "fit", "damaged, or no arrow file", _cut("a.arrow")),
    HostileFile("cut-gzip", "fit", "compressed file is damaged", _cut("a.csv.gz")),
    HostileFile(
        "spoilt-gzip",
        "fit",
        "compressed file is damaged",
        _raw("a.csv.gz", gzip.compress(b"a,b\n1,2\n")[:10] + b"\xff" * 30),
    ),
    HostileFile(
        "bad-json", "fit", "line 2 is not JSON", _raw("a.ndjson", '{"a": 1}\n{"a": \n{"a": 2}\n')
    ),
    HostileFile(
        "nan-json",
        "fit",
        "line 2 cannot be read .NaN is no JSON; a missing value is null",
        _raw("a.ndjson", '{"a": 1}\n{"a": NaN}\n{"a": 2}\n'),
    ),
    HostileFile("deep-json", "fit", "line 2 cannot be read", _raw("a.jsonl", "{}\n" + "[" * 9999)),
    HostileFile("blank-json", "fit", "the file is empty. Give it rows", _raw("a.jsonl", "\n \n")),
    HostileFile(
        "truth-for-number-json",
        "fit",
        "line 2, column 'a': .* is not of one kind",
        _raw("a.ndjson", '{"a": true}\n{"a": 1}\n'),
    ),
    HostileFile(
        "number-for-object-json",
        "fit",
        r"line 2, column 'b': .*5.* is not a list or an object",
        _raw("a.ndjson", '{"a": 1, "b": {"c": 2}}\n{"a": 2, "b": 5}\n'),
    ),
    HostileFile(
        "json-array", "fit", "line 1 is no JSON object", _raw("a.jsonl", '[{"a": 1}, {"a": 2}]\n')
    ),
    HostileFile(
        "nested-json",
        "fit",
        "column 'b' holds values of type Struct",
        _raw("a.ndjson", '{"a": 1, "b": {"c": 2}}\n{"a": 2, "b": {"c": 3}}\n'),
    ),
    HostileFile("different-columns", "fit", "part-2.csv: other columns than", _uneven_glob),
    HostileFile(
        "infinite",
        "fit",
        r"column 'b', row 1 .*'inf' is not a finite number",
        _raw("a.csv", "a,b\n1,2\n3,inf\n4,5\n"),
    ),
    HostileFile("one-row", "fit", "only 1 row to learn from", _raw("a.csv", "a,b\n1,2\n")),
    HostileFile(
        "identical-rows",
        "fit",
        "rows to learn from are identical",
        _raw("a.csv", "a,b\n" + "1,x\n" * 9),
    ),
    HostileFile(
        "unique-texts",
        "fit",
        "too many different texts in 'b'",
        _raw("a.csv", "a,b\n" + "".join(f"{row},name{row}\n" for row in range(99))),
    ),
    HostileFile(
        "mark-for-missing",
        "fit",
        r"'b' holds numbers, except for texts such as '\?'",
        _raw("a.csv", "a,b\n" + "".join(f"{row},{row}.5\n" for row in range(99)) + "5,?\n"),
    ),
    HostileFile("column-gone", "score", "missing column 'shop'", _table("a.csv", drop="shop")),
    HostileFile(
        "column-misspelt",
        "score",
        "Did you mean 'ammount' for 'amount'",
        _table("a.csv", pl.col("amount").alias("ammount"), drop="amount"),
    ),
    HostileFile(
        "text-for-number",
        "score",
        r"a\.csv: line 19, column 'amount', row 17 .*'n\.a\.' is not a number",
        _table("a.csv", _changed("amount", "n.a.")),
    ),
    HostileFile(
        "text-for-number-parquet",
        "score",
        r"column 'amount', row 17 .*'n\.a\.' is not a number",
        _table("a.parquet", _changed("amount", "n.a.")),
    ),
    HostileFile(
        "text-for-truth",
        "score",
        "column 'paid', row 17 .*'maybe' is not true or false",
        _table("a.csv", _changed("paid", "maybe")),
    ),
    HostileFile(
        "text-for-date",
        "score",
        "column 'day', row 17 .*'soon' is not a date",
        _table("a.csv", _changed("day", "soon")),
    ),
    HostileFile(
        "infinite-score",
        "score",
        "column 'amount', row 17 .*'-?inf' is not a finite number",
        _table("a.csv", _changed("amount", "-inf")),
    ),
    HostileFile(
        "number-for-date",
        "score",
        "column 'day' holds values of type",
        _table("a.parquet", pl.lit(3).alias("day")),
    ),
    HostileFile("label-gone", "evaluate", "missing column 'label'", _table("a.csv")),
    HostileFile(
        "unknown-label",
        "evaluate",
        "column 'label', row 17 .*'odd' is not a label",
        _table("a.csv", _labels("odd")),
    ),
    HostileFile(
        "label-2",
        "evaluate",
        "column 'label', row 17 .*'2' is not a label",
        _table("a.csv", _labels("2")),
    ),
    HostileFile(
        "label-missing",
        "evaluate",
        "column 'label', row 17 .*a missing value is not a label",
        _table("a.csv", _labels(None)),
    ),
]
