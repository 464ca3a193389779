"""The benchmarks of report and explanations: they plant and judge as they say, and they run."""

import numpy as np
import pytest

from advae.config import Config
from benchmarks.harness.data import missing_data
from benchmarks.promises import explanations
from benchmarks.speed import report


@pytest.mark.parametrize("change", ["shift", "inside", "swap"])
def test_planted_rows_differ_in_one_to_three_columns(change) -> None:
    rng = np.random.default_rng(0)
    train = rng.normal(size=(200, 9)) * np.array([1.0] * 8 + [0.0])
    rows = train[:100]
    planted, changed = explanations.plant(rows, train, change, rng)
    np.testing.assert_array_equal(planted != rows, changed)
    counts = changed.sum(axis=1)
    assert {1, 2, 3} <= set(counts) <= {0, 1, 2, 3}
    assert counts.min() > 0 or change == "swap"  # where another row has the same value
    assert not changed[:, 8].any()  # a column that never varies is no place for an anomaly
    if change == "inside":
        assert (planted >= train.min(axis=0)).all()
        assert (planted <= train.max(axis=0)).all()
    elif change == "swap":
        assert all(np.isin(planted[:, column], train[:, column]).all() for column in range(9))
    else:
        moved = np.abs(planted - rows)[:, :8] / train.std(axis=0)[:8]
        assert moved[changed[:, :8]].min() >= 3


def test_explanations_are_judged_by_what_was_changed() -> None:
    changed = np.array([[1, 1, 0, 0, 0], [0, 0, 0, 1, 0], [1, 0, 0, 0, 1]], bool)
    named = [[1, 4, 0], [0, 1, 2], [0, 1, 2]]
    found = explanations.judge(named, changed, 6.0)
    assert (found.rows, found.seconds) == (3, 2.0)
    assert found.named == pytest.approx(1 / 3)
    assert found.some == pytest.approx(2 / 3)
    assert found.first == pytest.approx(2 / 3)
    assert explanations.judge([], changed[:0], 0.0) is None


@pytest.mark.skipif(missing_data("adbench") is not None, reason="the data sets are not here")
def test_a_data_set_is_measured() -> None:
    result = explanations.measure("40_vowels", Config(iterations=100), "shift", 50, peer_rows=0)
    assert result.columns == 12
    assert result.contributions.rows == result.counterfactual.rows == result.flagged > 0
    assert result.peer is None
    assert result.largest_gap < 1e-6


def test_the_reports_cost_is_measured(tmp_path) -> None:
    found = report.measure(2_000, Config(iterations=20), tmp_path / "page.html", repeats=1)
    assert found["page_bytes"] == (tmp_path / "page.html").stat().st_size < report.LARGEST_PAGE
    assert found["columns"] == 20
