"""Kinds of fault that other readers have: rows lost or merged, numbers and dates misread."""

import gzip
import io
import json
import re
import subprocess
import sys
import zipfile
from datetime import date
from pathlib import Path

import numpy as np
import openpyxl
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from backports import zstd
from command_line import Run

import advae
from advae.errors import ConfigError, InputError
from advae.files.source import open_source
from advae.tables.encoder import TableEncoder
from advae.tables.frames import as_frame


def write(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    return path


def fit(run: Run, path: Path, *more: object) -> Path:
    model = path.with_suffix(".advae")
    done = run("fit", path, "-o", model, "--preset", "paper", "--iterations", 20, *more)
    assert done.code == 0, done.err
    return model


# A. Quotes


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ('w,t\n1,5"\n2,x\n', [(1, '5"'), (2, "x")]),
        ('w,t\n1,5" pipe\n2,x\n3,7" pipe\n\n', [(1, '5" pipe'), (2, "x"), (3, '7" pipe')]),
        ('w,5"\n1,x\n2,y\n', [(1, "x"), (2, "y")]),
        ('w,t\n1,a""b\n2,"a""b"\n', [(1, 'a""b'), (2, 'a"b')]),
        ('w,t\n1,a\\"b\n2,"x,\ny"\n', [(1, 'a\\"b'), (2, "x,\ny")]),
    ],
)
def test_quotes_within_fields_are_text(
    tmp_path: Path, text: str, rows: list[tuple[object, ...]]
) -> None:
    assert open_source(write(tmp_path / "a.csv", text)).read().rows() == rows


@pytest.mark.parametrize(
    ("text", "line", "column", "character"),
    [
        ('w,t\n"a \\" b",1\nx,2\n"c \\" d",3\n', 2, "w", 1),
        ('w,t\n1,x\n2,"6" pipe"\n3,y\n', 3, "t", 3),
        ('w,t\n1,"two\nlines"\n2,"x"y\n', 4, "t", 3),
        ('w,t\n1,"x\n2,y\n', 2, "t", 3),
        ('w,t\n1,"x" \n2,y\n', 2, "t", 3),
    ],
)
def test_quotes_that_do_not_end_are_refused_with_their_place(
    tmp_path: Path, text: str, line: int, column: str, character: int
) -> None:
    place = rf"line {line}: a quoted text does not end .*column '{column}', character {character} "
    with pytest.raises(InputError, match=place):
        open_source(write(tmp_path / "a.csv", text)).read()


def test_a_quote_in_a_long_file_costs_no_row(tmp_path: Path) -> None:
    texts = ['5" pipe' if row % 50_000 == 7 else f'"say ""{row}"""' for row in range(200_000)]
    path = write(tmp_path / "a.csv", "n,t\n" + "".join(f"{n},{t}\n" for n, t in enumerate(texts)))
    table = open_source(path).read()
    assert table["n"].to_list() == list(range(200_000))
    assert table["t"][[7, 8]].to_list() == ['5" pipe', 'say "8"']


# B. Dialect


@pytest.mark.parametrize(
    ("header", "row", "columns"),
    [
        ("weight, kg\tkind", "3,5\ta", ("weight, kg", "kind")),
        ("Datum;Umsatz (Ist, Soll, Plan)", "2024-01-01;5", ("Datum", "Umsatz (Ist, Soll, Plan)")),
        ('a,"size (h;w;d;l)",c', "1,2,3", ("a", "size (h;w;d;l)", "c")),
        ("a|b, c, d", "1|2", ("a", "b, c, d")),
    ],
)
def test_header_and_rows_agree_on_the_separator(
    tmp_path: Path, header: str, row: str, columns: tuple[str, ...]
) -> None:
    path = write(tmp_path / "a.csv", f"{header}\n" + f"{row}\n" * 9)
    assert open_source(path).columns == columns


@pytest.mark.parametrize(
    ("rows", "grouped"),
    [(["a\t1,047\t0.53", "a\t998\t0.5"], "1,047"), (["a;1.047;0,53", "a;998;0,5"], "1.047")],
)
def test_groups_of_thousands_are_no_decimals(tmp_path: Path, rows: list[str], grouped: str) -> None:
    separator = rows[0][1]
    path = write(tmp_path / "a.csv", "\n".join([f"k{separator}n{separator}r", *rows]))
    source = open_source(path)
    assert source.read()["n"].to_list() == [grouped, "998"]
    assert grouped in source.notes[0]
    with pytest.raises(InputError, match=f"'{grouped}' is not a number"):
        open_source(path, dtypes={"n": pl.Float64()}).read()


