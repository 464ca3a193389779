"""Hostile tables through ``doctor``, ``fit``, ``score`` and ``report``.

``python -m tests.fuzz.tables --cases 400 --seed 0`` makes tables of each kind below and prints how
the commands ended. Each is to end with 0, or with 2 and one line, within `SECONDS` and `MEGABYTES`;
what does not is a fault: it is printed, its table is kept, and the exit code is 1.
"""

import argparse
import gzip
import json
import multiprocessing
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from pyarrow import feather, parquet

from tests.fuzz.commands import Ended, command

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

SECONDS, MEGABYTES = 30, 1500
"""What a command may take, of memory beside what the process has; see `Ended`."""

ROWS = 120

FITS = 0.25
"""Share of the cases that are fitted; all are examined and scored."""

NAMES = (
    *("", " ", "\x1b[31mred", "[bold]x[/]", "[/]", "<script>alert(1)</script>", "^x$", "^.*$", "*"),
    *(
        "\n",
        "a\r\nb",
        "\0",
        "n" * 10_000,
        "row",
        "anomaly_score",
        "is_anomaly",
        "p_value",
        "reason_1",
    ),
    *(
        "=1+1",
        "@SUM(1)",
        "\u202eevil",
        "\ufeff",
        "__index_level_0__",
        "Unnamed: 0",
        "a,b",
        'q"uote',
    ),
    *(
        "{{7*7}}",
        "%s",
        "{0}",
        "../../etc",
        "\U0001f600" * 50,
        "NULL",
        "1",
        "true",
        "--keep",
        "\x9b2J",
    ),
)
"""Hostile names of columns; hostile texts, too."""

TEXTS = (
    *NAMES,
    *(
        "1e400",
        "-1e400",
        "1e-400",
        "0x10",
        "1_000",
        "1,5",
        "1.000,5",
        "\u0661\u0662",
        "\uff11",
        "nan",
    ),
    *("inf", "-inf", "Infinity", "-", "+", "+5", ".", "1.", ".5", "5 EUR", "12%", "9" * 400, "-0"),
    *("2024-13-45", "0000-00-00", "0000-01-01", "-0001-01-01", "9999-12-31", "10000-01-01"),
    *("31.12.99999", "2024-02-30 25:61:61", "1677-09-21T00:12:43Z", "2024-01-01T00:00:00+99:99"),
    *("24:00:00", "99:99", "true", "TRUE", "yes", "null", "None", "NA", "x" * 5000, "\u0000\u0001"),
)

JSON = (
    *("NaN", "Infinity", "-Infinity", "1e999", "9" * 5000, "-0", "1" + "0" * 30, "[]", "{}", "[1]"),
    *(
        '{"a": {"b": [1, {"c": null}]}}',
        "[" * 300 + "]" * 300,
        "[" * 100_000,
        '"\\ud83d"',
        '"\\u0000"',
    ),
    *(
        '"\\u001b[31m"',
        "true",
        "null",
        '[1, "a"]',
        "[[1], [2, 3]]",
        "01",
        "'a'",
        "undefined",
        '"\t"',
    ),
    *('{"a": 1, "a": 2}', "[null]", '[{"x": 1}, {"y": 2}]', "{" * 5000, "1.5.2", ""),
)
"""What stands in lines of JSON for a value."""


def good(rng: np.random.Generator, rows: int = ROWS) -> pl.DataFrame:
    """Return a sound table."""
    hours = pl.Series("when", rng.integers(0, 20_000, rows)) * 3_600_000_000
    return pl.DataFrame(
        {
            "amount": rng.normal(50, 10, rows),
            "count": rng.integers(0, 9, rows),
            "kind": rng.choice(["red", "green", "blue"], rows),
            "on": rng.random(rows) < 0.3,
            "when": hours.cast(pl.Datetime("us")),
        }
    )


