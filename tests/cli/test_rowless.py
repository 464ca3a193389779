"""``advae score`` of tables with columns and no rows: no fault, and nothing that hides one."""

import json
from pathlib import Path

import polars as pl
import pytest
from command_line import ANY_MODEL, Run
from hostile_files import good_table

import advae


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a model, a bundle and the first rows of their table."""
    folder = tmp_path_factory.mktemp("rowless")
    table = good_table().with_columns(shop=pl.lit("a"))
    config = advae.Config.preset("paper", iterations=50)
    advae.save(advae.fit_detector(table, config, ignored=["shop"]), folder / "m.advae")
    advae.fit_detectors(table, "shop", config, fewest=10).save(folder / "b.advae")
    table[:3].write_csv(folder / "day-1.csv")
    return folder


def header(models: Path) -> str:
    return (models / "day-1.csv").read_text().splitlines()[0] + "\n"


MORE = (
    (),
    ("--keep", "shop", "--explain", 2, "--groups", "--fdr", 0.1, "--on-error", "flag"),
    ("--on-error", "skip", "--fail-above", 0),
)


@pytest.mark.parametrize("more", MORE)
@pytest.mark.parametrize("extension", [".csv", ".parquet", ".arrow", ".ndjson"])
def test_the_output_has_the_columns_and_no_rows(
    run: Run, models: Path, tmp_path: Path, extension: str, more: tuple[object, ...]
) -> None:
    data, out, usual = tmp_path / "t.csv", tmp_path / f"out{extension}", tmp_path / "usual.csv"
    data.write_text(header(models))
    done = run("score", models / "m.advae", data, "-o", out, *more)
    assert done.code == 0, done.err
    assert "0 rows" in done.err.splitlines()
    if extension == ".ndjson":  # which has no header
        assert out.read_text() == ""
        return
    run("score", models / "m.advae", models / "day-1.csv", "-o", usual, *more)
    read = {".csv": pl.read_csv, ".parquet": pl.read_parquet, ".arrow": pl.read_ipc}[extension]
    assert read(out).columns == pl.read_csv(usual).columns
    assert read(out).height == 0


@pytest.mark.parametrize("extension", [".parquet", ".arrow", ".xlsx"])
def test_other_files_without_rows(run: Run, models: Path, tmp_path: Path, extension: str) -> None:
    data, empty = tmp_path / f"t{extension}", pl.read_csv(models / "day-1.csv")[:0]
    if extension == ".xlsx":
        book = pytest.importorskip("openpyxl").Workbook()
        book.active.append(empty.columns)
        book.save(data)
    else:
        (empty.write_parquet if extension == ".parquet" else empty.write_ipc)(data)
    done = run("score", models / "m.advae", data, "--keep", "shop", "--quiet")
    assert (done.code, done.err) == (0, "")
    assert done.out == "row,shop,anomaly_score,is_anomaly,p_value\n"


def test_a_bundle_and_a_summary_in_json(run: Run, models: Path, tmp_path: Path) -> None:
    data, out = tmp_path / "t.csv", tmp_path / "out.csv"
    data.write_text(header(models))
    done = run("score", models / "b.advae", data, "-o", out)
    assert (done.code, out.read_text().count("\n")) == (0, 1)
    assert "0 of 0 rows flagged" in done.err
    done = run("score", models / "m.advae", data, "-o", out, "--summary", "json", "--groups")
    assert json.loads(done.out)["rows"] == 0


def test_a_file_without_rows_among_others_adds_none(run: Run, models: Path, tmp_path: Path) -> None:
    rows = (models / "day-1.csv").read_text()
    (tmp_path / "day-1.csv").write_text(header(models))
    (tmp_path / "day-2.csv").write_text(rows)
    done = run("score", models / "m.advae", tmp_path / "day-*.csv", "--quiet")
    assert done.code == 0
    assert pl.read_csv(done.out.encode())["file"].to_list() == [str(tmp_path / "day-2.csv")] * 3
    (tmp_path / "day-2.csv").write_text(header(models))
    done = run("score", models / "m.advae", tmp_path / "day-*.csv", "--quiet")
    assert (done.code, done.out) == (0, "file,row,anomaly_score,is_anomaly,p_value\n")
    (tmp_path / "day-3.csv").write_text("hello\n")
    assert run("score", models / "m.advae", tmp_path / "day-*.csv").code == 2


def test_no_rows_of_a_file_with_lines_are_an_error(run: Run, models: Path, tmp_path: Path) -> None:
    data, rows = tmp_path / "t.csv", (models / "day-1.csv").read_text()
    first, *others = rows.splitlines()
    for content in (
        "",
        "\n \n",
        "hello\n",
        "\n".join(others[:1]) + "\n",  # a row, and no header
        f'"{rows}',  # a quote that is never closed
        "\n".join([f'{first},"note', *others]),
    ):
        data.write_text(content)
        done = run("score", models / "m.advae", data, "-o", tmp_path / "out.csv")
        assert (done.code, (tmp_path / "out.csv").exists()) == (2, False), content
    data.write_text(header(models))
    for words in (
        ("fit", data, "-o", tmp_path / "n.advae", *ANY_MODEL),
        ("report", models / "m.advae", data, "-o", tmp_path / "r.html"),
        ("doctor", data),
    ):
        done = run(*words)
        assert done.code == 2
        assert "no rows" in done.err
