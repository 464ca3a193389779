"""How the training values of a column were distributed, and where new values fall among them.

New values are read from their encoded columns, and those of training from the profile that the
model keeps of each column: no training row is needed.
"""

from abc import ABC, abstractmethod

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import chi2

from advae.tables.columns import RARE, Column, ScaledColumn
from advae.tables.profile import QUANTILE_LEVELS

BARS = 24
"""Bars that a column of numbers is drawn with."""

MARGIN = 0.06
"""Space beside the drawn range, as a share of it, for values a little outside."""

FEWEST_GROUPED = 5
"""Training rows of a category from which on it is a group by itself: with fewer, an index does not
follow chi-squared."""

Part = Float[np.ndarray, "rows encoded"]
"""The encoded columns of one feature."""


class Distribution(ABC):
    """A column's training values in groups, for drift, and in bars, for drawing.

    Attributes
    ----------
    labels
        What each group of present values is called; numbers and instants are scaled.
    bars
        Share of the training rows with a value in each bar, in drawing order.
    """

    labels: tuple[str, ...]
    bars: Float[np.ndarray, "bars"]

    @abstractmethod
    def groups(self, part: Part) -> Int[np.ndarray, "rows"]:
        """Return the group of each row; the last one is that of missing values."""

    @abstractmethod
    def drift(self, counts: Float[np.ndarray, "groups"]) -> tuple[float, float]:
        """Return the stability index of rows counted by group, and what chance may make of it.

        See `stability_index`. The last of the counts is that of the missing values.
        """

    @abstractmethod
    def places(self, part: Part) -> Float[np.ndarray, "rows"]:
        """Return where values stand among the bars: inside [0, 1], beyond it, or NaN (missing)."""

    def bar_counts(self, part: Part) -> Int[np.ndarray, "bars"]:
        """Count the present values in each bar, those beyond in the outermost."""
        places = self.places(part)
        bar = np.floor(places[~np.isnan(places)] * len(self.bars))
        return np.bincount(
            np.clip(bar, 0, len(self.bars) - 1).astype(int), minlength=len(self.bars)
        )


class ScaledDistribution(Distribution):
    """Numbers and instants, known by 21 quantiles; bars of equal width.

    Where many training rows have one value, such as 0 among counts, several levels have it as their
    quantile, and how many rows have it is known only to within two levels. So new rows are counted
    between the quantiles and at each of them, and `drift` divides those at a quantile among levels.
    """

    def __init__(self, column: ScaledColumn) -> None:
        profile = column.profile
        # In float32, as rows are encoded: a value equal to a quantile must compare equal.
        self._quantiles = column.scale.apply(np.array(profile.quantiles)).astype(np.float32)
        self._distinct = np.unique(self._quantiles)
        self.labels = (
            *(f"{side} {v:g}" for v in self._distinct for side in ("below", "at")),
            "above",
        )
        # Of levels with one quantile, those between the first and the last tell nothing more.
        edge = np.append(True, self._quantiles[1:] > self._quantiles[:-1])
        cuts = edge | np.append(edge[1:], True)
        self._levels = QUANTILE_LEVELS[cuts]
        self._pieces = 2 * np.searchsorted(self._distinct, self._quantiles[cuts])
        present = profile.rows - profile.missing
        self._training = np.append(np.diff(self._levels) * present, profile.missing)
        self._low, self._high = _drawn_range(self._quantiles)
        edges = np.linspace(self._low, self._high, BARS + 1)
        self.bars = _spread(self._quantiles.astype(np.float64), edges)

    def groups(self, part: Part) -> Int[np.ndarray, "rows"]:
        """Return the number of quantiles below each value plus that of those not above it."""
        group = sum(np.searchsorted(self._distinct, part[:, 0], side) for side in ("left", "right"))
        return np.where(part[:, -1] > 0.5, len(self.labels), group)

    def drift(self, counts: Float[np.ndarray, "groups"]) -> tuple[float, float]:
        """Return the least index that the rows can have, however those at a quantile are shared.

        If ties were broken at random, in training and among the new rows, each group between two
        levels would hold its share of rows, and the index would follow chi-squared. The least index
        is at most as great, so that its limit by chance still holds.
        """
        below = np.append(0.0, np.cumsum(counts[:-1]))
        low, high = below[self._pieces + 1], below[self._pieces + 2]
        low[0], high[-1] = 0.0, below[-1]  # the outermost groups are open
        high[0], low[-1] = low[0], high[-1]
        shared = np.append(np.diff(straightest(self._levels, low, high)), counts[-1])
        return stability_index(self._training, shared)

    def places(self, part: Part) -> Float[np.ndarray, "rows"]:
        """Return where values stand in the drawn range."""
        place = (part[:, 0].astype(np.float64) - self._low) / (self._high - self._low)
        return np.where(part[:, -1] > 0.5, np.nan, place)

    def share_below(self, value: float) -> float:
        """Return the share of training rows with less than a scaled value, in [0, 1].

        At a quantile it lies between that level and the one before: the middle is returned.
        """
        first = int(np.searchsorted(self._quantiles, value))
        if first < len(self._quantiles) and self._quantiles[first] == value:
            return float(QUANTILE_LEVELS[max(first - 1, 0) : first + 1].mean())
        return float(np.interp(value, self._quantiles, QUANTILE_LEVELS, left=0.0, right=1.0))


