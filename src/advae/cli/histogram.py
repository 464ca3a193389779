"""Histograms of scores in the terminal, in characters that every terminal has if need be."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from rich.console import Console
from rich.table import Table
from rich.text import Text

from advae.display.charts import ScoreAxis
from advae.display.text import number, share

LINES = 12
WIDTH = 24
"""Lines of a histogram, and characters of its longest bar."""

_EIGHTHS = " ▏▎▍▌▋▊▉"


def score_histogram(
    console: Console, groups: Mapping[str, Float[np.ndarray, "rows"]], threshold: float
) -> Table:
    """Return the histograms of several groups of scores side by side, cut at the threshold.

    Parameters
    ----------
    console
        Where they will be shown; its encoding decides on the characters.
    groups
        Scores by heading; groups without scores are left out.
    threshold
        Lines above it are shown as alarms.
    """
    groups = {name: scores for name, scores in groups.items() if len(scores)}
    axis = ScoreAxis.around(threshold, groups.values())
    cut = float(axis.place(np.array([threshold]))[0])
    below = min(max(round(LINES * cut), 1), LINES - 1)
    places = np.concatenate(
        [np.linspace(0.0, cut, below + 1), np.linspace(cut, 1.0, LINES - below + 1)[1:]]
    )
    inner = np.append(axis.at(places[1:-1]), np.inf)
    inner[below - 1] = threshold  # exactly, so that a score equal to it is not above it
    shares = {
        name: np.bincount(np.searchsorted(inner, scores, side="left"), minlength=LINES)
        / len(scores)
        for name, scores in groups.items()
    }
    fine = console.encoding.lower().startswith("utf")
    table = Table.grid(padding=(0, 2))
    table.add_row(Text("up to", style="dim"), *(Text(name, style="dim") for name in groups))
    for line in range(LINES):
        if line == below:
            rule = ("─" if fine else "-") * WIDTH
            cut_at = Text(number(threshold), justify="right")
            table.add_row(cut_at, Text(f"{rule} threshold"), style="bold")
        style = "red" if line >= below else ""
        bars = (
            Text(f"{_bar(part[line] / max(part.max(), 1e-300), fine)} {share(part[line])}", style)
            for part in shares.values()
        )
        # As the threshold is written, where the two are one.
        limit = number(inner[line], 4 if line == below - 1 else 3)
        label = "above" if line == LINES - 1 else limit
        table.add_row(Text(label, justify="right", style="dim"), *bars)
    return table


def _bar(part: float, fine: bool) -> str:
    if not fine:
        return ("#" * round(part * WIDTH)).ljust(WIDTH)
    eighths = round(part * WIDTH * 8)
    return ("█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()).ljust(WIDTH)
