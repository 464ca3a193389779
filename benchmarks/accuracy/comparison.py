"""Methods compared over data sets: means, ranks, wins and paired tests."""

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import friedmanchisquare, rankdata, studentized_range, wilcoxon

from benchmarks.harness.runs import Row

Array = NDArray[np.float64]

RANDOM_ROC_AUC = 0.5
SIGNIFICANCE = 0.05


@dataclass(frozen=True, eq=False)
class Grid:
    """One metric of methods on data sets.

    ``values``: (methods, sets, seeds), what a random score would have where a run failed, and NaN
    where a method did not run with a seed. ``failed``: the same shape.
    """

    methods: tuple[str, ...]
    data_sets: tuple[str, ...]
    values: Array
    failed: NDArray[np.bool_]

    @property
    def means(self) -> Array:
        """Means over the seeds, (methods, sets); equal where they differ by rounding alone."""
        return np.nanmean(self.values, axis=2).round(12)

    @property
    def by_seed(self) -> Array:
        """Means over the sets, (methods, seeds); NaN where a method did not run."""
        return self.values.mean(axis=1)

    @property
    def seeds(self) -> NDArray[np.int64]:
        """With how many seeds each method ran, (methods,)."""
        return (~np.isnan(self.by_seed)).sum(axis=1)

    @property
    def lost(self) -> NDArray[np.bool_]:
        """Where all runs of a method failed, (methods, sets)."""
        return (self.failed | np.isnan(self.values)).all(axis=2)

    @property
    def ranks(self) -> Array:
        """Ranks of the means, (methods, sets); 1 is best, ties share, all runs failed is worst."""
        return rankdata(np.where(self.lost, np.inf, -self.means), axis=0)

    @property
    def wins(self) -> NDArray[np.int64]:
        """On how many sets a method has the best mean, alone or with others, (methods,)."""
        best = self.means == self.means.max(axis=0)
        return (best & ~self.lost).sum(axis=1)

    def on(self, data_sets: Collection[str]) -> "Grid":
        """Return the part of these data sets."""
        kept = [index for index, name in enumerate(self.data_sets) if name in data_sets]
        names = tuple(self.data_sets[index] for index in kept)
        return replace(
            self, data_sets=names, values=self.values[:, kept], failed=self.failed[:, kept]
        )

    def without(self, methods: Collection[str]) -> "Grid":
        """Return the part of all other methods."""
        kept = [index for index, name in enumerate(self.methods) if name not in methods]
        names = tuple(self.methods[index] for index in kept)
        return replace(self, methods=names, values=self.values[kept], failed=self.failed[kept])

    def of(self, method: str) -> Array:
        """Return a method's means, (sets,)."""
        means: Array = self.means[self.methods.index(method)]
        return means


def grid(
    rows: Iterable[Row],
    metric: str,
    methods: Sequence[str],
    data_sets: Sequence[str],
    seeds: int,
) -> Grid:
    """Return a metric of the methods that have run, with one seed at least, on every data set.

    Of each method those seeds count that it has on every data set.
    """
    own = {(row["method"], row["data_set"], row["seed"]): row for row in rows}

    def has_run(method: str, seed: int) -> bool:
        return all((method, name, seed) in own for name in data_sets)

    ran = {method: [seed for seed in range(seeds) if has_run(method, seed)] for method in methods}
    kept = tuple(method for method in methods if ran[method] and data_sets)
    values = np.full((len(kept), len(data_sets), seeds), np.nan)
    failed = np.zeros(values.shape, bool)
    for first, method in enumerate(kept):
        for second, name in enumerate(data_sets):
            for seed in ran[method]:
                row = own[method, name, seed]
                lost = row["failure"] is not None
                failed[first, second, seed] = lost
                values[first, second, seed] = _random(row, metric) if lost else row[metric]
    return Grid(kept, tuple(data_sets), values, failed)


def _random(row: Row, metric: str) -> float:
    return RANDOM_ROC_AUC if metric == "roc_auc" else float(row["anomaly_share"])


class Comparison(NamedTuple):
    """One method against another over the data sets.

    ``difference``: of the means, above 0 where the first is better. ``better``, ``worse``: numbers
    of sets. ``p``: two-sided Wilcoxon signed-rank test; ``adjusted``: Holm's, over the family.
    """

    other: str
    difference: float
    better: int
    worse: int
    p: float
    adjusted: float


def compare(results: Grid, method: str, others: Sequence[str]) -> list[Comparison]:
    """Compare a method with others, over the data sets; the others are one family of tests."""
    found = []
    for other in others:
        gains = results.of(method) - results.of(other)
        better, worse = int((gains > 0).sum()), int((gains < 0).sum())
        found.append(
            Comparison(other, float(gains.mean()), better, worse, signed_rank(gains), math.nan)
        )
    adjusted = holm([each.p for each in found])
    return [each._replace(adjusted=value) for each, value in zip(found, adjusted, strict=True)]


def signed_rank(gains: Array) -> float:
    """Return the p value of the two-sided Wilcoxon signed-rank test; 1 where nothing differs."""
    return float(wilcoxon(gains).pvalue) if np.any(gains) else 1.0


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p values adjusted for their number by Holm's step-down method."""
    adjusted, largest = [0.0] * len(p_values), 0.0
    for passed, index in enumerate(np.argsort(p_values, kind="stable")):
        largest = max(largest, (len(p_values) - passed) * p_values[index])
        adjusted[index] = min(1.0, largest)
    return adjusted


def friedman(ranks: Array) -> float:
    """Return the p value of the Friedman test that all methods rank alike; (methods, sets)."""
    return float(friedmanchisquare(*ranks).pvalue)


def critical_difference(methods: int, data_sets: int) -> float:
    """Return Nemenyi's: mean ranks closer than this do not differ at SIGNIFICANCE."""
    quantile = float(studentized_range.ppf(1 - SIGNIFICANCE, methods, np.inf)) / math.sqrt(2)
    return quantile * math.sqrt(methods * (methods + 1) / (6 * data_sets))


def groups(mean_ranks: Array, difference: float) -> list[tuple[int, int]]:
    """Return the widest ranges of sorted mean ranks that lie within a difference.

    Each is (first, last) in ascending ``mean_ranks``, of two methods at least.
    """
    found: list[tuple[int, int]] = []
    for first, rank in enumerate(mean_ranks):
        last = int(np.searchsorted(mean_ranks, rank + difference, side="right")) - 1
        if last > first and (not found or last > found[-1][1]):
            found.append((first, last))
    return found
