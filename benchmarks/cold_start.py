"""Times of fresh processes: to a fitted model, caches empty or warm, and of short commands."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.cold import START_ITERATIONS
from benchmarks.contestants import PAPER_LETTER, table
from benchmarks.disturbance import Watch
from benchmarks.rows import Effort, Row
from benchmarks.timing import ratio

ITERATIONS = 20_000
QUICK_ITERATIONS = 400
COMMAND_ROWS = 1000
MARKS = {"advae --help": 0.5, f"advae score, {COMMAND_ROWS:,} rows, warm cache": 3.0}
"""Seconds within which a command should be done."""

REPOSITORY = Path(__file__).resolve().parents[1]


def cold_rows(threads: Mapping[str, int], effort: Effort) -> list[Row]:
    """Time fresh processes in turn; ours with an empty and with a warm compilation cache.

    Parameters
    ----------
    threads
        Of everyone who trains (see ``cold``); ``"ours"`` is among them.
    effort
        With ``quick``, fewer iterations are done and the others are added by calculation, and
        only the empty cache is tried.
    """
    firsts = ("ours",) if effort.quick else ("ours", "ours, warm cache")
    taken: dict[str, list[float]] = {who: [] for who in (*firsts, *threads)}
    watch, used = Watch(), _children_seconds()
    with tempfile.TemporaryDirectory() as warm:
        if not effort.quick:
            _run("ours", threads["ours"], Path(warm), START_ITERATIONS * 2)
        for _ in range(effort.repeats):
            for who, count in threads.items():
                with tempfile.TemporaryDirectory() as empty:
                    taken[who].append(_fitted(who, count, Path(empty), effort.quick))
            for who in firsts[1:]:
                taken[who].append(_fitted("ours", threads["ours"], Path(warm), quick=False))
    others = watch.others(_children_seconds() - used)
    how = f"{QUICK_ITERATIONS:,} done, the others calculated" if effort.quick else ""
    return [
        Row(
            f"fresh process to fitted model, {ITERATIONS:,} iterations",
            "s",
            first,
            median(taken[first]),
            f"{peer}, {count} thread{'s' if count > 1 else ''}",
            median(taken[peer]),
            ratio(taken[peer], taken[first]),
            others,
            how,
        )
        for peer, count in threads.items()
        if peer != "ours"
        for first in firsts
    ]


def command_rows(effort: Effort) -> list[Row]:
    """Time short commands in turn, beside the seconds that they should take."""
    taken: dict[str, list[float]] = {command: [] for command in MARKS}
    watch, used = Watch(), _children_seconds()
    with tempfile.TemporaryDirectory() as folder:
        rows, model, scores = (Path(folder) / name for name in ("t.csv", "m.advae", "s.csv"))
        names = ",".join(f"x{column}" for column in range(PAPER_LETTER[0]))
        numbers = table(COMMAND_ROWS, PAPER_LETTER[0])
        np.savetxt(rows, numbers, fmt="%.6f", delimiter=",", header=names, comments="")
        _command(folder, "fit", rows, "-o", model, "--iterations", 200, "--quiet")
        words: list[tuple[object, ...]] = [("--help",), ("score", model, rows, "-o", scores)]
        _command(folder, *words[1])
        for _ in range(effort.repeats):
            for command, arguments in zip(MARKS, words, strict=True):
                taken[command].append(_command(folder, *arguments))
    others = watch.others(_children_seconds() - used)
    return [
        Row(
            "fresh process", "s", command, median(seconds), "the mark", MARKS[command],
            ratio([MARKS[command]] * len(seconds), seconds), others,
        )
        for command, seconds in taken.items()
    ]  # fmt: skip


def _command(cache: str, *arguments: object) -> float:
    """Return the seconds of a command whose caches are in a folder."""
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "advae", *map(str, arguments)],
        env=os.environ | {"XDG_CACHE_HOME": cache},
        check=True,
        capture_output=True,
    )
    return time.perf_counter() - started


def _children_seconds() -> float:
    """Return the processor seconds of all processes that this one started and that ended."""
    times = os.times()
    return times.children_user + times.children_system


def _fitted(who: str, threads: int, cache: Path, quick: bool) -> float:
    if not quick:
        return _run(who, threads, cache, ITERATIONS)[0]
    seconds, per_iteration = _run(who, threads, cache, QUICK_ITERATIONS)
    return seconds + (ITERATIONS - QUICK_ITERATIONS) * per_iteration


def _run(who: str, threads: int, cache: Path, iterations: int) -> tuple[float, float]:
    """Return the seconds of a process, and those of one of its iterations."""
    environment = os.environ | {
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "TORCHINDUCTOR_CACHE_DIR": str(cache),
    }
    command = [sys.executable, "-m", "benchmarks.cold", who, str(iterations), str(threads)]
    started = time.perf_counter()
    process = subprocess.run(
        command, env=environment, cwd=REPOSITORY, check=True, stdout=subprocess.PIPE, text=True
    )
    seconds = time.perf_counter() - started
    return seconds, float(json.loads(process.stdout)["seconds_per_iteration"])
