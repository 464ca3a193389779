"""Rows in blocks: how many are computed together, how many are held, and all of them in threads."""

import functools
import math
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Generic, TypeVar

import joblib
import numpy as np
from jaxtyping import Float

from advae.errors import ForkError

Given = TypeVar("Given")
Made = TypeVar("Made")


def available() -> int:
    """Return the number of threads to use, at least 1.

    The cores that this process may run on, and that the limits of its container come to, whole
    ones; no more than ``OMP_NUM_THREADS`` where that is set, as for other numerical libraries.
    """
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return min(_cores(), int(asked)) if asked.isdigit() and int(asked) > 0 else _cores()


@functools.cache
def _cores() -> int:
    """Return the cores, counted once: that takes longer than a single row's score should."""
    cores: int = joblib.cpu_count()
    return cores


def workers() -> ThreadPoolExecutor:
    """Return `available` threads, started once: new ones would take a fifth of a short scoring."""
    return _workers(available())


@functools.cache
def _workers(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads)


class BackgroundTask(Generic[Made]):
    """Work that a thread does beside a longer one, once that is under way.

    Parameters
    ----------
    work
        Done once, after the first `begin`.
    """

    def __init__(self, work: Callable[[], Made]) -> None:
        self._work = work
        self._done: Future[Made] | None = None

    def begin(self) -> None:
        """Begin, unless it has begun."""
        if self._done is None:
            self._done = workers().submit(self._work)

    def result(self) -> Made:
        """Return what the work made, or raise what it raised; do it now if it has not begun."""
        return self._work() if self._done is None else self._done.result()


def ahead(function: Callable[[Given], Made], given: Iterable[Given]) -> Iterator[Made]:
    """Yield what a function makes of each, in their order, computed in threads of their own.

    As many at a time as there are threads to use, and as many again before they are asked for. The
    first is done alone: what it compiles is there for the others.
    """
    left, threads = iter(given), available()
    yield from map(function, islice(left, 1))
    with ThreadPoolExecutor(threads) as pool:
        begun = deque(pool.submit(function, each) for each in islice(left, 2 * threads))
        try:
            while begun:
                made = begun.popleft().result()
                begun.extend(pool.submit(function, each) for each in islice(left, 1))
                yield made
        finally:
            for each in begun:
                each.cancel()


def check_process() -> None:
    """Refuse to compute in a fork of a process that has computed.

    Raises
    ------
    ForkError
        In such a process, which would wait for ever.
    """
    if _first_process() != os.getpid():
        raise ForkError(
            "this process was forked from one that had already loaded a model, scored or trained, "
            "and a fork lacks the threads for it. Load models after the fork, in each worker of a "
            "server; or start processes by 'spawn' or 'forkserver' (multiprocessing.get_context), "
            "or with joblib's default backend."
        )


@functools.cache
def _first_process() -> int:
    """Return the process that computed first."""
    return os.getpid()


BLOCK_ROWS = 128
"""Rows of the one compiled shape. Every row is scored by the same program wherever it stands, so
its score cannot depend, not even in the last bit, on the rows beside it. Small enough that a
block's activations stay in a core's cache, so that blocks in different threads do not disturb
each other: faster than larger blocks that share out every matrix product."""

CELLS_AT_ONCE = 2**24
"""Values of a table held at a time where it is read or scored in parts: 128 MB in float64."""


def rows_at_once(columns: int, most: int = 65_536) -> int:
    """Return how many rows of so many columns to hold at a time, in whole blocks, at most ``most``.

    A table so wide that a block has more than `CELLS_AT_ONCE` is held by the block.
    """
    blocks = CELLS_AT_ONCE // (BLOCK_ROWS * max(1, columns))
    return min(most, BLOCK_ROWS * max(1, blocks))


def fill(
    wholes: tuple[np.ndarray, ...],
    given: tuple[Float[np.ndarray, "rows _"], ...],
    function: Callable[..., tuple[np.ndarray, ...]],
    at_once: int = 1,
) -> None:
    """Write into arrays what a function makes of rows, some padded blocks at a time.

    Parameters
    ----------
    wholes
        The arrays to fill, each with an entry for each row.
    given
        What the function is given of the rows, each with an entry for each row.
    function
        Is given how many blocks hold rows, and ``at_once`` blocks of each part of ``given``;
        returns a part of each of ``wholes``, with an entry for each row of these blocks. It is
        called in several threads.
    at_once
        How many blocks a call is given, at least 1.
    """
    rows, room = len(given[0]), at_once * BLOCK_ROWS
    # A small table is shared out to all threads in calls that are not full.
    shared = math.ceil(rows / BLOCK_ROWS / available())
    step = min(at_once, max(1, shared)) * BLOCK_ROWS

    def padded(part: Float[np.ndarray, "part _"]) -> Float[np.ndarray, "padded _"]:
        part = np.asarray(part, np.float32)
        return part if len(part) == room else np.pad(part, ((0, room - len(part)), (0, 0)))

    def do(first: int) -> None:
        count = min(step, rows - first)
        parts = [padded(whole[first : first + step]) for whole in given]
        made = function(-(-count // BLOCK_ROWS), *parts)
        for whole, found in zip(wholes, made, strict=True):
            whole[first : first + count] = found[:count]

    starts = range(0, rows, step)
    if len(starts) == 1:
        do(0)
    elif starts:
        function(0, *(padded(whole[:0]) for whole in given))  # so that it is compiled once
        left = iter(starts)

        def work(_: int) -> None:
            for first in left:  # not a task for each, which costs as much as a call
                do(first)

        try:
            for _ in workers().map(work, range(available())):
                pass
        finally:
            for _ in left:  # what stops one thread, or the wait for them, stops all
                pass
