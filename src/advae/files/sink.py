"""Write tables to files batch by batch: all of it, or nothing."""

import itertools
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
from polars.io.plugins import register_io_source

from advae.atomic import replacing_path
from advae.display.text import without_controls
from advae.errors import InputError, quoted
from advae.files.paths import COMPRESSED, FORMATS, TEXT_FORMATS
from advae.tables.values import check_times

WRITTEN = tuple(extension for extension, kind in FORMATS.items() if kind != "workbook")
"""Extensions of files that can be written."""


def write_frames(frames: Iterable[pl.DataFrame], path: Path | None) -> int:
    """Write a stream of frames as one table, holding few of them at a time.

    The file appears under its name when it is complete and on the disk; an error or an interrupt
    leaves nothing behind, and an older file of that name as it was.

    Parameters
    ----------
    frames
        The rows; the same columns in each frame, and at least one frame.
    path
        A file whose name ends in one of `WRITTEN`.
        None writes CSV to standard output; to a terminal without the characters that it obeys.

    Returns
    -------
        The number of rows written.

    Raises
    ------
    InputError
        For an unknown extension, or a file that cannot be written.
    """
    counted = _Counted(frames, "csv" if path is None else _written_format(path))
    if path is None:
        for number, frame in enumerate(counted):
            _check_types(frame, "csv", "standard output")
            # As text through Python: Polars' own writing hides that a reader has gone away.
            text = frame.write_csv(include_header=number == 0)
            sys.stdout.write(without_controls(text) if sys.stdout.isatty() else text)
        sys.stdout.flush()
        return counted.rows
    with replacing_path(path) as unfinished:
        try:
            _sink(counted, path, unfinished)
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
            reason = str(error).splitlines()[0]
            # Polars' words for whatever a disk refuses of a Parquet file; they may not say what.
            _, refused, cause = reason.partition("parquet: File out of specification: ")
            if refused:
                raise InputError(
                    f"cannot write {path}: the disk is full or fails ({cause}). Make room, or "
                    "choose another place."
                ) from None
            raise InputError(f"{path}: cannot be written: {reason}.") from None
    return counted.rows


class _Counted(Iterator[pl.DataFrame]):
    """An iterator of frames that counts their rows as they pass.

    Times that no text can spell, which Polars would panic at, are refused where texts are written.
    """

    def __init__(self, frames: Iterable[pl.DataFrame], kind: str) -> None:
        self.rows = 0
        self._frames = iter(frames)
        self._spelled = kind in TEXT_FORMATS

    def __next__(self) -> pl.DataFrame:
        frame = next(self._frames)
        for column in frame.iter_columns() if self._spelled else ():
            check_times(column, self.rows)
        self.rows += frame.height
        return frame


def _written_format(path: Path) -> str:
    """Return the format that a file's extension stands for; refuse one that is only read."""
    if path.suffix.lower() in COMPRESSED:
        raise InputError(
            f"{path}: cannot write compressed text. Leave out {path.suffix}, or use .parquet."
        )
    kind = FORMATS.get(path.suffix.lower())
    if kind is None:
        raise InputError(
            f"{path}: unknown file extension {quoted(path.suffix)}. Use one of "
            f"{', '.join(WRITTEN)}."
        )
    if kind == "workbook":
        raise InputError(f"{path}: cannot write workbooks. Use .csv or .parquet.")
    return kind


def _check_types(frame: pl.DataFrame, kind: str, place: str) -> None:
    """Refuse values that a text format cannot hold; Polars does not name their column."""
    for name, dtype in frame.schema.items():
        no_field = dtype.is_nested() or isinstance(dtype, pl.Duration)
        if (kind == "csv" and no_field) or (kind in TEXT_FORMATS and dtype == pl.Binary):
            raise InputError(
                f"{place}: column {quoted(name)} holds values of type {dtype}, which {kind} cannot "
                "hold. Leave the column out, or write a .parquet file."
            )


def _sink(frames: Iterator[pl.DataFrame], path: Path, target: Path) -> None:
    """Write ``frames`` into ``target`` in the format that the name of ``path`` asks for."""
    first = next(frames, None)
    if first is None:
        raise InputError(f"{path}: there is nothing to write, not even columns.")

    kind = _written_format(path)
    _check_types(first, kind, str(path))
    stopped = threading.Event()

    def pull(*_: Any) -> Iterator[pl.DataFrame]:
        # Polars asks for the columns, rows and filters it needs; a sink needs all.
        yield from itertools.takewhile(
            lambda _: not stopped.is_set(), itertools.chain([first], frames)
        )

    lazy = register_io_source(pull, schema=first.schema)
    if kind == "parquet":
        sink: Callable[[], object] = partial(lazy.sink_parquet, target, sync_on_close="all")
    elif kind == "arrow":
        sink = partial(lazy.sink_ipc, target, sync_on_close="all")
    elif kind == "ndjson":
        sink = partial(lazy.sink_ndjson, target, sync_on_close="all")
    else:
        separator = "\t" if path.suffix.lower() == ".tsv" else ","
        sink = partial(lazy.sink_csv, target, separator=separator, sync_on_close="all")
    # In a thread, because Python heeds signals between two steps of the main one, and Polars does
    # all in a single step. Leaving the pool waits until the sink has seen that it is to stop.
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(sink)
        try:
            writing.result()
        except BaseException:
            stopped.set()
            raise
