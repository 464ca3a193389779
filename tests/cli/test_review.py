"""``advae review``: verdicts from files, what it says, what it refuses, and --undo."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from command_line import Run
from report_data import mixed_detector, mixed_table

import advae


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    advae.save(mixed_detector(), tmp_path / "m.advae")
    rows = mixed_table(40, 1).with_columns(
        pl.Series("twice", 45 + 0.05 * np.random.default_rng(0).normal(size=40)),
        pl.Series("id", [f"00{row}" for row in range(40)]),
    )
    rows.write_parquet(tmp_path / "new.parquet")
    told = pl.DataFrame({"id": rows["id"][:20], "verdict": ["normal"] * 20, "by": ["Ada"] * 20})
    told.write_csv(tmp_path / "verdicts.csv")
    return tmp_path


def test_what_was_excused_alarms_no_more_until_it_is_undone(run: Run, folder: Path) -> None:
    model, data = folder / "m.advae", folder / "new.parquet"

    def alarms() -> int:
        done = run("score", model, data, "--quiet")
        assert done.code == 0, done.err
        return int(pl.read_csv(done.out.encode())["is_anomaly"].sum())

    before = alarms()
    assert before > 35
    done = run(
        "review", model, "--data", data, "--verdicts", folder / "verdicts.csv", "--key", "id"
    )
    assert done.code == 0, done.err
    assert "20 rows called normal, 0 called anomalous" in done.out
    assert "000: “twice” 4" in done.out
    assert "flagged rows only" in " ".join(done.err.split())
    assert alarms() < 0.3 * before
    record = json.loads(run("info", model, "--json").out)
    assert record["reviews"][0]["verdicts"][0]["notes"] == "by: Ada"
    assert "excused" in run("info", model).out
    assert "excused alarm" in run("review", model).out
    assert run("review", model, "--undo").code == 0
    assert alarms() == before
    assert "no review" in run("review", model).out


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"id": ["000", "zz"], "verdict": ["normal", "normal"]}, "no row has the key 'zz'"),
        ({"id": ["000", "000"], "verdict": ["normal", "anomaly"]}, "contradicting verdicts"),
        ({"id": ["000"], "verdict": ["perhaps"]}, "perhaps"),
        ({"id": ["000"], "word": ["normal"]}, "verdict"),
        ({"id": ["twin"], "verdict": ["normal"]}, "several rows have the key 'twin'"),
    ],
)
def test_wrong_verdicts_change_nothing(
    run: Run, folder: Path, told: dict[str, list[str]], message: str
) -> None:
    twins = pl.read_parquet(folder / "new.parquet")
    twice = twins[:2].with_columns(id=pl.lit("twin"))
    pl.concat([twins, twice]).write_parquet(folder / "new.parquet")
    pl.DataFrame(told).write_csv(folder / "wrong.csv")
    before = (folder / "m.advae").read_bytes()
    done = run(
        *("review", folder / "m.advae", "--data", folder / "new.parquet"),
        *("--verdicts", folder / "wrong.csv", "--key", "id"),
    )
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert (folder / "m.advae").read_bytes() == before


def test_options_that_do_not_go_together(run: Run, folder: Path) -> None:
    model = folder / "m.advae"
    assert "go together" in run("review", model, "--data", folder / "new.parquet").err
    assert "Leave out" in run("review", model, "--undo", "--key", "id").err
    assert "never reviewed" in run("review", model, "--undo").err
