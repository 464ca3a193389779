"""The thresholds that a detector can have, and the scores that they are learned from."""

import math
from dataclasses import replace
from typing import NamedTuple, get_args

import numpy as np
from jaxtyping import Bool, Float

from advae.config import ThresholdMethod
from advae.core.arrays import HostVector
from advae.core.evaluation import Estimate
from advae.core.threshold import (
    alarm_rate,
    conformal_rows_needed,
    conformal_threshold,
    kde_threshold,
)
from advae.detector.detector import Detector
from advae.detector.record import Threshold
from advae.display.text import count
from advae.errors import ConfigError

TRIMMED = (
    "Normal rows among them are missing in the calibration: of new normal rows, up to that share "
    "more than alpha may be flagged, and p-values may be too small."
)
"""What ``Config.trim`` costs, where it set rows aside."""

UNLIKELY = 0.001
"""Chance below which something odd about reviewed rows is not put down to chance."""


def learned_threshold(
    detector: Detector, alpha: float, method: ThresholdMethod | None = None
) -> Threshold:
    """Return a threshold learned from the scores that a detector keeps.

    Parameters
    ----------
    detector
        A detector with its training scores, and calibration scores where it has any.
    alpha
        Share of normal rows that may be flagged, in (0, 1).
    method
        ``"conformal"`` needs calibration scores. None uses them where there are any, the kernel
        density of out-of-fold ones that are too few for ``alpha`` (but at least the highest of
        them), and KDE otherwise.

    Raises
    ------
    ConfigError
        If there are too few calibration scores for ``alpha``, or it is no share; for another
        method.

    Examples
    --------
    >>> import numpy as np
    >>> import advae
    >>> normal = np.random.default_rng(0).normal(size=(300, 2))
    >>> detector = advae.fit_detector(normal, advae.Config(iterations=50))
    >>> from advae.detector.calibration import learned_threshold
    >>> strict = learned_threshold(detector, alpha=0.02)
    >>> strict.why
    '59 rows held out of training'
    >>> strict.value > detector.threshold.value  # of alpha = 0.1
    True
    >>> detector = detector.with_threshold(strict)
    """
    if method not in (None, *get_args(ThresholdMethod)):
        raise ConfigError(f"method is {method!r}; expected 'conformal', 'kde' or None")
    alpha = replace(detector.config, alpha=alpha).alpha  # checked, and one of Python's numbers
    calibration, training = detector.calibration_scores, detector.training_scores
    if method is None:
        if detector.summary.folds and len(calibration) < conformal_rows_needed(alpha):
            why = f"kernel density of {_calibration_rows(detector)}"
            found = _kde(calibration, alpha, why)
            # The highest score is the threshold of the smallest alpha that these rows are enough
            # for: that of a smaller alpha must not be lower.
            return replace(found, value=max(found.value, float(calibration.max())))
        method = "conformal" if len(calibration) else "kde"
    if method == "kde":
        rows = detector.summary.rows
        some = "" if len(training) == rows else f"{len(training):,} of "  # every second, perhaps
        return _kde(training, alpha, f"kernel density of {some}{rows:,} training rows")
    return Threshold(
        "conformal", alpha, conformal_threshold(calibration, alpha), _calibration_rows(detector)
    )


def _kde(scores: HostVector, alpha: float, why: str) -> Threshold:
    # NOTE[DIFF]: the density of (14) reaches below 0, where no score is and no threshold should be.
    return Threshold("kde", alpha, max(0.0, kde_threshold(scores, alpha)), why)


def _calibration_rows(detector: Detector) -> str:
    """Say which rows the calibration scores belong to."""
    summary, rows = detector.summary, len(detector.calibration_scores)
    fitted = summary.calibration_rows or (summary.rows if summary.folds else 0)
    suspects = ", suspects left out" if detector.config.trim else ""
    parts = []
    if fitted and summary.folds:
        parts.append(f"{fitted:,} training rows, by members that never saw them{suspects}")
    elif fitted:
        parts.append(f"{fitted:,} rows held out of training{suspects}")
    if rows > fitted:
        parts.append(count(rows - fitted, "reviewed normal row"))
    return ", and ".join(parts)


class Review(NamedTuple):
    """How a threshold does on reviewed rows; precision and recall in [0, 1], NaN where undefined.

    ``flagged_normal`` and ``flagged_anomalies`` count the rows strictly above it.
    """

    flagged_normal: int
    flagged_anomalies: int
    precision: float
    recall: float


