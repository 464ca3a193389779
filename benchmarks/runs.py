"""Runs whose rows are kept in a Parquet file as soon as they end, and not done again."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import polars as pl
from rich.console import Console
from rich.progress import track

from benchmarks.limited import Stopped, run_limited

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
