"""ROC and precision-recall curves with pointwise bootstrap bands."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float

from advae.core.evaluation import Curve, Estimate, curves, evaluate


@dataclass(frozen=True)
class LabelView:
    """How well scores and flags agree with the labels.

    Attributes
    ----------
    column
        The label column.
    normal, anomalies
        Rows of each class.
    measures
        ``evaluate``'s, with intervals; empty where a class is missing. Of a sample, the intervals
        are the sample's, and so are the areas; the others are those of all rows.
    roc, precision_recall
        The curves; None where a class is missing.
    """

    column: str
    normal: int
    anomalies: int
    measures: dict[str, Estimate]
    roc: Curve | None
    precision_recall: Curve | None


def view_labels(
    column: str,
    scores: Float[np.ndarray, "rows"],
    anomalous: Bool[np.ndarray, "rows"],
    threshold: float,
    counts: Mapping[str, tuple[int, int]],
) -> LabelView:
    """Measure a sample of scores against labels; ``counts`` are those of `Gathered`."""
    (normal, alarms), (anomalies, hits) = counts["normal"], counts["anomaly"]
    if anomalous.all() or not anomalous.any():
        return LabelView(column, normal, anomalies, {}, None, None)
    roc, precision_recall = curves(scores, anomalous)
    counted = {
        "precision": hits / max(hits + alarms, 1),
        "recall": hits / anomalies,
        "f1": 2 * hits / (hits + alarms + anomalies),
        "false_alarm_rate": alarms / normal,
    }
    measures = {
        name: replace(found, value=counted.get(name, found.value))
        for name, found in evaluate(scores, anomalous, threshold).items()
    }
    return LabelView(column, normal, anomalies, measures, roc, precision_recall)
