"""Worker processes that own a fixed set of cores, so that a thread count is a fact.

XLA, PyTorch and joblib size their thread pools by the cores a process may use. A worker is
restricted to its cores before any of them starts.
"""

import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from queue import Queue

from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

Cores = frozenset[int]


def available_cores() -> list[int]:
    """Return the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def pool(cores: Sequence[Cores]) -> ProcessPoolExecutor:
    """Return an executor with one fresh process for each set of cores."""
    context = multiprocessing.get_context("spawn")
    queue: Queue[Cores] = context.Queue()  # type: ignore[assignment]
    for own in cores:
        queue.put(own)
    return ProcessPoolExecutor(len(cores), context, initializer=partial(_claim, queue))


def _claim(queue: "Queue[Cores]") -> None:
    own = queue.get()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, own)
    threadpool_limits(len(own))  # of libraries that were loaded before
