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

from advae.counterfactual import MOST_CHANGES, counterfactuals
from advae.detector import Detector


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
