"""Ctrl-C and SIGTERM during a long training: stop between two blocks, losing nothing."""

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
    """Treat SIGTERM like Ctrl-C inside the block, both through the Interrupt given."""
    interrupt = Interrupt()
    names = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(name, interrupt) for name in names]
    try:
        yield interrupt
    finally:
        for name, handler in zip(names, before, strict=True):
            signal.signal(name, handler)
