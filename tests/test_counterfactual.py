"""Counterfactuals: possible rows that score low, and that name what was changed."""

import numpy as np
import polars as pl
import pytest
from report_data import (
    IMAGE,
    SCRIPT,
    labelled_table,
    mixed_detector,
)

import advae
from advae.columns import NumberColumn
from advae.counterfactual import CANDIDATES, MOST_CHANGES, counterfactuals, only_whole
from advae.detector import Detector, Threshold
from advae.frames import as_frame
from advae.table import TableEncoder


@pytest.fixture(scope="module")
def detector() -> Detector:
    return mixed_detector()


@pytest.fixture(scope="module")
def table() -> pl.DataFrame:
    return labelled_table()


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


def test_a_search_ends_when_every_candidate_is_changed() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(60, CANDIDATES + 2)) + rng.normal(size=(60, 1))
    detector = advae.fit_detector(rows, advae.Config(iterations=20))
    strict = detector.with_threshold(Threshold("given", None, 0.0))
    encoded = strict.table.transform(as_frame(rows[:3] + 5))
    for each in counterfactuals(strict, encoded, most=CANDIDATES + 2):
        assert len(each.columns) == len(set(each.columns)) == CANDIDATES
        assert np.isfinite(each.scores).all()
        assert not each.normal


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
    ],
)
def test_quantiles_tell_whether_numbers_were_whole(rows, unit, low, high, whole) -> None:
    drawn = np.random.default_rng(rows).integers(low, high + 1, rows)
    drawn[:2] = low, high  # whole ends tell nothing
    column = TableEncoder.fit(pl.DataFrame({"x": drawn / unit})).features[0]
    assert isinstance(column, NumberColumn)
    assert only_whole(column) == whole
