"""Read tables from files in batches of bounded memory.

CSV and its relatives, Parquet, NDJSON and Arrow IPC, told apart by their extension. Whatever is
wrong with a file ends in one `InputError` that names it.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from advae.errors import ColumnError, InputError, quoted, quoted_list
from advae.files.arrow import check_types
from advae.files.column_types import scan_ndjson, types_in_delimited, types_in_ndjson
from advae.files.damage import damaged, failures_explained, rows_checked
from advae.files.delimited import Dialect
from advae.files.header import read_dialect
from advae.files.paths import Data, expand_paths, file_format
from advae.parallel import rows_at_once
from advae.tables.frames import exactly, merged


@dataclass(frozen=True)
class _File:
    """One file.

    Of delimited text there is its dialect, of formats with types the number of rows that it claims.
    """

    path: Path
    format: str
    dialect: Dialect | None = None
    rows: int = 0

    def scan(self, schema: Mapping[str, pl.DataType]) -> pl.LazyFrame:
        """Return the rows, lazily; text is read as the types in ``schema``."""
        if self.dialect is not None:
            return self.dialect.scan(self.path, schema)
        if self.format == "ndjson":
            return scan_ndjson(self.path, schema)
        if self.format == "parquet":
            return pl.scan_parquet(self.path, glob=False, hive_partitioning=False)
        return pl.scan_ipc(self.path, glob=False, hive_partitioning=False)

    def batches(self, schema: Mapping[str, pl.DataType], rows: int) -> Iterator[pl.DataFrame]:
        """Read the file in order; see `Source.batches`."""
        with failures_explained(self.path, self.format, schema):
            # A short row of a CSV file shows in the last column only: Polars fills it with null.
            unchecked, seen, count = self.dialect, 0, sys.maxsize
            lazy = self.scan(schema).select(
                exactly(name).cast(dtype) for name, dtype in schema.items()
            )
            for batch in lazy.collect_batches(chunk_size=rows, maintain_order=True, lazy=True):
                if unchecked is not None and batch[unchecked.names[-1]].null_count():
                    count = rows_checked(self.path, unchecked)
                    unchecked = None
                seen += batch.height
                blank = max(0, seen - count)  # lines at the end
                if blank < batch.height:
                    yield batch.head(batch.height - blank)
            if seen < self.rows:  # Polars panicked in a thread of its own
                raise damaged(self.path, self.format, f"only {seen} of {self.rows} rows")


@dataclass(frozen=True)
class Source:
    """Files that together are one table.

    Attributes
    ----------
    files
        In the order of their rows.
    schema
        The name and type of each column, the same for all files.
    """

    files: tuple[_File, ...]
    schema: Mapping[str, pl.DataType]

    @property
    def columns(self) -> tuple[str, ...]:
        """The column names, in the order of the first file."""
        return tuple(self.schema)

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
        each = (batch for file in self.files for batch in file.batches(self.schema, rows))
        yield from merged(each, rows)

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
                paths = [file.path for file in self.files]
                raise InputError(f"{_shown(paths)}: {error}") from None
            path, row = self._place(error.row)
            raise InputError(f"{path}: {error.at(row)}") from None

    def _place(self, row: int) -> tuple[Path, int]:
        """Return the file that holds a row of the table, and its number there."""
        for file in self.files[:-1]:
            rows = sum(batch.height for batch in file.batches(self.schema, 65_536))
            if row < rows:
                return file.path, row
            row -= rows
        return self.files[-1].path, row


def open_source(data: Data, *, dtypes: Mapping[str, pl.DataType] | None = None) -> Source:
    """Find the files of a table, and the types of its columns.

    Parameters
    ----------
    data
        A path, a pattern such as ``"day-*.csv"`` (its files in the order of their names), or a
        list of either.
    dtypes
        Types of the columns in text files, for rows to be scored: see `TableEncoder.dtypes`. The
        others are inferred from all of the file.

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
    kind = kinds.pop()
    opened = [_open_file(path, kind, dtypes or {}) for path in paths]
    # Engines that write a table in parts leave parts without rows, and say nothing by them.
    files = tuple(file for file, found in opened if found is not None)
    schemas = [found for _, found in opened if found is not None]
    if not schemas:
        raise InputError(f"{_shown(paths)}: columns but no rows. Give rows.")
    for file, found in zip(files, schemas, strict=True):
        lacking, added = set(schemas[0]) - set(found), set(found) - set(schemas[0])
        if lacking or added:
            raise InputError(
                f"{file.path}: other columns than in {files[0].path}: "
                + (f"lacks {quoted_list(sorted(lacking))}. " if lacking else "")
                + (f"adds {quoted_list(sorted(added))}. " if added else "")
                + "Give files with the same columns."
            )
    schema = dict(schemas[0])
    for file, found in zip(files, schemas, strict=True):
        for name, dtype in found.items():
            if dtype != schema[name]:
                schema[name] = _common_type(schema[name], dtype, name, file.path)
    if kind == "csv":  # which has no type for a column without any value
        schema = {name: pl.String() if t == pl.Null else t for name, t in schema.items()}
    return Source(files, schema)


def _shown(paths: Sequence[Path]) -> str:
    """Name one file, or the first of several."""
    others = len(paths) - 1
    return f"{paths[0]}" + (f" and {others} more file{'s' * (others > 1)}" if others else "")


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


def _open_file(
    path: Path, kind: str, dtypes: Mapping[str, pl.DataType]
) -> tuple[_File, dict[str, pl.DataType] | None]:
    """Return a file and its columns, with the given types or ones that all its values suit.

    None for the columns of a file that has types of its own and no rows.
    """
    with failures_explained(path, kind, dtypes):
        with path.open("rb") as stream:
            if not stream.read(1):
                raise InputError(f"{path}: the file is empty (0 bytes). Write it again.")
        if kind == "csv":
            dialect = read_dialect(path).counted(path)
            return _File(path, kind, dialect), types_in_delimited(path, dialect, dtypes)
        if kind == "ndjson":
            return _File(path, kind), types_in_ndjson(path, dtypes)
        check_types(path, kind)
        lazy = _File(path, kind).scan({})
        rows = lazy.select(pl.len()).collect().item()
        return _File(path, kind, rows=rows), dict(lazy.collect_schema()) if rows else None
