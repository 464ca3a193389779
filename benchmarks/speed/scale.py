"""Tables larger than memory: ``python -m benchmarks.speed.scale [--quick]``.

Makes Parquet files of several sizes, fits and scores each with the command line in a process of its
own, and measures wall time and peak resident memory. Scoring is compared with the in-memory rate of
the same model: the rate of ``Detector.anomaly_score`` on a frame that is already there, measured
before and after every file.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Annotated

import numpy as np
import polars as pl
import typer
from rich.console import Console
from rich.table import Table

from advae.files.sink import write_frames
from benchmarks.harness.machine import machine_facts

COLUMNS = 32
ROWS_AT_ONCE = 250_000
FULL, QUICK = (1_000_000, 3_000_000, 10_000_000), (1000, 1010)


@dataclass(frozen=True)
class Run:
    """A finished process: seconds, those of processors, peak resident GB, and what it printed."""

    seconds: float
    peak: float
    used: float
    out: str = ""


def make_table(path: Path, rows: int) -> None:
    """Write rows of eight hidden factors and noise, as float32, in row groups."""
    if path.exists():
        return
    rng = np.random.default_rng(rows)
    mix = rng.normal(size=(8, COLUMNS)).astype(np.float32)
    names = [f"sensor_{number:02}" for number in range(COLUMNS)]

    def batches() -> Iterator[pl.DataFrame]:
        for first in range(0, rows, ROWS_AT_ONCE):
            count = min(ROWS_AT_ONCE, rows - first)
            factors = rng.normal(size=(count, 8)).astype(np.float32)
            noise = rng.normal(scale=0.3, size=(count, COLUMNS)).astype(np.float32)
            yield pl.DataFrame(np.tanh(factors) @ mix + noise, schema=names)

    write_frames(batches(), path)


def python(*arguments: object, source: Path | None = None) -> Run:
    """Run Python and measure it; ``source`` is the folder of the advae to be used, if another.

    Raises
    ------
    RuntimeError
        If it fails.
    """
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=os.environ if source is None else {**os.environ, "PYTHONPATH": str(source)},
    )
    assert process.stdout is not None
    out = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stdout.close()
    if process.returncode:
        raise RuntimeError(f"python {arguments} ended with {process.returncode}")
    used = usage.ru_utime + usage.ru_stime
    return Run(time.perf_counter() - started, usage.ru_maxrss / 2**20, used, out)


def advae(*arguments: object, source: Path | None = None) -> Run:
    """Run the command line and measure it; see `python`."""
    return python("-m", "advae", *arguments, source=source)


def memory_rate(model: Path, table: Path, rows: int) -> float:
    """Return the rows per second of scoring a frame in memory, in a process of its own."""
    code = (
        "import sys, time, polars as pl, advae\n"
        "model, table, rows = sys.argv[1:]\n"
        "frame = pl.read_parquet(table, n_rows=int(rows))\n"
        "detector = advae.load(model)\n"
        "detector.anomaly_score(frame[:10_000])\n"
        "started = time.perf_counter()\n"
        "detector.anomaly_score(frame)\n"
        "print(frame.height / (time.perf_counter() - started))\n"
    )
    command = [sys.executable, "-c", code, str(model), str(table), str(rows)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def exponent(rows: list[int], seconds: list[float]) -> float:
    """Return b of the fit seconds = a * rows ** b."""
    return float(np.polyfit(np.log(rows), np.log(seconds), 1)[0])


def main(
    quick: Annotated[bool, typer.Option("--quick", help="Small files, for CI.")] = False,
    folder: Annotated[Path, typer.Option(help="Where the files go.")] = Path("results/scale"),
    iterations: Annotated[int, typer.Option(help="Of the fits.")] = 1000,
    out: Annotated[Path, typer.Option(help="Figures as JSON.")] = Path("results/scale.json"),
) -> None:
    """Fit and score tables of several sizes; print time, rate, memory and the growth exponent."""
    sizes = QUICK if quick else FULL
    iterations = 100 if quick else iterations
    folder.mkdir(parents=True, exist_ok=True)
    fits, scores, shares = [], [], []
    for rows in sizes:
        data, model = folder / f"{rows}.parquet", folder / f"{rows}.advae"
        make_table(data, rows)
        fits.append(advae("fit", data, "-o", model, "--iterations", iterations, "--quiet"))
        in_memory = min(rows, 500_000)
        before = memory_rate(model, data, in_memory)
        scores.append(advae("score", model, data, "-o", folder / "scores.parquet", "--quiet"))
        after = memory_rate(model, data, in_memory)
        shares.append(rows / scores[-1].seconds / median([before, after]))
    table = Table(title=f"advae on Parquet files of {COLUMNS} columns", title_justify="left")
    for heading in (
        "rows", "fit s", "fit peak GB", "score s", "rows/s", "of the in-memory rate", "peak GB",
    ):  # fmt: skip
        table.add_column(heading, justify="right")
    for rows, fit, score, share in zip(sizes, fits, scores, shares, strict=True):
        table.add_row(
            f"{rows:,}",
            f"{fit.seconds:.1f}",
            f"{fit.peak:.2f}",
            f"{score.seconds:.1f}",
            f"{rows / score.seconds:,.0f}",
            f"{share:.0%}",
            f"{score.peak:.2f}",
        )
    console = Console(width=max(140, Console().width))
    console.print(table)
    growth = exponent(list(sizes), [score.seconds for score in scores])
    console.print(f"score seconds grow as rows ** {growth:.2f}, start of the process included")
    figures = {
        "machine": machine_facts(),
        "rows": sizes,
        "fit": [asdict(run) for run in fits],
        "score": [asdict(run) for run in scores],
        "share_of_memory_rate": shares,
        "exponent": growth,
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(figures, indent=2))


if __name__ == "__main__":
    typer.run(main)
