"""How well scores and flags agree with known labels, with intervals."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import betaincinv

from advae.display.text import count
from advae.errors import InputError

RESAMPLES = 1000
"""Bootstrap resamples, a fifth of them for more than 100,000 rows, whose intervals are narrow."""

FEW = 20
"""Rows of a class below which bootstrap intervals are far too narrow: of 10 anomalies with a true
area of 0.98 under the ROC curve they held it 73 times in 100, of 100 anomalies 90 times."""


@dataclass(frozen=True)
class Estimate:
    """A measured value with its 95 % interval, all in [0, 1].

    Examples
    --------
    >>> import numpy as np
    >>> from advae.core.evaluation import evaluate
    >>> scores, anomalous = np.array([1.0, 2.0, 3.0, 8.0, 9.0]), np.array([0, 0, 0, 1, 1])
    >>> measures = evaluate(scores, anomalous, threshold=5.0)
    >>> recall = measures["recall"]  # both anomalies: what share of all will be found?
    >>> recall.value, round(recall.low, 2), recall.high
    (1.0, 0.16, 1.0)
    """

    value: float
    low: float
    high: float


def exact_share(found: int, rows: int) -> Estimate:
    """Return what share of ``rows``, at least one, was found, with Clopper and Pearson's interval.

    It holds the true share at least 95 times in 100, however few rows there are.
    """
    low = betaincinv(found, rows - found + 1, 0.025) if found else 0.0
    high = betaincinv(found + 1, rows - found, 0.975) if found < rows else 1.0
    return Estimate(found / rows, float(low), float(high))


def evaluate(
    scores: Float[np.ndarray, "rows"],
    anomalous: Bool[np.ndarray, "rows"],
    threshold: float,
    *,
    seed: int = 0,
) -> dict[str, Estimate]:
    """Measure scores against labels.

    Parameters
    ----------
    scores
        Anomaly scores, higher = more anomalous.
    anomalous
        True labels, bool or 0 and 1; anomalies are the positive class.
    threshold
        A row is flagged when its score is strictly above.
    seed
        Of the resampling: normal rows and anomalies are each drawn with replacement.

    Returns
    -------
    measures : dict of str to Estimate
        ``average_precision``, ``roc_auc``, ``precision``, ``recall``, ``f1`` and
        ``false_alarm_rate`` (the share of normal rows flagged), each in [0, 1]. Precision is 0 when
        no row is flagged. The intervals of recall and false alarm rate are exact, see
        `exact_share`; the others are the bootstrap's, too narrow below `FEW` rows of a class.

    Raises
    ------
    InputError
        If normal rows or anomalies are missing, a label is another, a score is NaN, or there are
        not as many labels as scores.

    Examples
    --------
    >>> import numpy as np
    >>> from advae.core.evaluation import evaluate
    >>> scores, anomalous = np.array([1.0, 2.0, 3.0, 8.0, 9.0]), np.array([0, 0, 0, 1, 1])
    >>> measures = evaluate(scores, anomalous, threshold=5.0)
    >>> measures["roc_auc"].value, measures["recall"].value, measures["false_alarm_rate"].value
    (1.0, 1.0, 0.0)
    """
    scores, given = np.asarray(scores, np.float64), np.asarray(anomalous)
    if scores.ndim != 1 or given.shape != scores.shape:
        raise InputError(
            f"scores have shape {scores.shape} and labels {given.shape}; expected one of each for "
            "every row, (rows,)"
        )
    if np.isnan(np.append(scores, threshold)).any():
        raise InputError("a score or the threshold is NaN; expected numbers")
    if not np.isin(given, (0, 1)).all():
        raise InputError(f"a label is {given[~np.isin(given, (0, 1))][0]!s}; expected 0 or 1")
    # As positions among the rows, the numbers 0 and 1 would mean something else.
    anomalous = given.astype(bool)
    positives, negatives = int(anomalous.sum()), int((~anomalous).sum())
    if not positives or not negatives:
        raise InputError(
            f"the labels hold {count(negatives, 'normal row')} and "
            f"{count(positives, 'anomaly', 'anomalies')}; measuring needs at least one of each"
        )
    # Rows of equal score stand or fall together: one group each, highest score first.
    groups, group = np.unique(-scores, return_inverse=True)
    flagged = int(np.searchsorted(groups, -threshold, side="left"))
    measured = _measure(*_counted(group, anomalous), flagged)
    resamples = RESAMPLES if len(scores) <= 100_000 else RESAMPLES // 5
    resampled = [
        _measure(*counts, flagged) for counts in _resampled(group, anomalous, resamples, seed)
    ]
    bootstrapped = {
        name: Estimate(value, *np.quantile([m[name] for m in resampled], (0.025, 0.975)).tolist())
        for name, value in measured.items()
    }
    above = scores > threshold
    return bootstrapped | {
        "recall": exact_share(int(above[anomalous].sum()), positives),
        "false_alarm_rate": exact_share(int(above[~anomalous].sum()), negatives),
    }


def _counted(
    group: Int[np.ndarray, "rows"], anomalous: Bool[np.ndarray, "rows"]
) -> tuple[Int[np.ndarray, "groups"], Int[np.ndarray, "groups"]]:
    """Return the anomalies and the normal rows in each group of rows."""
    groups = int(group.max()) + 1
    return (
        np.bincount(group[anomalous], minlength=groups),
        np.bincount(group[~anomalous], minlength=groups),
    )


def _resampled(
    group: Int[np.ndarray, "rows"], anomalous: Bool[np.ndarray, "rows"], times: int, seed: int
) -> Iterator[tuple[Int[np.ndarray, "groups"], Int[np.ndarray, "groups"]]]:
    """Yield what `_counted` gives of rows drawn with replacement, as many of each class."""
    rng, groups = np.random.default_rng(seed), int(group.max()) + 1
    classes = group[anomalous], group[~anomalous]
    for _ in range(times):
        drawn = (rows[rng.integers(0, len(rows), len(rows))] for rows in classes)
        hits, others = (np.bincount(rows, minlength=groups) for rows in drawn)
        yield hits, others


def _measure(
    positives: Int[np.ndarray, "groups"], negatives: Int[np.ndarray, "groups"], flagged: int
) -> dict[str, float]:
    """Return the measures, from the rows of each class in each group of equal score."""
    true, false = np.cumsum(positives), np.cumsum(negatives)
    # A resample can leave the highest groups empty, where precision is undefined and weighs 0.
    precision = true / np.maximum(true + false, 1)
    steps = np.diff(false, prepend=0)
    area = np.sum(steps * (true - 0.5 * positives))
    hits = int(true[flagged - 1]) if flagged else 0
    alarms = int(false[flagged - 1]) if flagged else 0
    misses = int(true[-1]) - hits
    return {
        "average_precision": float(np.sum(positives * precision) / true[-1]),
        "roc_auc": float(area / (true[-1] * false[-1])),
        "precision": hits / max(hits + alarms, 1),
        "recall": hits / int(true[-1]),
        "f1": 2 * hits / max(2 * hits + alarms + misses, 1),
        "false_alarm_rate": alarms / int(false[-1]),
    }


POINTS = 101
"""Points of a curve."""

GROUPS = 1000
"""Most thresholds that a curve is computed from; more rows are taken together."""

CURVE_RESAMPLES = 200


@dataclass(frozen=True)
class Curve:
    """A curve in the unit square, with the band that holds 95 of 100 resampled ones pointwise.

    ``x``, ``y``, ``low`` and ``high`` have `POINTS` entries each, all in [0, 1].
    """

    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


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
    group, grid = _grouped(scores, anomalous), np.linspace(0.0, 1.0, POINTS)
    measured = _on_grid(*_counted(group, anomalous), grid)
    resampled = [
        _on_grid(*counts, grid) for counts in _resampled(group, anomalous, CURVE_RESAMPLES, seed=0)
    ]
    bands = np.quantile(np.stack(resampled), (0.025, 0.975), axis=0)
    roc, precision = (
        Curve(*(tuple(line.tolist()) for line in (grid, measured[kind], *bands[:, kind])))
        for kind in (0, 1)
    )
    return roc, precision


def _grouped(
    scores: Float[np.ndarray, "rows"], anomalous: Bool[np.ndarray, "rows"]
) -> Int[np.ndarray, "rows"]:
    """Return the group of each row: of equal or neighbouring scores, the highest first."""
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
    return np.asarray(group)


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