@pytest.mark.parametrize("rows", ["a;1,047\nb;2,500\n", "a;1.047\nb;998\n", "a;12,345,678\nb;1\n"])
def test_what_may_be_groups_or_decimals_is_asked(tmp_path: Path, rows: str) -> None:
    path = write(tmp_path / "a.csv", "k;n\n" + rows)
    with pytest.raises(InputError, match=r"column 'n' holds numbers such as .*say which sign"):
        open_source(path)
    if "345" not in rows:
        sign = "," if "," in rows else "."
        said = advae.read_table(path, decimal=sign)["n"]
        assert said[0] == 1.047


def test_a_file_has_one_decimal_sign(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "v;w\n1,5;2.5\n2,5;3.75\n")
    with pytest.raises(InputError, match=r"'v' holds '1,5' and column 'w' '2\.5'.*decimal sign"):
        open_source(path)
    assert advae.read_table(path, decimal=",").rows() == [(1.5, "2.5"), (2.5, "3.75")]


@pytest.mark.parametrize("header", ["0,1,2", "2019,2020,2021", "400,410,420"])
def test_whole_numbers_over_others_are_names(tmp_path: Path, header: str) -> None:
    path = write(tmp_path / "a.csv", f"{header}\n0.5,-1,x\n1.5,2,y\n")
    assert open_source(path).columns == tuple(header.split(","))


def test_a_model_takes_a_header_of_its_numbers(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "0,1\n5,7\n")
    with pytest.raises(InputError, match="no header line"):
        open_source(path)
    names = dict.fromkeys(["0", "1"], pl.Float64())
    assert open_source(path, dtypes=names).read().rows() == [(5, 7)]


# C. One value that is no number, date or truth


@pytest.mark.parametrize("distinct", [3, 40, 200])
@pytest.mark.parametrize(
    ("kind", "bad"),
    [("numbers", "1.3O"), ("numbers", "?"), ("dates", "tbd"), ("dates", "2024-02-31")],
)
def test_what_spoils_a_column_is_named_with_its_row(
    run: Run, tmp_path: Path, distinct: int, kind: str, bad: str
) -> None:
    days = pl.date_range(date(2024, 1, 1), date(2024, 12, 31), eager=True).cast(pl.String)
    values = [
        days[row % distinct] if kind == "dates" else f"{row % distinct}.5" for row in range(300)
    ]
    values[150] = bad
    path = write(
        tmp_path / "a.csv", "v,x\n" + "".join(f"{v},{n % 17}\n" for n, v in enumerate(values))
    )
    said = rf"holds {kind}, except for texts such as '{bad}' (row 150): correct"
    done = run("fit", path, "-o", tmp_path / "m.advae", "--preset", "paper", "--iterations", 20)
    assert said in " ".join(done.err.split())
    assert said in run("doctor", path, "--json").out


def test_rows_keep_their_numbers_beside_labels(run: Run, tmp_path: Path) -> None:
    rows = [f"{row % 9},{int(row % 2)}\n" for row in range(200)]
    rows[100] = "1.O,0\n"
    path = write(tmp_path / "a.csv", "v,bad\n" + "".join(rows))
    done = run(
        "fit",
        path,
        "-o",
        tmp_path / "m.advae",
        "--preset",
        "paper",
        "--iterations",
        20,
        "--label",
        "bad",
    )
    assert "'1.O' (row 100)" in " ".join(done.err.split())


def test_what_spoils_a_column_in_rows_not_learned_from_is_named(run: Run, tmp_path: Path) -> None:
    rows = [f"{row}.25,2024-01-01 {row // 60:02}:{row % 60:02},0\n" for row in range(200)]
    rows[70], rows[90] = "EUR 13.07,2024-01-01 01:10,1\n", "2.5,soon,1\n"
    path = write(tmp_path / "a.csv", "v,at,bad\n" + "".join(rows))
    done = run("fit", path, "-o", tmp_path / "m.advae", "--label", "bad")
    assert done.code == 2
    said = done.err.partition(" But ")[2]
    first = "'v' holds numbers, except for texts such as 'EUR 13.07' (row 70): correct"
    second = "'at' holds dates, except for texts such as 'soon' (row 90): correct"
    assert said.startswith(first)
    assert second in said
    assert "But" not in said
    found = json.loads(run("doctor", path, "--label", "bad", "--json").out)["findings"]
    advice = [each["advice"] for each in found if each["check"] == "misread"]
    assert [first in advice[0], second in advice[1]] == [True, True]


