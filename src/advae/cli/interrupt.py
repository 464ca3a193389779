"""Ctrl-C, SIGTERM and a terminal that closes: stop at a safe moment, losing and leaving nothing."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupt:
    """Whether somebody asked to stop, and whether that waits for the next safe moment.

    While ``deferred``, a first signal only sets ``requested``; otherwise, and at the second one,
    KeyboardInterrupt is raised at once.
    """

    def __init__(self) -> None:
        self.deferred = False
        self.requested = False

    def __call__(self, _signal: int, _frame: FrameType | None) -> None:
        """Take a signal."""
        if not self.deferred or self.requested:
            raise KeyboardInterrupt
        self.requested = True


@contextmanager
def handled() -> Iterator[Interrupt]:
    """Treat SIGTERM and SIGHUP like Ctrl-C inside the block, all through the Interrupt given.

    A signal that is ignored stays so: nohup sees to that, and shells for what runs behind them.
    """
    interrupt = Interrupt()
    names = [name for name in _SIGNALS if signal.getsignal(name) != signal.SIG_IGN]
    before = [signal.signal(name, interrupt) for name in names]
    try:
        yield interrupt
    finally:
        for name, handler in zip(names, before, strict=True):
            signal.signal(name, handler)


_SIGNALS = [
    signal.Signals[name]
    for name in ("SIGINT", "SIGTERM", "SIGHUP")
    if name in signal.Signals.__members__  # Windows has no SIGHUP
]
