"""Read tables from files in batches of bounded memory.

CSV and its relatives, Parquet, NDJSON, Arrow IPC and workbooks, told apart by their extension.
Whatever is wrong with a file ends in one `InputError` that names it.
"""

import json
import os
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import polars as pl

from advae.errors import ColumnError, InputError, quoted, quoted_list
from advae.files.delimited import DelimitedFile
from advae.files.ndjson import NdjsonFile
from advae.files.options import ReadOptions
from advae.files.paths import Data, described, expand_paths, file_format
from advae.files.streams import readable
from advae.files.workbook import WorkbookFile
from advae.parallel import BLOCK_ROWS, CELLS_AT_ONCE, rows_at_once
from advae.tables.frames import INDEX, exactly, merged

Types = Mapping[str, pl.DataType]
TYPED = ("parquet", "arrow")
"""Formats with types of their own."""

MOST_CELLS, MOST_CELLS_A_BYTE = 2**26, 500
"""Of an Arrow file: one with more of both is a few values that repeat. Even truths that tell
anything are no more than eight a byte."""

READ_CELLS, READ_ROWS = 2 * CELLS_AT_ONCE, 1 << 22
"""Values and rows of such a file read at once. With fewer, its pages would be opened more often."""


class _File(Protocol):
    """What reads one file.

    Attributes
    ----------
    notes
        What the user should know about how it is read, once its types are found.
    """

    notes: list[str]

    def types(self, given: Types, only: Collection[str] | None) -> dict[str, pl.DataType]:
        """Return the type of each column, of those not to be read any.

        As given, or one that all values suit. No columns for a file that is to say nothing.
        """

    def batches(self, schema: Types) -> Iterator[pl.DataFrame]:
        """Read the rows in order; ``schema`` may lack columns of the file."""


