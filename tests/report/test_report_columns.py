"""Drift and drivers of columns in the report, and the axis of scores."""

import datetime as dt
import re

import numpy as np
import polars as pl
import pytest
from report_data import IMAGE, LONG

import advae
from advae.display.charts import ScoreAxis
from advae.report.columns import ColumnTally, ColumnView
from advae.report.remarks import on_columns
from advae.report.summary import summarise
from advae.tables.encoder import TableEncoder

# --- columns ---


def test_chance_level_holds_for_many_rare_categories() -> None:
    # Each by itself, the rare ones of 100 training rows lifted every fifth index above it.
    rng = np.random.default_rng(0)

    def draw(rows: int) -> pl.DataFrame:
        texts = np.minimum(rng.zipf(1.3, (rows, 60)), 60).astype(str)
        return pl.DataFrame(texts, schema=[f"text {n}" for n in range(60)])

    found = views(TableEncoder.fit(draw(100)), draw(5000))
    assert sum(view.drift > view.chance for view in found) <= 3  # 0.6 expected
    odd = draw(5000).with_columns(pl.lit("new").alias("text 0"))
    assert views(TableEncoder.fit(draw(100)), odd)[0].level == "strong"


def views(table: TableEncoder, rows: pl.DataFrame) -> tuple[ColumnView, ...]:
    tallies = [ColumnTally(column, dated=False) for column in table.features]
    encoded = table.transform(rows)
    for tally, places in zip(tallies, table.places, strict=True):
        tally.update(encoded[:, list(places)], rows[tally.column.name])
    return tuple(tally.view(0.0, 0) for tally in tallies)


@pytest.mark.parametrize(("training", "new"), [(100, 5000), (1000, 20_000)])
def test_rows_like_trainings_are_not_called_strange(training: int, new: int) -> None:
    # Extremes, rare values and missing ones are known from training's rows alone. Told as if their
    # shares were exact, every fourth column of numbers is called strange, and half of the others.
    rng = np.random.default_rng(0)

    def draw(rows: int) -> pl.DataFrame:
        columns: dict[str, np.ndarray] = {}
        for number in range(20):
            values = rng.normal(size=rows)
            columns[f"number {number}"] = np.where(rng.random(rows) < 0.05, np.nan, values)
            columns[f"text {number}"] = rng.geometric(0.3, rows).astype(str)
        return pl.DataFrame(columns).fill_nan(None)

    table, rows = TableEncoder.fit(draw(training)), draw(new)
    assert list(on_columns(views(table, rows), training, new)) == []
    fewer = pl.int_range(pl.len()) % 5 > 0
    odd = rows.with_columns(
        pl.when(fewer).then(pl.col("number 0")).otherwise(9.0),
        pl.when(fewer).then(pl.col("text 0")).otherwise(pl.lit("z")),
        pl.when(fewer).then(pl.col("number 1")),
    )
    found = list(on_columns(views(table, odd), training, new))
    assert [sentence.split(":")[0] for sentence in found] == [
        "1 column has values outside the training range",
        "1 column has values that training never, or hardly ever, had",
        "1 column has more missing values than in training",
    ]
    dated = on_columns(views(table, odd), training, new, frozenset({"number 0", "number 1"}))
    assert list(dated) == found[1:]


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


def test_values_beyond_the_range_are_shown_as_they_are(detector, table) -> None:
    last = pl.int_range(pl.len()) == pl.len() - 1
    late = dt.datetime(2031, 7, 3, 11, 0, 1)
    changed = table.with_columns(
        pl.when(last).then(1.25e15).otherwise(pl.col(LONG)).alias(LONG),
        pl.when(last).then(late).otherwise(pl.col("at")).alias("at"),
    )
    found = {column.name: column for column in summarise(detector, changed).columns}
    assert found[LONG].remark.endswith("up to 1250000000000000")
    assert found["at"].remark.endswith("up to 2031-07-03 11:00:01")


def test_a_missing_value_in_a_constant_column_counts_as_missing(detector, table) -> None:
    holed = table.with_columns(
        pl.when(pl.int_range(pl.len()) % 4 > 0).then(pl.lit("x")).alias("always")
    )
    view = {column.name: column for column in summarise(detector, holed).columns}["always"]
    assert (view.missing, view.strange) == (0.25, 0.0)
    assert view.new == (1.0, 0.0)


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


@pytest.mark.parametrize("threshold", [0.0, 5e-324, 1e-308, 1.7e308])
def test_the_axis_takes_any_threshold(threshold) -> None:
    axis = ScoreAxis.around(threshold, [np.array([0.5, 0.6])])
    assert 0 < axis.low < axis.high < np.inf
    assert 0 <= axis.place(np.array([threshold]))[0] <= 1


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


def test_the_ends_of_a_range_look_as_different_as_they_are() -> None:
    rng = np.random.default_rng(0)
    table = pl.DataFrame(
        {
            "day": pl.Series([20240101, 20241231] * 50),
            "share": [0.999912, 0.5] * 50,
            "size": rng.normal(size=100),
        }
    )
    detector = advae.fit_detector(table, advae.Config(iterations=30))
    odd = pl.DataFrame({"day": [20250101], "share": [0.999931], "size": [0.0]})
    remarks = {view.name: view.remark for view in summarise(detector, odd).columns}
    assert remarks["day"] == "20240101 to 20241231 in training; now up to 20250101"
    assert remarks["share"] == "0.5 to 0.999912 in training; now up to 0.999931"
    assert re.fullmatch(r"-?\d\.\d{1,3} to \d\.\d{1,3} in training", remarks["size"])
