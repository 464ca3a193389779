"""How the training values of a column were distributed, and where new values stand among them.

All comes from the few numbers that a model keeps of a column: no training row is needed. A column
tells the position of each value, NaN where it is missing.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from advae.display.text import quote
from advae.tables.profile import QUANTILE_LEVELS, RESERVOIR_SIZE, Profile

BARS = 24
"""Bars that a column of numbers is drawn with."""

MARGIN = 0.06
"""Space beside the drawn range, as a share of it, for values a little outside."""

FEWEST_GROUPED = 5
"""Training rows of a category from which on it is a group by itself: with fewer, an index does not
follow chi-squared."""


PORTIONS = (1, 5, 10, 15, 19)
"""The quantiles, of 21, that `portions` are cut at, beside the least and the greatest value."""

MOST_NAMED = 8
"""Groups that are a portion each; the others are one."""


class Portion(NamedTuple):
    """Values of a column, and how many of the training rows had one of them, at most.

    Attributes
    ----------
    what
        The values in words, after "are".
    groups
        Their groups, shape (groups,).
    share
        The greatest share of the training rows, in [0, 1].
    rows
        The training rows that it was counted in.
    """

    what: str
    groups: Bool[np.ndarray, "groups"]
    share: float
    rows: int


class Distribution(ABC):
    """A column's training values in groups, for drift, and in bars, for drawing.

    Attributes
    ----------
    missing
        The number of the last group, that of missing values.
    bars
        Share of the training rows with a value in each bar, in drawing order.
    strange_expected
        Share of strange values that further rows like training's would have.
    """

    missing: int
    bars: Float[np.ndarray, "bars"]
    strange_expected: float

    @abstractmethod
    def groups(self, positions: Float[np.ndarray, "rows"]) -> Int[np.ndarray, "rows"]:
        """Return the group of each row, from 0 to `missing`."""

    @abstractmethod
    def drift(self, counts: Float[np.ndarray, "groups"]) -> tuple[float, float]:
        """Return the stability index of rows counted by group, and what chance may make of it.

        See `stability_index`. The last of the counts is that of the missing values.
        """

    @abstractmethod
    def portions(self) -> list[Portion]:
        """Return portions of the values, one of which grows wherever the distribution changes."""

    @abstractmethod
    def strange(self, positions: Float[np.ndarray, "rows"]) -> Bool[np.ndarray, "rows"]:
        """Return which rows hold a value unlike those that training knew."""

    @abstractmethod
    def places(self, positions: Float[np.ndarray, "rows"]) -> Float[np.ndarray, "rows"]:
        """Return where values stand among the bars: inside [0, 1], beyond it, or NaN (missing)."""

    def _by_presence(self, profile: Profile) -> list[Portion]:
        """Return missing values, and all others."""
        missing = np.arange(self.missing + 1) == self.missing
        share, rows = profile.missing / profile.rows, profile.rows
        return [
            Portion("missing", missing, share, rows),
            Portion("there", ~missing, 1 - share, rows),
        ]

    def bar_counts(self, positions: Float[np.ndarray, "rows"]) -> Int[np.ndarray, "bars"]:
        """Count the present values in each bar, those beyond in the outermost."""
        places = self.places(positions)
        bar = np.floor(places[~np.isnan(places)] * len(self.bars))
        return np.bincount(
            np.clip(bar, 0, len(self.bars) - 1).astype(int), minlength=len(self.bars)
        )


class ScaledDistribution(Distribution):
    """Numbers and instants, known by 21 quantiles; bars of equal width.

    A quantile that many rows share, like a 0 among counts, does not tell how many rows share it:
    only the levels below and above are known. So rows are counted between the quantiles and at
    each of them, and `drift` shares out those at a quantile.

    Parameters
    ----------
    quantiles
        Of the training values, scaled. In single precision, as positions are: a value equal to a
        quantile must compare equal.
    profile
        Of the column.
    """

    def __init__(self, quantiles: Float[np.ndarray, "levels"], profile: Profile) -> None:
        self._quantiles = quantiles
        self._profile = profile
        self._distinct = np.unique(quantiles)
        self.missing = 2 * len(self._distinct) + 1
        # Of levels with one quantile, those between the first and the last tell nothing more.
        edge = np.append(True, quantiles[1:] > quantiles[:-1])
        cuts = edge | np.append(edge[1:], True)
        self._levels = QUANTILE_LEVELS[cuts]
        self._pieces = 2 * np.searchsorted(self._distinct, quantiles[cuts])
        present = profile.rows - profile.missing
        self._training = np.append(np.diff(self._levels) * present, profile.missing)
        # Of n + 1 rows like one another, the last is the least or the greatest with chance 2/(n+1).
        self.strange_expected = 2.0 / (profile.rows + 1)
        self._low, self._high = _drawn_range(quantiles)
        edges = np.linspace(self._low, self._high, BARS + 1)
        self.bars = _spread(quantiles.astype(np.float64), edges)

    def groups(self, positions: Float[np.ndarray, "rows"]) -> Int[np.ndarray, "rows"]:
        """Return the number of quantiles below each value plus that of those not above it."""
        below = np.searchsorted(self._distinct, positions, "left")
        not_above = np.searchsorted(self._distinct, positions, "right")
        return np.where(np.isnan(positions), self.missing, below + not_above)

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

    def portions(self) -> list[Portion]:
        """Return the values below and above some quantiles, and missing ones.

        At most 25 % of the training rows lie below their 25 % quantile, however many are at it.
        """
        profile, groups = self._profile, np.arange(self.missing + 1)
        there = 1 - profile.missing / profile.rows
        rows = min(profile.rows, RESERVOIR_SIZE)
        found = []
        for number in (0, *PORTIONS, len(QUANTILE_LEVELS) - 1):
            level = float(QUANTILE_LEVELS[number])
            at = 2 * int(np.searchsorted(self._distinct, self._quantiles[number])) + 1
            name = {0.0: "the least", 0.5: "the median", 1.0: "the greatest"}.get(
                level, f"the {level:.0%} quantile".replace("%", " %")
            )
            below, above = groups < at, (groups > at) & (groups < self.missing)
            if level < 1:
                found.append(Portion(f"below {name} of training", below, level * there, rows))
            if level > 0:
                found.append(Portion(f"above {name} of training", above, (1 - level) * there, rows))
        return [*found, *self._by_presence(profile)]

    def strange(self, positions: Float[np.ndarray, "rows"]) -> Bool[np.ndarray, "rows"]:
        """Return which values lie outside the training range."""
        return np.asarray((positions < 0) | (positions > 1))

    def places(self, positions: Float[np.ndarray, "rows"]) -> Float[np.ndarray, "rows"]:
        """Return where values stand in the drawn range."""
        return np.asarray((positions.astype(np.float64) - self._low) / (self._high - self._low))

    def share_below(self, value: float) -> float:
        """Return the share of training rows with less than a scaled value, in [0, 1].

        Of a value that is a quantile, the share lies between its level and the one before: the
        middle is returned.
        """
        first = int(np.searchsorted(self._quantiles, value))
        if first < len(self._quantiles) and self._quantiles[first] == value:
            return float(QUANTILE_LEVELS[max(first - 1, 0) : first + 1].mean())
        return float(np.interp(value, self._quantiles, QUANTILE_LEVELS, left=0.0, right=1.0))


class GroupedDistribution(Distribution):
    """Values in groups without an order, such as categories; a bar for each group.

    Parameters
    ----------
    rows
        Training rows in each group by its name, that of missing values left out. The position of a
        value is the number of its group.
    strange
        For each group, whether its values are strange.
    nearly_strange
        Training rows that would be strange to the others, as new rows are to all.
    profile
        Of the column.
    """

    def __init__(
        self,
        rows: Mapping[str, int],
        strange: Sequence[bool],
        nearly_strange: int,
        profile: Profile,
    ) -> None:
        self.missing = len(rows)
        self._names, self._profile = tuple(rows), profile
        self._training = np.array([*rows.values(), profile.missing], np.float64)
        self._strange = np.array([*strange, False])
        self.bars = self._training[:-1] / max(self._training[:-1].sum(), 1.0)
        self.strange_expected = (nearly_strange + 1) / (profile.rows + 1)

    def groups(self, positions: Float[np.ndarray, "rows"]) -> Int[np.ndarray, "rows"]:
        """Return the category, bucket or truth value."""
        return np.where(np.isnan(positions), self.missing, positions).astype(int)

    def drift(self, counts: Float[np.ndarray, "groups"]) -> tuple[float, float]:
        """Return the index over the groups; strange ones and small ones count as one group."""
        few = np.append(self._training[:-1] < FEWEST_GROUPED, False) | self._strange
        return stability_index(
            *(np.append(rows[~few], rows[few].sum()) for rows in (self._training, counts))
        )

    def portions(self) -> list[Portion]:
        """Return each of the largest groups, all but it, the other groups, and missing values."""
        counts, rows = self._training[:-1], self._profile.rows
        largest = np.argsort(-counts, kind="stable")[:MOST_NAMED]
        groups, found = np.arange(self.missing + 1), []
        for group in largest[counts[largest] > 0].tolist():
            only, name, share = groups == group, quote(self._names[group]), counts[group] / rows
            found.append(Portion(name, only, share, rows))
            found.append(Portion(f"other than {name}", ~only, 1 - share, rows))
        rest = ~np.isin(groups, [*largest[counts[largest] > 0], self.missing])
        if rest.any():
            share = float(counts[rest[:-1]].sum()) / rows
            found.append(Portion("none of training's frequent values", rest, share, rows))
        return [*found, *self._by_presence(self._profile)]

    def strange(self, positions: Float[np.ndarray, "rows"]) -> Bool[np.ndarray, "rows"]:
        """Return which values are rare or unseen, or differ from the only one of training."""
        return np.asarray(self._strange[self.groups(positions)])

    def places(self, positions: Float[np.ndarray, "rows"]) -> Float[np.ndarray, "rows"]:
        """Return the middle of the value's bar."""
        return np.asarray((positions + 0.5) / self.missing)


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
    from scipy.stats import chi2  # slow to import, and only reports need it

    used = (training > 0) | (new > 0)
    old, now = training[used] + 0.5, new[used] + 0.5
    before, after = old / old.sum(), now / now.sum()
    index = float(np.sum((after - before) * np.log(after / before)))
    rows = 1.0 / max(training.sum(), 1.0) + 1.0 / max(new.sum(), 1.0)
    return index, float(chi2.ppf(0.99, max(int(used.sum()) - 1, 1)) * rows)
