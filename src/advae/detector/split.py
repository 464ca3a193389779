"""Which rows train the networks, which calibrate the threshold, and which end training."""

import math
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Int

from advae.config import Config
from advae.core.randomness import choice
from advae.core.threshold import as_written, calibration_size, conformal_rows_needed

ENOUGH_ALARMS = 5
"""Calibration rows wanted above the threshold; with fewer, folds are made if there are members."""

FEWEST_MEMBERS = 4
"""Members from which on folds are used: with fewer, each would miss too many rows. A table too
small to hold rows out gets so many."""

FEWEST_FOLDED = 2 * FEWEST_MEMBERS
"""Rows from which on folds are made: two in each."""

MOST_FOLDS = 10

WATCHED = 0.1
"""Share of the training rows set apart to end training by, with ``Config.patience``."""

FEWEST_WATCHED, MOST_WATCHED = 20, 1000
"""Least and most rows set apart: fewer would end training by chance, and more would not help."""


@dataclass(frozen=True, eq=False)
class Split:
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
    fold: Int[np.ndarray, "folded"]
    note: str = ""
    watched: Int[np.ndarray, "watched"] = field(default_factory=lambda: np.empty(0, int))
    members: int = 1

    @property
    def folds(self) -> int:
        """The number of folds, 0 for none."""
        return int(self.fold.max(initial=-1)) + 1

    def member_rows(self) -> Int[np.ndarray, "members member_rows"] | None:
        """Return the positions among the training rows that each member may see; None for all.

        Folds differ by a row at most; the shorter lists repeat one of their rows.
        """
        if not self.folds:
            return None
        seen = [np.flatnonzero(self.fold != member % self.folds) for member in range(self.members)]
        longest = max(len(rows) for rows in seen)
        return np.stack([np.resize(rows, longest) for rows in seen])


def split_rows(rows: int, config: Config) -> Split:
    """Decide which of ``rows`` normal rows train, which calibrate, and which end training."""
    split = _calibration_split(rows, config)
    return _with_watched(split, config.seed) if config.patience else split


def _with_watched(split: Split, seed: int) -> Split:
    """Return the split with some of its training rows watched instead."""
    rows = len(split.training)
    count = min(MOST_WATCHED, round(rows * WATCHED))
    if count < FEWEST_WATCHED:
        needed = math.ceil((FEWEST_WATCHED - 0.5) / WATCHED)
        note = f"Too few rows to end training early, which takes {needed} beside those held out."
        return replace(split, note=f"{split.note} {note}".lstrip())
    shuffled = choice(seed, "watched rows", rows, count).permutation(rows)
    watched, rest = np.sort(shuffled[:count]), np.sort(shuffled[count:])
    fold = split.fold[rest] if split.folds else split.fold
    return replace(split, training=split.training[rest], watched=split.training[watched], fold=fold)


def _calibration_split(rows: int, config: Config) -> Split:
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
        return Split(everything, nothing, nothing, members=members)
    most = max(0, min(round(rows * config.calibration), rows - 2))
    held_out = calibration_size(most, config.alpha)
    alarms = (held_out + 1) * as_written(config.alpha)
    shuffled = choice(config.seed, "calibration rows", held_out).permutation(rows)
    fewest = conformal_rows_needed(config.alpha)
    enough = rows >= fewest
    in_folds = members >= FEWEST_MEMBERS and enough
    if alarms >= (ENOUGH_ALARMS if in_folds else 1):
        training, calibration = np.sort(shuffled[held_out:]), np.sort(shuffled[:held_out])
        return Split(training, calibration, nothing, members=members)
    wanted = f"for a conformal threshold at alpha = {config.alpha:g}, which takes"
    if not in_folds and config.threshold != "conformal":
        return Split(everything, nothing, nothing, members=members)
    if not in_folds and rows < FEWEST_FOLDED:
        note = (
            f"Too few rows {wanted} {fewest:,}. The threshold and p-values rest on the training "
            "scores, and may flag many more normal rows than alpha."
        )
        return Split(everything, nothing, nothing, note, members=members)
    members = max(members, FEWEST_MEMBERS)
    shared = (
        f"{members} networks share the rows, each misses another part of them, and the threshold "
        "rests on the scores of rows by networks that never saw them"
    )
    note = ""
    if not enough:
        note = (
            f"Too few rows {wanted} {fewest:,}: {shared}, on their kernel density, and may flag "
            "more normal rows than alpha."
        )
    elif not in_folds:
        held = math.ceil((fewest - 0.5) / config.calibration)
        note = f"Too few rows to hold some out {wanted} {held:,}: {shared}."
    fold = shuffled % min(members, MOST_FOLDS)
    return Split(everything, nothing, fold, note, members=members)
