"""Pictures of the paper's other experiments, and the page that shows them."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.accuracy.tables import markdown
from benchmarks.harness.pictures import save
from benchmarks.harness.runs import Row, mean

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = {"adVAE": "#b3261e", "VAE": "#31688e"}
GROUPS = {"normal": "#31688e", "transformed normal": "#e0a030", "anomalous": "#b3261e"}


def write_page(rows: Sequence[Row], page: Path, seeds: int, settings: str) -> None:
    """Write the page and its pictures, from the rows of all experiments."""
    page.parent.mkdir(parents=True, exist_ok=True)
    drawn = {
        "latent_space": draw_space([row for row in rows if row["experiment"] == "space"]),
        "latent_noise": draw_noise([row for row in rows if row["experiment"] == "noise"]),
        "robustness": draw_robustness([row for row in rows if row["experiment"] == "robustness"]),
    }
    for name, figure in drawn.items():
        save(figure, page.with_name(f"{name}.svg"))
    sets = ", ".join(_name(name) for name in dict.fromkeys(row["data_set"] for row in rows))
    page.write_text(
        f"""# Experiments

The paper's experiments on latent space, latent noise and robustness, repeated on shuffled halves of
{sets}: `variant="adVAE"` and `variant="VAE"`, all else as in the `default` preset.
To make this page again:
`python -m benchmarks.paper.experiments --seeds {seeds}`.
The ablation of the paper's Tables 3 and 4 is on the page of [accuracy](results.md).

## Latent space

Latent means of test rows, in the plane in which they vary most; first seed. "Transformed normal" is
where the Gaussian transformer puts normal rows: the anomalies that training has seen. (The paper's
Figure 8.)

![Latent means of normal, anomalous and transformed rows](latent_space.svg)

## How far the generator follows latent noise

The latent noise of normal test rows is multiplied by a scale, 1 in training, and the generated
columns are compared with the real ones: the 1-Wasserstein distance, averaged over the columns, each
scaled to [0, 1]. Mean of {seeds} seeds. (The paper's Figure 7.)

![Wasserstein distance against the scale of the latent noise](latent_noise.svg)

## Robustness

One setting at a time, the others as in the preset; mean AP over the data sets and {seeds} seeds.
The dotted line is the preset's value. (The paper's Figure 9.)

![Average precision against each setting](robustness.svg)

Lowest and highest AP along each line, in per cent:

{_ranges([row for row in rows if row["experiment"] == "robustness"])}
Settings: `{settings}`
""",
        encoding="utf-8",
    )


def draw_space(rows: Sequence[Row]) -> "Figure":
    """Draw the latent means, a row for each variant and a column for each data set."""
    figure, grid = _panels(_each(rows, "variant"), _each(rows, "data_set"))
    for (variant, name), axes in grid.items():
        for row in rows:
            if (row["variant"], row["data_set"]) == (variant, name):
                points = np.array(row["points"])
                colour = GROUPS[row["group"]]
                axes.scatter(*points.T, s=5, color=colour, label=row["group"], alpha=0.6, lw=0)
        axes.set_title(f"{variant}, {_name(name)}", fontsize=10)
        axes.set_xticks([])
        axes.set_yticks([])
    _legend(figure, next(iter(grid.values())))
    return figure


def draw_noise(rows: Sequence[Row]) -> "Figure":
    """Draw distance against noise, a panel for each data set and a line for each variant."""
    figure, grid = _panels(["distance"], _each(rows, "data_set"))
    for (_, name), axes in grid.items():
        own = [row for row in rows if row["data_set"] == name]
        _lines(axes, own, "scale", "distance")
        axes.set_title(_name(name), fontsize=10)
        axes.set_xlabel("scale of the latent noise")
    next(iter(grid.values())).set_ylabel("Wasserstein distance")
    _legend(figure, next(iter(grid.values())))
    return figure


def draw_robustness(rows: Sequence[Row]) -> "Figure":
    """Draw average precision against each setting, a line for each variant."""
    settings = _each(rows, "setting")
    figure, grid = _panels(["AP"], settings)
    for (_, setting), axes in grid.items():
        own = [row for row in rows if row["setting"] == setting]
        _lines(axes, own, "value", "average_precision")
        axes.set_title(setting, fontsize=10)
        axes.set_ylim(0, 1)
        if setting != "contamination":
            axes.set_xscale("log")
            values = sorted({row["value"] for row in own})
            if all(isinstance(value, int) for value in values):  # a size, not a weight
                axes.set_xticks(values, [str(value) for value in values])
                axes.set_xticks([], minor=True)
            axes.axvline(own[0]["preset"], color="#888888", linestyle=":", linewidth=1)
    _legend(figure, next(iter(grid.values())))
    return figure


def _ranges(rows: Sequence[Row]) -> str:
    variants = _each(rows, "variant")
    lines = []
    for setting in _each(rows, "setting"):
        cells = [setting]
        for variant in variants:
            own = [r for r in rows if (r["setting"], r["variant"]) == (setting, variant)]
            means = [
                100 * mean([row for row in own if row["value"] == value], "average_precision")
                for value in {row["value"] for row in own}
            ]
            cells.append(f"{min(means):.1f} to {max(means):.1f}" if means else "")
        lines.append(cells)
    return markdown(["setting", *variants], lines)


def _lines(axes: object, rows: Sequence[Row], x: str, y: str) -> None:
    for variant, colour in COLOURS.items():
        own = [row for row in rows if row["variant"] == variant]
        values = sorted({row[x] for row in own})
        means = [mean([row for row in own if row[x] == value], y) for value in values]
        if values:
            axes.plot(values, means, marker="o", markersize=4, color=colour, label=variant)


def _panels(rows: Sequence[str], columns: Sequence[str]) -> tuple["Figure", dict]:
    """Return a figure, and its axes by row and column; one row of many panels is broken."""
    from matplotlib.figure import Figure

    wide = min(len(columns), 4)
    places = [(row, column) for row in rows for column in columns]
    high = -(-len(places) // wide)
    figure = Figure(figsize=(2.6 * wide + 0.4, 2.4 * high + 0.5), layout="constrained")
    axes = np.atleast_1d(figure.subplots(high, wide)).ravel()
    for unused in axes[len(places) :]:
        unused.remove()
    return figure, dict(zip(places, axes, strict=False))


def _legend(figure: "Figure", axes: object) -> None:
    figure.legend(
        *axes.get_legend_handles_labels(),
        loc="outside lower center",
        ncols=3 if figure.get_figwidth() > 4 else 1,
        markerscale=2,
    )


def _each(rows: Sequence[Row], name: str) -> list[str]:
    return list(dict.fromkeys(row[name] for row in rows))


def _name(data_set: str) -> str:
    return data_set.partition("_")[2] or data_set
