"""A table of many files, a model of it, and what tests of engines do with them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl

import advae

FILES, ROWS = 8, 4000


@cache
def detector() -> advae.Detector:
    # Few alarms: what would clear each of them takes a search.
    config = advae.Config(iterations=100, alpha=0.01)
    return advae.fit_detector(payments(0), config, ignored=["id"])


def payments(number: int, rows: int = ROWS) -> pl.DataFrame:
    rng = np.random.default_rng(number)
    return pl.DataFrame(
        {
            "id": np.arange(rows) + number * rows,
            "amount": rng.gamma(2, 10, rows),
            "kind": rng.choice(["card", "cash", ""], rows),
            "at": pl.Series(rng.integers(0, 10**15, rows)).cast(pl.Datetime("us")),
        }
    ).with_columns(pl.col("kind").replace("", None))


def make_lake(folder: Path, rows: int = ROWS) -> pl.DataFrame:
    """Write the files, an empty one among them, and a model; return the scores by the library."""
    lake = folder / "lake"
    lake.mkdir()
    tables = [payments(number, rows) for number in range(FILES)]
    for number, table in enumerate(tables):
        table.write_parquet(lake / f"day-{number}.parquet")
    tables[0].clear().write_parquet(lake / "day-without-rows.parquet")
    advae.save(detector(), folder / "m.advae")
    each = (detector().score_batches([table], keep=["id"], explain=1) for table in tables)
    return pl.concat(frame for scored in each for frame in scored).drop("row")


def command(folder: Path, engine: str, *more: str) -> "subprocess.Popen[str]":
    """Start the command line in a process, and group of processes, of its own."""
    words = ["m.advae", "lake/*.parquet", "-o", "out", "--keep", "id", "--explain", "1"]
    words += ["--engine", engine, "--workers", "2", *more]
    return subprocess.Popen(
        [sys.executable, "-m", "advae", "score", *words],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"RAY_worker_niceness": "0"},
        # What a killed driver leaves behind ends with its group.
        start_new_session=True,
    )


def scores(folder: Path) -> pl.DataFrame:
    return pl.read_parquet(folder / "out/*.parquet").sort("id").drop("row")


def finished(folder: Path) -> int:
    """Return how many parts the manifest names."""
    manifest = folder / "out" / "_manifest.ndjson"
    return max(0, len(manifest.read_text().splitlines()) - 1) if manifest.exists() else 0


def wait_for(happened: Callable[[], object], seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def offspring(pid: int, mark: str) -> list[int]:
    """Return the processes that a process has begun, and these, whose command has a mark."""
    table = subprocess.run(["ps", "-eo", "pid=,ppid=,args="], capture_output=True, text=True)
    rows = [line.split(None, 2) for line in table.stdout.splitlines()]
    family = {pid}
    while more := {int(r[0]) for r in rows if int(r[1]) in family} - family:
        family |= more
    return [int(r[0]) for r in rows if int(r[0]) in family and len(r) > 2 and mark in r[2]]


def end_group(process: "subprocess.Popen[str]", sign: int = signal.SIGKILL) -> None:
    """Kill a command and all that it began, the processes of sessions of their own among them."""
    family = offspring(process.pid, "")
    for pid in family:
        try:
            os.kill(pid, sign)
        except ProcessLookupError:
            continue
    process.communicate(timeout=60)
