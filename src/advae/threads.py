"""How many threads the work may use, and threads that wait for it."""

import functools
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor


def available() -> int:
    """Return the number of threads to use, at least 1.

    ``OMP_NUM_THREADS`` where it is set, as for other numerical libraries; otherwise the cores
    that this process may run on.
    """
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdigit() and int(asked) > 0:
        return int(asked)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def workers() -> ThreadPoolExecutor:
    """Return `available` threads, started once: new ones would take a fifth of a short scoring."""
    return _workers(available())


@functools.cache
def _workers(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads)


class Beside:
    """Work that a thread does beside a longer one, once that is under way.

    Parameters
    ----------
    work
        Done once, after the first `begin`.
    """

    def __init__(self, work: Callable[[], None]) -> None:
        self._work = work
        self._done: Future[None] | None = None

    def begin(self) -> None:
        """Begin, unless it has begun."""
        if self._done is None:
            self._done = workers().submit(self._work)

    def wait(self) -> None:
        """Return when the work is done, if it has begun; raise what it raised."""
        if self._done is not None:
            self._done.result()
