"""Drift, distributions and drivers of columns in the report, and the axis of scores."""

import re

import numpy as np
import polars as pl
import pytest
from report_data import (
    IMAGE,
    LONG,
    labelled_table,
    mixed_detector,
    mixed_table,
)

from advae.detector import Detector
from advae.report.distributions import distribution, stability_index
from advae.report.summary import Report, summarise
from advae.score_axis import ScoreAxis


@pytest.fixture(scope="module")
def detector() -> Detector:
    return mixed_detector()


@pytest.fixture(scope="module")
def table() -> pl.DataFrame:
    return labelled_table()


@pytest.fixture(scope="module")
def report(detector: Detector, table: pl.DataFrame) -> Report:
    return summarise(detector, table, label="label", keep=["key"], data_name="new.csv")


# --- columns ---


def test_groups_count_training_as_training_was(detector) -> None:
    # The very rows that trained: the groups' shares are the stored ones, nothing has drifted.
    from advae.plan import plan_rows

    rows = mixed_table(400, 1)
    train = rows[plan_rows(400, detector.config).training]
    encoded = detector.table.transform(train)
    for column, places in zip(detector.table.features, detector.table.places, strict=True):
        shape = distribution(column)
        counts = np.bincount(shape.groups(encoded[:, list(places)]), minlength=len(shape.training))
        assert counts.sum() == train.height
        assert counts[-1] == column.profile.missing
        np.testing.assert_allclose(counts, shape.training, atol=2.0)
        assert stability_index(shape.training, counts)[0] < 0.02
        assert shape.bars.sum() == pytest.approx(1.0)
        if column.kind != "category":
            assert not shape.strange(encoded[:, list(places)]).any()


def test_stability_index_is_the_sum_of_its_definition() -> None:
    index, chance = stability_index(np.array([5000.0, 5000.0]), np.array([8000.0, 2000.0]))
    assert index == pytest.approx(0.3 * np.log(0.8 / 0.5) - 0.3 * np.log(0.2 / 0.5), rel=1e-3)
    assert chance == pytest.approx(6.635 * 2 / 10_000, rel=1e-3)


def test_chance_level_holds_without_drift() -> None:
    rng = np.random.default_rng(0)
    shares = np.full(20, 0.05)
    beyond = 0
    for _ in range(1000):
        index, chance = stability_index(rng.multinomial(500, shares), rng.multinomial(300, shares))
        beyond += index > chance
    assert beyond <= 30  # 10 expected


def test_drift_missing_and_unseen_values_are_found(detector, table) -> None:
    changed = table.with_columns(
        pl.col(LONG) + 40,
        pl.when(pl.int_range(pl.len()) % 2 == 0).then(pl.col("gaps")).alias("gaps"),
    )
    found = {column.name: column for column in summarise(detector, changed).columns}
    assert found[LONG].level == "strong"
    assert found[LONG].strange == pytest.approx(1.0)
    assert re.search(r"in training; now up to \d", found[LONG].remark)
    assert 0.5 < found["gaps"].missing < 0.6
    assert found[IMAGE].strange >= 0.02
    assert "“never <b>seen</b>”" in found[IMAGE].remark
    assert "now also “y”" in found["always"].remark
    assert found["at"].level in ("none", "chance")


def test_alarm_shares_are_means_over_the_flagged_rows(detector, table, report) -> None:
    explanation = detector.explain(table)
    flagged = explanation.score > detector.threshold.value
    parts = explanation.contributions[flagged] / explanation.score[flagged, None]
    shares = dict(zip(report.feature_names, parts.mean(axis=0), strict=True))
    for column in report.columns:
        assert column.alarm_share == pytest.approx(shares[column.name], rel=1e-5, abs=1e-9)
    assert sum(column.leads for column in report.columns) == report.flagged
    order = [column.alarm_share for column in report.columns]
    assert order == sorted(order, reverse=True)


# --- the axis of scores ---


@pytest.mark.parametrize(
    ("threshold", "scores"),
    [
        (0.2, [0.01, 0.1, 3.0]),
        (0.2, [0.01, 0.1, 1e18]),
        (500.0, [0.01, 0.02, 0.03]),
        (0.0, [0.5, 0.6, 0.7]),
        (1e9, [0.5, 0.5, 0.5]),
        (0.3, []),
        (0.0, []),
        (0.3, [0.0, 0.0]),
    ],
)
def test_the_axis_has_room_for_scores_and_threshold(threshold, scores) -> None:
    sample = np.array(scores)
    axis = ScoreAxis.around(threshold, [sample, np.empty(0)])
    assert 0 < axis.low < axis.high < 1e14
    for score in [*scores[:1], threshold]:
        if score > 0:
            assert axis.low < score < axis.high
    places = np.linspace(0, 1, 7)
    np.testing.assert_allclose(axis.place(axis.at(places)), places, atol=1e-12)
    assert axis.shares(sample, 10).sum() == pytest.approx(1.0 if scores else 0.0)
    ticks = axis.ticks()
    assert 1 <= len(ticks) <= 7
    assert all(axis.low <= tick <= axis.high for tick in ticks)
