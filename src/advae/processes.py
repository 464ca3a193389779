"""Which process computes: JAX and Polars have threads, and a fork has none of them."""

import functools
import os

from advae.errors import ForkError


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
