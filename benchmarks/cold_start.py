"""Times of fresh processes, from their start to a fitted model, caches empty or warm."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median

from benchmarks.cold import START_ITERATIONS
from benchmarks.disturbance import Watch
from benchmarks.rows import Effort, Row
from benchmarks.timing import ratio

ITERATIONS = 20_000
QUICK_ITERATIONS = 2_000
REPOSITORY = Path(__file__).resolve().parents[1]


def cold_rows(threads: Mapping[str, int], effort: Effort) -> list[Row]:
    """Time fresh processes in turn; ours with an empty and with a warm compilation cache.

    Parameters
    ----------
    threads
        Of everyone who trains (see ``cold``); ``"ours"`` is among them.
    effort
        With ``quick``, fewer iterations are done and the others are added by calculation.
    """
    taken: dict[str, list[float]] = {who: [] for who in ("ours, warm cache", *threads)}
    watch, used = Watch(), _children_seconds()
    with tempfile.TemporaryDirectory() as warm:
        _run("ours", threads["ours"], Path(warm), START_ITERATIONS * 2)
        for _ in range(effort.repeats):
            for who, count in threads.items():
                with tempfile.TemporaryDirectory() as empty:
                    taken[who].append(_fitted(who, count, Path(empty), effort.quick))
            seconds = _fitted("ours", threads["ours"], Path(warm), effort.quick)
            taken["ours, warm cache"].append(seconds)
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
        for first in ("ours", "ours, warm cache")
    ]


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
