"""Scores of training, calibration and new rows: what any threshold flags, and what labels say."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float

from advae.core.evaluation import Curve, Estimate, curves, evaluate
from advae.core.threshold import kde_cdf, silverman_bandwidth
from advae.detector.calibration import Candidate, candidates
from advae.detector.detector import Detector
from advae.detector.record import Threshold
from advae.display.charts import ScoreAxis

STEPS = 480
"""Steps of the threshold's slider along the axis."""

BINS = 80
"""Bars of a histogram."""


@dataclass(frozen=True)
class ScoreGroup:
    """The scores of one kind of rows.

    Attributes
    ----------
    key
        ``"training"``, ``"calibration"``, ``"new"``, or with labels ``"normal"`` and
        ``"anomaly"`` in its place.
    total
        Rows of this kind.
    shares
        Share of them in each of `BINS` equal parts of the axis.
    above
        How many of them score above each of the ``STEPS + 1`` thresholds along the axis.
    flagged
        How many score above the threshold in use.
    largest
        The highest score.
    """

    key: str
    total: int
    shares: tuple[float, ...]
    above: tuple[int, ...]
    flagged: int
    largest: float


@dataclass(frozen=True)
class ScoreView:
    """What the section on scores and threshold shows.

    Attributes
    ----------
    axis
        The axis that everything is drawn on.
    groups
        Kinds of rows, those of the model first.
    density
        The training scores smoothed along the axis, as a share for each of its `BINS` parts;
        empty where all are equal.
    thresholds
        The threshold in use, then the other ones possible.
    """

    axis: ScoreAxis
    groups: tuple[ScoreGroup, ...]
    density: tuple[float, ...]
    thresholds: tuple[Candidate, ...]

    @property
    def threshold(self) -> Threshold:
        """The threshold in use."""
        return self.thresholds[0].threshold

    @property
    def calibrated(self) -> bool:
        """Whether p-values are counted on rows that the networks did not learn from."""
        return any(group.key == "calibration" for group in self.groups)

    @property
    def alarms(self) -> Estimate | None:
        """Share of normal rows expected above the threshold in use; None if no row can tell."""
        return self.thresholds[0].alarms

    @property
    def expected_alarms(self) -> float | None:
        """Share of normal rows that the threshold is expected to flag; None if unknown."""
        return self.threshold.alpha if self.alarms is None else self.alarms.value


def view_scores(
    detector: Detector,
    scores: Float[np.ndarray, "rows"],
    anomalous: Bool[np.ndarray, "rows"] | None,
    counts: Mapping[str, tuple[int, int]],
) -> ScoreView:
    """Compare the scores of new rows with those of training.

    Parameters
    ----------
    detector
        What scored them.
    scores
        A uniform sample of the new scores, at least one.
    anomalous
        Labels of the sample; None without labels.
    counts
        Rows that the sample stands for, and the flagged ones among them: ``"new"``, or with labels
        ``"normal"`` and ``"anomaly"``.
    """
    training, calibration = detector.training_scores, detector.calibration_scores
    threshold = detector.threshold.value
    parts = {"training": training, "calibration": calibration}
    if anomalous is None:
        parts["new"] = scores
    else:
        parts["normal"], parts["anomaly"] = scores[~anomalous], scores[anomalous]
    axis = ScoreAxis.around(threshold, parts.values())
    alpha = detector.config.alpha if detector.threshold.alpha is None else detector.threshold.alpha
    return ScoreView(
        axis=axis,
        groups=tuple(
            _group(key, axis, sample, threshold, counts.get(key))
            for key, sample in parts.items()
            if len(sample)
        ),
        density=_density(axis, training),
        thresholds=tuple(candidates(detector, alpha)),
    )


def _group(
    key: str,
    axis: ScoreAxis,
    sample: Float[np.ndarray, "rows"],
    threshold: float,
    counted: tuple[int, int] | None,
) -> ScoreGroup:
    ordered = np.sort(sample)
    total, flagged = counted or (len(sample), int((sample > threshold).sum()))
    above = len(ordered) - np.searchsorted(
        ordered, axis.at(np.linspace(0.0, 1.0, STEPS + 1)), side="right"
    )
    return ScoreGroup(
        key=key,
        total=total,
        shares=tuple(axis.shares(sample, BINS).tolist()),
        above=tuple(np.rint(above * (total / len(ordered))).astype(int).tolist()),
        flagged=flagged,
        largest=float(ordered[-1]),
    )


def _density(axis: ScoreAxis, training: Float[np.ndarray, "rows"]) -> tuple[float, ...]:
    # Of places on the axis, which is logarithmic: smoothed as scores, the line missed the bars.
    places = axis.place(training)
    bandwidth = silverman_bandwidth(places)
    if not bandwidth:
        return ()
    edges = [-np.inf, *np.linspace(0.0, 1.0, BINS + 1)[1:-1].tolist(), np.inf]
    return tuple(np.diff([kde_cdf(places, bandwidth, edge) for edge in edges]).tolist())


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
