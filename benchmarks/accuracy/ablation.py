"""What each part of the default preset gives: ``python -m benchmarks.accuracy.ablation``.

The preset with one change at a time, on the open sets that it was chosen with: shuffled halves, the
same splits and seeds for every change. Variants and iterations are part of ``benchmarks.accuracy``,
which has them on all sets.
"""

import json
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks.accuracy.protocol import (
    OURS,
    QUICK_ITERATIONS,
    SCHEMA,
    Run,
    measure,
    plan,
    settings_text,
    shuffled_files,
)
from benchmarks.harness.data import SEEN, SELECTION, data_folder, missing_data
from benchmarks.harness.runs import Row, rows_of, run_all

SETS = (*(name for name in SELECTION if name != "musk"), SEEN)
"""Without musk, which takes a quarter of the time and is told apart whatever is changed."""

UNCHANGED = "nothing"
CHANGES: dict[str, dict[str, Any]] = {
    UNCHANGED: {},
    "no values swapped": {"swap": 0.0},
    "up to half of the values swapped": {"swap": 0.5},
    "no input noise": {"input_noise": 0.0},
    "input noise 0.1": {"input_noise": 0.1},
    "lambda 0.0001": {"lambda_": 0.0001},
    "lambda 0.01": {"lambda_": 0.01},
    "hidden width 64": {"hidden": 64},
    "hidden width 256": {"hidden": 256},
    "latent size 16": {"latent": 16},
    "constant learning rate": {"schedule": "constant"},
    "4 members": {"members": 4},
    "32 points": {"points": 32},
    "no surprises": {"surprise": False},
    "residuals not weighed": {"whiten": False},
    "1,024 kept rows": {"memory": 1024},
    "no kept rows": {"memory": 0},
    "the paper's score": {"whiten": False, "memory": 0, "surprise": False},
}
"""What is changed, and to what. The first is what the others are compared with."""

QUICK_CHANGES = (UNCHANGED, "the paper's score")
QUICK_SETS = ("glass", SEEN)


def changed(runs: Iterable[Run], change: str) -> list[Run]:
    """Return runs of the preset with one change."""
    return [
        replace(run, settings=settings_text(json.loads(run.settings) | CHANGES[change]))
        for run in runs
    ]


def means(rows: Iterable[Row], measured: str, seen: bool) -> NDArray[np.float64]:
    """Return a measure × 100 for each seed: of ``SEEN``, or the mean of the other sets.

    NaN where a run failed.
    """
    rows = [row for row in rows if (row["data_set"] == SEEN) == seen]
    return np.array(
        [
            np.mean([100 * (row[measured] or np.nan) for row in rows if row["seed"] == seed])
            for seed in sorted({row["seed"] for row in rows})
        ]
    )


def difference(of: NDArray[np.float64], against: NDArray[np.float64]) -> str:
    """Return the mean paired difference over seeds, ± its standard error where there are two.

    Empty where a run failed.
    """
    gains = of - against
    if not np.isfinite(gains).all():
        return ""
    error = f" ± {gains.std(ddof=1) / np.sqrt(len(gains)):.1f}" if len(gains) > 1 else ""
    return f"{gains.mean():+.1f}{error}"


def comparison(rows: dict[str, list[Row]]) -> Table:
    """Return means of the measures for every change, and what it changes of precision."""
    others = len({row["data_set"] for row in rows[UNCHANGED]} - {SEEN})
    table = Table(title="The default preset, one change at a time; × 100", title_justify="left")
    table.add_column("changed")
    headings = ("ROC AUC", "average precision", "difference", "average precision", "difference")
    for number, heading in enumerate(headings):
        where = f"{others} selection sets" if number < 3 else SEEN
        table.add_column(f"{where}\n{heading}", justify="right")
    for change, own in rows.items():
        cells = [f"{means(own, 'roc_auc', seen=False).mean():.1f}"]
        for seen in (False, True):
            precision = means(own, "average_precision", seen)
            base = means(rows[UNCHANGED], "average_precision", seen)
            known = np.isfinite(precision).all()
            cells.append(f"{precision.mean():.1f}" if known else "a run failed")
            cells.append("" if change == UNCHANGED else difference(precision, base))
        table.add_row(change, *cells)
    return table


def main(
    quick: Annotated[
        bool, typer.Option(help="Two sets, one seed, one change, 100 iterations.")
    ] = False,
    out: Annotated[Path, typer.Option(help="Where the runs are kept.")] = Path(
        "results/ablation.parquet"
    ),
    jobs: Annotated[int, typer.Option(min=1, help="Worker processes, one core each.")] = 2,
    seeds: Annotated[int, typer.Option(min=1, help="Splits and trainings of each set.")] = 5,
) -> None:
    """Measure what each part of the default preset gives."""
    console = Console(width=max(140, Console().width))
    missing = missing_data("adbench")
    if missing:
        console.print(missing, markup=False)
        raise typer.Exit(2)
    started = time.perf_counter()
    sets, changes, seeds = (QUICK_SETS, QUICK_CHANGES, 1) if quick else (SETS, CHANGES, seeds)
    files = [file for file in shuffled_files(data_folder() / "adbench") if file.name in sets]
    preset = plan(files, [OURS], seeds, QUICK_ITERATIONS if quick else None)
    # Ordered by seed, so that what ends early has the first seeds of everything.
    runs = [
        run
        for seed in range(seeds)
        for change in changes
        for run in changed([run for run in preset if run.seed == seed], change)
    ]
    run_all(measure, runs, out, SCHEMA, jobs, console)
    rows = {change: rows_of(changed(preset, change), out, SCHEMA) for change in changes}
    console.print(f"{seeds} seeds")
    console.print(comparison(rows))
    console.print(f"{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    typer.run(main)