def review(
    scores: Float[np.ndarray, "rows"], anomalous: Bool[np.ndarray, "rows"], threshold: float
) -> Review:
    """Return how a threshold does on rows whose labels are known."""
    flagged = scores > threshold
    hits, alarms = int(np.sum(flagged & anomalous)), int(np.sum(flagged & ~anomalous))
    return Review(
        alarms,
        hits,
        hits / (hits + alarms) if flagged.any() else math.nan,
        hits / int(anomalous.sum()) if anomalous.any() else math.nan,
    )


def with_reviewed(detector: Detector, scores: Float[np.ndarray, "rows"]) -> Detector:
    """Return a detector whose calibration scores include those of reviewed normal rows.

    Parameters
    ----------
    detector
        Any detector; one without calibration rows gets its first ones.
    scores
        Its scores of normal rows that took no part in its training. The promise on false alarms
        needs rows picked whatever their score; rows reviewed because they were flagged raise the
        threshold.

    Examples
    --------
    >>> import numpy as np
    >>> import advae
    >>> normal = np.random.default_rng(0).normal(size=(300, 2))
    >>> detector = advae.fit_detector(normal, advae.Config(iterations=50))
    >>> from advae.detector.calibration import learned_threshold, with_reviewed
    >>> reviewed = np.random.default_rng(1).normal(size=(40, 2))
    >>> detector = with_reviewed(detector, detector.anomaly_score(reviewed))
    >>> len(detector.calibration_scores)
    99
    >>> learned_threshold(detector, alpha=0.01).why
    '59 rows held out of training, and 40 reviewed normal rows'
    """
    joined = np.sort(np.concatenate([detector.calibration_scores, scores]))
    return replace(detector, calibration_scores=joined)


def review_doubts(detector: Detector, scores: Float[np.ndarray, "rows"]) -> list[str]:
    """Return what is strange about reviewed normal rows that are to join the calibration.

    Parameters
    ----------
    detector
        The detector before they join.
    scores
        Its scores of them.
    """
    if not len(scores):
        return ["no reviewed row is normal, so that none joined the calibration rows"]
    doubts = []
    from scipy.stats import binomtest  # slow to import

    known = np.concatenate([detector.training_scores, detector.calibration_scores])
    repeated = int(np.isin(scores, known).sum())
    # A new row can have the score of a known one by chance, for instance where columns have few
    # values. The chance is about the share of known scores that occur twice (Good and Turing).
    alone = np.unique(known, return_counts=True)[1] == 1
    chance = 1 - alone.sum() / len(known)
    by_chance = binomtest(repeated, len(scores), chance, alternative="greater").pvalue
    if 2 * repeated >= len(scores) and by_chance < UNLIKELY:
        doubts.append(
            f"{repeated:,} of the {len(scores):,} reviewed normal rows score exactly like rows of "
            "the training table or of an earlier review: joined again, they falsify the threshold"
        )
    above = int(np.sum(scores > detector.threshold.value))
    if detector.threshold.alpha is not None:
        share = min(1.0, 2 * detector.threshold.alpha)
        if binomtest(above, len(scores), share, alternative="greater").pvalue < UNLIKELY:
            doubts.append(
                f"{above:,} of the {len(scores):,} reviewed normal rows lie above the threshold "
                "before: if they were reviewed because they were flagged, the new threshold is "
                "too high; review rows picked at random"
            )
    return doubts


def expected_alarms(detector: Detector) -> float | None:
    """Return the share of normal rows expected above the threshold; None where no row can tell."""
    calibration = detector.calibration_scores
    if not len(calibration):
        return detector.threshold.alpha
    return alarm_rate(calibration, detector.threshold.value).value


def too_many_alarms(detector: Detector, flagged: int, rows: int) -> bool:
    """Return whether normal rows and chance hardly explain that so many rows are flagged."""
    from scipy.stats import binom  # slow to import

    expected, calibration = expected_alarms(detector), detector.calibration_scores
    if expected is None:
        return False
    if len(calibration):
        expected = max(expected, alarm_rate(calibration, detector.threshold.value).high)
    return bool(binom.sf(flagged - 1, rows, expected) < UNLIKELY)


class Candidate(NamedTuple):
    """A threshold, and the share of normal rows above it; None where no row can tell."""

    threshold: Threshold
    alarms: Estimate | None


def candidates(detector: Detector, alpha: float) -> list[Candidate]:
    """Return the threshold in use, then the others that there could be at ``alpha``."""
    calibration, used = detector.calibration_scores, detector.threshold
    enough = len(calibration) >= conformal_rows_needed(alpha)
    methods: tuple[ThresholdMethod, ...] = ("conformal", "kde") if enough else ("kde",)
    learned = [learned_threshold(detector, alpha, method) for method in methods]
    others = [each for each in learned if (each.method, each.value) != (used.method, used.value)]
    return [
        Candidate(each, alarm_rate(calibration, each.value) if len(calibration) else None)
        for each in (used, *others)
    ]
