"""Which rows a threshold is learned from, and the threshold that a detector's settings ask for."""

import numpy as np
from jaxtyping import Int

from advae.config import Config
from advae.detector import Detector, Threshold
from advae.threshold import conformal_threshold, kde_threshold


def split_rows(
    rows: int, config: Config
) -> tuple[Int[np.ndarray, "training"], Int[np.ndarray, "calibration"]]:
    """Return the positions of the training and of the calibration rows, each ascending.

    There are no calibration rows where the threshold does not use them, or where there would be
    fewer than 5 / alpha: with so few the share of false alarms would be right on average, and far
    off for most tables.
    """
    calibration = round(rows * config.calibration) if config.threshold == "conformal" else 0
    if calibration * config.alpha < 5:
        calibration = 0
    shuffled = np.random.default_rng([config.seed, calibration]).permutation(rows)
    return np.sort(shuffled[calibration:]), np.sort(shuffled[:calibration])


def learned_threshold(detector: Detector, alpha: float) -> Threshold:
    """Return the threshold that the detector's settings ask for, at ``alpha``.

    Raises
    ------
    ConfigError
        If there are too few calibration rows for ``alpha``.
    """
    calibration = detector.calibration_scores
    if len(calibration):
        return Threshold("conformal", alpha, conformal_threshold(calibration, alpha))
    return Threshold("kde", alpha, kde_threshold(detector.training_scores, alpha))
