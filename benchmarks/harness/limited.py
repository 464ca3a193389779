"""Tasks in worker processes, each within a time limit that even compiled code cannot overrun."""

import faulthandler
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from queue import Queue
from typing import TypeVar

from benchmarks.harness.workers import Cores, available_cores, pool

Task = TypeVar("Task")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Stopped:
    """A task whose process ended before the task did, and why."""

    reason: str


class Worker:
    """A process on cores of its own; a task that ends it gives the next one a fresh process."""

    def __init__(self, cores: Cores) -> None:
        self._cores = cores
        self._executor = pool([cores])

    def run(
        self, measure: Callable[[Task], Result], task: Task, limit: float | None
    ) -> Result | Stopped:
        """Return what ``measure`` makes of a task, in at most ``limit`` seconds."""
        self._executor.submit(_ready, measure).result()  # imports are not the task's
        started = time.monotonic()
        try:
            return self._executor.submit(_within, measure, task, limit).result()
        except BrokenProcessPool:
            self._executor.shutdown()
            self._executor = pool([self._cores])
            late = limit is not None and time.monotonic() - started >= limit
            return Stopped(f"took more than {limit:g} s" if late else "its process died")

    def close(self) -> None:
        """End the process when its task has ended."""
        self._executor.shutdown()


def run_limited(
    measure: Callable[[Task], Result], tasks: Sequence[Task], jobs: int, limit: float | None
) -> Iterator[tuple[Task, Result | Stopped]]:
    """Yield tasks with their results, in the order in which they end.

    Parameters
    ----------
    measure
        A module's function, to be run in another process. An error of it ends the iteration.
    tasks
        Its arguments.
    jobs
        Worker processes, with one core each.
    limit
        Most seconds of one task; its process is ended then, whatever it is doing. None for none.
    """
    cores = available_cores()
    workers = [Worker(frozenset({cores[job % len(cores)]})) for job in range(jobs)]
    idle: Queue[Worker] = Queue()
    for worker in workers:
        idle.put(worker)

    def one(task: Task) -> Result | Stopped:
        worker = idle.get()
        try:
            return worker.run(measure, task, limit)
        finally:
            idle.put(worker)

    threads = ThreadPoolExecutor(jobs)
    try:
        futures = {threads.submit(one, task): task for task in tasks}
        for future in as_completed(futures):
            yield futures[future], future.result()
    finally:
        threads.shutdown(cancel_futures=True)  # after an error the others need not be waited for
        for worker in workers:
            worker.close()


def _ready(measure: Callable[[Task], Result]) -> None:
    """Do nothing, in a process that has what ``measure`` needs."""


def _within(measure: Callable[[Task], Result], task: Task, limit: float | None) -> Result:
    if limit is None:
        return measure(task)
    # A watchdog thread that needs no interpreter lock: a signal would wait for compiled code.
    with Path(os.devnull).open("w") as nowhere:
        faulthandler.dump_traceback_later(limit, exit=True, file=nowhere)
        try:
            return measure(task)
        finally:
            faulthandler.cancel_dump_traceback_later()
