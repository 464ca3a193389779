"""How many threads the work may use."""

import os


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
