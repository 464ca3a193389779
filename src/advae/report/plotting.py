"""The report's charts as Matplotlib figures, for notebooks and papers.

Each function takes what ``summarise`` returns and gives a ``matplotlib.figure.Figure``, which a
notebook shows and ``savefig`` writes. Matplotlib comes with the extra ``plot``.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from advae.display.text import number, share, shorten
from advae.errors import InputError, MissingExtraError
from advae.report.page import GROUP_NAMES, POINT_NAMES
from advae.report.scores import BINS
from advae.report.summary import Report

try:
    from matplotlib.figure import Figure
except ModuleNotFoundError:
    raise MissingExtraError("plotting needs Matplotlib: pip install 'advae[plot]'") from None

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ACCENT, ALARM, INK, SHADE = "#0b6484", "#bf3118", "#1b1e21", "#cfd3d6"
POINT_COLOURS = {"synthetic": SHADE, "normal": ACCENT, "flagged": ALARM, "missed": INK}


def plot_scores(report: Report) -> Figure:
    """Draw where the scores of each kind of rows lie, and the threshold in use."""
    scores = report.scores
    figure, axes = _grid(len(scores.groups), 1, 1.3 * len(scores.groups) + 0.6)
    edges = scores.axis.at(np.linspace(0.0, 1.0, BINS + 1))
    for group, ax in zip(scores.groups, axes, strict=True):
        model = group.key in ("training", "calibration")
        ax.stairs(group.shares, edges, fill=True, color=SHADE if model else ACCENT, alpha=0.8)
        share_above = group.flagged / group.total
        cut = BINS * scores.axis.cut(scores.threshold.value, share_above, BINS)
        above = np.where(np.arange(BINS) >= cut, group.shares, 0.0)
        ax.stairs(above, edges, fill=True, color=ALARM)
        if group.key == "training" and scores.density:
            ax.plot(np.sqrt(edges[1:] * edges[:-1]), scores.density, color=INK, linewidth=1.2)
        ax.axvline(scores.threshold.value, color=INK, linewidth=1)
        part = f"{share(share_above)} above"
        ax.set_title(f"{GROUP_NAMES[group.key]}: {group.total:,}, {part}", loc="left", fontsize=9)
        ax.set_xscale("log")
        ax.set_xlim(scores.axis.low, scores.axis.high)
        ax.set_yticks([])
        ax.label_outer()
    axes[-1].set_xlabel(f"anomaly score (threshold {number(scores.threshold.value)})")
    return figure


def plot_curves(report: Report) -> Figure:
    """Draw the ROC and the precision-recall curve with their 95 % bands.

    Raises
    ------
    InputError
        If the report has no labels of both classes.
    """
    labels = report.labels
    if labels is None or labels.roc is None or labels.precision_recall is None:
        raise InputError("curves need a report with labels, of normal rows and of anomalies")
    figure, axes = _grid(1, 2, 3.6)
    drawn = (
        (labels.roc, "roc_auc", "false alarm rate", "recall"),
        (labels.precision_recall, "average_precision", "recall", "precision"),
    )
    for ax, (curve, measure, x_title, y_title) in zip(axes, drawn, strict=True):
        ax.fill_between(curve.x, curve.low, curve.high, color=ACCENT, alpha=0.2, linewidth=0)
        ax.plot(curve.x, curve.y, color=ACCENT)
        found = labels.measures[measure]
        title = f"{measure.replace('_', ' ')} {found.value:.3f} ({found.low:.3f}–{found.high:.3f})"
        ax.set_title(title, loc="left", fontsize=9)
        ax.set(xlabel=x_title, ylabel=y_title, xlim=(0, 1), ylim=(0, 1.02))
    return figure


def plot_columns(report: Report, most: int = 20) -> Figure:
    """Draw what the columns add to the alarms, beside their drift."""
    columns = report.columns[:most][::-1]
    figure, axes = _grid(1, 2, 0.28 * len(columns) + 1.0)
    names = [column.name for column in columns]
    _bars(axes[0], names, [column.alarm_share for column in columns], ALARM)
    axes[0].set_xlabel("mean share of a flagged row's score")
    colours = [ALARM if column.level == "strong" else SHADE for column in columns]
    _bars(axes[1], names, [column.drift for column in columns], colours)
    axes[1].set_xlabel("drift (population stability index)")
    axes[1].set_yticks([])
    for ax in axes:
        ax.locator_params(axis="x", nbins=4)
    return figure


def plot_row(report: Report, rank: int = 0, most: int = 12) -> Figure:
    """Draw what the columns add to the score of one of the most anomalous rows, the first by 0.

    Raises
    ------
    InputError
        If there is no row of this rank.
    """
    if not 0 <= rank < len(report.top):
        raise InputError(f"the report has rows of rank 0 to {len(report.top) - 1}, not {rank}")
    row = report.top[rank]
    cells = row.cells[:most][::-1]
    figure, (ax,) = _grid(1, 1, 0.3 * len(cells) + 1.0)
    names = [report.feature_names[cell.column] for cell in cells]
    _bars(ax, names, [cell.contribution for cell in cells], ALARM)
    for position, cell in enumerate(cells):
        observed, expected = (
            "missing" if value is None else _plain(value)
            for value in (cell.observed, cell.expected)
        )
        ax.annotate(
            f"{observed}, expected {expected}", (cell.contribution, position),
            xytext=(4, 0), textcoords="offset points", va="center", fontsize=8,
        )  # fmt: skip
    ax.set_xlim(0, 1.6 * max(cell.contribution for cell in cells) or 1.0)
    ax.set_xlabel("contribution to the score")
    ax.set_title(f"row {row.row}, score {number(row.score)}", loc="left", fontsize=9)
    return figure


def plot_latent(report: Report, *, synthetic: bool = False) -> Figure:
    """Draw the scored rows in the latent space, and the transformer's anomalies if asked for."""
    figure, (ax,) = _grid(1, 1, 4.2)
    for group in report.latent.groups:
        if synthetic or group.key != "synthetic":
            ax.scatter(
                group.x, group.y, s=9, color=POINT_COLOURS[group.key], alpha=0.6,
                label=POINT_NAMES[group.key], linewidths=0,
            )  # fmt: skip
    first, second = report.latent.explained
    ax.set(xticks=[], yticks=[])
    ax.set_xlabel(f"first component ({first:.0%} of the spread)")
    ax.set_ylabel(f"second component ({second:.0%})")
    ax.legend(frameon=False, fontsize=8)
    return figure


