"""The benchmark of mixed tables in its quick mode, and the simple scores by themselves."""

import numpy as np
import polars as pl
import pytest

from benchmarks.accuracy import mixed, weights
from benchmarks.accuracy.simple_scores import SCORES, encoded
from benchmarks.harness.data import missing_data


@pytest.mark.skipif(bool(missing_data("mixed")), reason=str(missing_data("mixed")))
def test_mixed_tables_have_figures(capsys):
    mixed.main("german", "0", quick=True)
    told = capsys.readouterr()
    heading, _, line = told.out.splitlines()[2:5]
    assert heading.split(" | ")[1:-1] == ["advae default", *SCORES]
    cells = [cell.split(" / ") for cell in line.split(" | ")[1:-1]]
    assert all(40 <= float(auc) <= 100 and 0 < float(ap) <= 100 for auc, ap in cells)
    assert told.err.count("german seed 0") == 1 + len(SCORES)


@pytest.mark.parametrize("name", SCORES)
def test_simple_scores_find_what_they_are_for(name):
    draws = np.random.default_rng(0)
    kind = draws.choice(["a", "b"], 600)
    number = np.where(kind == "a", 0.0, 10.0) + draws.normal(size=600)
    rows = pl.DataFrame({"kind": kind, "number": number})
    odd = pl.DataFrame({"kind": ["a", "b"], "number": [25.0, -20.0]})
    scores = SCORES[name](rows[:500], pl.concat([rows[500:], odd]), 0)
    assert scores[100:].min() > np.quantile(scores[:100], 0.97)
    if name in ("1-NN", "conditional trees"):
        crossed = pl.DataFrame({"kind": ["a"], "number": [10.0]})
        scores = SCORES[name](rows[:500], pl.concat([rows[500:], crossed]), 0)
        assert scores[100] > np.quantile(scores[:100], 0.9)


def test_missing_and_new_values_are_encoded():
    train = pl.DataFrame({"x": [0.0, None, 4.0], "k": ["a", None, "b"]})
    new = pl.DataFrame({"x": [None, 8.0], "k": ["c", None]})
    known, asked = encoded(train, new)
    assert known.tolist() == [[0, 0, 1, 0, 0], [0.5, 1, 0, 1, 0], [1, 0, 0, 0, 1]]
    assert asked.tolist() == [[0.5, 1, 0, 0, 0], [2, 0, 0, 1, 0]]


@pytest.mark.skipif(bool(missing_data("mixed")), reason=str(missing_data("mixed")))
def test_weights_of_surprises_have_figures(capsys):
    weights.main("german", "0", quick=True)
    told = capsys.readouterr()
    heading, _, line = told.out.splitlines()[:3]
    assert heading.strip("| ").split(" | ")[3:] == [*weights.RULES]
    of_whole, of_fit, *precisions = map(float, line.strip("| ").split(" | ")[1:])
    assert max(of_whole, of_fit) == 1
    assert all(30 < value < 100 for value in precisions)
