"""Which rows a threshold is learned from, and the thresholds that a detector can have."""

import math
from dataclasses import dataclass, field, replace
from fractions import Fraction
from operator import itemgetter
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Float, Int

from advae._types import HostMatrix
from advae.config import Config, ThresholdMethod
from advae.detector import Detector, Threshold
from advae.evaluation import Estimate
from advae.reference import without
from advae.threshold import (
    alarm_rate,
    calibration_size,
    conformal_rows_needed,
    conformal_threshold,
    kde_threshold,
)

ENOUGH_ALARMS = 5
"""Wanted calibration rows above the threshold: with fewer, folds are better where they can be."""

FEWEST_MEMBERS = 4
"""Members from which on folds are used: with fewer, each would miss too many rows. A table too
small to hold rows out gets so many."""

MOST_FOLDS = 10

WATCHED = 0.1
"""Share of the training rows set apart to end training by, with ``Config.patience``."""

FEWEST_WATCHED, MOST_WATCHED = 20, 1000
"""How many those may be: fewer would end it by chance, more would tell no more."""


@dataclass(frozen=True, eq=False)
class Plan:
    """Which rows train the networks, and which calibrate the threshold.

    Parameters
    ----------
    training
        Positions of the rows that train, ascending.
    calibration
        Positions of the rows held out of all training, ascending; may be empty.
    fold
        For each training row the number of its fold, from 0; empty without folds. Member m never
        sees the rows of fold m modulo the number of folds.
    note
        What the user should know about it; empty when there is nothing.
    watched
        Positions of the rows that decide when training ends, ascending; empty where none do.
        Calibration rows cannot: a training that ends where it reconstructs them best would make
        them score lower than new rows.
    members
        How many networks to train: as many as the settings say, or more to make folds for.
    """

    training: Int[np.ndarray, "training"]
    calibration: Int[np.ndarray, "calibration"]
    fold: Int[np.ndarray, "training"]
    note: str = ""
    watched: Int[np.ndarray, "watched"] = field(default_factory=lambda: np.empty(0, int))
    members: int = 1

    @property
    def folds(self) -> int:
        """The number of folds, 0 for none."""
        return int(self.fold.max(initial=-1)) + 1

    def member_rows(self, members: int) -> Int[np.ndarray, "members member_rows"] | None:
        """Return the positions among the training rows that each member may see; None for all.

        Folds differ by a row at most; the shorter lists repeat one of their rows.
        """
        if not self.folds:
            return None
        seen = [np.flatnonzero(self.fold != member % self.folds) for member in range(members)]
        longest = max(len(rows) for rows in seen)
        return np.stack([np.resize(rows, longest) for rows in seen])


def plan_rows(rows: int, config: Config) -> Plan:
    """Decide which of ``rows`` normal rows train, which calibrate, and which end training."""
    plan = _calibration_plan(rows, config)
    return _with_watched(plan, config.seed) if config.patience else plan


def _with_watched(plan: Plan, seed: int) -> Plan:
    """Return the plan with some of its training rows watched instead."""
    rows = len(plan.training)
    count = min(MOST_WATCHED, round(rows * WATCHED))
    if count < FEWEST_WATCHED:
        needed = math.ceil(FEWEST_WATCHED / WATCHED)
        note = f"Too few rows to end training early, which takes {needed} beside those held out."
        return replace(plan, note=f"{plan.note} {note}".lstrip())
    shuffled = np.random.default_rng([seed, rows, count]).permutation(rows)
    watched, rest = np.sort(shuffled[:count]), np.sort(shuffled[count:])
    fold = plan.fold[rest] if plan.folds else plan.fold
    return replace(plan, training=plan.training[rest], watched=plan.training[watched], fold=fold)


def _calibration_plan(rows: int, config: Config) -> Plan:
    """Decide how a threshold is to be calibrated with ``rows`` normal rows.

    With enough rows, some are held out of all training: split-conformal calibration. With fewer,
    each member of an ensemble misses one fold, and the members that never saw a row score it:
    cross-conformal calibration, which wastes no row. Its promise is not exact: new rows are scored
    by all members, whose mean varies less than the score of one, so where members disagree fewer
    rows are flagged than promised. A conformal threshold that has too few rows for the first way
    gets the members that the second takes: networks know the rows that they learned too well to
    promise anything by them. Otherwise there is no calibration.
    """
    everything, nothing, members = np.arange(rows), np.empty(0, int), config.members
    if config.threshold == "kde":
        return Plan(everything, nothing, nothing, members=members)
    held_out = calibration_size(min(round(rows * config.calibration), rows - 2), config.alpha)
    alarms = (held_out + 1) * Fraction(str(config.alpha))
    shuffled = np.random.default_rng([config.seed, held_out]).permutation(rows)
    enough = rows >= conformal_rows_needed(config.alpha)
    in_folds = members >= FEWEST_MEMBERS and enough
    if alarms >= (ENOUGH_ALARMS if in_folds else 1):
        training, calibration = np.sort(shuffled[held_out:]), np.sort(shuffled[:held_out])
        return Plan(training, calibration, nothing, members=members)
    if in_folds:
        fold = shuffled % min(members, MOST_FOLDS)
        return Plan(everything, nothing, fold, members=members)
    if config.threshold != "conformal":
        return Plan(everything, nothing, nothing, members=members)
    fewest = conformal_rows_needed(config.alpha)
    if enough:
        note = (
            f"Too few rows to hold some out for a conformal threshold at alpha = {config.alpha:g}, "
            f"which takes {math.ceil((fewest - 0.5) / config.calibration):,}: "
            f"{FEWEST_MEMBERS} networks "
            "share the rows instead, each misses another part of them, and the threshold rests on "
            "the scores of rows by the network that never saw them."
        )
        return Plan(everything, nothing, shuffled % FEWEST_MEMBERS, note, members=FEWEST_MEMBERS)
    note = (
        f"Too few rows for a conformal threshold at alpha = {config.alpha:g}, which takes "
        f"{fewest:,}. The threshold and p-values rest on the training scores, and may flag many "
        "more normal rows than alpha."
    )
    return Plan(everything, nothing, nothing, note, members=members)


