"""ROC and precision-recall curves with pointwise bootstrap bands."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from advae.evaluation import Estimate, evaluate

POINTS = 101
"""Points of a curve."""

GROUPS = 1000
"""Most thresholds that a curve is computed from; more rows are taken together."""

RESAMPLES = 500


@dataclass(frozen=True)
class Curve:
    """A curve in the unit square, with the band that holds 95 of 100 resampled ones pointwise.

    ``x``, ``y``, ``low`` and ``high`` have `POINTS` entries each, all in [0, 1].
    """

    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


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


def curves(
    scores: Float[np.ndarray, "rows"], anomalous: Bool[np.ndarray, "rows"]
) -> tuple[Curve, Curve]:
    """Return the ROC and the precision-recall curve.

    For the bands normal rows and anomalies are each drawn with replacement.

    Parameters
    ----------
    scores
        Anomaly scores, higher = more anomalous.
    anomalous
        True labels, at least one of each.
    """
    positives, negatives = _grouped(scores, anomalous)
    rng = np.random.default_rng(0)
    drawn = [
        rng.multinomial(int(counts.sum()), counts / counts.sum(), RESAMPLES)
        for counts in (positives, negatives)
    ]
    grid = np.linspace(0.0, 1.0, POINTS)
    found = [_on_grid(positives, negatives, grid)]
    found += [_on_grid(hits, others, grid) for hits, others in zip(*drawn, strict=True)]
    bands = np.quantile(np.stack(found[1:]), (0.025, 0.975), axis=0)
    roc, precision = (
        Curve(*(tuple(line.tolist()) for line in (grid, found[0][kind], *bands[:, kind])))
        for kind in (0, 1)
    )
    return roc, precision


def _grouped(
    scores: Float[np.ndarray, "rows"], anomalous: Bool[np.ndarray, "rows"]
) -> tuple[Int[np.ndarray, "groups"], Int[np.ndarray, "groups"]]:
    """Count the rows of each class in groups of equal or neighbouring scores, highest first."""
    values, group = np.unique(-scores, return_inverse=True)
    if len(values) > GROUPS:
        # Half the groups follow the anomalies, which are few, and half all rows.
        cuts = np.unique(
            np.concatenate(
                [
                    np.quantile(group, np.linspace(0, 1, GROUPS // 2), method="nearest"),
                    np.quantile(group[anomalous], np.linspace(0, 1, GROUPS // 2), method="nearest"),
                ]
            )
        )
        group = np.searchsorted(cuts, group, side="left")
    size = int(group.max()) + 1
    return (
        np.bincount(group[anomalous], minlength=size),
        np.bincount(group[~anomalous], minlength=size),
    )


def _on_grid(
    positives: Int[np.ndarray, "groups"],
    negatives: Int[np.ndarray, "groups"],
    grid: Float[np.ndarray, "points"],
) -> Float[np.ndarray, "2 points"]:
    """Return recall at false alarm rates, and precision at recalls, both those of ``grid``."""
    true, false = np.cumsum(positives), np.cumsum(negatives)
    recall, alarms = true / true[-1], false / false[-1]
    # Of several recalls at one false alarm rate the last is the curve's, and the line starts at 0.
    last = np.append(alarms[1:] > alarms[:-1], True)
    roc = np.interp(grid, np.append(0.0, alarms[last]), np.append(0.0, recall[last]))
    reached = np.minimum(np.searchsorted(recall, grid - 1e-12, side="left"), len(recall) - 1)
    precision = true / np.maximum(true + false, 1)
    # At recall 0 stands the precision of the highest scores, where the curve begins.
    first = int(np.argmax(true > 0))
    return np.stack([roc, precision[np.maximum(reached, first)]])
