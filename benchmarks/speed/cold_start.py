"""Times of fresh processes: to a fitted model, caches empty or warm, and of short commands."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.harness.disturbance import Watch
from benchmarks.harness.timing import ratio
from benchmarks.harness.workers import available_cores
from benchmarks.speed.cold import START_ITERATIONS
from benchmarks.speed.contestants import PAPER_LETTER, table
from benchmarks.speed.rows import Effort, Row, described

OURS, WARM = "ours", "ours, warm cache"
ITERATIONS = 20_000
QUICK_ITERATIONS = 400
COMMAND_ROWS = 1000
MARKS = {"advae --help": 0.5, f"advae score, {COMMAND_ROWS:,} rows, warm cache": 3.0}
"""Seconds within which a command should be done."""

MARK = "the mark"
"""What stands beside a command in place of another program."""

REPOSITORY = Path(__file__).resolve().parents[2]


def cold_rows(trainers: Collection[str], effort: Effort) -> list[Row]:
    """Time fresh processes in turn; ours with an empty and with a warm compilation cache.

    Each is represented by its faster thread count for this job: compilation uses cores that the
    training of small networks leaves idle.

    Parameters
    ----------
    trainers
        Who trains (see ``cold``); ``"ours"`` is among them.
    effort
        With ``quick``, one thread does fewer iterations, the others are added by calculation, and
        only the empty cache is tried.
    """
    counts = sorted({1} if effort.quick else {1, len(available_cores())})
    firsts = [OURS] if effort.quick else [OURS, WARM]
    taken: dict[str, dict[int, list[float]]] = {
        who: {count: [] for count in counts}
        for who in (*firsts, *(peer for peer in trainers if peer != OURS))
    }
    watch, used = Watch(), _children_seconds()
    with tempfile.TemporaryDirectory() as warm:
        for count in () if effort.quick else counts:
            _run(OURS, count, Path(warm), START_ITERATIONS * 2)
        for _ in range(effort.repeats):
            for who, by_count in taken.items():
                for count, times in by_count.items():
                    with tempfile.TemporaryDirectory() as empty:
                        cache = Path(warm if who == WARM else empty)
                        times.append(_fitted(who, count, cache, effort.quick))
    others = watch.others(_children_seconds() - used)
    best = {
        who: min(by_count, key=lambda n: median(by_count[n])) for who, by_count in taken.items()
    }
    seconds = {who: by_count[best[who]] for who, by_count in taken.items()}
    how = f"{QUICK_ITERATIONS:,} done, the others calculated" if effort.quick else ""
    return [
        Row(
            f"fresh process to fitted model, {ITERATIONS:,} iterations",
            "s",
            described(first, best[first]),
            median(seconds[first]),
            described(peer, best[peer]),
            median(seconds[peer]),
            ratio(seconds[peer], seconds[first]),
            others,
            how,
        )
        for peer in taken
        if peer not in firsts
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
            "fresh process", "s", command, median(seconds), MARK, MARKS[command],
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
    trainer = OURS if who == WARM else who
    command = [
        sys.executable,
        "-m",
        "benchmarks.speed.cold",
        trainer,
        str(iterations),
        str(threads),
    ]
    started = time.perf_counter()
    process = subprocess.run(
        command, env=environment, cwd=REPOSITORY, check=True, stdout=subprocess.PIPE, text=True
    )
    seconds = time.perf_counter() - started
    return seconds, float(json.loads(process.stdout)["seconds_per_iteration"])
