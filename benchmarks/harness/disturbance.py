"""How much other processes disturb a measurement, where the system tells (Linux)."""

import os
import time
from pathlib import Path

STATISTICS = Path("/proc/stat")
WORTH_A_WARNING = 0.1
"""Share of the cores in other hands above which a timing means little: a program with several
threads then waits for the one that lost its core, and may be a hundred times slower."""


class Watch:
    """Counts, from its creation on, what all processes together use."""

    def __init__(self) -> None:
        self._started, self._busy = time.perf_counter(), _busy_seconds()

    def others(self, own: float) -> float:
        """Return the share of all cores, in [0, 1], that was not idle and not our own.

        Parameters
        ----------
        own
            Processor seconds that the measured process used since the creation.
        """
        capacity = (time.perf_counter() - self._started) * (os.cpu_count() or 1)
        return min(1.0, max(0.0, (_busy_seconds() - self._busy - own) / capacity))


def _busy_seconds() -> float:
    """Return the processor seconds used since the start of the system; 0 where it is unknown."""
    if not STATISTICS.exists():
        return 0.0
    with STATISTICS.open() as lines:
        user, nice, system, _idle, _waiting, *interrupts_and_stolen = lines.readline().split()[1:9]
    ticks = sum(map(int, (user, nice, system, *interrupts_and_stolen)))
    return ticks / os.sysconf("SC_CLK_TCK")