class GroupedDistribution(Distribution):
    """Categories, buckets, truth values, and the value of a constant column: a bar for each."""

    def __init__(self, column: Column) -> None:
        self._column = column
        self.labels = tuple(label for label, _ in column.groups)
        counts = (*(rows for _, rows in column.groups), column.profile.missing)
        self._training = np.array(counts, np.float64)
        self.bars = self._training[:-1] / max(self._training[:-1].sum(), 1.0)

    def groups(self, part: Part) -> Int[np.ndarray, "rows"]:
        """Return the category, bucket or truth value."""
        return self._column.group_of(part)

    def drift(self, counts: Float[np.ndarray, "groups"]) -> tuple[float, float]:
        """Return the index over the groups, those with few training rows and the rare together."""
        few = np.append(self._training[:-1] < FEWEST_GROUPED, False)
        few |= np.array([*self.labels, ""]) == RARE
        return stability_index(
            *(np.append(rows[~few], rows[few].sum()) for rows in (self._training, counts))
        )

    def places(self, part: Part) -> Float[np.ndarray, "rows"]:
        """Return the middle of the value's bar."""
        groups = self.groups(part)
        return np.where(
            groups == len(self.labels), np.nan, (groups + 0.5) / max(len(self.labels), 1)
        )


def distribution(column: Column) -> Distribution:
    """Return the distribution of a column's training values."""
    if column.scaled is not None:
        return ScaledDistribution(column.scaled)
    return GroupedDistribution(column)


def _drawn_range(quantiles: Float[np.ndarray, "levels"]) -> tuple[float, float]:
    """Return the range to draw: all of training's, unless a few values would squeeze the rest."""
    low, high = float(quantiles[1]), float(quantiles[-2])
    core = high - low
    if core > 0:
        low, high = max(0.0, low - 2 * core), min(1.0, high + 2 * core)
    else:
        low, high = 0.0, 1.0
    return low - MARGIN * (high - low), high + MARGIN * (high - low)


def _spread(
    quantiles: Float[np.ndarray, "levels"], edges: Float[np.ndarray, "edges"]
) -> Float[np.ndarray, "bars"]:
    """Spread the share between each two quantiles evenly over the bars that it overlaps."""
    shares = np.zeros(len(edges) - 1)
    weights = np.diff(QUANTILE_LEVELS)
    for low, high, weight in zip(quantiles[:-1], quantiles[1:], weights, strict=True):
        if high > low:
            overlap = np.minimum(edges[1:], high) - np.maximum(edges[:-1], low)
            shares += weight * np.maximum(overlap, 0.0) / (high - low)
        else:
            bar = np.searchsorted(edges, low, side="right") - 1
            shares[min(max(bar, 0), len(shares) - 1)] += weight
    return shares


def straightest(
    x: Float[np.ndarray, "points"],
    low: Float[np.ndarray, "points"],
    high: Float[np.ndarray, "points"],
) -> Float[np.ndarray, "points"]:
    """Return the path over ascending ``x`` that a string pulled tight between two bounds takes.

    Of all paths within them it minimises every convex measure of how unequal its slopes are, the
    stability index among them. Both bounds ascend, and meet at the first and the last point.
    """
    path = low.copy()
    open_ends = [(0, len(x) - 1)]
    while open_ends:
        first, last = open_ends.pop()
        line = np.interp(x[first : last + 1], x[[first, last]], path[[first, last]])
        path[first + 1 : last] = line[1:-1]
        beyond = np.maximum(line - high[first : last + 1], low[first : last + 1] - line)[1:-1]
        if beyond.max(initial=0.0) > 0:
            # Where a straight line leaves the bounds most, the string touches the one it left by.
            at = first + 1 + int(beyond.argmax())
            path[at] = min(max(path[at], low[at]), high[at])
            open_ends += [(first, at), (at, last)]
    return path


def stability_index(
    training: Float[np.ndarray, "groups"], new: Float[np.ndarray, "groups"]
) -> tuple[float, float]:
    """Return the population stability index, and what chance alone exceeds once in 100 columns.

    The index is the sum over the groups of (new share - training share) times the logarithm of
    their ratio; half a row is added to each group, so that empty ones stay finite. Where nothing
    has drifted, it is distributed as chi-squared with one degree less than groups, times
    (1 / training rows + 1 / new rows).

    Parameters
    ----------
    training, new
        Rows in each group.
    """
    used = (training > 0) | (new > 0)
    old, now = training[used] + 0.5, new[used] + 0.5
    before, after = old / old.sum(), now / now.sum()
    index = float(np.sum((after - before) * np.log(after / before)))
    rows = 1.0 / max(training.sum(), 1.0) + 1.0 / max(new.sum(), 1.0)
    return index, float(chi2.ppf(0.99, max(int(used.sum()) - 1, 1)) * rows)
