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
    rows.write_csv(tmp_path / "new.csv")
    told = pl.DataFrame({"id": rows["id"][:20], "verdict": ["normal"] * 20, "by": ["Ada"] * 20})
    told.write_csv(tmp_path / "verdicts.csv")
    return tmp_path


def test_what_was_excused_alarms_no_more_until_it_is_undone(run: Run, folder: Path) -> None:
    model, data = folder / "m.advae", folder / "new.csv"

    def alarms() -> int:
        done = run("score", model, data, "--quiet")
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
    for shown in (run("info", model).out, run("review", model).out):
        assert "20 alarms called normal, 0 anomalous" in shown
    assert run("review", model, "--undo").code == 0
    assert alarms() == before
    assert "no review" in run("review", model).out


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"id": ["000", "zz"], "verdict": ["normal", "normal"]}, "no row has the key 'zz'"),
        ({"id": ["000", "000"], "verdict": ["normal", "anomaly"]}, "contradicting verdicts"),
        ({"id": ["000"], "verdict": ["ok"]}, "'ok' is not a verdict, which is normal or anomaly"),
        ({"id": ["000"], "verdict": [None]}, "a missing value is not a verdict, which is normal"),
        ({"id": ["000"], "word": ["normal"]}, "verdict"),
        ({"id": ["twin"], "verdict": ["normal"]}, "several rows have the key 'twin'"),
    ],
)
def test_wrong_verdicts_change_nothing(
    run: Run, folder: Path, told: dict[str, list[str | None]], message: str
) -> None:
    twins = pl.read_csv(folder / "new.csv", schema_overrides={"id": pl.String})
    # Polars leaves doubled quotes in names as they are.
    twins.columns = [*mixed_table(1, 0).columns, "id"]
    pl.concat([twins, twins[:2].with_columns(id=pl.lit("twin"))]).write_csv(folder / "new.csv")
    pl.DataFrame(told).write_csv(folder / "wrong.csv")
    before = (folder / "m.advae").read_bytes()
    done = run(
        *("review", folder / "m.advae", "--data", folder / "new.csv"),
        *("--verdicts", folder / "wrong.csv", "--key", "id"),
    )
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert (folder / "m.advae").read_bytes() == before


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ("id,verdict\n000,normal\n001,maybe\n", "column 'verdict', row 1 "),
        ("id,verdict\n000,normal\n001,\n", "column 'verdict', row 1 "),
        ("id,verdict\n000,normal\n,normal\n", "column 'id', row 1 "),
    ],
)
def test_a_wrong_verdict_is_said_of_its_own_file(
    run: Run, folder: Path, told: str, message: str
) -> None:
    path = folder / "told.csv"
    path.write_text(told)
    done = run(
        *("review", folder / "m.advae", "--data", folder / "new.csv"),
        *("--verdicts", path, "--key", "id"),
    )
    assert done.code == 2
    error = " ".join(done.err.split())
    assert f"{path}: {message}" in error
    assert "new.csv" not in error


def test_options_that_do_not_go_together(run: Run, folder: Path) -> None:
    model = folder / "m.advae"
    assert "go together" in run("review", model, "--data", folder / "new.csv").err
    assert "Leave out" in run("review", model, "--undo", "--key", "id").err
    assert "never reviewed" in run("review", model, "--undo").err
    assert "Leave out" in run("review", model, "--undo", "--radius", 0.5).err


@pytest.mark.parametrize("option", [("--radius", 0.5), ("-o", "out.advae")])
def test_options_of_a_review_without_one(
    run: Run, folder: Path, option: tuple[str, object]
) -> None:
    done = run("review", folder / "m.advae", *option)
    assert (done.code, done.out) == (2, "")
    assert "nothing would be reviewed" in done.err
