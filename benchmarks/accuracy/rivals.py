"""adVAE's rivals and recent peers: ``python -m benchmarks.accuracy.rivals``.

The rivals are the methods that the paper argues with, in the same program. All on some of the open
sets, in shuffled halves or in file order: means, ranks, paired tests and seconds, as Markdown.
``benchmarks.accuracy`` measures the same methods with all others.
"""

import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from benchmarks.accuracy import tables as show
from benchmarks.accuracy.baselines import check_installed
from benchmarks.accuracy.comparison import compare, grid
from benchmarks.accuracy.protocol import (
    METRICS,
    OURS,
    QUICK_ITERATIONS,
    RIVALS,
    SCHEMA,
    DataFile,
    measure,
    plan,
    shuffled_files,
)
from benchmarks.harness.data import data_folder, missing_data
from benchmarks.harness.runs import run_all

PEERS = ("1-NN", "5-NN", "LOF", "IForest", "DTE-NP", "KDE", "GMM", "INNE")
DEEP_PEERS = ("NeuTraL", "DDAE", "DTE-C", "ICL", "K-DSM")
METHODS = (*PEERS, OURS, "advae VAE", *RIVALS, *DEEP_PEERS)
"""What is quick first, so that what ends early has something of everything."""

QUICK_METHODS = ("1-NN", "DTE-NP", "complementary VAE", "MO-GAAL")
QUICK_SETS = ("glass",)

PUBLISHED = {
    "kNN": (84.0, 61.8),
    "DTE-NP": (83.8, 61.7),
    "DTE-C": (83.5, 56.5),
    "LOF": (83.0, 57.0),
    "ICL": (82.8, 57.9),
    "DDPM": (80.8, 56.4),
    "SLAD": (80.6, 56.1),
    "IForest": (79.6, 51.2),
    "GOAD": (76.0, 53.1),
    "DAGMM": (66.5, 40.9),
}
"""ROC AUC and AP of the DTE paper on these 18 sets, in file order."""


def files_of(protocol: Literal["shuffled", "file-order"], names: set[str]) -> list[DataFile]:
    """Return the open sets of these names, all if there are none, under a protocol.

    Raises
    ------
    ValueError
        For a name that no set has.
    """
    files = shuffled_files(data_folder() / "adbench")
    unknown = sorted(names - {file.name for file in files})
    if unknown:
        known = ", ".join(file.name for file in files)
        raise ValueError(f"there is no set {unknown[0]!r}; known are: {known}")
    return [replace(file, protocol=protocol) for file in files if not names or file.name in names]


def main(
    quick: Annotated[
        bool, typer.Option(help="One set, one seed, few methods, hardly trained.")
    ] = False,
    out: Annotated[Path, typer.Option(help="Where the runs are kept.")] = Path(
        "results/accuracy.parquet"
    ),
    protocol: Annotated[
        Literal["shuffled", "file-order"], typer.Option(help="Which rows train.")
    ] = "shuffled",
    sets: Annotated[str, typer.Option(help="Names, by commas; else all 18.")] = "",
    methods: Annotated[
        str | None, typer.Option(help="Names, separated by semicolons; else all.")
    ] = None,
    iterations: Annotated[
        int | None, typer.Option(help="Of our methods; else the preset's.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Worker processes, one core each.")] = 1,
    seeds: Annotated[int, typer.Option(min=1, help="Splits and trainings of each set.")] = 5,
    limit: Annotated[float, typer.Option(min=1, help="Most seconds of one run.")] = 300,
) -> None:
    """Measure the rivals beside adVAE and peers."""
    console = Console(width=max(140, Console().width))
    missing = missing_data("adbench")
    if missing:
        console.print(missing, markup=False)
        raise typer.Exit(2)
    started = time.perf_counter()
    chosen, names = METHODS, {name for name in sets.split(",") if name}
    if methods is not None:
        chosen = tuple(name.strip() for name in methods.split(";"))
    if quick:
        chosen, names, seeds, iterations = QUICK_METHODS, {*QUICK_SETS}, 1, QUICK_ITERATIONS
    try:
        files = files_of(protocol, names)
        unknown = sorted({*chosen} - {*METHODS})
        if unknown:
            raise ValueError(f"unknown method {unknown[0]!r}; known are: {'; '.join(METHODS)}")
        check_installed(chosen)
    except ValueError as error:
        console.print(str(error), markup=False)
        raise typer.Exit(2) from None
    runs = plan(files, chosen, seeds, iterations)
    rows = run_all(measure, runs, out, SCHEMA, jobs, console, limit)
    grids = {
        metric: grid(rows, metric, chosen, [file.name for file in files], seeds)
        for metric in METRICS
    }
    precision = grids["average_precision"]
    parts = [show.summary(grids, {}, OURS)]
    parts += [f"{show.HEADINGS[name]}:\n\n{show.per_data_set(own)}" for name, own in grids.items()]
    if OURS in precision.methods:
        others = [name for name in precision.methods if name != OURS]
        parts.append(show.comparisons(compare(precision, OURS, others), OURS))
    parts += [show.seconds(rows, chosen), show.failures(rows)]
    if protocol == "file-order":
        lines = [[name, f"{auc:.1f}", f"{ap:.1f}"] for name, (auc, ap) in PUBLISHED.items()]
        parts.append(show.markdown(["published, 18 sets", "ROC AUC", "AP"], lines))
    console.print("\n".join(parts), markup=False, soft_wrap=True)
    console.print(f"{time.perf_counter() - started:.0f} s with {jobs} workers")


if __name__ == "__main__":
    typer.run(main)
