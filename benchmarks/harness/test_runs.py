"""Runs that are kept, limited in time, and not done again."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from rich.console import Console

from benchmarks.harness.limited import Stopped, run_limited
from benchmarks.harness.runs import run_all


def stubborn(seconds: float) -> float:
    if seconds < 0:
        os._exit(3)
    time.sleep(seconds)
    return seconds


def test_a_task_over_its_limit_is_ended_and_the_others_go_on() -> None:
    tasks = [0.0, 30.0, -1.0, 0.01]
    ended = dict(run_limited(stubborn, tasks, 1, 1.0))
    assert ended == {
        0.0: 0.0,
        30.0: Stopped("took more than 1 s"),
        -1.0: Stopped("its process died"),
        0.01: 0.01,
    }


@dataclass(frozen=True)
class Counted:
    number: int
    log: Path
    fails: bool = False

    @property
    def identity(self) -> dict[str, int]:
        return {"number": self.number}

    @property
    def known(self) -> dict[str, int]:
        return self.identity


def square(run: Counted) -> dict[str, float]:
    with run.log.open("a") as stream:
        stream.write(f"{run.number} ")
    return {"failure": "tired"} if run.fails else {"square": float(run.number**2)}


def test_runs_that_are_kept_are_not_done_again(tmp_path: Path) -> None:
    schema = {"number": pl.Int64, "square": pl.Float64, "failure": pl.String}
    out, log, console = tmp_path / "runs.parquet", tmp_path / "log", Console(quiet=True)

    def rows(*numbers: int) -> list[float]:
        runs = [Counted(number, log) for number in numbers]
        return [row["square"] for row in run_all(square, runs, out, schema, 1, console)]

    assert rows(3, 2) == [9, 4]
    assert rows(2, 5, 3) == [4, 25, 9]
    assert log.read_text().split() == ["3", "2", "5"]
    assert not out.with_suffix(".partial").exists()
    assert pl.read_parquet(out).height == 3


def test_failed_runs_are_done_again_when_asked_for(tmp_path: Path) -> None:
    schema = {"number": pl.Int64, "square": pl.Float64, "failure": pl.String}
    out, log, console = tmp_path / "runs.parquet", tmp_path / "log", Console(quiet=True)
    (row,) = run_all(square, [Counted(3, log, fails=True)], out, schema, 1, console)
    assert row == {"number": 3, "square": None, "failure": "tired"}
    assert run_all(square, [Counted(3, log)], out, schema, 1, console) == [row]
    again = run_all(square, [Counted(3, log)], out, schema, 1, console, retry=True)
    assert again == [{"number": 3, "square": 9.0, "failure": None}]
