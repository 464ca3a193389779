"""``advae score`` says what it sees: a remark, a summary for programs, an exit code of its own."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from command_line import Run
from report_data import SCRIPT, mixed_detector, mixed_table

import advae
from advae.detector.tally import Tally


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("summary") / "m.advae"
    advae.save(mixed_detector(), path)
    return path


@pytest.fixture
def clean(tmp_path: Path) -> Path:
    mixed_table(1000, 5).write_parquet(tmp_path / "clean.parquet")
    return tmp_path / "clean.parquet"


@pytest.fixture
def moved(tmp_path: Path) -> Path:
    table = mixed_table(1000, 5).with_columns(pl.col("twice") + 12)
    table.write_parquet(tmp_path / "moved.parquet")
    return tmp_path / "moved.parquet"


def test_more_alarms_than_promised_are_remarked_with_the_column_that_moved(
    run: Run, model: Path, clean: Path, moved: Path, tmp_path: Path
) -> None:
    out = tmp_path / "scores.csv"
    assert "are flagged, where" not in run("score", model, clean, "-o", out).err
    said = run("score", model, moved, "-o", out, "--quiet").err
    assert "of the rows are flagged, where" in said
    assert "1 column has moved away from training (drift): “twice” (" in said


def test_dates_move_by_nature_and_are_no_drift(clean: Path) -> None:
    later = pl.read_parquet(clean).with_columns(
        pl.col("at").dt.offset_by("3y"), pl.col("twice") + 12
    )
    tally = Tally(mixed_detector())
    for _ in mixed_detector().score_batches([later], watch=tally.update):
        pass
    levels = {drift.column: drift.level for drift in tally.drifts}
    assert levels["at"] == "dated"
    assert levels["twice"] == "strong"
    (said,) = tally.doubts()
    assert "“twice”" in said
    assert "“at”" not in said


def test_the_summary_for_programs(run: Run, model: Path, moved: Path, tmp_path: Path) -> None:
    out = tmp_path / "scores.parquet"
    done = run("score", model, moved, "-o", out, "--summary", "json", "--groups")
    assert done.code == 0, done.err
    found, scored = json.loads(done.out), pl.read_parquet(out)
    assert found["rows"] == 1000
    assert found["flagged"] == scored["is_anomaly"].sum()
    assert found["share"] == pytest.approx(scored["is_anomaly"].mean())
    assert found["too_many"] is True
    assert found["threshold"] == mixed_detector().threshold.value
    columns = {column["column"]: column for column in found["columns"]}
    assert set(columns) == set(mixed_table(1, 0).columns)
    assert columns["twice"]["level"] == "strong"
    assert columns[SCRIPT]["level"] in ("none", "chance")
    assert columns["gaps"]["missing"] == pytest.approx(
        mixed_table(1000, 5)["gaps"].null_count() / 1000
    )
    assert found["groups"][0]["rows"] == (scored["group"] == found["groups"][0]["number"]).sum()


def test_a_summary_counts_the_discoveries(
    run: Run, model: Path, moved: Path, tmp_path: Path
) -> None:
    out = tmp_path / "scores.parquet"
    words = ("score", model, moved, "-o", out, "--fdr", 0.5)
    told = json.loads(run(*words, "--summary", "json").out)
    found = pl.read_parquet(out)["is_discovery"].sum()
    assert told["discoveries"] == found > 1
    said = " ".join(run(*words).err.split())
    assert f"{found:,} discoveries, of which on average at most 50.0 % are normal" in said
    assert "discoveries" not in run("score", model, moved, "-o", out, "--summary", "json").out


@pytest.mark.parametrize(("limit", "code"), [("0.5", 0), ("0.01", 3), ("0", 3)])
def test_an_exit_code_tells_that_too_much_is_flagged(
    run: Run, model: Path, clean: Path, tmp_path: Path, limit: str, code: int
) -> None:
    out = tmp_path / "scores.csv"
    done = run("score", model, clean, "-o", out, "--fail-above", limit, "--quiet")
    assert done.code == code
    assert pl.read_csv(out).height == 1000  # written all the same


def test_wrong_use_is_refused_before_any_work(run: Run, model: Path, clean: Path) -> None:
    done = run("score", model, clean, "--summary", "json")
    assert (done.code, done.out) == (2, "")
    assert "add -o OUT" in done.err
    done = run("score", model, clean, "--fail-above", "12")
    assert (done.code, done.out) == (2, "")
    assert "expected a share" in done.err


def test_a_tally_does_not_depend_on_how_rows_are_cut() -> None:
    detector, table = mixed_detector(), mixed_table(500, 8)
    tallies = [Tally(detector) for _ in range(2)]
    for tally, batches in zip(tallies, (table, table.iter_slices(33)), strict=True):
        for _ in detector.score_batches(batches, watch=tally.update):
            pass
    assert tallies[0].summary() == tallies[1].summary()
    assert tallies[0].flagged == int(np.sum(detector.is_anomaly(table)))
    assert Tally(detector).summary()["columns"] == []
