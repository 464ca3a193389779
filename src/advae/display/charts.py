"""The geometry of charts in terminal, notebook and page: one axis for scores, and paths of SVG.

Paths are drawn in a box that the page around them stretches, 1000 wide and 100 (bars) or 1000
(curves) high; the width of strokes does not change. Places of ticks and marks are shares of the
width.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from advae.display.text import count, number

DECADES = 4
"""Scores so many powers of ten beyond threshold and medians stand at the ends of the axis."""

TICKS = 7

_STEPS = ((1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8), (1, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,))


WIDTH, BAR_HEIGHT, HEIGHT = 1000, 100, 1000


@dataclass(frozen=True)
class ScoreAxis:
    """The scores from ``low`` to ``high``, both above 0, spaced by their logarithms."""

    low: float
    high: float

    @classmethod
    def around(cls, threshold: float, groups: Iterable[Float[np.ndarray, "rows"]]) -> "ScoreAxis":
        """Return an axis that shows a threshold and nearly all scores.

        Parameters
        ----------
        threshold
            The score to have well inside the axis.
        groups
            Scores, each finite and at least 0; a thousandth of a group may lie below the axis.
        """
        samples = [group[group > 0] for group in groups]
        samples = [group for group in samples if len(group)]
        middles = [float(np.median(sample)) for sample in samples]
        # A file may have any threshold; the ends of the axis are some times smaller and larger.
        threshold = min(max(threshold, 0.0), 1e300)
        middles += [threshold] if threshold > 1e-300 or not middles else []
        low, high = (end if end > 1e-300 else 1.0 for end in (min(middles), max(middles)))
        least = min((float(np.quantile(sample, 0.001)) for sample in samples), default=low)
        most = max((float(sample.max()) for sample in samples), default=high)
        reach = 10.0**DECADES
        return cls(
            min(max(least, low / reach), low / 2) / 1.1,
            max(min(most, high * reach), high * 2) * 1.1,
        )

    def place(self, scores: Float[np.ndarray, "*rows"] | float) -> Float[np.ndarray, "*rows"]:
        """Return where scores stand, 0 at the low end and 1 at the high end, never beyond."""
        clipped = np.clip(scores, self.low, self.high)
        return np.asarray(np.log(clipped / self.low) / math.log(self.high / self.low))

    def cut(self, threshold: float, share_above: float, bins: int) -> float:
        """Return where among ``bins`` equal parts, 0 to 1, those above a threshold begin.

        Whatever lies below the axis, a score of 0 for one, stands in its first part: that one is
        above a threshold down there only if all scores are, a share of 1.
        """
        place = float(self.place(np.array([threshold]))[0])
        return 1 / bins if place == 0 and share_above < 1 else place

    def at(self, places: Float[np.ndarray, "points"]) -> Float[np.ndarray, "points"]:
        """Return the scores that stand at ``places`` in [0, 1]; undoes ``place``."""
        return np.asarray(self.low * np.power(self.high / self.low, places))

    def shares(self, scores: Float[np.ndarray, "rows"], bins: int) -> Float[np.ndarray, "bins"]:
        """Return the share of the scores in each of ``bins`` equal parts of the axis.

        Scores beyond an end count in the last part there; without scores all shares are 0.
        """
        part = np.minimum((self.place(scores) * bins).astype(int), bins - 1)
        return np.asarray(np.bincount(part, minlength=bins) / max(len(scores), 1))

    def ticks(self) -> list[float]:
        """Return round scores inside the axis, at most `TICKS`: 1, 2, 5, or powers of ten."""
        first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
        for steps in _STEPS:
            found = [step * 10.0**power for power in range(first, last + 1) for step in steps]
            inside = [score for score in found if self.low <= score <= self.high]
            if len(inside) <= TICKS:
                return inside
        return inside[:: -(-len(inside) // TICKS)]


def bars(shares: Sequence[float], highest: float | None = None) -> str:
    """Return the outline of touching bars, down to the baseline; the tallest fills the box."""
    top = max(shares, default=0.0) if highest is None else highest
    if top <= 0:
        return ""
    step = WIDTH / len(shares)
    path = [f"M0 {BAR_HEIGHT}"]
    for position, share in enumerate(shares):
        height = rounded(BAR_HEIGHT * (1 - min(share / top, 1.0)))
        path.append(f"V{height}H{rounded((position + 1) * step)}")
    return "".join([*path, f"V{BAR_HEIGHT}Z"])


def polyline(points: Iterable[tuple[float, float]]) -> str:
    """Return a line through points of the box."""
    return "M" + "L".join(f"{rounded(x)} {rounded(y)}" for x, y in points)


def rounded(value: float) -> str:
    """Return a coordinate with one decimal: a tenth of a thousandth of the box is enough."""
    return f"{value:.1f}".removesuffix(".0")


@dataclass(frozen=True)
class Tick:
    """A labelled position along an axis, 0 at its beginning and 1 at its end."""

    at: float
    label: str


def smooth(shares: Sequence[float], highest: float) -> str:
    """Return a line through the middles of bars that ``bars`` would draw."""
    step = WIDTH / len(shares)
    points = [
        ((position + 0.5) * step, BAR_HEIGHT * (1 - min(share / highest, 1.0)))
        for position, share in enumerate(shares)
    ]
    return polyline(points)


def curve(x: Sequence[float], y: Sequence[float]) -> str:
    """Return a curve in the unit square, whose origin is at the bottom left."""
    return polyline((WIDTH * a, HEIGHT * (1 - b)) for a, b in zip(x, y, strict=True))


def band(x: Sequence[float], low: Sequence[float], high: Sequence[float]) -> str:
    """Return the area between two curves in the unit square."""
    there = zip(x, high, strict=True)
    back = zip(reversed(x), reversed(low), strict=True)
    return polyline((WIDTH * a, HEIGHT * (1 - b)) for a, b in [*there, *back]) + "Z"


def dots(x: Sequence[float], y: Sequence[float]) -> str:
    """Return dots in the unit square: lines of no length, which a round pen makes dots."""
    return "".join(
        f"M{rounded(WIDTH * a)} {rounded(HEIGHT * (1 - b))}h0" for a, b in zip(x, y, strict=True)
    )


def score_ticks(axis: ScoreAxis) -> list[Tick]:
    """Return the ticks of a score axis."""
    scores = axis.ticks()
    places = axis.place(np.array(scores)).tolist()
    return [Tick(at, f"{score:g}") for at, score in zip(places, scores, strict=True)]


@dataclass(frozen=True)
class Lines:
    """Lines over the iterations of a training, drawn on one scale.

    Attributes
    ----------
    paths
        One for each line.
    x_ticks, y_ticks
        Ticks, y from the bottom.
    logarithmic
        Whether y is.
    """

    paths: tuple[str, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    logarithmic: bool


def lines(x: Sequence[float], *ys: Sequence[float]) -> Lines:
    """Draw lines over common ``x``, logarithmically where they span more than a factor of 50."""
    values = np.array([value for y in ys for value in y], np.float64)
    low, high = float(values.min()), float(values.max())
    logarithmic = low > 0 and high > 50 * low
    if not logarithmic:
        low, high = min(0.0, low), high if high > 0 else 1.0

    def place(value: float) -> float:
        if logarithmic:
            return math.log(value / low) / math.log(high / low)
        return (value - low) / (high - low)

    span = max(float(x[-1]), 1.0)
    if len(x) == 1:  # the mean over the only block is drawn along it, since a point has no line
        x, ys = (0.0, x[0]), tuple((*y, *y) for y in ys)
    paths = tuple(
        curve([a / span for a in x], [place(value) for value in y]) for y in ys if len(y) == len(x)
    )
    return Lines(
        paths=paths,
        x_ticks=(Tick(0.0, "0"), Tick(1.0, count(span))),
        y_ticks=(Tick(0.0, number(low, 3)), Tick(1.0, number(high, 3))),
        logarithmic=logarithmic,
    )
