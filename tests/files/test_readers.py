"""Files in, files out: what works, what is refused, and that nothing half-written stays."""

import gzip
import os
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hostile_files import HOSTILE_FILES, HostileFile, good_table
from polars.testing import assert_frame_equal

import advae
from advae import parallel
from advae.errors import InputError
from advae.files.sink import write_frames
from advae.files.source import open_source
from advae.tables.encoder import TableEncoder
from advae.tables.labels import parse_labels
from advae.tables.values import check_columns

EXTENSIONS = [".csv", ".tsv", ".txt", ".parquet", ".ndjson", ".jsonl", ".arrow", ".ipc", ".feather"]


def run(operation: str, path: Path) -> None:
    """Do with a file what the command does before its networks come in."""
    encoder = TableEncoder.fit(good_table())
    if operation == "fit":
        source = open_source(path)
        with source.located():
            TableEncoder.fit_batches(source.batches())
        return
    source = open_source(path, dtypes=encoder.dtypes)
    with source.located():
        if operation == "score":
            for batch in source.batches():
                encoder.transform(batch)
        else:
            check_columns(["label"], source.columns, str(path))
            parse_labels(source.read()["label"])


@pytest.mark.parametrize("hostile", HOSTILE_FILES, ids=lambda hostile: hostile.name)
def test_hostile_files_are_refused_with_one_message(tmp_path: Path, hostile: HostileFile) -> None:
    with pytest.raises(InputError) as caught:
        run(hostile.operation, hostile.write(tmp_path))
    message = str(caught.value)
    assert re.search(hostile.message, message)
    assert "\n" not in message
    assert caught.value.__cause__ is None


def test_there_are_enough_hostile_files_of_different_names() -> None:
    assert len({hostile.name for hostile in HOSTILE_FILES}) == len(HOSTILE_FILES) >= 30


def test_pipes_are_refused_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.csv")
    (tmp_path / "b.csv").write_text("a,b\n1,2\n3,4\n")
    for data in (tmp_path / "a.csv", tmp_path / "*.csv"):
        with pytest.raises(InputError, match=r"a\.csv: this is a pipe, .*Write it to a file first"):
            open_source(data)


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read everything")
def test_unreadable_file(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a,b\n1,2\n")
    path.chmod(0)
    with pytest.raises(InputError, match="Permission denied"):
        open_source(path)


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_every_format_survives_writing_and_reading(tmp_path: Path, extension: str) -> None:
    table, path = good_table().drop("day"), tmp_path / f"a{extension}"
    assert write_frames([table[:13], table[13:]], path) == table.height
    source = open_source(path)
    assert source.columns == tuple(table.columns)
    assert_frame_equal(source.read(), table)
    assert [batch.height for batch in source.batches(rows=25)] == [25, 25, 10]
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_small_files_share_batches(tmp_path: Path) -> None:
    table = good_table().drop("day")
    for number, part in enumerate(table.iter_slices(7)):
        write_frames([part], tmp_path / f"{number}.parquet")
    source = open_source(str(tmp_path / "*.parquet"))
    (whole,) = source.batches()
    assert_frame_equal(whole, table)
    assert [batch.height for batch in source.batches(rows=15)] == [14, 14, 14, 14, 4]


def test_batches_of_wide_tables_have_fewer_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parallel, "CELLS_AT_ONCE", 256 * 8)
    pl.DataFrame({name: range(600) for name in "abcdefgh"}).write_parquet(tmp_path / "a.parquet")
    batches = open_source(tmp_path / "a.parquet").batches()
    assert [batch.height for batch in batches] == [256, 256, 88]


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "\ufeff" + text,
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.removesuffix("\n"),
        lambda text: text.replace(",", ";"),
        lambda text: text.replace(",", ";").replace(".", ","),
        lambda text: text.replace(",", "\t"),
        lambda text: text.replace(",", "|"),
        lambda text: re.sub("north", '"north"', text),
    ],
    ids=["bom", "crlf", "no-last-newline", "semicolon", "decimal-comma", "tab", "pipe", "quotes"],
)
def test_dialects_of_csv(tmp_path: Path, change: Callable[[str], str]) -> None:
    path = tmp_path / "a.csv"
    path.write_text(change(good_table().write_csv()), encoding="utf-8", newline="")
    assert_frame_equal(open_source(path).read(), good_table())


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ("3;1\n1,5;2\n", [3.0, 1.5]),
        ("1;1\n" * 3000 + "-1,5e2;2\n", [1.0] * 3000 + [-150.0]),
        ("NA;1\n;2\n,5;3\n", [None, None, 0.5]),
        ("2,5;1\n" * 19 + "?;1\n", ["2,5"] * 19 + ["?"]),
        # A list of numbers is a text, and the other column has a decimal point.
        ("1,2;1.5\n1,2,3;2.5\n", ["1,2", "1,2,3"]),
        ("1,2;1.5\nx;2.5\ny;1\n", ["1,2", "x", "y"]),
        ("3.5;x\n2;1,5\n4;y\n", [3.5, 2.0, 4.0]),
    ],
)
def test_the_decimal_comma_is_told_from_all_rows(
    tmp_path: Path, rows: str, expected: list[object]
) -> None:
    path = tmp_path / "a.csv"
    path.write_text("p;q\n" + rows)
    table = open_source(path).read()
    assert table["p"].to_list() == expected
    if ".5\n" in rows:
        assert table["q"].dtype == pl.Float64


