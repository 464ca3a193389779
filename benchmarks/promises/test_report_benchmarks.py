"""The benchmarks of report and explanations: they plant and judge as they say, and they run."""

import numpy as np
import polars as pl
import pytest

from advae.config import Config
from benchmarks.harness.data import missing_data
from benchmarks.promises import explanations
from benchmarks.speed import report


@pytest.mark.parametrize("change", ["shift", "inside", "swap", "category"])
def test_planted_rows_differ_in_one_to_three_columns(change) -> None:
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=(200, 5)) * np.array([1.0] * 4 + [0.0])
    train = pl.DataFrame(numbers, [f"n{j}" for j in range(5)]).with_columns(
        pl.Series(f"c{j}", rng.choice(list("abcdef"), 200)) for j in range(4)
    )
    train = train.with_columns(
        n0=pl.when(pl.col("n0") > -1).then("n0"), whole=pl.lit(1) + pl.int_range(200) % 7
    )
    rows = train[:100]
    planted, changed = explanations.plant(rows, train, change, rng)
    assert planted.schema == rows.schema
    assert planted["n0"].is_null().equals(rows["n0"].is_null())
    differ = [~new.eq_missing(old).to_numpy() for new, old in zip(planted, rows, strict=True)]
    np.testing.assert_array_equal(np.stack(differ, axis=1), changed)
    counts = changed.sum(axis=1)
    assert {1, 2, 3} <= set(counts) <= {0, 1, 2, 3}
    assert not changed[:, 4].any()  # a column that never varied is no place for an anomaly
    texts = [dtype == pl.String for dtype in rows.dtypes]
    assert changed[:, texts].any() == (change in ("swap", "category"))
    assert changed[:, ~np.array(texts)].any() == (change != "category")
    if change == "shift":
        moved = (planted["n1"] - rows["n1"]).abs() / train["n1"].std(ddof=0)
        assert moved.filter(changed[:, 1]).min() >= 3
    else:
        for name in rows.columns:
            known = train[name].drop_nulls()
            if change == "inside" and known.dtype.is_numeric():
                assert planted[name].drop_nulls().is_between(known.min(), known.max()).all()
            elif change != "inside":
                assert planted[name].drop_nulls().is_in(known.implode()).all()


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
    result = explanations.measure("vowels", Config(iterations=100), "shift", 50, peer_rows=0)
    assert result.columns == 12
    assert result.contributions.rows == result.counterfactual.rows == result.flagged > 0
    assert result.peer is None
    assert result.largest_gap < 1e-6


@pytest.mark.skipif(missing_data("mixed") is not None, reason="the data sets are not here")
def test_a_table_of_categories_is_measured() -> None:
    result = explanations.measure("german", Config(iterations=100), "category", 100, peer_rows=5)
    assert result.contributions.rows == result.flagged > 0
    assert result.peer is None  # SHAP's explainer takes numbers alone


def test_the_reports_cost_is_measured(tmp_path) -> None:
    found = report.measure(2_000, Config(iterations=20), tmp_path / "page.html", repeats=1)
    assert found["page_bytes"] == (tmp_path / "page.html").stat().st_size < report.LARGEST_PAGE
    assert found["columns"] == 20
