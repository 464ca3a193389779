"""Size of a report, and seconds to make it beyond scoring: ``python -m benchmarks.speed.report``.

A table of 100,000 labelled rows (2,000 with ``--quick``) of numbers, categories and times is
scored once for scores alone and once for a report; the difference is what the report costs.
"""

import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import polars as pl
import typer

from advae.config import Config
from advae.detector.detector import Detector
from advae.detector.fitting import fit_detector
from advae.report.page import write_report
from benchmarks.harness.disturbance import WORTH_A_WARNING, Watch
from benchmarks.harness.machine import machine_facts

NUMBERS = 16
TRAINING_ROWS = 20_000
LARGEST_PAGE = 2_000_000
"""Bytes a page may have."""

LONGEST_REPORT = 10.0
"""Seconds that a report may take beyond scoring."""


def transactions(rows: int, seed: int, anomalies: float = 0.0) -> pl.DataFrame:
    """Return made-up payments, a share of them anomalous, with the label ``fraud``."""
    rng = np.random.default_rng(seed)
    fraud = rng.random(rows) < anomalies
    latent = rng.normal(size=(rows, 4))
    numbers = latent @ rng.normal(size=(4, NUMBERS)) + 0.3 * rng.normal(size=(rows, NUMBERS))
    numbers[fraud, :3] += rng.normal(4.0, 2.0, (int(fraud.sum()), 3))
    shops = np.array(["food", "fuel", "travel", "games", "books"])
    shop = np.where(fraud & (rng.random(rows) < 0.3), "casino", shops[rng.integers(0, 5, rows)])
    minutes = rng.uniform(0, 60 * 24 * 60, rows)
    return pl.DataFrame(
        {
            "payment": [f"p-{number:06}" for number in range(rows)],
            "amount": np.exp(latent[:, 0] + np.where(fraud, 2.0, 0.0)).round(2),
            "shop": shop,
            "abroad": rng.random(rows) < np.where(fraud, 0.6, 0.05),
            "at": pl.Series(minutes * 60e6).cast(pl.Int64).cast(pl.Datetime("us")),
            "fraud": fraud,
        }
        | {f"signal {number}": column for number, column in enumerate(numbers.T)}
    )


def measure(rows: int, config: Config, page: Path, repeats: int) -> dict[str, float]:
    """Return seconds and bytes, the least of several runs."""
    normal = transactions(min(rows, TRAINING_ROWS), seed=1).drop("payment", "fraud")
    detector = fit_detector(normal, config)
    table = transactions(rows, seed=2, anomalies=0.01)
    scoring = min(_seconds_to_score(detector, table) for _ in range(repeats))
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        write_report(detector, _batches(table), page, label="fraud", keep=["payment"])
        seconds.append(time.perf_counter() - started)
    return {
        "rows": rows,
        "columns": len(detector.table.features),
        "scoring_seconds": scoring,
        "report_seconds": min(seconds),
        "beyond_scoring_seconds": min(seconds) - scoring,
        "page_bytes": page.stat().st_size,
    }


def _seconds_to_score(detector: Detector, table: pl.DataFrame) -> float:
    started = time.perf_counter()
    for _ in detector.score_batches(_batches(table)):
        pass
    return time.perf_counter() - started


def _batches(table: pl.DataFrame) -> Iterator[pl.DataFrame]:
    return table.iter_slices(65_536)


def main(
    quick: Annotated[bool, typer.Option("--quick", help="Few rows, once.")] = False,
    output: Annotated[Path | None, typer.Option(help="JSON file for the results.")] = None,
    page: Annotated[Path | None, typer.Option(help="Where to keep the page.")] = None,
) -> None:
    """Measure, print, and fail where a page is too large or takes too long."""
    watch = Watch()
    iterations = 100 if quick else 3_000
    with tempfile.TemporaryDirectory() as folder:
        found = measure(
            2_000 if quick else 100_000,
            Config(iterations=iterations),
            page or Path(folder) / "report.html",
            repeats=1 if quick else 3,
        )
    others = watch.others(time.process_time())
    if others > WORTH_A_WARNING:
        print(f"other processes used {others:.0%} of the cores: these seconds mean little")
    for name, value in found.items():
        print(f"{name.replace('_', ' '):24} {value:,.2f}".removesuffix(".00"))
    if output is not None:
        output.write_text(
            json.dumps({"machine": machine_facts(), "others": others, "report": found}, indent=2)
        )
    if found["page_bytes"] > LARGEST_PAGE or found["beyond_scoring_seconds"] > LONGEST_REPORT:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
