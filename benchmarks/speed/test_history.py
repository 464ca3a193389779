"""The record of ratios: what is kept of a run, and the page of all of them."""

from pathlib import Path

import pytest

from benchmarks.harness.timing import Ratio
from benchmarks.speed import history
from benchmarks.speed.cold_start import MARK
from benchmarks.speed.rows import Row


def rows(ratio: float) -> list[Row]:
    return [
        Row(
            *("training, letter", "iterations/s", "ours, 1 thread", 9.0, "torch, 2 threads", 1.0),
            *(Ratio(ratio, ratio - 0.5, ratio + 0.5), 0.0),
        ),
        Row("fresh process", "s", "advae --help", 0.1, MARK, 0.5, Ratio(5.0, 4.0, 6.0), 0.0),
    ]


def test_runs_are_added_and_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the bench extra is not installed")
    ratios, out = tmp_path / "ratios.ndjson", tmp_path / "speed.md"
    history.record(rows(8.0), ratios)
    history.record(rows(9.0), ratios)
    first, last = history.recorded(ratios)
    # Not the seconds of a command beside a mark, which differ from machine to machine.
    assert first["ratios"] == {"training, letter: ours / torch": [8.0, 7.5, 8.5]}
    assert {"commit", "day", "processor", "cores"} < set(last)
    history.main(ratios, out)
    text = out.read_text()
    assert "| training, letter | ours / torch | 9.00 | 8.50 to 9.50 |" in text
    assert last["commit"] in text
    picture = (tmp_path / "ratios.svg").read_text()
    assert "torch" in picture
    assert picture.count(last["commit"]) >= 2
