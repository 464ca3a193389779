"""Do explanations name what was changed? ``python -m benchmarks.explanations``.

Planted anomalies: in real normal rows that took no part in training, one to three columns move
half to all of the way towards the farther end of their training range, and so stay inside it. Of
the planted rows that are flagged, in how many are all changed columns among the three that
contribute most? SHAP's KernelExplainer on the score is the peer, on a small sample of the same
rows, with the seconds that each takes.
"""

import importlib.util
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from advae.config import Config
from advae.detector import Detector
from advae.fitting import fit_detector
from benchmarks.data import Array, adbench_names, load_adbench, missing_data, shuffled_half
from benchmarks.machine import machine_facts
from benchmarks.timing import load_average

TOP = 3
BACKGROUND = 20
"""Training rows that KernelExplainer takes absent columns from."""

Changed = NDArray[np.bool_]


@dataclass(frozen=True)
class Found:
    """What explanations of planted anomalies found.

    Attributes
    ----------
    rows
        Flagged planted rows that were explained.
    named
        Share of them whose changed columns are all among the `TOP` largest contributors.
    first
        Share of them whose largest contributor was changed.
    seconds
        Per row.
    """

    rows: int
    named: float
    first: float
    seconds: float


@dataclass(frozen=True)
class Result:
    """One data set.

    Attributes
    ----------
    planted, flagged
        Planted rows, and how many of them are flagged.
    ours, ours_on_peer_rows, peer
        What the contributions found, on all flagged rows and on the peer's; None without rows.
    largest_gap
        Greatest relative difference of a score and the sum of its contributions.
    """

    data_set: str
    seed: int
    columns: int
    planted: int
    flagged: int
    ours: Found | None
    ours_on_peer_rows: Found | None
    peer: Found | None
    largest_gap: float


def plant(rows: Array, train: Array, rng: np.random.Generator) -> tuple[Array, Changed]:
    """Return rows with one to three columns changed each, and which ones."""
    low, high = train.min(axis=0), train.max(axis=0)
    varied = np.flatnonzero(high > low)
    changed = np.zeros(rows.shape, bool)
    for row in changed:
        row[rng.choice(varied, min(int(rng.integers(1, 4)), len(varied)), replace=False)] = True
    farther = np.where(rows - low > high - rows, low, high)
    moved = rows + rng.uniform(0.5, 1.0, rows.shape) * (farther - rows)
    return np.where(changed, moved, rows), changed


def judge(contributions: Array, changed: Changed, seconds: float) -> Found | None:
    """Compare contributions with what was changed, both of shape (rows, columns)."""
    if not len(changed):
        return None
    order = np.argsort(-contributions, axis=1, kind="stable")
    top = np.zeros_like(changed)
    np.put_along_axis(top, order[:, :TOP], True, axis=1)
    first = np.take_along_axis(changed, order[:, :1], axis=1)
    named = (top | ~changed).all(axis=1)
    return Found(len(changed), float(named.mean()), float(first.mean()), seconds / len(changed))


def peer_contributions(detector: Detector, train: Array, rows: Array, seed: int) -> Array:
    """Return KernelExplainer's Shapley values of the score, shape (rows, columns)."""
    import shap

    rng = np.random.default_rng(seed)
    background = train[rng.choice(len(train), min(BACKGROUND, len(train)), replace=False)]
    explainer = shap.KernelExplainer(detector.anomaly_score, background)
    return np.asarray(explainer.shap_values(rows, silent=True))


