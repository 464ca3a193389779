"""Reading files: ``python -m benchmarks.reading [--quick] [--before FOLDER]``.

Rows per second of reading CSV and Parquet files and of ``advae score`` on them, beside plain scans
of Polars, which take a file as they find it; peak memory; and how many generated files are read as
Python's own readers do. Every side runs in a process of its own, the sides in turn; the table has
medians. ``--before`` is the ``src`` folder of an earlier checkout, whose ``advae score`` is
measured beside this one.
"""

import json
from collections import defaultdict
from dataclasses import asdict, replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.harness.generated_files import compare, compare_json
from benchmarks.harness.machine import machine_facts
from benchmarks.speed.scale import COLUMNS, Run, advae, make_table, python

TIMED = """
import sys, time
import polars as pl
from advae.files.source import open_source
path, height = sys.argv[1], 0
{setup}
started, used = time.perf_counter(), time.process_time()
for batch in {batches}:
    height += batch.height
print(time.perf_counter() - started, time.process_time() - used)
"""
SCAN = "scan = pl.scan_parquet if path.endswith('parquet') else pl.scan_csv"
TYPES = "dtypes = {n: pl.Float64() for n in open_source(path).schema}"
SIDES = {
    "Polars, scanned": (SCAN, "scan(path).collect_batches(chunk_size=65_536, maintain_order=True)"),
    "read with known types": (TYPES, "open_source(path, dtypes=dtypes).batches()"),
    "read, types found first": ("", "open_source(path).batches()"),
}
"""Of each side what is done before the clock starts, and the batches to go through."""


def measure(
    data: Path, small: Path, folder: Path, rounds: int, before: Path | None
) -> dict[str, list[Run]]:
    """Return what every side took, round by round."""
    runs: dict[str, list[Run]] = defaultdict(list)
    versions = {"advae score": None} | ({"advae score, before": before} if before else {})
    for source in versions.values():
        model = folder / f"{data.stem}-{source is not None}.advae"
        advae("fit", small, "-o", model, "--iterations", 50, "--quiet", source=source)
    for _ in range(rounds):
        for side, (setup, batches) in SIDES.items():
            run = python("-c", TIMED.format(setup=setup, batches=batches), data)
            seconds, used = map(float, run.out.split())
            runs[side].append(replace(run, seconds=seconds, used=used))
        for side, source in versions.items():
            model = folder / f"{data.stem}-{source is not None}.advae"
            out = folder / "scores.parquet"
            runs[side].append(advae("score", model, data, "-o", out, "--quiet", source=source))
    return runs


def main(
    quick: Annotated[bool, typer.Option("--quick", help="Small files, for CI.")] = False,
    rows: Annotated[int, typer.Option(help="Of the files.")] = 10_000_000,
    rounds: Annotated[int, typer.Option(help="How often each side runs.")] = 3,
    before: Annotated[Path | None, typer.Option(help="Of an earlier checkout, src.")] = None,
    folder: Annotated[Path, typer.Option(help="Where the files go.")] = Path("results/reading"),
    out: Annotated[Path, typer.Option(help="Figures as JSON.")] = Path("results/reading.json"),
) -> None:
    """Read and score the same rows as CSV and as Parquet; compare generated files."""
    rows, normal, rounds, files = (2000, 1000, 1, 20) if quick else (rows, 5000, rounds, 6000)
    folder.mkdir(parents=True, exist_ok=True)
    console = Console(width=max(110, Console().width))
    figures: dict[str, object] = {"machine": machine_facts(), "rows": rows}
    for extension in ("csv", "parquet"):
        data, small = (folder / f"{count}.{extension}" for count in (rows, normal))
        make_table(data, rows)
        make_table(small, normal)
        runs = measure(data, small, folder, rounds, before)
        title = f"{rows:,} rows of {COLUMNS} numbers, {extension}"
        table = Table(title=title, title_justify="left")
        for heading in ("side", "s", "processor s", "rows/s", "of Polars' rate", "peak GB"):
            table.add_column(heading, justify="left" if heading == "side" else "right")
        middles = {side: median(run.seconds for run in each) for side, each in runs.items()}
        for side, middle in middles.items():
            table.add_row(
                side,
                f"{middle:.2f}",
                f"{median(run.used for run in runs[side]):.2f}",
                f"{rows / middle:,.0f}",
                f"{middles['Polars, scanned'] / middle:.2f}",
                f"{max(run.peak for run in runs[side]):.2f}",
            )
        console.print(table)
        figures[extension] = {side: list(map(asdict, each)) for side, each in runs.items()}
    with TemporaryDirectory() as scratch:
        counts = {
            "delimited": compare(range(10**7, 10**7 + files), Path(scratch) / "a.csv"),
            "NDJSON": compare_json(range(10**4, 10**4 + files // 2), Path(scratch) / "a.ndjson"),
        }
    for kind, outcomes in counts.items():
        told = ", ".join(f"{number:,} {what}" for what, number in sorted(outcomes.items()))
        console.print(f"generated files, {kind}: {told}; none read otherwise")
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(figures | {"generated": counts}, indent=2))


if __name__ == "__main__":
    typer.run(main)
