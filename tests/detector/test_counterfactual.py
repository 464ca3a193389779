"""Counterfactuals: possible rows that score low, and that name what was changed."""

import datetime as dt

import numpy as np
import polars as pl
import pytest
from report_data import (
    IMAGE,
    SCRIPT,
    mixed_table,
)

import advae
from advae.detector.counterfactual import (
    CANDIDATES,
    MOST_CHANGES,
    _typical,
    counterfactuals,
    not_flagged_with,
    replaced,
    shown_estimates,
)
from advae.detector.record import Threshold
from advae.tables.columns import NumberColumn
from advae.tables.encoder import TableEncoder
from advae.tables.frames import as_frame

# --- counterfactuals ---


def test_counterfactuals_make_flagged_rows_normal(detector, table) -> None:
    encoded = detector.table.transform(table)
    scores = detector.score_encoded(encoded).score
    found = counterfactuals(detector, encoded)
    changed = np.stack([each.encoded for each in found])
    # The rows are possible ones: decoding and encoding them changes nothing.
    again = detector.score_encoded(detector.table.transform(detector.table.decode(changed))).score
    np.testing.assert_allclose(again, detector.score_encoded(changed).score, rtol=0.02, atol=1e-4)
    for row, each in enumerate(found):
        if scores[row] <= detector.threshold.value:
            assert (each.columns, each.normal) == ((), True)
            np.testing.assert_array_equal(each.encoded, encoded[row])
            continue
        assert 1 <= len(each.columns) == len(each.scores) <= MOST_CHANGES
        assert len(set(each.columns)) == len(each.columns)
        assert each.normal == (each.scores[-1] <= detector.threshold.value)
        untouched = ~np.isin(detector.table.owner, each.columns)
        np.testing.assert_array_equal(each.encoded[untouched], encoded[row][untouched])
        assert detector.score_encoded(each.encoded[None]).score[0] == pytest.approx(
            each.scores[-1], rel=1e-5
        )
    names = detector.table.feature_names
    shown = shown_estimates(detector.table, changed)
    for row, each in enumerate(found):  # the values are those of the row, in the table's units
        assert list(each.values.items()) == [(names[k], shown[row, k]) for k in each.columns]
        assert each.to_frame().rows() == [
            (name, value, score)
            for (name, value), score in zip(each.values.items(), each.scores, strict=True)
        ]
    flagged = [each for each in found if each.columns]
    assert np.mean([each.normal for each in flagged]) > 0.9


