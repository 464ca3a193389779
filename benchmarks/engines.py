"""Scores past one process: ``python -m benchmarks.engines [--quick]``.

Makes a table in Parquet files, and scores it by one process, and on Ray and Spark with one and two
workers on this machine: seconds, start of the engine included, rows a second, and the peak resident
memory of a worker. Every run must give the same scores. ``--database ADDRESS`` copies the table
into a database, and measures rows out and scores back by ``advae score --into``.
"""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import polars as pl
import typer
from rich.console import Console
from rich.table import Table

from advae.files.sql import Database
from benchmarks.harness.machine import machine_facts
from benchmarks.speed.scale import make_table

MARKS = {"ray": "ray::score_file", "spark": "pyspark.daemon"}
"""What the commands of workers are called."""


@dataclass(frozen=True)
class Run:
    """A finished command: its name, wall seconds, and what it took.

    ``core_seconds`` are the command's own, on all cores, without workers; peaks are of resident
    memory, in GB.
    """

    name: str
    seconds: float
    core_seconds: float
    own_peak: float
    worker_peak: float


def measure(name: str, words: Sequence[object], mark: str | None = None) -> Run:
    """Run ``advae score`` and measure it, and its workers if their commands have a mark.

    Raises
    ------
    RuntimeError
        If the command fails.
    """
    started, peak = time.perf_counter(), 0.0
    process = subprocess.Popen(
        [sys.executable, "-m", "advae", "score", *map(str, words), "--quiet"],
        stderr=subprocess.DEVNULL,
    )
    while (ended := os.wait4(process.pid, os.WNOHANG))[0] == 0:
        if mark is not None:
            peak = max(peak, *(worker_peaks(mark) or [0.0]))
        time.sleep(0.1)
    process.returncode = os.waitstatus_to_exitcode(ended[1])
    if process.returncode:
        raise RuntimeError(f"{name} ended with {process.returncode}")
    seconds, usage = time.perf_counter() - started, ended[2]
    return Run(name, seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 2**20, peak)


def worker_peaks(mark: str) -> list[float]:
    """Return the peak resident memory, in GB, of all processes whose command has a mark."""
    peaks = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (folder / "cmdline").read_bytes().decode(errors="replace"):
                status = (folder / "status").read_text()
                peaks.append(int(status.partition("VmHWM:")[2].split()[0]) / 2**20)
        except (OSError, IndexError):  # it has ended
            continue
    return peaks


def scores(path: Path) -> pl.DataFrame:
    """Return the scores in a file, or in the parts of a folder, by their keys."""
    files = path / "*.parquet" if path.is_dir() else path
    return pl.read_parquet(files, columns=["id", "anomaly_score", "p_value"]).sort("id")


def main(
    quick: Annotated[bool, typer.Option("--quick", help="Small files, for CI.")] = False,
    parts: Annotated[int, typer.Option(help="Files of the table.")] = 40,
    rows: Annotated[int, typer.Option(help="Rows of a file, of 32 columns.")] = 250_000,
    folder: Annotated[Path, typer.Option(help="Where files go.")] = Path("results/engines"),
    database: Annotated[str | None, typer.Option(help="Address of an empty database.")] = None,
    out: Annotated[Path, typer.Option(help="Figures as JSON.")] = Path("results/engines.json"),
) -> None:
    """Score one table in several ways; print what each cost."""
    if quick:
        parts, rows = 3, 1000
    lake, model = folder / f"lake-{parts}-{rows}", folder / "model.advae"
    lake.mkdir(parents=True, exist_ok=True)
    for number in range(parts):
        path = lake / f"{number:03}.parquet"
        if not path.exists():
            make_table(folder / "new.parquet", rows)
            table = pl.read_parquet(folder / "new.parquet")
            table.with_row_index("id", number * rows).write_parquet(path)
    first = [sys.executable, "-m", "advae", "fit", lake / "000.parquet", "-o", model]
    last = ["--ignore", "id", "--iterations", "500", "--quiet"]
    if quick:  # fewer programs to compile, in every worker
        last += ["--preset", "paper", "--iterations", "50"]
    subprocess.run([*first, *last], check=True)
    every = [model, lake / "*.parquet", "--keep", "id", "-o"]
    single = folder / "single.parquet"
    runs = [measure("one process", [*every, single])]
    wanted = scores(single)
    for engine, mark in MARKS.items():
        package = {"ray": "ray", "spark": "pyspark"}[engine]
        if importlib.util.find_spec(package) is None:
            print(f"without {engine}, whose extra is not installed")
            continue
        for workers in (1,) if quick else (1, 2):
            folder_of_parts = folder / f"{engine}-{workers}"
            shutil.rmtree(folder_of_parts, ignore_errors=True)
            name = f"{engine}, {workers} worker{'s' * (workers > 1)}"
            words = [*every, folder_of_parts, "--engine", engine, "--workers", workers]
            runs.append(measure(name, words, mark))
            if not scores(folder_of_parts).equals(wanted):
                raise RuntimeError(f"{name}: other scores")
    if database is not None:
        runs.append(through_database(database, lake, model, wanted))
    show(runs, parts * rows)
    figures = {"machine": machine_facts(), "rows": parts * rows, "runs": [asdict(r) for r in runs]}
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(figures, indent=2))


def through_database(address: str, lake: Path, model: Path, wanted: pl.DataFrame) -> Run:
    """Copy the table into a database, and measure rows out and scores back."""
    place = Database(address)
    frames = (pl.read_parquet(path) for path in sorted(lake.glob("*.parquet")))
    place.write(frames, "benchmark_rows", ["id"], "none")
    words = [address, "--query", "select * from benchmark_rows", "--into", "benchmark_scores"]
    run = measure(f"{place.address.kind}, out and back", [model, *words, "--key", "id"])
    found = pl.concat(place.query("select * from benchmark_scores order by id").batches())
    if not found.select("anomaly_score", "p_value").equals(wanted.drop("id")):
        raise RuntimeError("other scores in the database")
    return run


def show(runs: Sequence[Run], rows: int) -> None:
    """Print the runs, beside the first."""
    table = Table(title=f"{rows:,} rows of 32 columns", title_justify="left")
    for heading in (
        "", "s", "rows/s", "of one process", "own core s", "own peak GB", "worker peak GB",
    ):  # fmt: skip
        table.add_column(heading, justify="right" if heading else "left")
    for run in runs:
        table.add_row(
            run.name,
            f"{run.seconds:.1f}",
            f"{rows / run.seconds:,.0f}",
            f"{runs[0].seconds / run.seconds:.0%}",
            f"{run.core_seconds:.1f}",
            f"{run.own_peak:.2f}",
            f"{run.worker_peak:.2f}" if run.worker_peak else "",
        )
    Console(width=max(120, Console().width)).print(table)


if __name__ == "__main__":
    typer.run(main)
