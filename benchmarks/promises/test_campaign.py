"""The benchmarks of false alarms and contamination: what they measure, and that they go on."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from paper_data import require_data
from rich.console import Console

from benchmarks.harness.runs import mean, run_campaign
from benchmarks.promises import contamination, false_alarms

SETS = ("adbench/2_annthyroid.npz", "adbench/25_musk.npz", "adbench/40_vowels.npz")


def square(task: dict[str, int]) -> list[dict[str, int]]:
    return [{"square": task["number"] ** 2}]


def test_a_campaign_goes_on_where_it_stopped(tmp_path: Path) -> None:
    out, console = tmp_path / "runs.ndjson", Console(quiet=True)
    known = {"task": {"number": 2}, "rows": [{"square": 5}]}
    out.write_text(json.dumps(known) + "\n")
    tasks = [{"number": number} for number in (3, 2)]
    rows = run_campaign(square, tasks, out, 1, console)
    assert rows == [{"number": 3, "square": 9}, {"number": 2, "square": 5}]
    assert len(out.read_text().splitlines()) == 2
    assert run_campaign(square, tasks, out, 1, console) == rows


def test_means() -> None:
    assert mean([{"a": 1}, {"a": None}, {"a": 3}], "a") == 2
    assert math.isnan(mean([], "a"))


@pytest.mark.parametrize("share", contamination.SHARES)
@pytest.mark.parametrize("name", ["25_musk", "40_vowels"])
def test_every_share_is_mixed_into_the_same_rows(name: str, share: float) -> None:
    require_data(*SETS)
    clean, split = contamination.mixed(name, 0.0, 0), contamination.mixed(name, share, 0)
    np.testing.assert_array_equal(split.train[: len(clean.train)], clean.train)
    np.testing.assert_array_equal(split.test, clean.test)
    assert 1 - len(clean.train) / len(split.train) == pytest.approx(share, abs=0.003)
    odd = split.test[split.labels == 1]
    assert not {row.tobytes() for row in split.train[len(clean.train) :]} & {
        row.tobytes() for row in odd
    }


def test_fifteen_sets_have_enough_normal_rows() -> None:
    require_data("adbench")
    tasks = false_alarms.plan(2, 10, quick=False)
    assert len(tasks) == 2 * 15
    drawn = len(false_alarms.DRAWN) * false_alarms.DRAWN_SPLITS
    assert len(false_alarms.plan_few(1, 10, quick=False)) == 2 * 18 + drawn


def test_false_alarms_are_counted_on_new_rows() -> None:
    require_data(*SETS)
    rows = false_alarms.measure({"data_set": "40_vowels", "split": 0, "iterations": 10})
    assert [row["alpha"] for row in rows] == list(false_alarms.ALPHAS)
    assert [row["calibration"] for row in rows] == [99, 139, 139]
    assert all(row["new"] == 703 for row in rows)
    assert all(row["conformal"] for row in rows)
    assert abs(rows[2]["in_use"] - 0.1) < 3 * false_alarms.allowed_error(rows[2:])
    assert 0 <= rows[2]["false_share"] <= 1
    assert false_alarms.rate_table([{"data_set": "a", **row} for row in rows], "t").row_count == 2


def test_too_few_rows_are_calibrated_out_of_fold() -> None:
    task = {"data_set": "lognormal", "columns": 6, "few": 20, "split": 0, "iterations": 10}
    rows = false_alarms.measure(task)
    assert [row["calibration"] for row in rows] == [20, 20, 20]
    assert [row["conformal"] for row in rows] == [False, True, True]
    assert all(row["new"] == false_alarms.NEW_DRAWN for row in rows)
    assert rows[0]["in_use"] <= rows[1]["in_use"] <= rows[2]["in_use"] < 0.5
    lines = false_alarms.rate_table([task | row for row in rows], "t").columns[1].cells
    assert next(iter(lines)).endswith("*")
