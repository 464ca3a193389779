"""Errors about values say the file and the row, wherever in the work the value is met."""

import pickle
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
import pytest
from command_line import Run

import advae
from advae.doctor.examination import examine
from advae.errors import ColumnError, InputError

BATCH = 65_536
"""Rows that files are read by."""


def table(rows: int) -> pl.DataFrame:
    rng = np.random.default_rng(0)
    return pl.DataFrame({"x": rng.normal(size=rows), "y": rng.normal(size=rows)})


def spoilt(frame: pl.DataFrame, row: int, column: str, value: object) -> pl.DataFrame:
    here = pl.int_range(frame.height) == row
    return frame.with_columns(pl.when(here).then(pl.lit(value)).otherwise(column).alias(column))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("places") / "model.advae"
    config = advae.Config(iterations=20, hidden=8, batch_size=16, points=4)
    advae.save(advae.fit_detector(table(200), config), path)
    return path


def test_the_row_is_that_of_the_table_not_of_the_rows_that_train() -> None:
    # The last rows, so that some would be others among those held out or those that train.
    for row in range(190, 200):
        with pytest.raises(ColumnError, match=rf"^column 'x', row {row} .*'inf' is not a finite"):
            advae.fit_detector(spoilt(table(200), row, "x", float("inf")))


def test_a_stream_counts_its_rows_through() -> None:
    frames = [table(100), spoilt(table(100), 30, "y", float("-inf"))]
    with pytest.raises(ColumnError, match=r"^column 'y', row 130 "):
        advae.fit_detector(iter(frames))


@pytest.mark.parametrize("threshold", ["conformal", "kde"])
@pytest.mark.parametrize("trim", [0.0, 0.1])
def test_tables_of_nothing_are_refused(threshold: Literal["conformal", "kde"], trim: float) -> None:
    config = advae.Config(threshold=threshold, trim=trim)
    for rows in (0, 1):
        with pytest.raises(InputError, match=rf"only {rows} rows? to learn from"):
            advae.fit_detector(table(rows), config)
    with pytest.raises(InputError, match="the table has no columns"):
        advae.fit_detector(pl.DataFrame(), config)


def test_columns_and_rows_that_are_not_used_may_hold_anything(run: Run, tmp_path: Path) -> None:
    labels = pl.Series("label", [1] * 20 + [0] * 180)
    frame = spoilt(table(200).with_columns(labels, z=pl.lit(float("inf"))), 7, "x", float("inf"))
    frame.write_csv(tmp_path / "t.csv")
    arguments = ("--label", "label", "--iterations", "20", "--quiet", "-o", tmp_path / "m.advae")
    assert run("fit", tmp_path / "t.csv", "--ignore", "z", *arguments).code == 0


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_fit_names_the_file_and_its_row(run: Run, tmp_path: Path, kind: str) -> None:
    labels = pl.Series("label", [1] * 50 + [0] * 150)
    frame = spoilt(table(200).with_columns(labels), 123, "x", float("inf"))
    path, output = tmp_path / f"t.{kind}", tmp_path / "m.advae"
    getattr(frame, f"write_{kind}")(path)
    for more in (("--ignore", "label"), ("--label", "label")):
        done = run("fit", path, "-o", output, *more)
        assert done.code == 2
        assert done.err.startswith(f"error: {path}: column 'x', row 123 (")
    assert not output.exists()


def test_of_several_files_the_right_one_is_named(run: Run, model: Path, tmp_path: Path) -> None:
    table(70).write_csv(tmp_path / "a.csv")
    table(50).write_csv(tmp_path / "b.csv")
    spoilt(table(60), 9, "y", float("inf")).write_csv(tmp_path / "c.csv")
    table(5).write_csv(tmp_path / "d.csv")
    wanted = f"error: {tmp_path / 'c.csv'}: column 'y', row 9 ("
    scores = tmp_path / "scores.parquet"
    for words in (("score", model), ("fit",)):
        done = run(*words, tmp_path / "*.csv", "-o", scores)
        assert (done.code, done.err[: len(wanted)]) == (2, wanted)
    assert not scores.exists()


def test_a_bad_label_beyond_the_first_batch(run: Run, model: Path, tmp_path: Path) -> None:
    rows = BATCH + 100
    frame = table(rows).with_columns(label=pl.lit("0"))
    path = tmp_path / "t.csv"
    spoilt(frame, BATCH + 7, "label", "perhaps").write_csv(path)
    wanted = f"error: {path}: column 'label', row {BATCH + 7} ("
    for words in (
        ("fit", path, "-o", tmp_path / "m.advae"),
        ("evaluate", model, path),
        ("report", model, path, "-o", tmp_path / "r.html"),
        ("threshold", model, "--reviewed", path),
        ("doctor", path),
    ):
        done = run(*words, "--label", "label")
        assert (done.code, done.err[: len(wanted)]) == (2, wanted)


def test_the_doctor_counts_rows_as_the_table_does() -> None:
    labels = pl.Series("label", [1, 0] * 100)
    frame = spoilt(table(200).with_columns(labels), 151, "x", float("inf"))
    found = examine(frame.iter_slices(64), label="label").findings
    assert any("row 151 (" in finding.message for finding in found)


def test_a_type_that_cannot_be_used_is_named_with_its_file(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    table(50).with_columns(pair=pl.Series([[1, 2]] * 50)).write_parquet(path)
    done = run("fit", path, "-o", tmp_path / "m.advae")
    assert (done.code, done.err[:80]) == (2, f"error: {path}: column 'pair' holds values"[:80])


@pytest.mark.parametrize(
    ("dtype", "bits"), [(pl.Date(), 31), (pl.Datetime("us"), 63), (pl.Datetime("us", "UTC"), 63)]
)
def test_infinite_times_are_named(run: Run, tmp_path: Path, dtype: pl.DataType, bits: int) -> None:
    values = pl.Series("x", [*range(31), 2**bits - 1, *range(18)])
    path = tmp_path / "t.parquet"
    whole = values.cast(pl.Int32 if bits == 31 else pl.Int64)
    table(50).with_columns(whole.cast(dtype)).write_parquet(path)
    wanted = f"error: {path}: column 'x', row 31 ("
    done = run("fit", path, "-o", tmp_path / "m.advae")
    assert (done.code, done.err[: len(wanted)]) == (2, wanted)
    assert "after the year 9999" in done.err


def test_what_is_wrong_with_all_files_is_not_said_of_the_first_alone(
    run: Run, tmp_path: Path
) -> None:
    for name in "abc":
        table(50).with_columns(kind=pl.lit(name)).write_csv(tmp_path / f"{name}.csv")
    done = run("doctor", tmp_path / "*.csv", "--label", "kind", "--normal", "ok")
    wanted = f"error: {tmp_path / 'a.csv'} and 2 more files: column 'kind' has no label 'ok'"
    assert (done.code, done.err[: len(wanted)]) == (2, wanted)


def test_the_error_survives_another_process() -> None:
    error = pickle.loads(pickle.dumps(ColumnError("'x'", 3, "is odd.")))
    assert (str(error), error.row) == (
        "column 'x', row 3 (the first data row is row 0): is odd.",
        3,
    )
    assert str(error.at(5)).startswith("column 'x', row 5 ")
    assert str(ColumnError("'x'", None, "is odd.")) == "column 'x' is odd."
