"""Average precision against the seconds of a fit: our iterations, and the other methods."""

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.accuracy.comparison import Grid
from benchmarks.accuracy.protocol import TRIAL_SEEDS
from benchmarks.accuracy.rank_diagram import FAINT, INK, OURS_INK
from benchmarks.accuracy.tables import markdown
from benchmarks.harness.pictures import save
from benchmarks.harness.runs import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.transforms import Bbox


class Budget(NamedTuple):
    """What a number of iterations costs and gives.

    Median seconds of a fit with the first seed, and mean AP. None: the preset's, by rows.
    """

    iterations: int | None
    seconds: float
    precision: float

    @property
    def name(self) -> str:
        """The number in words."""
        return f"{self.iterations:,}" if self.iterations else "by rows"


def budgets(rows: Sequence[Row]) -> list[Budget]:
    """Return what each number of iterations came to, fewest first.

    Of the runs of one method with several numbers; only those that all data sets and seeds have.
    """
    found: dict[int | None, list[Row]] = {}
    for row in rows:
        if row["failure"] is None:
            found.setdefault(json.loads(row["settings"])["iterations"], []).append(row)
    most = max(map(len, found.values()), default=0)
    return [
        Budget(
            iterations,
            median(row["fit_seconds"] for row in own if row["seed"] == 0),
            sum(row["average_precision"] for row in own) / len(own),
        )
        for iterations, own in sorted(found.items(), key=lambda item: (item[0] is None, item[0]))
        if len(own) == most and any(row["seed"] == 0 for row in own)
    ]


def budget_section(
    found: Sequence[Budget], others: Grid, rows: Sequence[Row], picture: Path, ours: str
) -> str:
    """Return the part of a page that shows what seconds buy, and draw its picture.

    Parameters
    ----------
    found
        Numbers of iterations, the preset's among them.
    others
        AP of all methods; those beside ``ours`` become points of the picture.
    rows
        All runs, for the seconds.
    picture
        Where it goes, beside the page.
    ours
        The method whose iterations differ.
    """
    draw(found, others, rows, picture, ours)
    lines = []
    for budget in found:
        name = budget.name if budget.iterations else f"**{budget.name}**"
        lines.append([name, f"{budget.seconds:.1f}", f"{100 * budget.precision:.2f}"])
    return f"""## Average precision against seconds

The default preset with fewer and more iterations, shuffled halves, {TRIAL_SEEDS} seeds; each
training has the cosine schedule over its own iterations. The other methods are those of the first
table.

{markdown(["iterations", "fit, median s", "AP"], lines)}
![Mean average precision of all methods against the seconds of a fit]({picture.name})
"""


def draw(found: Sequence[Budget], others: Grid, rows: Sequence[Row], path: Path, ours: str) -> None:
    """Draw our curve, and each other method of ``others`` as a point, as SVG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.4, 4.6), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(
        [budget.seconds for budget in found],
        [100 * budget.precision for budget in found],
        color=OURS_INK,
        marker="o",
        label=f"{ours}, {', '.join(budget.name for budget in found)} iterations",
    )
    places = {}
    for method, mean in zip(others.methods, others.means.mean(axis=1), strict=True):
        own = [
            row["fit_seconds"]
            for row in rows
            if row["method"] == method and row["seed"] == 0 and not row["failure"]
        ]
        if method == ours or not own:
            continue
        places[method] = median(own), 100 * mean
        axes.plot(*places[method], marker="o", color=FAINT)
    axes.set(xscale="log", xlabel="seconds of a fit, median", ylabel="mean AP over the open sets")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right")
    _name(axes, places)
    save(figure, path)


def _name(axes: "Axes", places: dict[str, tuple[float, float]]) -> None:
    """Write each name beside its point, where it covers no other if there is such a place."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()  # so that points have places
    taken: list["Bbox"] = []
    for name, place in places.items():
        text = axes.annotate(name, place, (4, 3), textcoords="offset points", color=INK, fontsize=8)
        for side, offset in (("left", 3), ("left", -11), ("right", 3), ("right", -11)):
            text.set_horizontalalignment(side)
            text.xyann = (4 if side == "left" else -4, offset)
            extent = text.get_window_extent()
            if not any(extent.overlaps(other) for other in taken):
                break
        taken.append(extent)