def test_counterfactuals_find_the_changed_column(detector, table) -> None:
    changes = {0: SCRIPT, 1: IMAGE, 2: "twice", 3: "always"}
    names = detector.table.feature_names
    found = counterfactuals(detector, detector.table.transform(table))
    hits = []
    for row in range(3, table.height, 10):
        culprit = changes[row // 10 % 4]
        # One of two columns that belong together is as good as the other.
        pair = {SCRIPT, "twice"} if culprit in (SCRIPT, "twice") else {culprit}
        if found[row].columns:
            hits.append(bool(pair & {names[column] for column in found[row].columns}))
    assert len(hits) > 20
    assert np.mean(hits) >= 0.9


def test_every_flagged_row_is_told_what_would_clear_it(detector, table, monkeypatch) -> None:
    encoded = detector.table.transform(table)
    flagged = np.flatnonzero(detector.is_anomaly(table))
    wanted = not_flagged_with(detector, encoded[flagged])
    assert len(flagged) > 20
    assert sum(words is not None for words in wanted) > 0.9 * len(flagged)

    def told(parts: int) -> list[str | None]:
        batches = [table[rows] for rows in np.array_split(np.arange(table.height), parts)]
        found = pl.concat(detector.score_batches(batches, explain=1))["not_flagged_with"]
        assert found.dtype == pl.String
        assert found.filter(~pl.Series(detector.is_anomaly(table))).is_null().all()
        return found[flagged].to_list()

    assert told(1) == told(3) == wanted
    monkeypatch.setattr("advae.detector.counterfactual.MOST_REMEDIES", 7)
    assert told(1) == told(3) == wanted[:7] + [None] * (len(flagged) - 7)


def test_few_columns_are_tried_where_few_make_up_the_score(detector, table, monkeypatch) -> None:
    encoded = detector.table.transform(table)
    rows = encoded[detector.is_anomaly(table)]
    tried = []

    def counted(*arguments):
        tried.append(len(arguments[1]))
        return replaced(*arguments)

    monkeypatch.setattr("advae.detector.counterfactual.replaced", counted)
    brisk = counterfactuals(detector, rows)
    first, all_of_them = tried[0], len(rows) * min(CANDIDATES, len(detector.table.features))
    tried.clear()
    monkeypatch.setattr("advae.detector.counterfactual.COVERED", 1.0)
    thorough = counterfactuals(detector, rows)
    assert len(rows) <= first < all_of_them / 2
    assert tried[0] == all_of_them
    # Of columns that belong together another one may be changed, but not more of them.
    assert [each.normal for each in brisk] == [each.normal for each in thorough]
    assert np.mean([each.normal for each in brisk]) > 0.9
    counts = [[len(each.columns) for each in found] for found in (brisk, thorough)]
    assert np.mean(counts[0]) <= np.mean(counts[1]) + 0.05


def test_the_column_that_helps_most_need_not_contribute_most(detector, table) -> None:
    encoded = detector.table.transform(table)
    largest = detector.table.group(detector.score_encoded(encoded).contributions).argmax(axis=1)
    found = counterfactuals(detector, encoded, most=1)
    first = {row: each for row, each in enumerate(found) if each.columns}
    assert any(each.columns[0] != largest[row] for row, each in first.items())
    # A score at the threshold is not above it.
    row, each = next(iter(first.items()))
    strict = detector.with_threshold(Threshold("given", None, each.scores[0]))
    (again,) = counterfactuals(strict, encoded[[row]])
    assert (again.columns, again.scores, again.normal) == (each.columns, each.scores, True)


def test_what_is_replaced_leaves_no_trace(detector) -> None:
    rows = mixed_table(30, 3)
    first, second = (
        counterfactuals(detector, detector.table.transform(rows.with_columns(pl.col("twice") - by)))
        for by in (15, 40)
    )
    alone = [
        (one, other)
        for one, other in zip(first, second, strict=True)
        if one.columns == other.columns == (detector.table.feature_names.index("twice"),)
    ]
    assert len(alone) > 5
    for one, other in alone:
        np.testing.assert_array_equal(one.encoded, other.encoded)


def test_a_search_begins_with_usual_values(detector, table) -> None:
    usual = detector.table.decode(_typical(detector.table))
    rows = mixed_table(400, 1)  # that it was trained with, in part
    for name in rows.columns:
        given, (value,) = rows[name].drop_nulls(), usual[name]
        if given.dtype in (pl.String, pl.Boolean):
            assert value == given.mode()[0]
        else:
            share = (given <= value).mean()
            assert share == pytest.approx(0.5, abs=0.05)


def test_a_bucket_is_replaced_by_the_likeliest() -> None:
    table = TableEncoder.fit(pl.DataFrame({"x": ["a", "b", "b"]}), hashed=["x"])
    (column,) = table.features
    part = np.linspace(0, 0.4, table.width, dtype=np.float32)[None]
    part[0, 3] = 0.5
    (found,) = np.flatnonzero(column.possible(part))
    assert found == 3
    b = table.transform(pl.DataFrame({"x": ["b"]}))[0, list(table.places[0])]
    np.testing.assert_array_equal(column.typical, b)


def test_a_search_ends_when_every_candidate_is_changed() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(60, CANDIDATES + 2)) + rng.normal(size=(60, 1))
    detector = advae.fit_detector(rows, advae.Config(iterations=20))
    strict = detector.with_threshold(Threshold("given", None, 0.0))
    encoded = strict.table.transform(as_frame(rows[:3] + 5))
    contributions = strict.table.group(strict.score_encoded(encoded).contributions)
    found = counterfactuals(strict, encoded, most=CANDIDATES + 2)
    for each, parts in zip(found, contributions, strict=True):
        assert set(each.columns) == set(np.argsort(-parts)[:CANDIDATES])
        assert len(each.columns) == len(set(each.columns)) == CANDIDATES
        assert np.isfinite(each.scores).all()
        assert not each.normal


