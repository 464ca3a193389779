"""The geometry of the page's charts: numbers in, SVG path data and tick positions out.

Paths lie in the box of `advae.display.svg`, which the page stretches to the space there is; the
width of strokes does not change. Positions of ticks and marks are shares of the width.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from advae.display.score_axis import ScoreAxis
from advae.display.svg import BAR_HEIGHT, HEIGHT, WIDTH, bars, polyline, rounded
from advae.display.text import count, number

__all__ = [
    "BAR_HEIGHT", "HEIGHT", "WIDTH", "Lines", "Tick", "band", "bars", "curve", "dots", "lines",
    "score_ticks", "smooth",
]  # fmt: skip


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
