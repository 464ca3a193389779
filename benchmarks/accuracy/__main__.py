"""Accuracy beside other detectors: ``python -m benchmarks.accuracy``.

Every run is one row of a Parquet file, kept as soon as it ends; one that the file already holds
is not done again. Runs of ours belong to the code that did them, those of baselines to their
settings. From the file comes the page with all tables, ``docs/results.md``.
"""

import shlex
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from benchmarks.accuracy.baselines import check_installed
from benchmarks.accuracy.page import Measured, write_page
from benchmarks.accuracy.protocol import (
    METHODS,
    QUICK_ITERATIONS,
    QUICK_METHODS,
    QUICK_PAPER_SETS,
    QUICK_SETS,
    SCHEMA,
    measure,
    other_budgets,
    other_scalings,
    paper_files,
    plan,
    shuffled_files,
)
from benchmarks.harness.data import PAPER_SETS, data_folder, missing_data
from benchmarks.harness.runs import Row, rows_of, run_all

PAGE = Path("docs/results.md")


def main(
    quick: Annotated[
        bool, typer.Option(help="Two sets, one seed, few methods, 100 iterations.")
    ] = False,
    out: Annotated[Path, typer.Option(help="Where the runs are kept.")] = Path(
        "results/accuracy.parquet"
    ),
    folder: Annotated[
        Path | None, typer.Option(help="Any folder of .npz files with X and y, instead of adbench.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Worker processes, one core each.")] = 2,
    seeds: Annotated[int, typer.Option(min=1, help="Splits and trainings of each set.")] = 5,
    methods: Annotated[
        str | None, typer.Option(help="Names, separated by semicolons; else all.")
    ] = None,
    limit: Annotated[float, typer.Option(min=1, help="Most seconds of one run.")] = 300,
    scalings: Annotated[
        bool, typer.Option("--scalings", help="Try each baseline's other scaling too.")
    ] = False,
    budgets: Annotated[
        bool, typer.Option("--budgets", help="Try our default preset with other iterations too.")
    ] = False,
    retry: Annotated[bool, typer.Option("--retry", help="Do failed runs again.")] = False,
    tables: Annotated[bool, typer.Option("--tables", help="Only write the page.")] = False,
) -> None:
    """Measure our methods and others on the open sets and on the paper's."""
    console = Console(width=max(140, Console().width))
    started = time.perf_counter()
    missing = missing_data(
        *(() if folder else ("adbench",)), *(f"advae-paper/{name}.mat" for name in PAPER_SETS)
    )
    try:
        chosen = _chosen(methods, QUICK_METHODS if quick else METHODS)
        if not tables:
            check_installed(chosen)
        if missing:
            raise ValueError(missing)
        shuffled, paper = shuffled_files(folder or data_folder() / "adbench"), paper_files()
    except ValueError as error:
        console.print(str(error), markup=False)
        raise typer.Exit(2) from None
    if quick:
        shuffled = [file for file in shuffled if file.path.stem in QUICK_SETS] or shuffled[:2]
        paper = [file for file in paper if file.name in QUICK_PAPER_SETS]
        seeds, jobs = 1, 1
    iterations = QUICK_ITERATIONS if quick else None
    files = [*shuffled, *paper]
    if not tables:
        runs = plan(files, chosen, seeds, iterations)
        if scalings:
            runs += other_scalings(plan(shuffled, chosen, seeds))
        if budgets:
            runs += other_budgets(plan(shuffled, chosen, seeds))
        rows = run_all(measure, runs, out, SCHEMA, jobs, console, limit, retry)
        _tell_failures(rows, console)
    everything = plan(files, METHODS, seeds, iterations)
    measured = Measured(
        rows_of(everything, out, SCHEMA),
        rows_of(other_scalings(everything), out, SCHEMA),
        rows_of(other_budgets(everything), out, SCHEMA),
        {
            "shuffled": tuple(file.name for file in shuffled),
            "paper": tuple(file.name for file in paper),
        },
        seeds,
        _command(folder, seeds),
    )
    page = PAGE if folder is None and not quick else out.with_suffix(".md")
    write_page(measured, page)
    precision = measured.results("shuffled")["average_precision"]
    for method, mean in zip(precision.methods, precision.means.mean(axis=1), strict=True):
        console.print(f"{method:16} AP {100 * mean:.2f}, shuffled halves")
    console.print(f"{page}; {time.perf_counter() - started:.0f} s with {jobs} workers")


def _tell_failures(rows: list[Row], console: Console) -> None:
    for row in rows:
        if row["failure"] is not None:
            console.print(
                f"{row['method']} on {row['data_set']}, {row['protocol']}, seed {row['seed']}: "
                f"failed, {row['failure']}",
                markup=False,
            )


def _command(folder: Path | None, seeds: int) -> str:
    """Return what measures all that is on the page."""
    words = [
        "python",
        "-m",
        "benchmarks.accuracy",
        "--scalings",
        "--budgets",
        "--seeds",
        str(seeds),
    ]
    return shlex.join([*words, *(["--folder", str(folder)] if folder else [])])


def _chosen(methods: str | None, every: tuple[str, ...]) -> tuple[str, ...]:
    """Return the methods of this run, in their order."""
    if methods is None:
        return every
    names = [name.strip() for name in methods.split(";")]
    for name in names:
        if name not in METHODS:
            raise ValueError(f"unknown method {name!r}; known are: {'; '.join(METHODS)}")
    return tuple(name for name in METHODS if name in names)


if __name__ == "__main__":
    typer.run(main)
