"""Which types the columns of files are given."""

import csv
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from command_line import Run
from polars.testing import assert_frame_equal

from advae.errors import InputError
from advae.files.source import open_source


def read(folder: Path, *texts: str) -> pl.DataFrame:
    for number, text in enumerate(texts):
        (folder / f"part-{number}.csv").write_text(text)
    return open_source(folder / "part-*.csv").read()


@pytest.mark.parametrize("empty", [999, 1000, 1001, 5000])
@pytest.mark.parametrize("mark", ["", "NA", '""'])
def test_a_column_that_begins_empty(tmp_path: Path, empty: int, mark: str) -> None:
    later = "1,2.5,2024-01-31,true,x,\n"
    text = "a,n,d,b,t,e\n" + f"1,{mark},{mark},{mark},{mark},\n" * empty + later * 3
    table = read(tmp_path, text)
    assert table.dtypes == [pl.Int64, pl.Float64, pl.Date, pl.Boolean, pl.String, pl.String]
    assert table.null_count().row(0) == (0, *[empty] * 4, empty + 3)


def test_a_column_that_is_empty_in_some_files(tmp_path: Path) -> None:
    table = read(tmp_path, "a,n,d\n1,,\n", "a,n,d\n1,2.5,2024-01-31\n", "a,n,d\n1,,\n")
    assert table.dtypes == [pl.Int64, pl.Float64, pl.Date]
    assert table["n"].to_list() == [None, 2.5, None]


def test_missing_values_in_quotes(tmp_path: Path) -> None:
    table = read(tmp_path, '"n","d","t"\n"1","2024-01-31","x"\n"","",""\n')
    assert table.dtypes == [pl.Int64, pl.Date, pl.String]
    assert table.row(1) == (None, None, None)


@pytest.mark.parametrize("place", [0, 5])
def test_long_texts(tmp_path: Path, place: int) -> None:
    before = csv.field_size_limit()
    texts = ["x", "y, z"] * 5
    texts[place] = "x" * 200_000
    # The missing value makes the reader look for short rows.
    table = read(tmp_path, "t,n\n" + "".join(f'"{text}",\n' for text in texts))
    assert table["t"].to_list() == texts
    assert csv.field_size_limit() == before


@pytest.mark.parametrize("late", ["31/01/2024", "soon"])
def test_what_has_no_type_is_text_and_can_be_ignored(run: Run, tmp_path: Path, late: str) -> None:
    path = tmp_path / "a.csv"
    rows = "".join(f"{row % 7},2024-01-31\n" for row in range(1200))
    path.write_text(f"a,x\n{rows}1,{late}\n")
    table = open_source(path).read()
    assert table.dtypes == [pl.Int64, pl.String]
    assert table["x"][-1] == late
    assert run("doctor", path, "--ignore", "x").code == 0


def test_times_and_categories_of_files_keep_their_values(tmp_path: Path) -> None:
    when = datetime(2024, 1, 31, 12, 0, 0, 1)
    for number, unit in enumerate(("ns", "us", "ms")):
        pl.DataFrame(
            {
                "when": pl.Series([when], dtype=pl.Datetime(unit)),
                "long": pl.Series([timedelta(microseconds=1)], dtype=pl.Duration(unit)),
                "kind": pl.Series([unit], dtype=pl.Enum([unit])),
            }
        ).write_parquet(tmp_path / f"{number}.parquet")
    table = open_source(tmp_path / "*.parquet").read()
    assert table["when"].to_list() == [when, when, when.replace(microsecond=0)]
    assert table["long"].to_list() == [timedelta(microseconds=1)] * 2 + [timedelta(0)]
    assert table["kind"].to_list() == ["ns", "us", "ms"]


def test_a_type_that_changes_between_files_is_named(tmp_path: Path) -> None:
    zones: list[str | None] = [None, None, "UTC"]
    for number, zone in enumerate(zones):
        when = pl.Series([0], dtype=pl.Datetime("us", zone))
        pl.DataFrame({"n": [1], "when": when}).write_parquet(tmp_path / f"{number}.parquet")
    with pytest.raises(InputError, match=r"2\.parquet: column 'when' .*'UTC'\), but .*=None\) in"):
        open_source(tmp_path / "*.parquet")


@pytest.mark.parametrize(
    "values",
    [
        ["1E5", "1.", ".5", "+3", "-1e-3", "7"],
        ["1.", "2.", "3."],
        ["1E5", "2E5"],
        ["+1", "+2"],
        ["1", "2.5"] * 600 + ["1E5", "3."],
    ],
)
def test_numbers_in_any_form_are_no_categories(tmp_path: Path, values: list[str]) -> None:
    table = read(tmp_path, "a,x\n" + "".join(f"1,{value}\n" for value in values))
    assert table["x"].to_list() == [float(value) for value in values]
    given = open_source(tmp_path / "part-0.csv", dtypes={"x": pl.Float64()}).read()
    assert given["x"].to_list() == table["x"].to_list()


@pytest.mark.parametrize("word", ["n/a", "#N/A", "<NA>", "null"])
def test_words_for_missing_values(tmp_path: Path, word: str) -> None:
    table = read(tmp_path, f"a,x,d\n1,2.5,2025-01-31\n2,{word},{word}\n")
    assert table.dtypes == [pl.Int64, pl.Float64, pl.Date]
    assert table.row(1) == (2, None, None)


TIMES = {
    "when": ["2024-12-31T23:59:59.5", "2025-01-01T00:00:00"],
    "zoned": ["2024-12-31T23:59:59Z", "2025-01-01T01:00:00+01:00"],
    "day": ["2024-12-31", "2025-01-01"],
    "clock": ["23:59:59", "00:00:00"],
    "short": ["24-12-31", "25-01-01"],
    "word": ["2024-12-31", "soon"],
}


def test_times_in_json_are_times(tmp_path: Path) -> None:
    texts = pl.DataFrame(TIMES)
    texts.write_csv(tmp_path / "a.csv")
    texts.write_ndjson(tmp_path / "a.ndjson")
    table = open_source(tmp_path / "a.ndjson").read()
    assert table.dtypes == [
        *(pl.Datetime("us"), pl.Datetime("us", "UTC"), pl.Date, pl.Time, pl.String, pl.String)
    ]
    assert_frame_equal(table, open_source(tmp_path / "a.csv").read())
    given = open_source(tmp_path / "a.ndjson", dtypes=dict.fromkeys(TIMES, pl.String())).read()
    assert_frame_equal(given, texts)


def test_missing_and_late_times_in_json(tmp_path: Path) -> None:
    lines = ['{"day": "", "late": null, "word": "2024-12-31"}'] * 1500
    lines += ['{"day": " 2024-12-31 ", "late": "2024-12-31", "word": "x"}']
    (tmp_path / "a.ndjson").write_text("\n".join(lines))
    table = open_source(tmp_path / "a.ndjson").read()
    assert table.dtypes == [pl.Date, pl.Date, pl.String]
    assert table.null_count().row(0) == (1500, 1500, 0)