def out_of_fold_scores(
    detector: Detector,
    encoded: HostMatrix,
    fold: Int[np.ndarray, "rows"],
    kept: Int[np.ndarray, "kept"],
) -> Float[np.ndarray, "rows"]:
    """Return the score of each training row by the members that never saw it, shape (rows,).

    ``kept``: positions of the rows in the reference's memory, which must not have seen it either.
    """
    folds = int(fold.max()) + 1
    scores = np.empty(len(fold))
    for number in range(folds):
        own = np.flatnonzero(fold == number)
        members = slice(number, None, folds)
        reference = without(detector.reference, np.flatnonzero(fold[kept] == number))
        if reference.whitening is not None:
            reference = reference._replace(whitening=reference.whitening[members])
        strangers = replace(
            detector,
            model=jax.tree.map(itemgetter(members), detector.model),
            reference=reference,
        )
        scores[own] = strangers.score_encoded(encoded[own]).score
    return scores


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
        ``"conformal"`` needs calibration scores. None uses them where there are any, and KDE
        otherwise.

    Raises
    ------
    ConfigError
        If there are too few calibration scores for ``alpha``, or it is no share.
    """
    replace(detector.config, alpha=alpha)  # checks it
    calibration, training = detector.calibration_scores, detector.training_scores
    if method is None:
        method = "conformal" if len(calibration) else "kde"
    if method == "kde":
        why = f"kernel density of {len(training):,} training rows"
        return Threshold("kde", alpha, kde_threshold(training, alpha), why)
    return Threshold(
        "conformal", alpha, conformal_threshold(calibration, alpha), _calibration_rows(detector)
    )


def _calibration_rows(detector: Detector) -> str:
    """Say which rows the calibration scores belong to."""
    summary, rows = detector.summary, len(detector.calibration_scores)
    fitted = summary.calibration_rows or (summary.rows if summary.folds else 0)
    parts = []
    if fitted and summary.folds:
        parts.append(f"{fitted:,} training rows, by members that never saw them")
    elif fitted:
        parts.append(f"{fitted:,} rows held out of training")
    if rows > fitted:
        parts.append(f"{rows - fitted:,} reviewed normal rows")
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
    doubts = []
    known = np.concatenate([detector.training_scores, detector.calibration_scores])
    repeated = int(np.isin(scores, known).sum())
    if 2 * repeated >= len(scores) > 0:
        doubts.append(
            f"{repeated:,} of the {len(scores):,} reviewed normal rows score exactly like rows of "
            "the training table or of an earlier review: joined again, they falsify the threshold"
        )
    from scipy.stats import binomtest  # slow to import

    above = int(np.sum(scores > detector.threshold.value))
    if detector.threshold.alpha is not None and len(scores):
        share = min(1.0, 2 * detector.threshold.alpha)
        if binomtest(above, len(scores), share, alternative="greater").pvalue < 0.001:
            doubts.append(
                f"{above:,} of the {len(scores):,} reviewed normal rows lie above the threshold "
                "before: if they were reviewed because they were flagged, the new threshold is "
                "too high; review rows picked at random"
            )
    return doubts


class Candidate(NamedTuple):
    """A threshold, and the share of normal rows above it; None where no row can tell."""

    threshold: Threshold
    alarms: Estimate | None


def candidates(detector: Detector, alpha: float) -> list[Candidate]:
    """Return the threshold in use and the ones that could be, at ``alpha``, side by side."""
    calibration = detector.calibration_scores
    found = [detector.threshold]
    if len(calibration) >= conformal_rows_needed(alpha):
        found.append(learned_threshold(detector, alpha, "conformal"))
    found.append(learned_threshold(detector, alpha, "kde"))
    distinct = {(each.method, each.value): each for each in reversed(found)}
    return [
        Candidate(each, alarm_rate(calibration, each.value) if len(calibration) else None)
        for each in reversed(distinct.values())
    ]
