"""How many iterations a small table takes: ``python -m benchmarks.accuracy.small_tables``.

The default preset as users have it, its threshold included, on the first rows of the training half
of open sets, beside 1-NN: those that choose, without musk, which is told apart whatever is done.
"""

import time
from dataclasses import replace
from typing import Annotated, NamedTuple

import numpy as np
import polars as pl
import typer
from rich.console import Console
from rich.table import Table
from sklearn.metrics import average_precision_score

from advae.config import Config
from advae.detector.fitting import fit_detector
from benchmarks.accuracy.baselines import neighbours
from benchmarks.harness.data import (
    SEEN,
    SELECTION,
    Split,
    data_folder,
    labelled_files,
    load_labelled,
    missing_data,
    scaled,
    shuffled_half,
)

SETS = (*(name for name in SELECTION if name != "musk"), SEEN)
QUICK_SETS = ("Ionosphere",)
ROWS = (30, 100, 300, 700, 1500)
ITERATIONS = (0, 500, 1500, 6000)
"""0 stands for those that the preset does by itself."""


class Found(NamedTuple):
    """Average precision × 100, and the seconds of the fit."""

    precision: float
    seconds: float


def first_rows(name: str, rows: int, seed: int) -> Split | None:
    """Return a set's split with its first training rows alone; None where there are fewer."""
    path = next(
        path for path in labelled_files(data_folder() / "adbench") if path.stem.endswith(f"_{name}")
    )
    split = shuffled_half(*load_labelled(path), seed)
    return split._replace(train=split.train[:rows]) if len(split.train) >= rows else None


def frame(rows: np.ndarray) -> pl.DataFrame:
    """Return rows as a table."""
    return pl.DataFrame({f"c{number}": column for number, column in enumerate(rows.T)})


def ours(split: Split, config: Config) -> Found:
    """Fit the default preset and judge it."""
    started = time.perf_counter()
    detector = fit_detector(frame(split.train), config)
    seconds = time.perf_counter() - started
    scores = detector.anomaly_score(frame(split.test))
    return Found(100 * float(average_precision_score(split.labels, scores)), seconds)


def nearest(split: Split) -> Found:
    """Judge 1-NN on columns scaled to [0, 1]."""
    started = time.perf_counter()
    split = scaled(split)
    scores = neighbours(split.train, 1)(split.test)
    precision = 100 * float(average_precision_score(split.labels, scores))
    return Found(precision, time.perf_counter() - started)


def main(
    rows: Annotated[list[int], typer.Option(help="Training rows.")] = list(ROWS),  # noqa: B006
    iterations: Annotated[
        list[int], typer.Option(help="Of the networks; 0: as the preset.")
    ] = list(  # noqa: B006
        ITERATIONS
    ),
    seeds: Annotated[int, typer.Option(min=1, help="Splits and trainings of each set.")] = 3,
    quick: Annotated[bool, typer.Option(help="One set, 30 rows, one seed, 20 iterations.")] = False,
) -> None:
    """Fit small tables with several numbers of iterations."""
    console = Console(width=max(120, Console().width))
    missing = missing_data("adbench")
    if missing:
        console.print(missing, markup=False)
        raise typer.Exit(2)
    if quick:
        rows, iterations, seeds = [30], [20], 1
    table = Table(title="Average precision × 100, and seconds of a fit", title_justify="left")
    for heading in ("rows", "sets", "1-NN", *(str(each or "preset") for each in iterations)):
        table.add_column(heading, justify="right")
    for count in rows:
        found: dict[str, list[Found]] = {}
        used = 0
        for name in QUICK_SETS if quick else SETS:
            for seed in range(seeds):
                split = first_rows(name, count, seed)
                if split is None:
                    break
                used += seed == 0
                found.setdefault("1-NN", []).append(nearest(split))
                base = Config.preset("default", seed=seed)
                for each in iterations:
                    config = replace(base, iterations=each) if each else base
                    found.setdefault(str(each), []).append(ours(split, config))
        cells = []
        for each in found.values():
            precisions, seconds = zip(*each, strict=True)
            cells.append(f"{np.mean(precisions):.1f} ({np.median(seconds):.1f} s)")
        table.add_row(str(count), str(used), *cells)
        console.print(str(count), *cells)
    console.print(table)


if __name__ == "__main__":
    typer.run(main)