def test_codes_are_categories_without_remark() -> None:
    frame = pl.DataFrame({"c": ["1", "A", "B", "C"] * 9, "n": range(36)})
    assert not [
        n
        for n in advae.fit_detector(
            frame, advae.Config.preset("paper", iterations=10)
        ).summary.notes
        if "'c'" in n
    ]


# D. Columns that are not the user's


def test_the_index_of_pandas_is_left_out(run: Run, tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": np.arange(60.0), "b": np.arange(60) % 7})
    frame[frame.b > 1].to_parquet(tmp_path / "a.parquet")
    source = open_source(tmp_path / "a.parquet")
    assert list(source.schema) == ["a", "b"]
    assert "__index_level_0__" in source.notes[0]
    frame.reset_index().rename(columns={"index": "Unnamed: 0"}).to_csv(
        tmp_path / "a.csv", index=False
    )
    assert list(open_source(tmp_path / "a.csv").read().columns) == ["a", "b"]
    stored = pa.Table.from_pandas(frame[frame.b > 1])
    assert "__index_level_0__" in stored.column_names
    for table in (stored, stored.to_reader()):
        assert as_frame(table).columns == ["a", "b"]
    named = pa.Table.from_pandas(frame.set_index("b"))
    assert as_frame(named).columns == ["a", "b"]


@pytest.mark.parametrize("name", ["__index_level_0__", "Unnamed: 0"])
def test_the_index_of_pandas_is_told_where_it_may_be_a_column(name: str) -> None:
    frame = pl.DataFrame({"a": range(60), name: [f"row {row}" for row in range(60)]})
    with pytest.raises(InputError, match=f"But '{name}' is where pandas keeps its index: leave it"):
        TableEncoder.fit(frame)
    table = TableEncoder.fit(frame.with_columns(pl.Series(name, [3, 1, 2] * 20)))
    note = f"Learned, though pandas keeps its index there: '{name}'."
    assert table.notes(trend=True) == (note,)


def test_categories_of_numbers_are_categories(tmp_path: Path) -> None:
    frame = pd.DataFrame({"k": pd.Categorical([1, 2, 3] * 20), "n": range(60)})
    frame.to_parquet(tmp_path / "a.parquet")
    for table in (open_source(tmp_path / "a.parquet").read(), frame):
        detector = advae.fit_detector(table, advae.Config.preset("paper", iterations=10))
        assert [f.kind for f in detector.table.features] == ["category", "number"]


def test_signs_in_columns_that_are_not_used_are_no_decimal_signs(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "v;more;k\n1.5;1,047;1,5\n2.5;2,500;2,5\n")
    dtypes = {"v": pl.Float64(), "k": pl.String()}
    assert open_source(path, dtypes=dtypes, only=["v", "k"]).read().rows()[0] == (1.5, "1,5")


def test_columns_that_are_not_used_cannot_fail(run: Run, tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "n,k\n" + "".join(f"{n % 7},{n % 3}\n" for n in range(90)))
    model = fit(run, path)
    extra = write(tmp_path / "b.csv", "o,n,k,p\n1e999,1,2,31/01/2024\nx,2,1,2024-01-31\n")
    done = run("score", model, extra)
    assert done.code == 0, done.err
    assert "not used" in done.err


@pytest.mark.parametrize("key", ["5258", "001", "9007199255764635", "1e5", "12.50"])
def test_kept_columns_come_out_as_they_are_written(run: Run, tmp_path: Path, key: str) -> None:
    rows = "".join(f"{1000 + 7 * n},{n % 5}\n" for n in range(90))
    path = write(tmp_path / "a.csv", f"id,n\n{key},1\n{rows}")
    done = run("score", fit(run, path), path, "--keep", "id")
    assert done.out.splitlines()[1].split(",")[1] == key


def test_kept_columns_with_a_decimal_comma_are_read(run: Run, tmp_path: Path) -> None:
    rows = "".join(f"{n},5;{n % 5}\n" for n in range(90))
    path = write(tmp_path / "a.csv", "v;n\n" + rows)
    done = run("score", fit(run, path), path, "--keep", "v")
    assert done.out.splitlines()[3].split(",")[1] == "2.5"


# E. Dates


@pytest.mark.parametrize("others", [[], ["2024-03-05"], ["2024-03-05"] * 9000, ["05.03.2024", ""]])
def test_a_date_means_the_same_alone_and_in_company(others: list[str]) -> None:
    days = pl.date_range(date(2024, 1, 1), date(2024, 12, 31), eager=True)
    encoder = TableEncoder.fit(pl.DataFrame({"day": days, "n": range(366)}))
    day = pl.DataFrame({"day": [*others, "31/01/2024"], "n": 5})
    alone = encoder.transform(pl.DataFrame({"day": ["2024-01-31"], "n": [5]}))
    assert encoder.transform(day)[-1].tolist() == alone[0].tolist()


@pytest.mark.parametrize("days", [5, 200])
def test_dates_in_two_forms_are_refused_with_both(run: Run, tmp_path: Path, days: int) -> None:
    dates = pl.date_range(date(2024, 1, 1), date(2024, 12, 31), eager=True)
    texts = [dates[row % days].isoformat() for row in range(300)]
    texts[170] = "31/01/2024"
    path = write(
        tmp_path / "a.csv", "d,n\n" + "".join(f"{d},{n % 9}\n" for n, d in enumerate(texts))
    )
    done = run("fit", path, "-o", tmp_path / "m.advae")
    assert done.code == 2
    assert "a.csv: column 'd' holds dates in two forms, such as" in done.err
    assert "'31/01/2024'" in done.err
    assert "two forms" in run("doctor", path, "--json").out


def test_a_ratio_is_no_time(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "ratio,n\n16:9,1\n4:3,2\n")
    assert open_source(path).read()["ratio"].to_list() == ["16:9", "4:3"]


def test_times_that_may_be_durations_are_remarked(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "t,n\n00:12:30,1\n01:05:00,2\n")
    (note,) = open_source(path).notes
    assert note.startswith("'t' is read as times of the day, none after 01:05:00; if these are dur")
    assert not open_source(write(path, "t,n\n00:12:30,1\n13:05:00,2\n")).notes


def test_days_that_may_be_months_are_remarked(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "d,n\n03/04/2024,1\n05/11/2024,2\n")
    source = open_source(path)
    assert source.read()["d"].to_list() == [date(2024, 4, 3), date(2024, 11, 5)]
    assert "2024-04-03 to 2024-11-05" in source.notes[0]
    assert not open_source(write(path, "d,n\n13/04/2024,1\n05/11/2024,2\n")).notes
    american = advae.read_table(path, date_format="%m/%d/%Y")
    assert american["d"].dtype == pl.String  # 13/04 is no such date
    write(path, "d,n\n03/04/2024,1\n")
    assert advae.read_table(path, date_format="%m/%d/%Y")["d"].to_list() == [date(2024, 3, 4)]


# Also


def test_texts_that_differ_in_case_alone_are_remarked(run: Run, tmp_path: Path) -> None:
    rows = [f"{n % 7},{'card' if n % 3 else 'cash'}\n" for n in range(90)]
    model = fit(run, write(tmp_path / "a.csv", "n,k\n" + "".join(rows)))
    done = run("score", model, write(tmp_path / "b.csv", "n,k\n1,Card\n1,coin\n1,CARD\n"))
    said = " ".join(done.err.split())
    assert "'k' holds 'Card', which training had rarely or never, but 'card': write it so" in said
    assert said.count("rarely or never") == 1
    rows[50], rows[51], rows[52] = "1,CASH\n", "1, card\n", "1,coin\n"
    path = write(tmp_path / "c.csv", "n,k\n" + "".join(rows))
    alike = (
        "texts that differ only in case, such as 'cash' and 'CASH', or in blanks, such as 'card' "
        "and ' card'."
    )
    assert alike in " ".join(
        run("fit", path, "-o", model, "--preset", "paper", "--iterations", 10).err.split()
    )
    found = run("doctor", path, "--json").out
    assert alike in found
    assert "5 texts: 2 learned as a category each, 3 too rare for one" in found
    for text in ("CASH", "cash "):  # training had the one; the model cannot tell
        done = run("score", model, write(tmp_path / "b.csv", f"n,k\n1,{text}\n"))
        rare = f"'k' holds '{text}', which training had rarely or never, but 'cash': write"
        assert rare in " ".join(done.err.split())


def test_json_lines_are_read_as_delimited_text_is(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.ndjson", '\ufeff{"a": "1.5", "b": 1}\n{"a": 2, "b": 9007199254740993}\n'
    )
    table = open_source(path).read()
    assert table.rows() == [(1.5, 1), (2.0, 9007199254740993)]


def test_a_key_that_no_line_has_is_missing_where_training_knew_that(
    run: Run, tmp_path: Path
) -> None:
    lines = [f'{{"a": {n % 7}, "b": {n % 5}}}' if n % 3 else f'{{"a": {n % 7}}}' for n in range(90)]
    path = write(tmp_path / "a.ndjson", "\n".join(lines))
    model = fit(run, path)
    done = run("score", model, write(tmp_path / "b.ndjson", '{"a": 1}\n{"a": 2}\n'))
    assert done.code == 0, done.err
    done = run("score", model, write(tmp_path / "c.ndjson", '{"b": 1}\n'))
    assert "missing column 'a'" in done.err


# What the user says


@pytest.mark.parametrize(
    ("content", "options"),
    [
        (b"a#b\n1.5#x\n", {"separator": "#"}),
        (b"a;b\n1,5;x\n", {"decimal": ","}),
        (b"a,b\n1.5,'x'\n", {"quote": "'"}),
        ("a,b\n1.5,é\n".encode("latin-1"), {"encoding": "latin-1"}),
        ("a,b\n1.5,é\n".encode("utf-16"), {}),
        ("a,b\n1.5,é\n".encode("utf-16-le"), {"encoding": "utf-16-le"}),
        (b"a,b\n1.5,-\n1.5,x\n", {"null": ("-",)}),
        (gzip.compress(b"a,b\n1.5,x\n"), {}),
        (zstd.compress(b"a,b\n1.5,x\n"), {}),
    ],
    ids=range(9),
)
def test_files_are_read_as_the_user_says(
    tmp_path: Path, content: bytes, options: dict[str, object]
) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    table = advae.read_table(tmp_path / "a.csv", **options)
    assert table["a"].to_list() == [1.5] * table.height
    assert table["b"][-1] in ("x", "é")
    assert table["b"].null_count() == len(options.get("null", ()))


@pytest.mark.parametrize(
    "options",
    [
        {"separator": ";;"},
        {"decimal": "x"},
        {"encoding": "klingon"},
        {"comma": ","},
        {"separator": ",", "decimal": ","},
    ],
)
def test_options_that_cannot_be(tmp_path: Path, options: dict[str, str]) -> None:
    with pytest.raises(ConfigError):
        advae.read_table(write(tmp_path / "a.csv", "a\n1\n"), **options)


def test_a_model_reads_new_files_as_it_read_the_first(run: Run, tmp_path: Path) -> None:
    rows = "".join(f"{n % 13}#{n % 5}\n" for n in range(90))
    path = write(tmp_path / "a.csv", "a#b\n" + rows)
    model = fit(run, path, "--separator", "#")
    assert run("score", model, path).code == 0
    other = write(tmp_path / "b.csv", "a,b\n1,2\n")
    done = run("score", model, other)
    assert "b.csv: line 1: the columns seem to be separated by ',', not by '#'" in done.err
    assert done.code == 2
    assert run("score", model, other, "--separator", ",").code == 0


@pytest.mark.parametrize(
    ("said", "learned", "contradiction", "place"),
    [
        (["--decimal", ","], "v;k\n{n},5;a\n", "v;k\n1,5;a\n2.5;a\n", "line 3, column 'v', row 1"),
        (
            ["--date-format", "%m/%d/%Y"],
            "v,k\n{m}/28/2024,a\n",
            "v,k\n12/31/2024,a\n2024-12-31,a\n",
            "line 3, column 'v', row 1",
        ),
        (
            ["--null", "-"],
            "v,k\n{n},a\n-,b\n",
            "v,k\n1,a\n-,b\nNA,b\n",
            "line 4, column 'v', row 2",
        ),
        (["--quote", "'"], "v,k\n{n},'a,b'\n", 'v,k\n1,"a,b"\n', "line 2 (row 0"),
        (["--encoding", "latin-1"], "v,k\n{n},é\n", "\ufeffv,k\n1,é\n", "line 1 begins with"),
    ],
)
def test_what_contradicts_what_was_said_is_named_with_its_line(
    run: Run, tmp_path: Path, said: list[str], learned: str, contradiction: str, place: str
) -> None:
    header, row = learned.split("\n", 1)
    rows = "".join(row.format(n=n % 13, m=n % 12 + 1) for n in range(90))
    encoding = "latin-1" if "--encoding" in said else "utf-8"
    (tmp_path / "a.csv").write_text(f"{header}\n{rows}", encoding)
    model = fit(run, tmp_path / "a.csv", *said)
    assert run("score", model, tmp_path / "a.csv").code == 0
    other = write(tmp_path / "b.csv", contradiction)
    done = run("score", model, other)
    assert done.code == 2
    assert f"b.csv: {place}" in done.err
    with pytest.raises(InputError, match=re.escape(f"b.csv: {place}")):
        advae.read_table(other, detector=advae.load(model))


def test_python_reads_new_files_as_the_first_were(tmp_path: Path) -> None:
    written = {"separator": "#", "decimal": ",", "null": ("-",)}
    first = write(tmp_path / "a.csv", "v#k\n-#a\n" + "".join(f"{n % 9},5#b\n" for n in range(90)))
    detector = advae.fit_detector(
        advae.read_table(first, **written),
        advae.Config.preset("paper", iterations=10),
        reading=advae.ReadOptions(**written),
    )
    advae.save(detector, tmp_path / "m.advae")
    new = write(tmp_path / "b.csv", "id#k#v#more\n007#b#1#x\n")
    table = advae.read_table(new, detector=advae.load(tmp_path / "m.advae"), keep=["id"])
    assert {name: table[name][0] for name in table.columns} == {"id": "007", "k": "b", "v": 1.0}
    assert detector.anomaly_score(table).shape == (1,)


def test_python_warns_of_what_may_be_read_otherwise(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "d,n\n03/04/2024,1\n")
    with pytest.warns(UserWarning, match="'d' is read with the day first"):
        advae.read_table(path)


def test_standard_input(tmp_path: Path, run: Run) -> None:
    path = write(tmp_path / "a.csv", "a,b\n" + "".join(f"{n % 13},{n % 5}\n" for n in range(90)))
    model = fit(run, path)
    command = [sys.executable, "-m", "advae", "score", str(model), "-", "--quiet"]
    for content in (path.read_bytes(), b'{"a": 1, "b": 2}\n', gzip.compress(path.read_bytes())):
        done = subprocess.run(command, input=content, capture_output=True, check=True)
        assert done.stdout.startswith(b"row,anomaly_score")


def test_sheets(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.active.append(["n", "t", "d"])
    book.active.append([1.5, "001", date(2024, 1, 31)])
    other = book.create_sheet("other")
    other.append(["m"])
    other.append([7])
    book.save(tmp_path / "a.xlsx")
    assert advae.read_table(tmp_path / "a.xlsx").rows() == [(1.5, 1, date(2024, 1, 31))]
    assert advae.read_table(tmp_path / "a.xlsx", sheet="other").rows() == [(7,)]
    with pytest.raises(InputError, match="no sheet 'third'; there are 'Sheet', 'other'"):
        advae.read_table(tmp_path / "a.xlsx", sheet="third")


def test_sheets_of_open_document(tmp_path: Path) -> None:
    def cell(value: float | str) -> str:
        kind = "string" if isinstance(value, str) else "float"
        given = "" if isinstance(value, str) else f' office:value="{value}"'
        typed = f'office:value-type="{kind}"{given}'
        return f"<table:table-cell {typed}><text:p>{value}</text:p></table:table-cell>"

    rows = [["n", "t", "d"], [1.5, "x", "2024-01-31"], [2.5, "y", "2024-02-01"]]
    lines = "".join(f"<table:table-row>{''.join(map(cell, row))}</table:table-row>" for row in rows)
    place = "urn:oasis:names:tc:opendocument:xmlns"
    names = (
        f'xmlns="{place}:text:1.0" xmlns:t="{place}:table:1.0" xmlns:office="{place}:office:1.0"'
    )
    sheet = f'<table:table table:name="one">{lines}</table:table>'
    body = f"<office:body><office:spreadsheet>{sheet}</office:spreadsheet></office:body>"
    path = tmp_path / "a.ods"
    with zipfile.ZipFile(path, "w") as book:
        book.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        book.writestr(
            "content.xml", f"<office:document-content {names}>{body}</office:document-content>"
        )
        book.writestr("META-INF/manifest.xml", "<manifest/>")
    wanted = [(1.5, "x", date(2024, 1, 31)), (2.5, "y", date(2024, 2, 1))]
    assert advae.read_table(path).rows() == wanted
    assert advae.read_table(path, sheet="one").rows() == wanted
    with pytest.raises(InputError, match="no sheet 'two'; there are 'one'"):
        advae.read_table(path, sheet="two")
    with zipfile.ZipFile(path) as book:
        held = {name: book.read(name) for name in book.namelist()}
    with zipfile.ZipFile(path, "w") as book:
        for name, content in held.items():
            book.writestr(name, content.replace(b"table:table ", b"table:other "))
    with pytest.raises(InputError, match="has no sheet"):
        advae.read_table(path)


# Bad cells


@pytest.mark.parametrize("ending", ["csv", "ndjson", "parquet"])
def test_a_kept_cell_that_cannot_be_read_comes_out_as_it_is(
    run: Run, tmp_path: Path, ending: str
) -> None:
    path = write(tmp_path / "a.csv", "a,b\n" + "".join(f"{n % 13},{n % 5}\n" for n in range(90)))
    model = fit(run, path)
    new, out = tmp_path / f"new.{ending}", tmp_path / "out.csv"
    rows = pl.DataFrame({"a": ["1", "abc", "3"], "b": ["1", "2", "x-"], "c": ["u", "v", "w"]})
    {"csv": rows.write_csv, "ndjson": rows.write_ndjson, "parquet": rows.write_parquet}[ending](new)
    words = ("score", model, new, "--keep", "c", "--keep", "a", "--quiet", "-o", out, "--on-error")
    assert run(*words, "flag").code == 0
    found = pl.read_csv(out, infer_schema=False)
    assert found["a"].to_list() == ["1", "abc", "3"]
    assert found["unreadable"].to_list() == [None, "a", "b"]
    assert run(*words, "skip").code == 0
    assert pl.read_csv(out, infer_schema=False)["a"].to_list() == ["1"]


def test_a_bad_cell_does_not_lose_the_batch(run: Run, tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "a,b\n" + "".join(f"{n % 13},{n % 5}\n" for n in range(90)))
    model = fit(run, path)
    write(tmp_path / "b1.csv", "a,b\n1,2\nx,3\n")
    write(tmp_path / "b2.csv", "a,b\ny,inf\n4,1\n")
    pattern = str(tmp_path / "b?.csv")
    done = run("score", model, pattern)
    assert done.code == 2
    assert "b1.csv: line 3, column 'a', row 1" in done.err
    done = run("score", model, pattern, "--on-error", "flag", "--quiet")
    assert done.code == 0
    found = pl.read_csv(io.StringIO(done.out))
    assert found["file"].str.slice(-6).to_list() == ["b1.csv", "b1.csv", "b2.csv", "b2.csv"]
    assert found["row"].to_list() == [0, 1, 0, 1]
    assert found["unreadable"].to_list() == [None, "a", "a, b", None]
    said = " ".join(done.err.split())
    for place in (
        "b1.csv: column 'a', row 1",
        "b2.csv: column 'a', row 0",
        "b2.csv: column 'b', row 0",
    ):
        assert place in said
    done = run("score", model, pattern, "--on-error", "skip", "--quiet")
    skipped = pl.read_csv(io.StringIO(done.out))
    assert skipped["row"].to_list() == [0, 1]
    assert "2 rows with such values were left out" in done.err
    assert skipped["anomaly_score"].to_list() == found["anomaly_score"][[0, 3]].to_list()