def test_a_mark_among_decimal_commas_is_what_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("p;q\n" + "3;1\n" + "1,5;2\n" * 18 + "?;1\n")
    with pytest.raises(InputError, match=r"column 'p', row 19 .*'\?' is not a number"):
        open_source(path, dtypes={"p": pl.Float64()}).read()


def test_compressed_text(tmp_path: Path) -> None:
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(good_table().write_csv().encode()))
    assert_frame_equal(open_source(path).read(), good_table())


NAMES = ["ü", 'quo"te', "<script>", "two\nlines", "a,b", "a blank", "💥"]


@pytest.mark.parametrize("extension", [".csv", ".parquet", ".ndjson", ".arrow"])
def test_odd_column_names(tmp_path: Path, extension: str) -> None:
    table = pl.DataFrame({name: [1, 2] for name in NAMES})
    path = tmp_path / f"odd [1] *{extension}"
    write_frames([table], path)
    assert_frame_equal(open_source(path).read(), table)


def test_missing_words_and_late_types(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("n,f,t,d\n" + "1,NA,7,2024-01-31\n" * 5000 + "2.5,1,x,\n")
    table = open_source(path).read()
    assert table.dtypes == [pl.Float64, pl.Int64, pl.String, pl.Date]
    assert table["f"].null_count() == 5000
    assert table.row(-1) == (2.5, 1, "x", None)


def test_given_types_keep_a_category_a_text(tmp_path: Path) -> None:
    for name, text in (("a.csv", "c,n\n001,1\n002,2\n"), ("a.ndjson", '{"c": 1, "n": 2}\n')):
        path = tmp_path / name
        path.write_text(text)
        table = open_source(path, dtypes={"c": pl.String(), "n": pl.Float64()}).read()
        assert table.dtypes == [pl.String, pl.Float64]
    assert open_source(tmp_path / "a.csv", dtypes={"c": pl.String()}).read()["c"][0] == "001"


def test_patterns_and_lists_join_files_in_order(tmp_path: Path) -> None:
    (tmp_path / "p2.csv").write_text("b,a\n1.5,2\n")
    (tmp_path / "p1.csv").write_text("a,b\n1,2\n")
    expected = pl.DataFrame({"a": [1, 2], "b": [2.0, 1.5]})
    assert_frame_equal(open_source(tmp_path / "p*.csv").read(), expected)
    assert_frame_equal(
        open_source([tmp_path / "p1.csv", str(tmp_path / "p2.csv")]).read(), expected
    )


@pytest.mark.parametrize("extension", [".parquet", ".arrow"])
def test_parts_without_rows_say_nothing(tmp_path: Path, extension: str) -> None:
    table = good_table()
    for number, part in enumerate([table[:0].select(pl.all().cast(pl.String)), table, table[:0]]):
        write_frames([part], tmp_path / f"part-{number}{extension}")
    source = open_source(tmp_path / f"part-*{extension}")
    assert_frame_equal(source.read(), table)
    with pytest.raises(InputError, match=rf"part-2{extension}: columns but no rows"):
        open_source(tmp_path / f"part-2{extension}")
    with pytest.raises(InputError, match=r"part-0\..* and 1 more file: columns but no"):
        open_source([tmp_path / f"part-{number}{extension}" for number in (0, 2)])


def test_files_of_different_formats_are_refused(tmp_path: Path) -> None:
    good_table().write_csv(tmp_path / "a.csv")
    good_table().write_parquet(tmp_path / "a.parquet")
    with pytest.raises(InputError, match="different formats"):
        open_source(tmp_path / "a.*")


def test_unknown_columns_are_named() -> None:
    with pytest.raises(InputError, match=r"missing column 'shp'.*'shop' for 'shp'"):
        check_columns(["shp"], good_table().columns, "the table")


def test_a_null_in_the_last_column_is_no_short_row(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('a,b\n1,\n"2,\n3",x\n')
    assert open_source(path).read()["a"].to_list() == ["1", "2,\n3"]


def failing(error: type[BaseException]) -> Iterator[pl.DataFrame]:
    for _ in range(3):
        yield good_table()
    raise error("half-way")


@pytest.mark.parametrize("extension", [".csv", ".parquet", ".ndjson", ".arrow"])
@pytest.mark.parametrize("error", [InputError, ZeroDivisionError, KeyboardInterrupt])
def test_a_failed_write_changes_nothing(
    tmp_path: Path, extension: str, error: type[BaseException]
) -> None:
    path = tmp_path / f"a{extension}"
    path.write_text("before")
    with pytest.raises(error, match="half-way" if error is not KeyboardInterrupt else None):
        write_frames(failing(error), path)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    assert path.read_text() == "before"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a.xlsx", "cannot write workbooks"),
        ("a.sas7bdat", "unknown file extension '.sas7bdat'. Use one of .csv, .*, .feather.$"),
        ("a", "unknown file extension"),
        ("a.csv.gz", "cannot write compressed text"),
        ("nowhere/a.csv", "folder .*/nowhere does not exist"),
        ("folder.csv", "it is a folder"),
    ],
)
def test_targets_that_cannot_be_written(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(InputError, match=message):
        write_frames([good_table()], tmp_path / name)


@pytest.mark.parametrize(
    ("data", "kind"), [(b"a.csv", "bytes"), (3, "int"), ([None], "NoneType"), ({}, "dict")]
)
def test_what_names_no_file_is_said(data: Any, kind: str) -> None:
    with pytest.raises(InputError, match=f"expected the names of files, not {kind}. Give a path"):
        advae.read_table(data)


def test_an_open_file_is_no_list_of_names(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x\n1\n2\n")
    with (
        (tmp_path / "a.csv").open() as stream,
        pytest.raises(InputError, match="expected the names of files, not TextIOWrapper"),
    ):
        advae.read_table(stream)  # type: ignore[arg-type]
    assert advae.read_table(tmp_path.glob("*.csv")).height == 2  # type: ignore[arg-type]
    for nothing in ([], tmp_path.glob("*.tsv")):
        with pytest.raises(InputError, match="the list of files is empty"):
            advae.read_table(nothing)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [[1], {"x": 1}, b"x", timedelta(1)], ids=str)
@pytest.mark.parametrize("name", ["a.csv", "a.ndjson", None])
def test_values_that_text_cannot_hold(
    tmp_path: Path, value: object, name: str | None, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    target = None if name is None else tmp_path / name
    frame = pl.DataFrame({"n": [1], "odd": [value]})
    if name == "a.ndjson" and value != b"x":
        assert write_frames([frame], target) == 1
        return
    with pytest.raises(InputError, match=r"(csv|json|output): column 'odd' holds"):
        write_frames([frame], target)
    assert not list(tmp_path.iterdir())
    assert not capfdbinary.readouterr().out


def test_writing_to_standard_output(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    table = good_table()
    assert write_frames([table[:7], table[7:]], None) == table.height
    assert capfdbinary.readouterr().out.decode() == table.write_csv()