class _TypedFile:
    """A file of a format with types of its own, Parquet or Arrow."""

    def __init__(self, path: Path, kind: str) -> None:
        self._path, self._kind = path, kind
        self.notes: list[str] = []
        self._rows = 0
        if self._kind == "arrow" and _beginning(path).startswith(b"\xff" * 4):
            raise InputError(
                f"{path}: an Arrow stream, not an Arrow file. Write it as one (in pyarrow with "
                "ipc.new_file), or as Parquet."
            )
        with self._failures(), _without_panics():
            lazy = self._scan()
            self._rows = lazy.select(pl.len()).collect().item()
            self._schema = dict(lazy.collect_schema())
            self._check_batches()
            lazy.head(1).collect()  # where two columns of an Arrow file have one name, it panics
            self._categories = self._numbered_categories()

    def types(self, *_: Any) -> dict[str, pl.DataType]:
        """Return the columns as the file types them; none if it has no rows.

        Engines that write a table in parts leave parts without rows, and say nothing by them.
        """
        return self.columns if self._rows else {}

    @property
    def columns(self) -> dict[str, pl.DataType]:
        """The columns as the file types them."""
        return self._schema | dict.fromkeys(self._categories, pl.String())

    def batches(self, schema: Types) -> Iterator[pl.DataFrame]:
        """Read the rows in order."""
        seen = 0
        with self._failures():
            lazy = self._scan().select(exactly(name).cast(dtype) for name, dtype in schema.items())
            # By rows, not by the groups of the file: one of these can be all of it, and of a value
            # that repeats a few bytes stand for as many rows as there is room for.
            step = min(READ_ROWS, max(BLOCK_ROWS, READ_CELLS // max(1, len(schema))))
            for first in range(0, self._rows, step):
                batch = lazy.slice(first, step).collect()
                seen += batch.height
                yield batch
        if seen < self._rows:  # Polars panicked in a thread of its own
            raise self._unreadable() or self._damaged(f"only {seen} of {self._rows} rows")

    def _check_batches(self) -> None:
        """Refuse an Arrow file that says so much in few bytes that a batch of it fills the memory.

        Of Parquet, a part of a group can be read.
        """
        cells = self._rows * len(self._schema)
        if self._kind == "arrow" and cells > MOST_CELLS:
            size = self._path.stat().st_size
            if cells > MOST_CELLS_A_BYTE * size:
                raise InputError(
                    f"{self._path}: {self._rows:,} rows in {size:,} bytes, which can only be read "
                    "all at once. Write it as Parquet, which is read in parts."
                )

    def _scan(self) -> pl.LazyFrame:
        scan = pl.scan_parquet if self._kind == "parquet" else pl.scan_ipc
        return scan(self._path, glob=False, hive_partitioning=False)

    def _numbered_categories(self) -> list[str]:
        """Return the columns of numbers that were categories in pandas."""
        if self._kind != "parquet":
            return []
        stored = json.loads(pl.read_parquet_metadata(self._path).get("pandas", "{}"))
        columns = stored.get("columns", []) if isinstance(stored, dict) else []
        names = {c.get("name") for c in columns if c.get("pandas_type") == "categorical"}
        return [n for n, dtype in self._schema.items() if n in names and dtype.is_numeric()]

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except (
            *(pl.exceptions.PolarsError, pl.exceptions.PanicException),
            *(OSError, UnicodeDecodeError, json.JSONDecodeError),
        ) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            what = described(_beginning(self._path), self._kind)
            if what is not None:
                raise InputError(
                    f"{self._path}: this is no {self._kind} file, but {what}."
                ) from None
            raise self._unreadable() or self._damaged(str(error).splitlines()[0]) from None

    def _damaged(self, reason: str) -> InputError:
        return InputError(
            f"{self._path}: damaged, or no {self._kind} file, or with a column of a type that "
            f"cannot be read ({reason}). Make or fetch it again, with other types."
        )

    def _unreadable(self) -> InputError | None:
        """Name a column that Polars cannot read, where pyarrow is there to tell."""
        try:
            import pyarrow as pa
            from pyarrow import parquet

            if self._kind == "parquet":
                schema = parquet.read_schema(self._path)
            else:
                with pa.memory_map(str(self._path)) as stream:
                    schema = pa.ipc.open_file(stream).schema
        except (ImportError, OSError, ValueError):
            return None
        for field in schema:
            if schema.names.count(field.name) > 1:
                return InputError(
                    f"{self._path}: two columns are named {quoted(field.name)}. Rename one of them."
                )
            zone = getattr(field.type, "tz", None)
            if zone is not None and not _is_zone(zone):
                return InputError(
                    f"{self._path}: column {quoted(field.name)} has the time zone {quoted(zone)}, "
                    "which is unknown here. Write its times in UTC."
                )
            if _is_foreign(field.type):
                return InputError(
                    f"{self._path}: column {quoted(field.name)} is of type {field.type}, which "
                    "cannot be read. Where the file is written, cast it to numbers, texts or "
                    "times, or leave it out."
                )
        return None


@contextmanager
def _without_panics() -> Iterator[None]:
    """Keep what Polars writes when it panics off standard error: the exception says it, too."""
    try:
        kept = os.dup(2)
    except OSError:  # closed
        yield
        return
    sys.stderr.flush()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _beginning(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(16)


def _is_zone(zone: str) -> bool:
    try:
        pl.Series([0], dtype=pl.Datetime("us", zone)).dt.replace_time_zone(None)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
        return False
    return True


def _is_foreign(dtype: Any) -> bool:
    """Return whether Polars lacks a type of pyarrow, or one within it."""
    from pyarrow import types

    kinds = ("interval", "union", "run_end_encoded", "list_view", "large_list_view", "decimal256")
    inner = [dtype.field(place).type for place in range(dtype.num_fields)]
    foreign = any(getattr(types, f"is_{kind}")(dtype) for kind in kinds)
    return foreign or any(map(_is_foreign, inner))


class Source:
    """Files that together are one table.

    Parameters
    ----------
    files
        Their paths and readers, in the order of their rows.
    schema
        The name and type of each column to read, the same for all files.
    columns
        The names of all columns, in the order of the first file.
    notes
        What the user should know about how the files are read.
    rowless
        Whether the files may all be without rows: then a frame without rows is read.
    """

    def __init__(
        self,
        files: Sequence[tuple[Path, _File]],
        schema: Mapping[str, pl.DataType],
        columns: Sequence[str],
        notes: Sequence[str] = (),
        *,
        rowless: bool = False,
    ) -> None:
        self._files, self._rowless = tuple(files), rowless
        self.schema, self.columns, self.notes = dict(schema), tuple(columns), tuple(notes)
        self._heights: list[int] = []

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files, in the order of their rows."""
        return tuple(path for path, _ in self._files)

    def batches(self, rows: int = 65_536) -> Iterator[pl.DataFrame]:
        """Read the table in order, with memory for a few batches at a time.

        Small files share a batch: whoever reads it has a price for each, and pays it once.

        Parameters
        ----------
        rows
            The most rows per batch; of wide tables fewer.

        Raises
        ------
        InputError
            For damage in a file, when it is reached.
        """
        rows = rows_at_once(len(self.schema), rows)
        self._heights = []
        yield from _ahead(merged(self._parts(rows), rows))

    def _parts(self, rows: int) -> Iterator[pl.DataFrame]:
        for path, file in self._files:
            self._heights.append(0)
            with _named(path):
                for batch in file.batches(self.schema):
                    self._heights[-1] += batch.height
                    yield from batch.iter_slices(rows)
        if self._rowless and not any(self._heights):
            yield pl.DataFrame(schema=self.schema)

    def read(self) -> pl.DataFrame:
        """Read the whole table; see `batches`."""
        return pl.concat(self.batches())

    @contextmanager
    def located(self) -> Iterator[None]:
        """Say in errors about a column's values which file, and which of its rows, they are in.

        Around whatever reads `batches` and counts rows from the first one on.
        """
        try:
            yield
        except ColumnError as error:
            if error.row is None:
                raise InputError(f"{_shown(self.paths)}: {error}") from None
            path, row = self.place(error.row)
            raise InputError(f"{path}: {error.at(row)}") from None

    def place(self, row: int) -> tuple[Path, int]:
        """Return the file that holds a row that `batches` has read, and its number there."""
        for path, height in zip(self.paths, self._heights, strict=False):
            if row < height:
                return path, row
            row -= height
        return self.paths[-1], row

    def places(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the places of the files that hold rows already read, and their numbers there."""
        ends = np.cumsum(self._heights)
        files = np.searchsorted(ends, rows, side="right")
        return files, rows - np.concatenate([[0], ends])[files]


def _ahead(batches: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """Read the next batch in a thread while one is worked on."""
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = pool.submit(next, batches, None)
            yield batch


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Say in errors which file they are about."""
    with readable(path):
        try:
            yield
        except ColumnError as error:
            raise InputError(f"{path}: {error}") from None


def open_source(
    data: Data,
    *,
    dtypes: Mapping[str, pl.DataType] | None = None,
    only: Collection[str] | None = None,
    optional: Collection[str] = (),
    pointed: Collection[str] = (),
    options: ReadOptions | None = None,
    rowless: bool = False,
) -> Source:
    """Find the files of a table, and the types of its columns.

    Parameters
    ----------
    data
        A path, a pattern such as ``"day-*.csv"`` (its files in the order of their names), or a
        list of either; "-" for standard input.
    dtypes
        Types of the columns in text files, for rows to be scored: see `TableEncoder.dtypes`. The
        others are inferred from all of the file.
    only
        The columns to read, if the files have them; all if not given.
    optional
        Columns that a file of JSON lines may lack: they are missing in all of its rows.
    pointed
        Columns of numbers that ``dtypes`` asks for as texts: with a decimal point in any case.
    options
        How the files are written.
    rowless
        Whether the table may have columns and no rows.

    Returns
    -------
        The table, to be read in batches or at once.

    Raises
    ------
    InputError
        For files that are missing, unreadable, empty, damaged, of different formats or columns.
    """
    paths = expand_paths(data)
    kinds = {file_format(path) for path in paths}
    if len(kinds) > 1:
        raise InputError(f"files of different formats: {quoted_list(paths)}. Convert some of them.")
    kind, options = kinds.pop(), options or ReadOptions()
    given = dict(dtypes or {})
    # Columns that are not read, or only as texts, say nothing about the sign of decimals.
    numeric = only and [n for n in only if n in pointed or given.get(n) != pl.String()]
    files: list[tuple[Path, _File]] = []
    found: list[dict[str, pl.DataType]] = []
    for path in paths:
        with _named(path):
            file = (
                DelimitedFile(path, options, list(given), numeric, pointed, rowless=rowless)
                if kind == "csv" and path.stat().st_size
                else _open_file(path, kind, options, optional, rowless=rowless)
            )
            types = file.types(given, only)
        if types:
            files.append((path, file))
            found.append(types)
    if not files and rowless and kind in TYPED:
        bare = _TypedFile(paths[0], kind)
        files, found = [(paths[0], bare)], [bare.columns]
    if not files:
        raise InputError(f"{_shown(paths)}: columns but no rows. Give rows.")
    names = list(found[0])
    schemas = [{n: t for n, t in each.items() if only is None or n in only} for each in found]
    schema = _common_schema([path for path, _ in files], schemas)
    index = [name for name in schema if INDEX.match(name) and name not in given]
    for name in index:
        del schema[name]
    if kind in ("csv", "workbook"):  # which have no type for a column without any value
        schema = {name: pl.String() if t == pl.Null else t for name, t in schema.items()}
    notes = [note for _, file in files for note in file.notes]
    if index:
        notes.append(f"left out, since pandas keeps its index there: {quoted_list(index)}")
    return Source(files, schema, names, list(dict.fromkeys(notes)), rowless=rowless)


def _shown(paths: Sequence[Path]) -> str:
    """Name one file, or the first of several."""
    others = len(paths) - 1
    return f"{paths[0]}" + (f" and {others} more file{'s' * (others > 1)}" if others else "")


def _open_file(
    path: Path, kind: str, options: ReadOptions, optional: Collection[str], *, rowless: bool
) -> _File:
    with path.open("rb") as stream:
        if not stream.read(1):
            raise InputError(f"{path}: the file is empty (0 bytes). Write it again.")
    if kind == "ndjson":
        return NdjsonFile(path, options, optional)
    if kind == "workbook":
        return WorkbookFile(path, options, rowless=rowless)
    return _TypedFile(path, kind)


def _common_schema(paths: Sequence[Path], schemas: Sequence[Types]) -> dict[str, pl.DataType]:
    """Return the columns of files that are to have the same ones, with types for all of them."""
    first = schemas[0]
    schema = dict(first)
    for path, found in zip(paths, schemas, strict=True):
        lacking, added = set(first) - set(found), set(found) - set(first)
        if lacking or added:
            raise InputError(
                f"{path}: other columns than in {paths[0]}: "
                + (f"lacks {quoted_list(sorted(lacking))}. " if lacking else "")
                + (f"adds {quoted_list(sorted(added))}. " if added else "")
                + "Give files with the same columns."
            )
        for name, dtype in found.items():
            if dtype != schema[name]:
                schema[name] = _common_type(schema[name], dtype, name, path)
    return schema


def _common_type(before: pl.DataType, dtype: pl.DataType, name: str, path: Path) -> pl.DataType:
    """Return a type for a column's values in this file and in those before it."""
    if isinstance(before, pl.Enum) and isinstance(dtype, pl.Enum):
        return pl.String()
    empty = [pl.Series(name, [], dtype=each).to_frame() for each in (before, dtype)]
    try:
        common = pl.concat(empty, how="vertical_relaxed").schema[name]
        # Polars takes the coarser of two units of time.
        if isinstance(common, pl.Datetime):
            return pl.Datetime("us", common.time_zone)
        return pl.Duration("us") if isinstance(common, pl.Duration) else common
    except pl.exceptions.PolarsError:
        raise InputError(
            f"{path}: column {quoted(name)} holds values of type {dtype}, but {before} in the "
            "files before it. Give it one type in all of them."
        ) from None