def _arrow(values: Any, dtype: pa.DataType) -> pa.Array:
    """Return whole numbers as a type that they are stored as, whatever they then mean."""
    width = {32: pa.int32(), 64: pa.int64()}[dtype.bit_width]
    return pa.array(values, width).view(dtype)


def columns(rng: np.random.Generator) -> dict[str, Callable[[], pa.Array]]:
    """Return what makes hostile columns, each of `ROWS` values of one type."""
    n = ROWS
    places = rng.integers(0, 4, n)
    far = [[0, 2**63 - 1, -(2**63), 1][k] for k in places]
    far32 = [[0, 2**31 - 1, -(2**31), 1][k] for k in places]
    texts = [TEXTS[k] for k in rng.integers(0, len(TEXTS), n)]
    extremes = [[0.0, 1.7e308, -1.7e308, 5e-324][k] for k in places]
    infinite = [[0.0, np.inf, -np.inf, np.nan][k] for k in places]
    nested: pa.DataType = pa.int32()
    for _ in range(60):
        nested = pa.list_(nested)
    deep: Any = 1
    for _ in range(60):
        deep = [deep]
    found: dict[str, Callable[[], pa.Array]] = {
        "int64 extremes": lambda: pa.array(far, pa.int64()),
        "uint64 extremes": lambda: pa.array([abs(v) * 2 % 2**64 for v in far], pa.uint64()),
        "decimal 38": lambda: pa.array([_decimal(k) for k in places], pa.decimal128(38, 10)),
        "decimal 76": lambda: pa.array([_decimal(k) for k in places], pa.decimal256(76, 10)),
        "float extremes": lambda: pa.array(extremes),
        "float infinite": lambda: pa.array(infinite),
        "float16": lambda: pa.array(np.array(extremes).clip(-6e4, 6e4).astype(np.float16)),
        "all nan": lambda: pa.array([np.nan] * n),
        "all null": lambda: pa.nulls(n),
        "null floats": lambda: pa.nulls(n, pa.float64()),
        "dates far": lambda: _arrow(far32, pa.date32()),
        "date64 far": lambda: _arrow([v // 2 for v in far], pa.date64()),
        "durations far": lambda: _arrow(far, pa.duration("ns")),
        "durations": lambda: _arrow(range(n), pa.duration("s")),
        "times wrong": lambda: _arrow(far, pa.time64("us")),
        "binary": lambda: pa.array([b"\xff\x00" * k for k in places]),
        "lists": lambda: pa.array([[k] * k for k in places.tolist()]),
        "structs": lambda: pa.array([{"a": k, "b": {"c": str(k)}} for k in places.tolist()]),
        "maps": lambda: pa.array([[("a", k)] for k in places.tolist()], pa.map_("str", "int64")),
        "deep lists": lambda: pa.array([deep] * n, nested),
        "fixed lists": lambda: pa.array([[1, 2]] * n, pa.list_(pa.int8(), 2)),
        "dictionary": lambda: pa.array(texts).dictionary_encode(),
        "dictionary of numbers": lambda: pa.array(far).dictionary_encode(),
        "hostile texts": lambda: pa.array(texts),
        "distinct texts": lambda: pa.array([f"{k}-{rng.random()}" for k in range(n)]),
        "one long text": lambda: pa.array(["a"] * (n - 1) + ["y" * 3_000_000]),
        "large texts": lambda: pa.array(texts, pa.large_string()),
        "views": lambda: pa.array(texts, pa.string_view()),
        "intervals": lambda: pa.array([(1, 2, 3)] * n, pa.month_day_nano_interval()),
        "empty texts": lambda: pa.array([""] * n),
        "constant": lambda: pa.array([7] * n),
        "truths and null": lambda: pa.array([[True, None][k % 2] for k in places]),
    }
    for unit in ("s", "ms", "us", "ns"):
        for zone in (None, "UTC", "Mars/Olympus", "+99:99"):
            kind = pa.timestamp(unit, zone)
            found[f"instants far {unit} {zone}"] = lambda kind=kind: _arrow(far, kind)
    return found


def _decimal(place: int) -> Any:
    """Return a decimal of 28 digits or few."""
    from decimal import Decimal

    return [Decimal(0), Decimal("9" * 27), Decimal("-0.0000000001"), None][place]


WRITERS = ("csv", "csv.gz", "csv.zst", "ndjson", "parquet", "arrow", "tsv")


def write(table: pa.Table, folder: Path, form: str) -> Path:
    """Write a table; raises what the writer raises where a format cannot hold it."""
    path = folder / f"table.{form}"
    if form == "parquet":
        parquet.write_table(table, path)
    elif form == "arrow":
        feather.write_feather(table, path, compression="uncompressed")
    elif form == "ndjson":
        names = table.column_names
        cells = [column.to_pylist() for column in table.columns]
        lines = [
            "{"
            + ", ".join(f"{json.dumps(n)}: {_json(v)}" for n, v in zip(names, row, strict=True))
            + "}"
            for row in zip(*cells, strict=True)
        ]
        path.write_text("\n".join(lines) + "\n")
    else:
        mark = "\t" if form == "tsv" else ","
        cells = [column.to_pylist() for column in table.columns]
        rows = [table.column_names, *zip(*cells, strict=True)]
        text = "\n".join(mark.join(_cell(value, mark) for value in row) for row in rows) + "\n"
        data = text.encode(errors="surrogatepass")
        packed = {"csv.gz": gzip.compress, "csv.zst": zstd.compress}.get(form)
        path.write_bytes(packed(data) if packed else data)
    return path


def _json(value: Any) -> str:
    try:
        return json.dumps(value)
    except TypeError:
        return json.dumps(str(value))


def _cell(value: Any, mark: str) -> str:
    text = "" if value is None else str(value)
    if any(sign in text for sign in (mark, '"', "\n", "\r")):
        return '"' + text.replace('"', '""') + '"'
    return text


@dataclass
class Case:
    """A table, and how the commands ended on it."""

    number: int
    kind: str
    faults: list[str] = field(default_factory=list)
    codes: str = ""
    seconds: float = 0.0
    megabytes: float = 0.0


def make(rng: np.random.Generator, folder: Path) -> tuple[str, Path]:
    """Write a hostile table; return its kind and its path."""
    kind = str(rng.choice(["column", "column", "name", "cell", "json", "bytes", "shape", "raw"]))
    table = good(rng).to_arrow()
    form = str(rng.choice(WRITERS))
    if kind == "column":
        made = columns(rng)
        which = str(rng.choice(list(made)))
        name = str(rng.choice(["added", *table.column_names]))
        values = made[which]()
        at = table.column_names.index(name) if name in table.column_names else -1
        table = table.set_column(at, name, values) if at >= 0 else table.append_column(name, values)
        kind += f": {which}"
        form = form if rng.random() < 0.4 else str(rng.choice(["parquet", "arrow"]))
    elif kind == "name":
        names = list(table.column_names)
        for _ in range(int(rng.integers(1, 3))):
            names[rng.integers(len(names))] = str(rng.choice([*NAMES, names[0]]))
        table = table.rename_columns(names)
    elif kind == "cell":
        place = int(rng.integers(table.num_columns))
        cells = [None if v is None else str(v) for v in table.column(place).to_pylist()]
        for _ in range(int(rng.choice([1, 3, ROWS]))):
            cells[rng.integers(ROWS)] = TEXTS[rng.integers(len(TEXTS))]
        table = table.set_column(place, table.column_names[place], pa.array(cells))
    elif kind == "json":
        lines = write(table, folder, "ndjson").read_text().splitlines()
        for _ in range(int(rng.choice([1, 1, 5, ROWS]))):
            value = JSON[rng.integers(len(JSON))]
            name = str(rng.choice([*table.column_names, "added", *NAMES]))
            lines[rng.integers(ROWS)] = f'{{"amount": 1, {json.dumps(name)}: {value}}}'
        path = folder / f"table.{rng.choice(['ndjson', 'jsonl'])}"
        path.write_text("\n".join(lines))
        return kind, path
    elif kind == "shape":
        shapes: dict[str, Callable[[], pa.Table]] = {
            "no rows": lambda: table.slice(0, 0),
            "one row": lambda: table.slice(0, 1),
            "two rows": lambda: table.slice(0, 2),
            "equal rows": lambda: pa.concat_tables([table.slice(0, 1)] * 50),
            "one column": lambda: table.select([int(rng.integers(5))]),
            "no columns": lambda: table.select([]),
            "wide": lambda: pa.table({f"c{k}": rng.normal(size=30) for k in range(1500)}),
            "many rows": lambda: good(rng, 200_000).to_arrow(),
        }
        which = str(rng.choice(list(shapes)))
        table, kind = shapes[which](), f"{kind}: {which}"
    elif kind == "raw":
        made_raw = raw(rng)
        which = str(rng.choice(list(made_raw)))
        name, data = made_raw[which]()
        (folder / name).write_bytes(data)
        return f"{kind}: {which}", folder / name
    try:
        path = write(table, folder, form)
    except (pa.ArrowException, ValueError, OverflowError, NotImplementedError):
        path = write(good(rng).to_arrow(), folder, form)
        kind += " (which no such file holds)"
    if kind == "bytes":
        data = bytearray(path.read_bytes())
        for _ in range(int(rng.choice([1, 2, 20]))):
            at = int(rng.integers(len(data)))
            how = rng.integers(4)
            if how == 0:
                data[at] ^= 1 << int(rng.integers(8))
            elif how == 1:
                del data[at : at + int(rng.integers(1, 50))]
            elif how == 2:
                data[at:at] = rng.bytes(int(rng.integers(1, 20)))
            else:
                data[at : at + 1] = b"\0" * int(rng.integers(1, 9))
        path.write_bytes(data)
    return f"{kind} ({form})" if kind in ("bytes", "cell", "name") else kind, path


def raw(rng: np.random.Generator) -> dict[str, Callable[[], tuple[str, bytes]]]:
    """Return what makes files that no table is written as."""
    text = good(rng).write_csv()
    data = text.encode()
    endless = b"7" * (60 << 20)
    many = b"1,2\n" * 1_000_000
    packed = gzip.compress(data)
    return {
        "nul bytes": lambda: ("t.csv", data.replace(b"e", b"\0", 3)),
        "utf-16": lambda: ("t.csv", text.encode("utf-16")),
        "utf-16 without mark": lambda: ("t.csv", text.encode("utf-16-le")),
        "utf-32": lambda: ("t.csv", text.encode("utf-32")),
        "latin-1": lambda: ("t.csv", text.replace("red", "r\xe9d").encode("latin-1")),
        "old mac": lambda: ("t.csv", data.replace(b"\n", b"\r")),
        "mixed line ends": lambda: (
            "t.csv",
            data.replace(b"\n", b"\r\n", 5).replace(b"\n", b"\r", 1),
        ),
        "open quote": lambda: ("t.csv", data.replace(b"red", b'"red', 1)),
        "quotes": lambda: ("t.csv", data.replace(b"red", b'r"e"d', 3)),
        "ragged": lambda: ("t.csv", data.replace(b"red", b"red,red", 1)),
        "only a header": lambda: ("t.csv", b"a,b,c\n"),
        "blank": lambda: ("t.csv", b"\n\n  \n"),
        "empty": lambda: ("t.parquet", b""),
        "commas": lambda: ("t.csv", b"," * 300_000 + b"\n" + b"," * 300_000),
        "a million names": lambda: (
            "t.csv",
            b",".join(b"%d" % k for k in range(60_000)) + b"\n1\n",
        ),
        "cut gzip": lambda: ("t.csv.gz", packed[: len(packed) // 2]),
        "gzip twice": lambda: ("t.csv.gz", packed + packed),
        "gzip and rest": lambda: ("t.csv.gz", packed + b"rest"),
        "gzip in gzip": lambda: ("t.csv.gz", gzip.compress(packed)),
        "cut zstd": lambda: ("t.csv.zst", zstd.compress(data)[:50]),
        "endless header": lambda: ("t.csv.gz", gzip.compress(endless, 1)),
        "endless line": lambda: ("t.csv.gz", gzip.compress(b"a,b\n1,2\n" + endless, 1)),
        "endless quote": lambda: ("t.csv.gz", gzip.compress(b'a,b\n1,"' + endless, 1)),
        "endless json": lambda: ("t.ndjson.gz", gzip.compress(b'{"a": 1}\n{"a": "' + endless, 1)),
        "endless list": lambda: ("t.ndjson.gz", gzip.compress(b'{"a": [' + b"[]," * (20 << 20), 1)),
        "endless rows": lambda: ("t.csv.gz", gzip.compress(b"a,b\n3,4\n" + many, 1)),
        "endless objects": lambda: ("t.ndjson.gz", gzip.compress(b'{"a":1}\n' * 1_000_000, 1)),
        "endless blanks": lambda: (
            "t.csv.gz",
            gzip.compress(b"a,b\n1,2\n" + b"\n" * (40 << 20), 1),
        ),
        "names without end": lambda: (
            "t.ndjson",
            b"".join(b'{"u%d": 1}\n' % k for k in range(3000)),
        ),
        "parquet by name": lambda: ("t.parquet", data),
        "arrow by name": lambda: ("t.arrow", data),
        "a workbook by name": lambda: ("t.xlsx", data),
        "json": lambda: ("t.json", b"[{}]"),
        "a list of objects": lambda: ("t.ndjson", b'[{"a": 1}, {"a": 2}]'),
        "objects in a line": lambda: ("t.ndjson", b'{"a": 1}{"a": 2}\n'),
        "scalars": lambda: ("t.ndjson", b'1\n"a"\nnull\n'),
        "empty objects": lambda: ("t.ndjson", b"{}\n" * 50),
        "sep": lambda: ("t.csv", b"sep=;\na;b\n1;2\n3;4\n5;6\n"),
        "sep and nothing": lambda: ("t.csv", b"sep=;\n"),
        "no header": lambda: ("t.csv", b"1,2\n3,4\n5,6\n"),
        "noise": lambda: (
            f"t.{rng.choice(['csv', 'ndjson', 'parquet', 'arrow'])}",
            rng.bytes(5000),
        ),
        "a repeated value": lambda: ("t.parquet", _repeated(rng)),
        "a repeated long text": lambda: ("t.parquet", _repeated_text()),
    }


def _repeated(rng: np.random.Generator) -> bytes:
    """Return a Parquet file of some bytes and twenty million rows."""
    rows, sink = 20_000_000, pa.BufferOutputStream()
    value = float(rng.integers(2))
    pl.select(a=pl.repeat(value, rows), b=pl.repeat("x", rows)).write_parquet(
        path := Path(tempfile.mkdtemp()) / "t", row_group_size=rows
    )
    sink.write(path.read_bytes())
    shutil.rmtree(path.parent)
    return bytes(sink.getvalue())


def _repeated_text() -> bytes:
    """Return a Parquet file in which a text of a megabyte stands 3,000 times."""
    sink = pa.BufferOutputStream()
    texts = pa.DictionaryArray.from_arrays(pa.array([0] * 3000), pa.array(["y" * 1_000_000]))
    parquet.write_table(pa.table({"a": range(3000), "b": texts}), sink)
    return bytes(sink.getvalue())


def reference(folder: Path) -> Path:
    """Return a model of sound rows."""
    model, data = folder / "good.advae", folder / "good.csv"
    if not model.exists():
        good(np.random.default_rng(0)).write_csv(data)
        ended = command("fit", data, "-o", model, "--iterations", 20, "--quiet")
        assert ended.code == 0, ended.err
    return model


def run_case(number: int, seed: int, home: Path) -> Case:
    """Make a table, and put it through the commands; ``home`` holds what cases share."""
    rng = np.random.default_rng([seed, number])
    folder = home / str(number)
    folder.mkdir()
    kind, path = make(rng, folder)
    case = Case(number, kind)
    model, scores = folder / "m.advae", folder / f"s.{rng.choice(['csv', 'parquet', 'ndjson'])}"

    def ends(*words: object) -> Ended:
        ended = command(*words)
        case.seconds, case.megabytes = (
            max(case.seconds, ended.seconds),
            max(case.megabytes, ended.megabytes),
        )
        fault = ended.fault
        if ended.seconds > SECONDS or ended.megabytes > MEGABYTES:
            fault += f" takes {ended.seconds:.0f} s and {ended.megabytes:.0f} MB"
        if fault:
            case.faults.append(f"{' '.join(map(str, words))}: {fault}")
        case.codes += str(ended.code)
        return ended

    ends("doctor", path, *(["--json"] if rng.random() < 0.3 else []))
    # A fit that succeeds compiles programs of its own, which takes longer than all the rest.
    fits = rng.random() < FITS
    fitted = ends("fit", path, "-o", model, "--iterations", 20).code == 0 if fits else False
    models = [model] if fitted else []
    if not models or rng.random() < 0.3:
        models.append(reference(home))
    keep = ["--keep", str(rng.choice(["kind", "when", "amount"]))] if rng.random() < 0.5 else []
    lenient = ["--on-error", str(rng.choice(["flag", "skip"]))] if rng.random() < 0.3 else []
    for each in models:
        ends("score", each, path, "-o", scores, "--explain", 2, *keep, *lenient)
        if rng.random() < 0.4:
            ends("report", each, path, "-o", folder / "r.html", *keep)
    if fitted:
        ends("info", model)
    left = [
        file.name for file in folder.iterdir() if file.name.startswith(".") or "advae-" in file.name
    ]
    if left:
        case.faults.append(f"left behind: {left}")
    if not case.faults:
        shutil.rmtree(folder)
    return case


def run(cases: int, seed: int, home: Path) -> Iterator[Case]:
    """Yield so many cases, made in processes of their own: one that dies is a fault, no end."""
    context = multiprocessing.get_context("spawn")
    for first in range(0, cases, 50):
        pool = ProcessPoolExecutor(1, mp_context=context)
        for number in range(first, min(cases, first + 50)):
            try:
                yield pool.submit(run_case, number, seed, home).result(20 * SECONDS)
            except (BrokenProcessPool, TimeoutError) as error:
                yield Case(number, "?", [f"the process died or hung: {error!r}"])
                for process in list((pool._processes or {}).values()):
                    process.kill()
                pool = ProcessPoolExecutor(1, mp_context=context)
        pool.shutdown()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="One case, in this process.")
    given = parser.parse_args()
    place = Path(tempfile.mkdtemp(prefix="tables-"))
    counts: Counter[str] = Counter()
    found = (
        iter([run_case(given.only, given.seed, place)])
        if given.only is not None
        else run(given.cases, given.seed, place)
    )
    bad, longest, most = 0, 0.0, 0.0
    for case in found:
        counts[case.kind.split(":")[0].split(" (")[0]] += 1
        longest, most = max(longest, case.seconds), max(most, case.megabytes)
        for fault in case.faults:
            bad += 1
            print(case.number, case.kind, fault, flush=True)
        if case.number % 10 == 9:
            print(
                f"after {case.number + 1}: {bad} faults, {longest:.1f} s, {most:.0f} MB", flush=True
            )
    print(dict(counts), f"{bad} faults; at most {longest:.1f} s and {most:.0f} MB a command")
    print(f"tables with faults are in {place}")
    sys.exit(bool(bad))
