"""The values of a row as classes: categories as they are, numbers in bins.

Of a number with up to `FEW` different values each has a bin. Otherwise a value that more than one
in `BINS` rows has is a bin by itself, the rest is cut at every `BINS`-th of its rows, and towards
both tails each further bin has half of the rows that are left, down to `FEWEST`: without these,
nothing about a number could be rarer than one in `BINS`. A moment in a cycle has bins of one
length, `PARTS` of them: a circle has no tails. The last class of every variable is for missing
values.

A network reads a class as 1 in a column of its own, and a number as its piecewise linear encoding
(Gorishniy et al. 2022): how far it is through each bin, 0 before and 1 after it.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from advae.core.arrays import HostMatrix
from advae.variables import Variable

BINS = 16
FEW = 32
FEWEST = 5

PARTS = 24
"""Of a cycle: hours of a day, half months of a year."""

MOST_BINS = 1536
"""Bins of all numbers together, about: where there are more, each has fewer."""

CATEGORY, NUMBER, FREQUENCY, RARE = range(4)
"""How a variable is judged: by its category; as a number, by its tails; as a moment in a cycle, by
how frequent moments like it are; by its category, of which the last is for values seen once or
never."""

CATEGORICAL = (CATEGORY, RARE)

EDGE = 1.7
"""Numbers have a coordinate among their bins from -EDGE to EDGE: the deviation of a uniform one
is about 1."""


WHOLE = ("phases", "source", "sizes", "rules", "missing", "home")
"""Of `Classes`, what is int32."""

MOMENTS = 2.0**14
"""Of a cycle, five seconds of a day each: programs round an angle differently, and those of equal
times have to be equal."""


class Classes(NamedTuple):
    """How encoded rows become classes, variable after variable, each with its classes in order.

    ``phases``: places of sine and cosine, shape (phases, 2); the angles follow the encoded columns,
    and after them comes a column of zeros. Of every class, shape (inputs,): ``source``, the column
    that it is read from, and ``low`` and ``width`` of what is read, clipped to [0, 1] after
    (x - low) / width. Of every variable, shape (variables,): ``sizes``, its classes; ``rules``;
    ``missing``, the column that marks a missing value; ``home``, the encoded column that it counts
    for. Whole numbers are int32.
    """

    phases: Int[np.ndarray, "phases 2"]
    source: Int[np.ndarray, "inputs"]
    low: Float[np.ndarray, "inputs"]
    width: Float[np.ndarray, "inputs"]
    sizes: Int[np.ndarray, "variables"]
    rules: Int[np.ndarray, "variables"]
    missing: Int[np.ndarray, "variables"]
    home: Int[np.ndarray, "variables"]

    @property
    def starts(self) -> Int[np.ndarray, "variables"]:
        """The first class of each variable."""
        starts: Int[np.ndarray, "variables"] = np.cumsum(self.sizes) - self.sizes
        return starts

    @property
    def owner(self) -> Int[np.ndarray, "inputs"]:
        """The variable of each class."""
        return np.repeat(np.arange(len(self.sizes)), self.sizes)

    @property
    def last(self) -> Bool[np.ndarray, "inputs"]:
        """Whether each class is that of missing values."""
        last = np.zeros(len(self.source), bool)
        last[self.starts + self.sizes - 1] = True
        return last

    @property
    def coordinates(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """U of each class, shape (inputs,), and its start and step by variable, (variables,).

        0 for categories, missing values, and numbers with fewer than three bins.
        """
        u = np.zeros(len(self.source), np.float32)
        first, step = np.zeros((2, len(self.sizes)), np.float32)
        for j in np.flatnonzero(~np.isin(self.rules, CATEGORICAL) & (self.sizes > 3)):
            bins = self.sizes[j] - 1
            u[self.starts[j] : self.starts[j] + bins] = np.linspace(-EDGE, EDGE, bins)
            first[j], step[j] = -EDGE, 2 * EDGE / bins
        return u, first, step


def learn_classes(variables: Sequence[Variable], rows: HostMatrix) -> Classes:
    """Return how rows like these become classes.

    Parameters
    ----------
    variables
        Of the table, at least one.
    rows
        Encoded training rows, shape (rows, width), columns that never varied included.
    """
    width = rows.shape[1]
    turning = [v.places for v in variables if v.kind in ("phase", "weekday")]
    phases = np.asarray(turning, np.int32).reshape(-1, 2)
    whole, nothing = extended(rows, phases, np), width + len(phases)
    share = max(4, MOST_BINS // max(1, sum(v.kind == "number" for v in variables)))
    inputs: list[tuple[int, float, float]] = []
    each: list[tuple[int, int, int, int]] = []
    turn = width
    for kind, places, missing in variables:
        gone = nothing if missing is None else missing
        rule, place = RARE if kind == "category" else CATEGORY, places[0]
        if kind in ("category", "bucket"):
            read = [(own, 0.0, 1.0) for own in places]
        elif kind == "truth":
            read = [(place, 1.0, -1.0), (place, 0.0, 1.0)]
        else:
            rule = NUMBER if kind == "number" else FREQUENCY
            if rule == FREQUENCY:
                place, turn = turn, turn + 1
            values = whole[whole[:, gone] < 0.5, place]
            ends = _ends(values, share) if rule == NUMBER else _parts(values)
            widths = np.where(np.diff(ends) > 0, np.diff(ends), 1.0)
            read = [(place, low, own) for low, own in zip(ends[:-1], widths, strict=True)]
        inputs += [*read, (gone, 0.0, 1.0)]
        each.append((len(read) + 1, rule, gone, places[0]))
    source, low, span = zip(*inputs, strict=True)
    return Classes(
        phases,
        np.asarray(source, np.int32),
        np.asarray(low, np.float32),
        np.asarray(span, np.float32),
        *np.asarray(each, np.int32).T.copy(),
    )


def check_classes(classes: Classes) -> None:
    """Refuse classes that `learn_classes` does not make.

    Raises
    ------
    ValueError
        If places are outside of the rows, or the bins of a number are not side by side.
    """
    phases, source, low, width, sizes, rules, *_ = classes
    each = (classes.missing, classes.home, rules)
    if not (
        len(source) == len(low) == len(width) == np.sum(sizes)
        and all(len(sizes) == len(one) for one in each)
        and all(np.all(one >= 0) for one in (phases, source, *each))
        and np.all(sizes > 1)
        and np.all(rules <= RARE)
        and np.all(np.isfinite(low) & np.isfinite(width) & (width != 0))
    ):
        raise ValueError("its classes are those of no rows")
    for start, size in zip(classes.starts[rules == NUMBER], sizes[rules == NUMBER], strict=True):
        first, span = low[start : start + size - 1], width[start : start + size - 1]
        # The sums are rounded as the ends were.
        if np.any(np.abs(first[:-1] + span[:-1] - first[1:]) > 1e-6) or np.any(span < 0):
            raise ValueError("the bins of a number are not side by side")


def _ends(values: Float[np.ndarray, "rows"], most: int) -> Float[np.ndarray, "ends"]:
    """Return the ends of about ``most`` bins at most: a bin's first value, but for the last end."""
    distinct, counts = np.unique(values, return_counts=True)
    if not len(distinct):
        return np.zeros(2, np.float32)
    low, high = distinct[[0, -1]]
    if len(distinct) <= min(FEW, most):
        between = distinct[:-1] + np.diff(distinct) / 2
        # Of neighbours among float32 the middle is the lower one.
        cuts = np.where(between > distinct[:-1], between, distinct[1:])
        return np.concatenate([[low], cuts, [high]])
    bins = max(2, min(BINS, most // 2))
    often = counts > len(values) / bins
    rest = np.repeat(distinct[~often], counts[~often])
    levels = np.arange(1, bins) / bins
    far = 0.5 ** np.arange(1, max(2, most // 4)) / bins
    far = far[far * len(rest) >= FEWEST]
    levels = np.concatenate([far[::-1], levels, 1 - far])
    cuts = np.quantile(rest, levels, method="inverted_cdf") if len(rest) else rest
    after = np.flatnonzero(often) + 1
    cuts = np.unique(
        np.concatenate([cuts, distinct[often], distinct[after[after < len(distinct)]]])
    )
    return np.concatenate([[low], cuts[cuts > low], [high]])


def _parts(turns: Float[np.ndarray, "rows"]) -> Float[np.ndarray, "ends"]:
    """Return the ends of the bins of moments in a cycle, in turns: of each moment if they are few.

    Rounded as moments are, so that a full hour is in its own bin.
    """
    if len(np.unique(turns)) <= FEW:
        return _ends(turns, FEW)
    return np.round(np.arange(PARTS + 1) / PARTS * MOMENTS) / MOMENTS


def extended(x: Any, phases: Any, numpy: Any) -> Any:
    """Return rows with the angles of their phases, in turns from 0 to 1, and a column of zeros.

    ``numpy`` is what computes: that of NumPy or of JAX. Numbers that are too small for JAX to tell
    from 0 are 0 for both.
    """
    x = numpy.where(numpy.abs(x) < np.finfo(np.float32).tiny, np.float32(0.0), x)
    sine, cosine = (2.0 * x[:, phases[:, side]] - 1.0 for side in (0, 1))
    turns = numpy.round(numpy.arctan2(sine, cosine) * np.float32(MOMENTS / (2 * np.pi)))
    turns = numpy.where(turns < 0, turns + MOMENTS, turns) / MOMENTS
    zeros = numpy.zeros((x.shape[0], 1), np.float32)
    return numpy.concatenate([x, turns.astype(np.float32), zeros], axis=1)


def observed(classes: Classes, whole: HostMatrix) -> Int[np.ndarray, "rows variables"]:
    """Return the class of every value of `extended` rows, from 0 in each variable; int32."""
    found = np.empty((len(whole), len(classes.sizes)), np.int32)
    for j, (start, size) in enumerate(zip(classes.starts, classes.sizes, strict=True)):
        own = slice(start, start + size - 1)
        if classes.rules[j] in CATEGORICAL:
            read = (whole[:, classes.source[own]] - classes.low[own]) / classes.width[own]
            found[:, j] = read.argmax(axis=1)
        else:
            values = whole[:, classes.source[start]]
            found[:, j] = np.searchsorted(classes.low[own][1:], values, side="right")
        found[whole[:, classes.missing[j]] > 0.5, j] = size - 1
    return found


def independent(
    classes: Classes, rows: HostMatrix, count: int, draws: np.random.Generator
) -> HostMatrix:
    """Return so many rows whose values, variable by variable, are those of rows drawn anew."""
    width = rows.shape[1]
    columns = [[place] for place in range(width)] + [list(pair) for pair in classes.phases] + [[]]
    found = np.zeros((count, width), rows.dtype)
    for start, size in zip(classes.starts, classes.sizes, strict=True):
        own = sorted(
            {column for place in classes.source[start : start + size] for column in columns[place]}
        )
        found[:, own] = rows[draws.integers(0, len(rows), count)][:, own]
    return found
