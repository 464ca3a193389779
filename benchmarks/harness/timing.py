"""Fair timing: every side in a process of its own, the sides measured in turn."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median
from types import TracebackType
from typing import Any, Self

from benchmarks.harness.disturbance import Watch
from benchmarks.harness.workers import Cores, pool

Work = Callable[[int], None]
"""Does so many units of work."""

_work: list[Work] = []  # of this worker process


def _set_up(build: Callable[..., Work], arguments: tuple[Any, ...]) -> float:
    started = time.perf_counter()
    work = build(*arguments)
    work(1)
    _work[:] = [work]
    return time.perf_counter() - started


def _seconds(count: int) -> tuple[float, float]:
    """Return how long the work takes, and the processor seconds it uses."""
    started, used = time.perf_counter(), time.process_time()
    _work[0](count)
    return time.perf_counter() - started, time.process_time() - used


@dataclass(frozen=True)
class Task:
    """One thing to time.

    Parameters
    ----------
    name
        What it is.
    build
        Run once in the worker process; returns the work. The first unit of work, with its
        compilation, counts as set-up.
    arguments
        Of ``build``.
    unit
        What one unit of work counts as in a rate.
    """

    name: str
    build: Callable[..., Work]
    arguments: tuple[Any, ...] = ()
    unit: float = 1.0


@dataclass
class Side:
    """A task on a fixed set of cores; a context manager that owns its process.

    ``rates`` are its measurements, ``others`` the share of the cores that other processes used
    during each.
    """

    task: Task
    cores: Cores
    rates: list[float] = field(default_factory=list)
    others: list[float] = field(default_factory=list)
    setup_seconds: float = 0.0
    count: int = 1

    def __enter__(self) -> Self:
        self._executor = pool([self.cores])
        try:
            ready = self._executor.submit(_set_up, self.task.build, self.task.arguments)
            self.setup_seconds = ready.result()
        except BaseException:
            self._executor.shutdown()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._executor.shutdown()

    def seconds(self, count: int) -> float:
        """Return how long ``count`` units take."""
        return self._executor.submit(_seconds, count).result()[0]

    def measure(self) -> None:
        """Measure once."""
        watch = Watch()
        seconds, used = self._executor.submit(_seconds, self.count).result()
        self.others.append(watch.others(used))
        self.rates.append(self.count * self.task.unit / seconds)

    def calibrate(self, wanted: float) -> None:
        """Choose the number of units that take about ``wanted`` seconds."""
        while (taken := self.seconds(self.count)) < 0.4 * wanted:
            self.count = max(2 * self.count, int(0.5 * wanted / taken * self.count))
        self.count = max(1, round(wanted / taken * self.count))

    @property
    def median(self) -> float:
        """The median rate."""
        return median(self.rates)


def alternate(sides: Sequence[Side], repeats: int, wanted: float) -> None:
    """Measure the sides in turn, every second round in reverse order; fills their ``rates``.

    Parameters
    ----------
    sides
        Entered contexts.
    repeats
        Rounds.
    wanted
        Seconds of one measurement.
    """
    for side in sides:
        side.calibrate(wanted)
    for turn in range(repeats):
        for side in sides if turn % 2 == 0 else reversed(sides):
            side.measure()


@dataclass(frozen=True)
class Ratio:
    """A ratio of two rates measured in turn: median, lowest and highest of the rounds."""

    median: float
    low: float
    high: float


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> Ratio:
    """Return ours / theirs, round by round."""
    rounds = [a / b for a, b in zip(ours, theirs, strict=True)]
    return Ratio(median(rounds), min(rounds), max(rounds))


def best(sides: Sequence[Side]) -> Side:
    """Return the side with the highest median rate."""
    return max(sides, key=lambda side: side.median)
