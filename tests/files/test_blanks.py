"""Blank lines at either end of delimited files, and blanks around their names and values."""

import gzip
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from command_line import Run
from hostile_files import good_table
from polars.testing import assert_frame_equal

from advae.errors import InputError
from advae.files.source import open_source
from advae.tables.encoder import TableEncoder

ENDS = ["\n", "\n\n\n\n", "  \n", "\n \n\n\t\n", "   ", "\n" * 200_000]


def write(path: Path, text: str) -> Path:
    content = text.encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz"])
@pytest.mark.parametrize("end", ENDS, ids=range(len(ENDS)))
@pytest.mark.parametrize("line_end", ["\n", "\r\n"], ids=["lf", "crlf"])
def test_blank_lines_at_the_end_are_no_rows(
    tmp_path: Path, name: str, end: str, line_end: str
) -> None:
    table = good_table()
    text = (table.write_csv() + end).replace("\n", line_end)
    path = write(tmp_path / name, text)
    assert_frame_equal(open_source(path).read(), table)
    given = TableEncoder.fit(table).dtypes
    assert open_source(path, dtypes=given).read().height == table.height


@pytest.mark.parametrize("end", ["\n", " \n\n"])
def test_blank_lines_at_the_end_of_a_long_compressed_file(tmp_path: Path, end: str) -> None:
    for number in (1, 2):
        write(tmp_path / f"{number}.csv.gz", "a,b\n" + "0.123,4.5\n" * 200_000 + end * 70_000)
    source = open_source(tmp_path / "*.gz")
    assert [batch.height for batch in source.batches(150_000)] == [150_000, 50_000] * 2
    write(tmp_path / "2.csv.gz", "a,b\n1,inf\n2,3\n")
    source = open_source(tmp_path / "*.gz")
    message = r"2\.csv\.gz: column 'b', row 0 .*'inf' is not a finite"
    with pytest.raises(InputError, match=message), source.located():
        TableEncoder.fit_batches(source.batches())


@pytest.mark.parametrize("begin", ["\n", "\r\n\r\n", "  \n\n", "\ufeff\n"])
def test_blank_lines_before_the_header_are_passed_over(tmp_path: Path, begin: str) -> None:
    path = write(tmp_path / "a.csv", begin + good_table().write_csv())
    assert_frame_equal(open_source(path).read(), good_table())


@pytest.mark.parametrize("mark", ["sep=;\n", "SEP=;\r\n", '"sep=;"\n', "\ufeffsep=;\n"])
def test_the_line_that_tells_excel_the_separator(tmp_path: Path, mark: str) -> None:
    text = good_table().write_csv(separator=";")
    path = write(tmp_path / "a.csv", mark + text)
    assert_frame_equal(open_source(path).read(), good_table())
    write(path, "sep=;\na;b,c\n1;2,5\n2;3,5\n")
    assert open_source(path).columns == ("a", "b,c")


def test_lines_and_rows_are_counted_as_in_the_file(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "\nsep=,\na,b\n1,2\n3\n\n\n")
    with pytest.raises(InputError, match=r"line 5 \(row 1;.*has 1 field, the header has 2"):
        open_source(path).read()
    write(path, "\n\na,b\n1,2\n\n3,4\n\n")
    with pytest.raises(InputError, match=r"line 5 \(row 1;.*is blank, and others follow"):
        open_source(path).read()
    write(path, "\na,b\n1,2\n3,x\n\n \n")
    with pytest.raises(InputError, match=r"column 'b', row 1 .*'x' is not a number"):
        open_source(path, dtypes={"a": pl.Float64(), "b": pl.Float64()}).read()


def test_rows_are_told_apart_from_blank_lines(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "a,b\n1,2\n,\n\n")
    assert open_source(path).read().rows() == [(1, 2), (None, None)]
    path = write(tmp_path / "a.tsv", "a\tb\n1\t2\n\t\n\n")
    assert open_source(path).read().rows() == [(1, 2), (None, None)]
    path = write(tmp_path / "a.csv", 'a,b\n1,"2\n\n"\n\n\n')
    assert open_source(path).read().rows() == [(1, "2\n\n")]
    # In one column a blank line is a missing value, and Polars writes it so.
    path = write(tmp_path / "a.csv", "a\n1\n\n2\n\n")
    assert open_source(path).read()["a"].to_list() == [1, None, 2, None]