def plot_training(report: Report) -> Figure:
    """Draw every loss term, unweighted, and the error of held-out rows."""
    terms = report.training
    rows = -(-len(terms) // 3)
    figure, axes = _grid(rows, 3, 1.9 * rows)
    for ax, term in zip(axes, terms, strict=False):
        dot = "." if len(term.values) == 1 else ""  # a line through one point is invisible
        ax.plot(term.iterations, term.values, color=ACCENT, marker=dot)
        if term.held_out:
            ax.plot(
                term.iterations, term.held_out, color=INK, linestyle="--", marker=dot,
                label="held out",
            )  # fmt: skip
            ax.legend(frameon=False, fontsize=8)
        ax.set_title(term.name, loc="left", fontsize=9)
        ax.set_ylim(bottom=0)
    for ax in axes[len(terms) :]:
        ax.set_axis_off()
    return figure


def _bars(
    ax: "Axes", names: Sequence[str], lengths: Sequence[float], colour: str | Sequence[str]
) -> None:
    """Draw a bar for each name, upwards; by name Matplotlib would lay equal ones together."""
    places = range(len(names))
    ax.barh(places, lengths, color=colour)
    # Long names are often alike but for their ends.
    ends = [name if len(name) <= 30 else f"{name[:14]}…{name[-15:]}" for name in names]
    ax.set_yticks(places, [_plain(name) for name in ends])


def _plain(text: str, limit: int = 30) -> str:
    """Shorten a text of the user's; Matplotlib would take what stands between $ for a formula."""
    return shorten(text, limit).replace("$", r"\$")


def _grid(rows: int, columns: int, height: float) -> tuple[Figure, Sequence["Axes"]]:
    figure = Figure(figsize=(8.0, height), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
        ax.tick_params(labelsize=8)
    return figure, axes
