"""How a process that does one thing and ends collects garbage: hardly."""

import atexit
import gc


def collect_less() -> None:
    """Let Python look for garbage seldom, and not at all when it ends.

    For the command line, not for a program that uses the library: tracing and compiling make many
    objects that stay, and Python would look through all of them again and again, for a tenth of a
    second in all, and through all modules at the end, for two tenths.
    """
    gc.set_threshold(100_000, 10, 100)
    atexit.register(gc.freeze)
