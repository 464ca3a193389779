"""Scores measured against labels."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy.stats import binom, norm
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from advae.core.evaluation import evaluate
from advae.errors import InputError

SCORES = np.array([0.1, 0.4, 0.4, 0.7, 0.2, 0.9])
LABELS = np.array([0, 1, 0, 0, 0, 1])


@pytest.mark.parametrize("kind", [bool, int, np.uint8, float])
def test_labels_are_truths_in_any_type(kind: type) -> None:
    measured = evaluate(SCORES, LABELS.astype(kind), 0.4)
    assert measured["roc_auc"].value == pytest.approx(roc_auc_score(LABELS, SCORES))
    wanted = average_precision_score(LABELS, SCORES)
    assert measured["average_precision"].value == pytest.approx(wanted)
    assert measured["f1"].value == pytest.approx(f1_score(LABELS, SCORES > 0.4))
    assert measured["false_alarm_rate"].value == 0.25
    # Of two anomalies the highest is missing in many resamples.
    assert all(0 <= each.low <= each.value <= each.high <= 1 for each in measured.values())


def test_other_labels_are_refused() -> None:
    with pytest.raises(InputError, match="-1"):
        evaluate(SCORES, 1 - 2 * LABELS, 0.4)
    with pytest.raises(InputError, match="nan"):
        evaluate(SCORES, np.where(LABELS == 1, np.nan, 0.0), 0.4)


def test_what_is_no_score_is_refused() -> None:
    with pytest.raises(InputError, match="NaN"):
        evaluate(np.where(LABELS == 1, np.nan, SCORES), LABELS, 0.4)
    with pytest.raises(InputError, match="NaN"):
        evaluate(SCORES, LABELS, float("nan"))


@pytest.mark.parametrize("labels", [LABELS[:5], LABELS[:, None]])
def test_each_score_has_one_label(labels: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"scores have shape \(6,\) and labels \((5|6, 1)"):
        evaluate(SCORES, labels, 0.4)


def test_columns_of_frames_are_measured() -> None:
    wanted = evaluate(SCORES, LABELS, 0.4)
    pandas = pd.DataFrame({"score": SCORES, "label": LABELS}, index=range(9, 3, -1))
    assert evaluate(pandas["score"], pandas["label"].astype("boolean"), 0.4) == wanted
    assert evaluate(pl.Series(SCORES), pl.Series(LABELS), 0.4) == wanted
    assert evaluate(SCORES.tolist(), LABELS.tolist(), 0.4) == wanted


@pytest.mark.parametrize(
    ("label", "message"), [(1, "0 normal rows and 6 anomalies"), (0, "6 normal rows and 0 anomal")]
)
def test_one_class_cannot_be_measured(label: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        evaluate(SCORES, np.full(6, label), 0.4)


def test_intervals_are_those_of_drawing_rows_of_each_class_again() -> None:
    # Of 400 anomalies 240 are flagged, of 800 normal rows none: precision is 1 in every resample,
    # and F1 2 r / (1 + r) of the recall r.
    labels = np.repeat([1, 0], [400, 800])
    scores = np.concatenate([np.arange(400.0) >= 160, np.zeros(800)]).astype(float)
    found, other = (evaluate(scores, labels, 0.5, seed=seed)["f1"] for seed in (0, 1))
    recall = binom.ppf([0.025, 0.975], 400, 0.6) / 400
    assert [found.low, found.high] == pytest.approx(2 * recall / (1 + recall), abs=0.006)
    assert found != other


@pytest.mark.parametrize("anomalies", [1, 5, 30])
def test_intervals_of_rates_hold_however_few_rows_there_are(anomalies: int) -> None:
    # Drawn again, one anomaly is always found or never: that interval never held the recall.
    rng = np.random.default_rng(0)
    labels = np.arange(anomalies + 40) < anomalies
    held = np.zeros(2)
    for _ in range(100):
        scores = rng.normal(size=len(labels)) + 2.5 * labels
        found = evaluate(scores, labels, 1.5)
        rates = norm.sf(1.5, [2.5, 0])
        for place, name in enumerate(("recall", "false_alarm_rate")):
            held[place] += found[name].low <= rates[place] <= found[name].high
    assert (held >= 93).all()  # out of 100, of which 95 or more are expected