def test_rows_of_several_files_keep_their_places(tmp_path: Path) -> None:
    write(tmp_path / "1.csv", "a,b\n1,2\n3,4\n\n\n")
    write(tmp_path / "2.csv", "a,b\n5,6\n7,1e999\n\n")
    source = open_source(tmp_path / "*.csv")
    message = r"2\.csv: column 'b', row 1 .*'inf' is not a finite"
    with pytest.raises(InputError, match=message), source.located():
        TableEncoder.fit_batches(source.batches())


def test_every_command_takes_blank_lines(run: Run, tmp_path: Path) -> None:
    table = good_table().with_columns(label=pl.Series([0] * 55 + [1] * 5))
    path = write(tmp_path / "a.csv", "\n" + table.write_csv() + "\n \n\n")
    model, scores = tmp_path / "m.advae", tmp_path / "s.csv"
    for arguments in (
        ["doctor", path],
        [
            "fit",
            path,
            "-o",
            model,
            "--label",
            "label",
            "--preset",
            "paper",
            "--iterations",
            200,
            "--sample",
            30,
        ],
        ["score", model, path, "-o", scores],
        ["evaluate", model, path, "--label", "label"],
        ["report", model, path, "-o", tmp_path / "r.html"],
    ):
        done = run(*arguments)
        assert done.code == 0, done.err
    assert pl.read_csv(scores)["row"].to_list() == list(range(table.height))


def padded(text: str, style: str) -> str:
    if style == "after":
        return text.replace(",", ", ")
    if style == "before":
        return text.replace(",", " ,")
    if style == "aligned":
        lines = [line.split(",") for line in text.splitlines()]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        rows = ([cell.rjust(w) for cell, w in zip(line, widths, strict=True)] for line in lines)
        return "".join(",".join(row) + "\n" for row in rows)
    if style == "comma":
        return text.replace(",", " ; ").replace(".", ",")
    return re.sub(r"north|south|shop|paid", r'"\g<0>"', text).replace(",", ", ")


@pytest.mark.parametrize("style", ["after", "before", "aligned", "comma", "quoted"])
def test_blanks_around_do_not_count(tmp_path: Path, style: str) -> None:
    table = good_table().with_columns(
        empty=pl.lit(None, pl.String),
        amount=pl.when(pl.col("items") == 3).then(None).otherwise(pl.col("amount")),
        when=pl.col("day").cast(pl.Datetime("us")) + pl.duration(hours=7),
    )
    text = table.write_csv(null_value="NA", datetime_format="%F %T")
    bare, path = write(tmp_path / "bare.csv", text), write(tmp_path / "a.csv", padded(text, style))
    expected = open_source(bare).read()
    assert_frame_equal(open_source(path).read(), expected)
    encoder = TableEncoder.fit(expected)
    learned = open_source(path, dtypes=encoder.dtypes).read()
    assert encoder.transform(learned).tolist() == encoder.transform(expected).tolist()


def test_numbers_padded_under_plain_names(tmp_path: Path) -> None:
    numbers = np.random.default_rng(0).normal(size=(3000, 2)) * 10.0 ** np.arange(-9, 3, 6)
    rows = [f"{a!r:>30},x ,{b!r} \n" for a, b in numbers.tolist()]
    path = write(tmp_path / "a.csv", "a,t,b\n" + "".join(rows))
    table = open_source(path).read()
    assert table.select("a", "b").to_numpy().tolist() == numbers.tolist()
    assert table["t"].unique().to_list() == ["x "]
    given = open_source(path, dtypes=dict.fromkeys(["a", "b"], pl.Float64())).read()
    assert_frame_equal(given, table)
    path = write(tmp_path / "a.csv", "a,b\n" + "".join(f"1, {n}\n" for n in [1, 2, "?"]))
    assert open_source(path).read()["b"].to_list() == [" 1", " 2", " ?"]
    with pytest.raises(InputError, match=r"column 'b', row 2 .*' \?' is not a number"):
        open_source(path, dtypes=dict.fromkeys(["a", "b"], pl.Float64())).read()


def test_names_lose_their_blanks(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", 'a, b,\t"c" ," d e "\n1, 2, 3, 4\n')
    assert open_source(path).columns == ("a", "b", "c", "d e")
    assert open_source(path).read().rows() == [(1, 2, 3, 4)]


def test_many_padded_columns(tmp_path: Path) -> None:
    names = [f"column {number}" for number in range(1500)]
    rows = [", ".join(map(str, range(row, row + 1500))) for row in range(20)]
    path = write(tmp_path / "a.csv", "\n".join([", ".join(names), *rows]))
    table = open_source(path).read()
    assert table.columns == names
    assert table.row(19) == tuple(range(19, 1519))
