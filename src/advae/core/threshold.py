"""Thresholds learned without labels, p-values, and control of the false discovery rate.

NOTE[DIFF]: the paper has the kernel density's threshold alone, of the training scores. Networks
know training rows otherwise than new ones: of these it was seen to flag twice the share that it
says, or less than half. The ``default`` preset takes the conformal one, of rows held out.
"""

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
from jaxtyping import Bool, Float
from scipy.special import ndtr

from advae.core.arrays import HostVector
from advae.core.evaluation import Estimate, exact_share
from advae.errors import ConfigError


def silverman_bandwidth(scores: HostVector) -> float:
    """Return Silverman's bandwidth of a one-dimensional sample, float64; equation (15).

    It is (3 n / 4) ** (-1/5) times the sample standard deviation; 0 for one value, or equal ones.
    """
    if len(scores) < 2:
        return 0.0
    bandwidth = float((0.75 * len(scores)) ** -0.2 * np.std(scores, ddof=1))
    # Rounding can leave equal values a little apart.
    return bandwidth if bandwidth > 1e-12 * abs(float(scores.max())) else 0.0


def kde_cdf(scores: HostVector, bandwidth: float, threshold: float) -> float:
    """Return F at one score, the distribution function of the Gaussian kernel density; (14).

    Parameters
    ----------
    scores
        Scores of training rows, at least one, finite, float64.
    bandwidth
        Standard deviation of the kernel, above 0.
    threshold
        Where F is wanted.
    """
    return float(np.mean(ndtr((threshold - scores) / bandwidth)))


def kde_threshold(scores: HostVector, alpha: float) -> float:
    """Return the score that a Gaussian kernel density of ``scores`` exceeds with chance alpha.

    Solves F(s) = 1 - alpha exactly, F being the distribution function of the density;
    equations (13) to (16).

    Parameters
    ----------
    scores
        Scores of training rows, at least one, finite.
    alpha
        Share of rows above the threshold, in (0, 1).
    """
    scores = np.asarray(scores, np.float64)
    bandwidth = silverman_bandwidth(scores)
    low, high = float(scores.min()), float(scores.max())
    if not bandwidth:
        return high  # one value: nothing to smooth
    reach = 40.0 * bandwidth  # F is 0 and 1 to the last bit there
    low, high = low - reach, high + reach
    # Halved to neighbouring numbers. SciPy's root finders take longer to import than this.
    while low < (middle := 0.5 * (low + high)) < high:
        if kde_cdf(scores, bandwidth, middle) < 1.0 - alpha:
            low = middle
        else:
            high = middle
    return high


def as_written(share: float) -> Fraction:
    """Return a share exactly: as floats, (49 + 1) * (1 - 0.42) is above 29."""
    return Fraction(str(share))


def conformal_rows_needed(alpha: float) -> int:
    """Return the smallest number of calibration rows that gives a finite conformal threshold."""
    return math.ceil(1 / as_written(alpha)) - 1


def calibration_size(most: int, alpha: float) -> int:
    """Return the best number of calibration rows up to ``most``; 0 if all are too few.

    The chance of a false alarm is k / (n + 1) for a whole k, at most alpha. It is nearest to alpha
    where n + 1 is just above a multiple of 1 / alpha: 199 rows serve alpha = 0.01, 290 flag 0.7 %.
    """
    share = as_written(alpha)
    alarms = math.floor((most + 1) * share)
    return math.ceil(alarms / share) - 1 if alarms else 0


def conformal_threshold(calibration: HostVector, alpha: float) -> float:
    """Return the split-conformal quantile of calibration scores.

    A new normal row, exchangeable with the calibration rows, lies above it with chance at most
    alpha, whatever the scores' distribution and number: it is the ceil((n + 1)(1 - alpha))-th
    smallest of the n scores.

    Parameters
    ----------
    calibration
        Scores of normal rows that took no part in training.
    alpha
        Share of normal rows that may be flagged, in (0, 1).

    Raises
    ------
    ConfigError
        If there are fewer than 1 / alpha - 1 calibration rows.
    """
    rows = len(calibration)
    rank = math.ceil((rows + 1) * (1 - as_written(alpha)))
    if rank > rows:
        raise ConfigError(
            f"alpha = {alpha} needs at least {conformal_rows_needed(alpha)} calibration rows, "
            f"there are {rows}. Raise alpha, or give more rows."
        )
    return float(np.partition(np.asarray(calibration, np.float64), rank - 1)[rank - 1])


def alarm_rate(calibration: HostVector, threshold: float) -> Estimate:
    """Return what share of new normal rows lies above a threshold, with its 95 % interval.

    Parameters
    ----------
    calibration
        Scores of normal rows that took no part in training, at least one.
    threshold
        Chosen without looking at new rows. For one that these calibration rows chose, the value
        is the chance that conformal prediction promises; the interval is that of Clopper and
        Pearson, and holds the true share of this very threshold.
    """
    rows, above = len(calibration), int(np.sum(np.asarray(calibration) > threshold))
    return replace(exact_share(above, rows), value=(above + 1) / (rows + 1))


def p_values(
    reference: Float[np.ndarray, "reference"], scores: HostVector
) -> Float[np.ndarray, "rows"]:
    """Return for each score the share of normal rows expected to score at least as much.

    (1 + number of reference scores at or above it) / (n + 1), in [1 / (n + 1), 1], float64.

    Parameters
    ----------
    reference
        Scores of normal rows; valid p-values need rows that took no part in training.
    scores
        Scores of new rows.
    """
    ordered = np.sort(reference)
    at_or_above = len(ordered) - np.searchsorted(ordered, scores, side="left")
    return (1.0 + at_or_above) / (len(ordered) + 1.0)


def discoveries(p: Float[np.ndarray, "rows"], rate: float) -> Bool[np.ndarray, "rows"]:
    """Return the rows that Benjamini and Hochberg's procedure selects.

    Parameters
    ----------
    p
        p-values of all rows of a file.
    rate
        Wanted false discovery rate: the expected share of normal rows among the selected.
    """
    from scipy.stats import false_discovery_control  # slow to import

    # Conformal p-values are fractions that can meet the bound exactly, and round to above it.
    return np.asarray(false_discovery_control(p, method="bh") <= rate * (1.0 + 1e-12))