def test_an_odd_hour_is_replaced_by_another_of_its_days() -> None:
    rng = np.random.default_rng(0)
    days, hours = rng.integers(0, 90, 600), rng.normal(13, 1, 600)
    start = dt.datetime(2026, 1, 1)
    times = [start + dt.timedelta(days=int(d), hours=h) for d, h in zip(days, hours, strict=True)]
    frame = pl.DataFrame({"at": times, "size": rng.normal(size=600)})
    detector = advae.fit_detector(frame, advae.Config(iterations=200))
    odd = frame.head(40).with_columns(pl.col("at") + pl.duration(hours=12))
    changed = counterfactuals(detector, detector.table.transform(odd))
    values = detector.table.decode(np.stack([each.encoded for each in changed]))
    cleared = [row for row, each in enumerate(changed) if each.normal and 0 in each.columns]
    assert len(cleared) > 20
    moved = (values["at"] - odd["at"])[cleared].abs()
    assert moved.max() <= dt.timedelta(days=4)  # the same weekday, or the nearest one like it
    assert values["at"][cleared].dt.hour().is_between(8, 18).all()


def test_whole_numbers_are_replaced_by_whole_numbers() -> None:
    rng = np.random.default_rng(0)
    size = rng.normal(size=400)
    frame = pl.DataFrame({"size": size, "count": (20 + 4 * size).round().astype(int)})
    detector = advae.fit_detector(frame, advae.Config(iterations=200))
    odd = pl.DataFrame({"size": np.linspace(-1, 1, 21), "count": [90] * 21})
    changed = counterfactuals(detector, detector.table.transform(odd))
    values = detector.table.decode(np.stack([each.encoded for each in changed]))
    assert sum(1 in each.columns for each in changed) > 10
    counts = values["count"].to_numpy()
    np.testing.assert_allclose(counts, counts.round(), atol=1e-4)
    # And by those that belong to the rest of the row, not by the most usual one.
    alone = [row for row, each in enumerate(changed) if each.columns == (1,)]
    assert np.corrcoef(odd["size"].to_numpy()[alone], counts[alone])[0, 1] > 0.8


@pytest.mark.parametrize("rows", [60, 97, 400, 20_001])
@pytest.mark.parametrize(
    ("unit", "low", "high", "whole"),
    [
        (1, 0, 2, True),
        (1, -50, 50, True),
        (1, 0, 10**6, True),
        (2, 2, 12, False),
        (10, 0, 10, False),
        (20, 0, 20, False),
        (100, 0, 500, False),
        (1e9, 0, 10**9, False),
        (1e9, 0, 500, False),
    ],
)
def test_quantiles_tell_whether_numbers_were_whole(rows, unit, low, high, whole) -> None:
    drawn = np.random.default_rng(rows).integers(low, high + 1, rows)
    drawn[:2] = low, high  # whole ends tell nothing
    for missing in (0, 37):
        values = pl.Series([*(drawn / unit), *[None] * missing], dtype=pl.Float64)
        column = TableEncoder.fit(pl.DataFrame({"x": values})).features[0]
        assert isinstance(column, NumberColumn)
        assert column.whole == whole


def test_a_quantile_is_no_further_from_whole_numbers_than_from_the_next_quantiles() -> None:
    # The first half could lie a quarter of the way from 0 to 2, but the next quantile is below 2.
    values = pl.Series([0.0, *[0.5] * 4, *[1.0] * 21])
    column = TableEncoder.fit(pl.DataFrame({"x": values})).features[0]
    assert isinstance(column, NumberColumn)
    assert column.profile.quantiles == (0.0, *[0.5] * 3, *[1.0] * 17)
    assert not column.whole


def test_replaced_values_settle(detector, table, monkeypatch) -> None:
    encoded = detector.table.transform(table)
    changed = np.zeros((len(encoded), len(detector.table.features)), bool)
    numbers = [isinstance(column, NumberColumn) for column in detector.table.features]
    changed[:, np.flatnonzero(numbers)[:2]] = True

    def after(rounds: int) -> np.ndarray:
        monkeypatch.setattr("advae.detector.counterfactual.ROUNDS", rounds)
        return replaced(detector, encoded, changed)

    monkeypatch.setattr(NumberColumn, "possible", lambda _, part: part)
    settled = after(40)
    unsettled = [np.abs(after(rounds) - settled).mean() for rounds in (1, 4)]
    assert unsettled[1] < unsettled[0] / 2
    monkeypatch.undo()
    found = replaced(detector, encoded, changed)
    assert np.abs(found - settled).mean() < unsettled[0] / 2
