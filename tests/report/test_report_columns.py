"""Drift, distributions and drivers of columns in the report, and the axis of scores."""

import datetime as dt
import re

import numpy as np
import polars as pl
import pytest
from report_data import (
    IMAGE,
    LONG,
    mixed_table,
)

import advae
from advae.display.score_axis import ScoreAxis
from advae.report.columns import ColumnTally, ColumnView
from advae.report.distributions import (
    Distribution,
    Part,
    ScaledDistribution,
    distribution,
    stability_index,
    straightest,
)
from advae.report.remarks import on_columns
from advae.report.summary import summarise
from advae.tables.encoder import TableEncoder

# --- columns ---


def counted(shape: Distribution, part: Part) -> np.ndarray:
    return np.bincount(shape.groups(part), minlength=len(shape.labels) + 1)


def drift(training: np.ndarray, *others: np.ndarray) -> list[tuple[float, float]]:
    """Return index and chance limit of the training rows themselves, then of the others."""
    encoder = TableEncoder.fit(pl.DataFrame({"x": training}))
    shape = distribution(encoder.features[0])
    return [
        shape.drift(counted(shape, encoder.transform(pl.DataFrame({"x": values}))))
        for values in (training, *others)
    ]


def test_groups_count_training_as_training_was(detector) -> None:
    # The very rows that trained: the groups' shares are the stored ones, nothing has drifted.
    from advae.detector.split import split_rows

    rows = mixed_table(400, 1)
    train = rows[split_rows(400, detector.config).training]
    encoded = detector.table.transform(train)
    for column, places in zip(detector.table.features, detector.table.places, strict=True):
        shape = distribution(column)
        counts = counted(shape, encoded[:, list(places)])
        assert counts.sum() == train.height
        assert counts[-1] == column.profile.missing
        assert shape.drift(counts)[0] < 1e-3
        assert shape.bars.sum() == pytest.approx(1.0)
        if column.kind != "category":
            assert not shape.strange(encoded[:, list(places)]).any()


RNG = np.random.default_rng(5)
ROWS = 20_000


@pytest.mark.parametrize(
    ("draw", "shift"),
    [
        (lambda: RNG.poisson(0.1, ROWS), lambda: RNG.poisson(0.4, ROWS)),
        (lambda: RNG.poisson(3.0, ROWS), lambda: RNG.poisson(4.5, ROWS)),
        (lambda: 1 * (RNG.random(ROWS) < 0.002), lambda: 1 * (RNG.random(ROWS) < 0.2)),
        (lambda: 1 * (RNG.random(ROWS) < 0.998), lambda: 1 * (RNG.random(ROWS) < 0.8)),
        (lambda: 1 * (RNG.random(ROWS) < 0.6), lambda: 1 * (RNG.random(ROWS) < 0.2)),
        (lambda: RNG.geometric(0.3, ROWS), lambda: RNG.geometric(0.15, ROWS)),
        (lambda: RNG.normal(size=ROWS).round(), lambda: RNG.normal(0.7, size=ROWS).round()),
        (lambda: RNG.normal(0, 10, ROWS).round(), lambda: RNG.normal(7, 10, ROWS).round()),
        (
            lambda: np.where(RNG.random(ROWS) < 0.62, 0.0, RNG.normal(size=ROWS)),
            lambda: np.where(RNG.random(ROWS) < 0.3, 0.0, RNG.normal(size=ROWS)),
        ),
        (lambda: RNG.normal(size=ROWS), lambda: RNG.normal(0.7, size=ROWS)),
    ],
    ids=[
        "rare counts", "counts", "rare flag", "usual flag", "flag", "geometric", "rounded",
        "finely rounded", "many zeros", "continuous",
    ],
)  # fmt: skip
def test_only_a_real_shift_is_drift_whatever_the_ties(draw, shift) -> None:
    (same, limit), (fresh, _), (moved, _) = drift(draw(), draw(), shift())
    assert same < 1e-4 < limit
    assert fresh < limit
    assert moved > 0.2


def test_the_drift_of_numbers_without_ties_is_that_of_their_twentieths() -> None:
    training, new = RNG.normal(size=2001), RNG.normal(0.2, 1.2, 3000)
    inner = np.quantile(training, np.linspace(0, 1, 21)[1:-1])
    counts = np.bincount(np.searchsorted(inner, new), minlength=20)
    (_, (found, limit)) = drift(training, new)
    expected = stability_index(np.full(20, 2001 / 20), counts)
    assert (found, limit) == pytest.approx(expected, abs=1e-3)


def test_ties_are_shared_out_as_no_other_way_would_lower_the_index() -> None:
    for _ in range(100):
        x = np.append(0.0, np.cumsum(RNG.uniform(0.1, 1.0, 12)))
        low = np.sort(RNG.uniform(0, 10, 13))
        high = np.maximum.accumulate(low + RNG.uniform(0, 3, 13) * (RNG.random(13) < 0.7))
        low[0], high[-1] = high[0], low[-1] = 0.0, high.max()
        path = straightest(x, low, high)
        assert (path >= low).all()
        assert (path <= high).all()
        # The least lies where no single point can be moved to lower a convex measure: each is as
        # near as its bounds allow to the straight line between its neighbours.
        slope = (path[2:] - path[:-2]) / (x[2:] - x[:-2])
        line = path[:-2] + slope * (x[1:-1] - x[:-2])
        np.testing.assert_allclose(path[1:-1], np.clip(line, low[1:-1], high[1:-1]), atol=1e-9)


def test_a_value_that_many_rows_share_ranks_in_the_middle_of_what_is_known() -> None:
    column = TableEncoder.fit(pl.DataFrame({"x": np.repeat([0, 1, 2], [370, 370, 260])}))
    shape = distribution(column.features[0])
    assert isinstance(shape, ScaledDistribution)
    assert shape.share_below(0.5) == pytest.approx(0.37, abs=0.025)
    assert shape.share_below(0.0) == pytest.approx(0.0, abs=0.025)
    assert shape.share_below(0.75) == pytest.approx(0.74, abs=0.05)


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
    tallies = [ColumnTally(column) for column in table.features]
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