def measure(name: str, config: Config, rows: int, peer_rows: int) -> Result:
    """Train on half of a set's normal rows, plant anomalies in the other half, and explain them."""
    split = shuffled_half(*load_adbench(name), config.seed)
    detector = fit_detector(split.train, config)
    rng = np.random.default_rng(config.seed)
    normal = split.test[split.labels == 0]
    chosen = rng.choice(len(normal), min(rows, len(normal)), replace=False)
    planted, changed = plant(normal[chosen], split.train, rng)
    flagged = detector.is_anomaly(planted)
    suspects, changed = planted[flagged], changed[flagged]

    started = time.perf_counter()
    explanation = detector.explain(suspects)
    seconds = time.perf_counter() - started
    sums = explanation.contributions.sum(axis=1)
    gap = float(np.max(np.abs(sums - explanation.score) / explanation.score, initial=0.0))
    ours = judge(explanation.contributions, changed, seconds)

    few = slice(0, peer_rows if importlib.util.find_spec("shap") else 0)
    peer = ours_there = None
    if len(suspects[few]):
        started = time.perf_counter()
        values = peer_contributions(detector, split.train, suspects[few], config.seed)
        peer = judge(values, changed[few], time.perf_counter() - started)
        started = time.perf_counter()
        there = detector.explain(suspects[few]).contributions
        ours_there = judge(there, changed[few], time.perf_counter() - started)
    return Result(
        name,
        config.seed,
        planted.shape[1],
        len(planted),
        len(suspects),
        ours,
        ours_there,
        peer,
        gap,
    )


def show(results: list[Result], console: Console) -> None:
    """Print one line for each data set, and the means."""
    table = Table(title="Flagged planted rows whose changed columns are all in the top 3")
    for heading in ("data set", "columns", "planted", "flagged", "named", "first", "ms/row",
                    "peer rows", "named", "SHAP named", "SHAP s/row"):  # fmt: skip
        table.add_column(heading, justify="left" if heading == "data set" else "right")

    def cell(found: Found | None, field: str, style: str, scale: float = 1.0) -> str:
        return "" if found is None else format(scale * getattr(found, field), style)

    for each in results:
        there, peer = each.ours_on_peer_rows, each.peer
        table.add_row(
            each.data_set, str(each.columns), str(each.planted), str(each.flagged),
            cell(each.ours, "named", ".1%"), cell(each.ours, "first", ".1%"),
            cell(each.ours, "seconds", ".2f", 1000.0), cell(peer, "rows", "d", 1),
            cell(there, "named", ".1%"), cell(peer, "named", ".1%"), cell(peer, "seconds", ".2f"),
        )  # fmt: skip
    console.print(table)
    measured = [each.ours.named for each in results if each.ours]
    passed = sum(named >= 0.8 for named in measured)
    console.print(
        f"mean {np.mean(measured):.1%}; at least 80 % in {passed} of {len(measured)}; "
        f"contributions sum to the score within {max(each.largest_gap for each in results):.1e}"
    )


def main(
    sets: Annotated[
        list[str] | None, typer.Argument(help="ADBench sets, such as 6_cardio; all if none.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Splits and trainings of each set.")] = 1,
    rows: Annotated[int, typer.Option(min=1, help="Most planted rows of each set.")] = 1000,
    peer_rows: Annotated[int, typer.Option(min=0, help="Rows that SHAP explains too.")] = 20,
    iterations: Annotated[int | None, typer.Option(help="Training iterations.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="One small set, few rows.")] = False,
    output: Annotated[Path | None, typer.Option(help="JSON file for the results.")] = None,
) -> None:
    """Measure and print; without the data folder, say what is missing."""
    console = Console()
    lacking = missing_data("adbench")
    if lacking:
        console.print(lacking)
        raise typer.Exit(2)
    facts = machine_facts()
    if quick:
        sets, seeds, rows, peer_rows, iterations = ["40_vowels"], 1, 100, 2, 500
    results = []
    for name in sets or adbench_names():
        for seed in range(seeds):
            config = Config.preset("default", seed=seed, iterations=iterations)
            results.append(measure(name, config, rows, peer_rows))
            console.print(f"{name}, seed {seed}: {results[-1].ours}", highlight=False)
    facts["load average after"] = f"{load_average():.2f}"
    show(results, console)
    if output is not None:
        found = [asdict(result) for result in results]
        output.write_text(json.dumps({"machine": facts, "explanations": found}, indent=2))


if __name__ == "__main__":
    typer.run(main)
