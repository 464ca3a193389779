"""Scores measured against labels."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from advae.errors import InputError
from advae.evaluation import evaluate

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


def test_other_labels_are_refused() -> None:
    with pytest.raises(InputError, match="-1"):
        evaluate(SCORES, 1 - 2 * LABELS, 0.4)
    with pytest.raises(InputError, match="nan"):
        evaluate(SCORES, np.where(LABELS == 1, np.nan, 0.0), 0.4)
