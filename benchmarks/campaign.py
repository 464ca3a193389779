"""Many independent measurements in worker processes, each kept as soon as it ends."""

import json
import os
from collections.abc import Callable, Hashable, Iterable, Sequence
from concurrent.futures import as_completed
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from benchmarks.workers import available_cores, pool

Task = dict[str, Any]
Row = dict[str, Any]


def run_campaign(
    measure: Callable[[Task], list[Row]],
    tasks: Sequence[Task],
    out: Path,
    jobs: int,
    console: Console,
) -> list[Row]:
    """Return the rows of all tasks; those that ``out`` already holds are not measured again.

    Parameters
    ----------
    measure
        Gives the rows of one task; a module's function, to be run in another process.
    tasks
        What to measure, of JSON types: equal tasks are the same measurement.
    out
        A file of one JSON line per task. Delete it after a change of the code that is measured.
    jobs
        Worker processes, with one core each.
    """
    known = {}
    if out.exists():
        lines = map(json.loads, out.read_text().splitlines())
        known = {_key(line["task"]): line["rows"] for line in lines}
    todo = [task for task in tasks if _key(task) not in known]
    console.print(f"{len(tasks)} measurements, {len(tasks) - len(todo)} of them already in {out}")
    if todo:
        out.parent.mkdir(parents=True, exist_ok=True)
        # Every program is compiled by one worker, and loaded by the others.
        os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(out.parent / "jax-cache"))
        cores = available_cores()
        with pool([frozenset({cores[job % len(cores)]}) for job in range(jobs)]) as workers:
            futures = {workers.submit(measure, task): task for task in todo}
            try:
                for future in track(as_completed(futures), "Measuring", len(todo), console=console):
                    task, rows = futures[future], future.result()
                    known[_key(task)] = rows
                    with out.open("a") as stream:
                        stream.write(json.dumps({"task": task, "rows": rows}) + "\n")
            except BaseException:
                workers.shutdown(cancel_futures=True)  # the others need not be waited for
                raise
    return [{**task, **row} for task in tasks for row in known[_key(task)]]


def mean(rows: Iterable[Row], name: str) -> float:
    """Return the mean of a number over rows; NaN over none."""
    values = [row[name] for row in rows if row[name] is not None]
    return sum(values) / len(values) if values else float("nan")


def _key(task: Task) -> Hashable:
    return json.dumps(task, sort_keys=True)
