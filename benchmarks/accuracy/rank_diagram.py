"""The critical-difference diagram: mean ranks, and which methods do not differ."""

from pathlib import Path

import numpy as np

from benchmarks.accuracy.comparison import Grid, critical_difference, groups
from benchmarks.harness.pictures import save

INK, FAINT, OURS_INK = "#222222", "#888888", "#b3261e"
ROW = 0.24
"""Inches between two names, and between two bars."""


def draw(results: Grid, path: Path, ours: frozenset[str]) -> None:
    """Draw the mean ranks of a grid as SVG, or in the format of the path's suffix.

    Parameters
    ----------
    results
        At least two methods on at least two data sets.
    path
        Where the picture goes.
    ours
        Names in another colour.
    """
    from matplotlib.figure import Figure

    mean_ranks = results.ranks.mean(axis=1)
    order = np.argsort(mean_ranks, kind="stable")
    names, places = [results.methods[index] for index in order], mean_ranks[order]
    difference = critical_difference(len(names), len(results.data_sets))
    bars = groups(places, difference)
    half = (len(names) + 1) // 2
    low, high = 1.0, float(len(names))
    depth = ROW * (len(bars) + half + 1)
    height = depth + 0.9

    figure = Figure(figsize=(8.4, height))
    axes = figure.add_axes((0.26, 0.0, 0.48, 1.0))
    axes.set_xlim(low - 0.3, high + 0.3)
    axes.set_ylim(-depth - 0.1, height - depth - 0.1)
    axes.axis("off")

    def line(xs: list[float], ys: list[float], colour: str, width: float) -> None:
        axes.plot(xs, ys, color=colour, linewidth=width, clip_on=False, solid_capstyle="round")

    def text(x: float, y: float, words: str, side: str, colour: str = INK) -> None:
        axes.text(x, y, words, ha=side, va="center", color=colour, fontsize=10)

    line([low, high], [0, 0], INK, 1.0)
    for tick in range(1, len(names) + 1, 1 if len(names) <= 12 else 2):
        line([tick, tick], [0, 0.06], INK, 1.0)
        text(tick, 0.18, str(tick), "center")
    line([low, low + difference], [0.5, 0.5], INK, 1.5)
    for end in (low, low + difference):
        line([end, end], [0.45, 0.55], INK, 1.5)
    text(low + difference + 0.2, 0.5, f"critical difference {difference:.2f}", "left")

    for number, (first, last) in enumerate(bars):
        y = -ROW * (number + 0.6)
        line([places[first] - 0.06, places[last] + 0.06], [y, y], INK, 3.5)
    for index, (name, place) in enumerate(zip(names, places, strict=True)):
        left = index < half
        row = index if left else len(names) - 1 - index
        y = -ROW * (len(bars) + row + 1)
        edge = low - 0.3 if left else high + 0.3
        colour = OURS_INK if name in ours else INK
        line([place, place, edge], [0, y, y], colour if name in ours else FAINT, 0.8)
        shown = f"{name}  {place:.2f}" if left else f"{place:.2f}  {name}"
        text(edge - 0.1 if left else edge + 0.1, y, shown, "right" if left else "left", colour)

    save(figure, path)
