"""Accuracy when some training rows are anomalies: ``python -m benchmarks.promises.contamination``.

From each open set, half of the anomalies can be mixed into the training rows, the other half are
tested on together with the normal rows that were not trained on. Every share of anomalies is
mixed into the same normal rows, so few of them that the half suffices for the largest share.

The networks are the default preset's, one member, with fewer iterations, which are printed.
"""

import itertools
import math
import operator
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table
from sklearn.metrics import average_precision_score

from advae.config import Config
from advae.detector.fitting import fit_detector
from benchmarks.harness.data import SELECTION, Split, adbench_names, load_adbench, missing_data
from benchmarks.harness.runs import Row, Task, mean, run_campaign

SHARES = (0.0, 0.01, 0.03, 0.05, 0.1)
PLAIN, ROBUST = "plain", "trim 0.1"
METHODS: dict[str, dict[str, Any]] = {PLAIN: {}, ROBUST: {"trim": 0.1}}
"""For each method the changes to the default preset."""

ALPHA = 0.05
MEASURES = {
    "average_precision": "average precision × 100",
    "false_alarms": f"normal rows flagged at alpha = {ALPHA:.0%}, in per cent",
    "recall": f"anomalies flagged at alpha = {ALPHA:.0%}, in per cent",
}


def mixed(name: str, share: float, seed: int) -> Split:
    """Return normal rows with a share of anomalies to train on, and other rows to test on."""
    X, y = load_adbench(name)
    rng = np.random.default_rng(seed)
    normal, odd = (X[rng.permutation(np.flatnonzero(y == label))] for label in (0, 1))
    spare = len(odd) // 2
    most = round(spare * (1 - SHARES[-1]) / SHARES[-1])
    count = min(len(normal) // 2, most)
    added = odd[: round(count * share / (1 - share))]
    test, labels = normal[len(normal) // 2 :], np.zeros(len(normal) - len(normal) // 2, np.int64)
    return Split(
        np.concatenate([normal[:count], added]),
        np.concatenate([test, odd[spare:]]),
        np.append(labels, np.ones(len(odd) - spare, np.int64)),
    )


def plan(seeds: int, iterations: int, quick: bool) -> list[Task]:
    """Return one task for each method, set, share and seed."""
    names = adbench_names()
    return [
        {
            "data_set": name,
            "share": share,
            "seed": seed,
            "method": method,
            "changes": METHODS[method],
            "iterations": iterations,
        }
        for seed in range(seeds)
        for name in (names[:1] if quick else names)
        for share in (SHARES[::4] if quick else SHARES)
        for method in METHODS
    ]


def measure(task: Task) -> list[Row]:
    """Return the average precision on the test rows, and what the threshold flags of them."""
    split = mixed(task["data_set"], task["share"], task["seed"])
    config = Config.preset(
        "default",
        alpha=ALPHA,
        members=1,
        iterations=task["iterations"],
        seed=task["seed"],
        **task["changes"],
    )
    detector = fit_detector(split.train, config)
    scores = detector.anomaly_score(split.test)
    flagged = scores > detector.threshold.value
    return [
        {
            "average_precision": float(average_precision_score(split.labels, scores)),
            "false_alarms": float(flagged[split.labels == 0].mean()),
            "recall": float(flagged[split.labels == 1].mean()),
        }
    ]


def means(rows: list[Row], measure: str, method: str, share: float) -> list[float]:
    """Return for each seed the mean over the sets, times 100."""
    chosen = [row for row in rows if (row["method"], row["share"]) == (method, share)]
    return [
        100 * mean([row for row in chosen if row["seed"] == seed], measure)
        for seed in sorted({row["seed"] for row in chosen})
    ]


def comparison(rows: list[Row], measure: str, title: str) -> Table:
    """Return the mean of a measure at each share, by method, and what screening changes.

    Behind ±: the standard error over seeds of the mean difference between the methods.
    """
    shares = sorted({row["share"] for row in rows})
    table = Table(title=title, title_justify="left")
    table.add_column("method")
    for share in shares:
        table.add_column(f"{share:.0%}", justify="right")
    table.add_column("5% against plain 0%", justify="right")
    for method in METHODS:
        found = {share: float(np.mean(means(rows, measure, method, share))) for share in shares}
        change = found.get(0.05, math.nan) - float(np.mean(means(rows, measure, PLAIN, 0.0)))
        table.add_row(method, *(f"{value:.2f}" for value in found.values()), f"{change:+.2f}")
    cells = []
    for share in shares:
        plain, robust = (means(rows, measure, method, share) for method in METHODS)
        gains = np.subtract(robust, plain)
        error = gains.std(ddof=1) / math.sqrt(len(gains)) if len(gains) > 1 else math.nan
        cells.append(f"{gains.mean():+.2f} ± {error:.2f}")
    table.add_row("difference", *cells)
    return table


def set_table(rows: list[Row]) -> Table:
    """Return the average precision of each set without anomalies and with 5 % of them."""
    table = Table(title="average precision × 100 by set", title_justify="left")
    table.add_column("data set")
    shares = [share for share in (0.0, 0.05) if share in {row["share"] for row in rows}]
    for share in shares:
        for method in METHODS:
            table.add_column(f"{method}\n{share:.0%}", justify="right")
    for name in dict.fromkeys(row["data_set"] for row in rows):
        own = [row for row in rows if row["data_set"] == name]
        cells = (
            float(np.mean(means(own, "average_precision", method, share)))
            for share in shares
            for method in METHODS
        )
        table.add_row(name, *(f"{cell:.1f}" for cell in cells))
    return table


def main(
    quick: Annotated[bool, typer.Option(help="One set, one seed, 200 iterations.")] = False,
    out: Annotated[Path, typer.Option(help="Where the measurements are kept.")] = Path(
        "results/contamination.ndjson"
    ),
    jobs: Annotated[int, typer.Option(min=1, help="Worker processes, one core each.")] = 2,
    seeds: Annotated[int, typer.Option(min=1, help="Mixtures and trainings of each set.")] = 3,
    iterations: Annotated[int, typer.Option(min=1, help="Of each training.")] = 1500,
) -> None:
    """Measure what anomalies among the training rows cost."""
    console = Console(width=max(120, Console().width))
    missing = missing_data("adbench")
    if missing:
        console.print(missing)
        raise typer.Exit(2)
    started = time.perf_counter()
    if quick:
        seeds, iterations, jobs = 1, 200, 1
    rows = run_campaign(measure, plan(seeds, iterations, quick), out, jobs, console)
    console.print(f"{seeds} seeds, {iterations} iterations")
    console.print(set_table(rows))
    # The settings of screening were chosen with the selection half, and optdigits.
    chosen = [row["data_set"].partition("_")[2] in SELECTION for row in rows]
    halves = {
        "all sets": rows,
        "selection": list(itertools.compress(rows, chosen)),
        "confirmation": list(itertools.compress(rows, map(operator.not_, chosen))),
    }
    for half, part in halves.items():
        for name, title in MEASURES.items() if part else ():
            console.print(comparison(part, name, f"{half}: {title}"))
    console.print(f"{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    typer.run(main)
