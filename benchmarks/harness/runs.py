"""Runs whose rows are kept as soon as they end, and not done again."""

import json
import os
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from concurrent.futures import as_completed
from pathlib import Path
from typing import Any, Protocol, TypeVar

import polars as pl
from rich.console import Console
from rich.progress import track

from benchmarks.harness.limited import Stopped, run_limited
from benchmarks.harness.workers import available_cores, pool

Row = dict[str, Any]
Schema = Mapping[str, Any]


class Run(Protocol):
    """One measurement.

    ``identity`` has what makes two runs the same, ``known`` all that its row can say before it is
    done; both have columns of the schema.
    """

    @property
    def identity(self) -> Row: ...

    @property
    def known(self) -> Row: ...


AnyRun = TypeVar("AnyRun", bound=Run)


def run_all(
    measure: Callable[[AnyRun], Row],
    runs: Sequence[AnyRun],
    out: Path,
    schema: Schema,
    jobs: int,
    console: Console,
    limit: float | None = None,
    retry: bool = False,
) -> list[Row]:
    """Return the rows of all runs, of which those that ``out`` lacks are done and added to it.

    Parameters
    ----------
    measure
        Gives the rest of a run's row; a module's function, to be run in another process.
    runs
        What to measure, in this order.
    out
        A Parquet file of the schema, replaced as a whole after every run.
    schema
        Its columns; among them ``failure``, text where a run failed.
    jobs
        Worker processes, with one core each.
    console
        For the progress bar.
    limit
        Most seconds of one run; one that takes longer is ended, and its row says so.
    retry
        Do those again that failed.
    """
    known = kept_rows(runs, out, schema) if runs else {}
    settled = {key for key, row in known.items() if not (retry and row["failure"] is not None)}
    todo = [run for run in runs if _key(run.identity) not in settled]
    console.print(f"{len(runs)} runs, {len(runs) - len(todo)} of them already in {out}")
    if todo:
        out.parent.mkdir(parents=True, exist_ok=True)
        # Every program is compiled by one worker, and loaded by the others.
        os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(out.parent / "jax-cache"))
        ended = run_limited(measure, todo, jobs, limit)
        for run, result in track(ended, "Measuring", len(todo), console=console):
            rest = {"failure": result.reason} if isinstance(result, Stopped) else result
            known[_key(run.identity)] = dict.fromkeys(schema) | run.known | rest
            _save(list(known.values()), out, schema)
    return [known[_key(run.identity)] for run in runs]


def kept_rows(runs: Sequence[AnyRun], out: Path, schema: Schema) -> dict[tuple[Any, ...], Row]:
    """Return the rows of a file, by what identifies them; those of other runs too."""
    if not out.exists():
        return {}
    names = list(runs[0].identity)
    rows = pl.read_parquet(out).select(list(schema)).to_dicts()
    return {tuple(row[name] for name in names): row for row in rows}


def rows_of(runs: Sequence[AnyRun], out: Path, schema: Schema) -> list[Row]:
    """Return the rows that a file has of these runs."""
    known = kept_rows(runs, out, schema) if runs else {}
    keys = [_key(run.identity) for run in runs]
    return [known[key] for key in keys if key in known]


def _key(identity: Row) -> tuple[Any, ...]:
    return tuple(identity.values())


def _save(rows: list[Row], out: Path, schema: Schema) -> None:
    partial = out.with_suffix(".partial")
    pl.DataFrame(rows, schema=schema).write_parquet(partial)
    partial.replace(out)


Task = dict[str, Any]


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
        known = {_task_key(line["task"]): line["rows"] for line in lines}
    todo = [task for task in tasks if _task_key(task) not in known]
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
                    known[_task_key(task)] = rows
                    with out.open("a") as stream:
                        stream.write(json.dumps({"task": task, "rows": rows}) + "\n")
            except BaseException:
                workers.shutdown(cancel_futures=True)  # the others need not be waited for
                raise
    return [{**task, **row} for task in tasks for row in known[_task_key(task)]]


def mean(rows: Iterable[Row], name: str) -> float:
    """Return the mean of a number over rows; NaN over none."""
    values = [row[name] for row in rows if row[name] is not None]
    return sum(values) / len(values) if values else float("nan")


def _task_key(task: Task) -> Hashable:
    return json.dumps(task, sort_keys=True)
