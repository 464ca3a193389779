"""Accuracy when some training rows are anomalies: ``python -m benchmarks.contamination``.

From each open set, half of the anomalies can be mixed into the training rows, the other half are
tested on together with the normal rows that were not trained on. Every share of anomalies is
mixed into the same normal rows, so few of them that the half suffices for the largest share.
"""

import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table
from sklearn.metrics import average_precision_score

from advae.config import Config
from advae.fitting import fit_detector
from benchmarks.campaign import Row, Task, mean, run_campaign
from benchmarks.data import Split, adbench_names, load_adbench, missing_data

SHARES = (0.0, 0.01, 0.03, 0.05, 0.1)
PLAIN = "plain"
METHODS: dict[str, dict[str, Any]] = {PLAIN: {}}
"""For each method the changes to the default preset."""


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
    """Return the average precision on the test rows."""
    split = mixed(task["data_set"], task["share"], task["seed"])
    config = Config.preset(
        "default", iterations=task["iterations"], seed=task["seed"], **task["changes"]
    )
    scores = fit_detector(split.train, config).anomaly_score(split.test)
    return [{"average_precision": float(average_precision_score(split.labels, scores))}]


def loss_table(rows: list[Row], shares: list[float]) -> Table:
    """Return the mean average precision at each share, and what each loses against none."""
    table = Table(
        title="average precision × 100 by share of anomalies among the training rows",
        title_justify="left",
    )
    table.add_column("method")
    for share in shares:
        table.add_column(f"{share:.0%}", justify="right")
    table.add_column(f"lost at {shares[-1]:.0%}", justify="right")
    for method in METHODS:
        means = [
            100
            * mean(
                [row for row in rows if (row["method"], row["share"]) == (method, share)],
                "average_precision",
            )
            for share in shares
        ]
        table.add_row(method, *(f"{value:.2f}" for value in (*means, means[0] - means[-1])))
    return table


def main(
    quick: Annotated[bool, typer.Option(help="One set, one seed, 200 iterations.")] = False,
    out: Annotated[Path, typer.Option(help="Where the measurements are kept.")] = Path(
        "results/contamination.ndjson"
    ),
    jobs: Annotated[int, typer.Option(min=1, help="Worker processes, one core each.")] = 2,
    seeds: Annotated[int, typer.Option(min=1, help="Mixtures and trainings of each set.")] = 3,
    iterations: Annotated[int, typer.Option(min=1, help="Of each training.")] = 3000,
) -> None:
    """Measure what anomalies among the training rows cost."""
    console = Console()
    missing = missing_data("adbench")
    if missing:
        console.print(missing)
        raise typer.Exit(2)
    started = time.perf_counter()
    if quick:
        seeds, iterations = 1, 200
    rows = run_campaign(measure, plan(seeds, iterations, quick), out, jobs, console)
    console.print(f"{seeds} seeds, {iterations} iterations")
    console.print(loss_table(rows, sorted({row["share"] for row in rows})))
    console.print(f"{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    typer.run(main)
