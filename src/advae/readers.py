"""Read tables from files in batches of bounded memory.

CSV and its relatives, Parquet, NDJSON and Arrow IPC, told apart by their extension. Whatever is
wrong with a file ends in one `InputError` that names it.
"""

import glob
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from advae.damage import explain_delimited, explain_ndjson, find_uneven_row
from advae.delimited import GUESSED_ROWS, read_dialect
from advae.errors import ColumnError, InputError
from advae.files import Data, expand_paths, file_format
from advae.frames import exactly
from advae.values import quoted, quoted_list

READ_ERRORS = (
    pl.exceptions.PolarsError,
    pl.exceptions.PanicException,
    OSError,
    EOFError,
    zlib.error,
    UnicodeDecodeError,
)


@dataclass(frozen=True)
class Source:
    """Files that together are one table.

    Attributes
    ----------
    paths
        The files, in the order of their rows.
    format
        "csv", "parquet", "ndjson" or "arrow".
    schema
        The name and type of each column, the same for all files.
    """

    paths: tuple[Path, ...]
    format: str
    schema: Mapping[str, pl.DataType]

    @property
    def columns(self) -> tuple[str, ...]:
        """The column names, in the order of the first file."""
        return tuple(self.schema)

    def batches(self, rows: int = 65_536) -> Iterator[pl.DataFrame]:
        """Read the table in order, with memory for a few batches at a time.

        Parameters
        ----------
        rows
            The most rows per batch; the last of each file may have fewer.

        Raises
        ------
        InputError
            For damage in a file, when it is reached.
        """
        for path in self.paths:
            yield from self._file_batches(path, rows)

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
            path, row = self._place(error.row)
            raise InputError(f"{path}: {error.at(row)}") from None

    def _place(self, row: int) -> tuple[Path, int]:
        """Return the file that holds a row of the table, and its number there."""
        for path in self.paths[:-1]:
            rows = _scan(path, self.format, self.schema).select(pl.len()).collect().item()
            if row < rows:
                return path, row
            row -= rows
        return self.paths[-1], row

    def _file_batches(self, path: Path, rows: int) -> Iterator[pl.DataFrame]:
        with _failures_explained(path, self.format, self.schema):
            # A short row of a CSV file shows in the last column only: Polars fills it with null.
            last = read_dialect(path).names[-1:] if self.format == "csv" else ()
            lazy = _scan(path, self.format, self.schema).select(
                exactly(name).cast(dtype) for name, dtype in self.schema.items()
            )
            checked = not last
            for batch in lazy.collect_batches(chunk_size=rows, maintain_order=True, lazy=True):
                if not checked and any(batch[name].null_count() for name in last):
                    checked = True
                    uneven = find_uneven_row(path, read_dialect(path))
                    if uneven is not None:
                        raise uneven
                yield batch


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
    inferred = [_infer_schema(path, kind, dtypes or {}) for path in paths]
    # Engines that write a table in parts leave parts without rows, and say nothing by them.
    schemas = [found for found in inferred if found is not None]
    if not schemas:
        raise InputError(f"{_shown(paths)}: columns but no rows. Give rows.")
    paths = tuple(path for path, found in zip(paths, inferred, strict=True) if found is not None)
    for path, found in zip(paths, schemas, strict=True):
        lacking, added = set(schemas[0]) - set(found), set(found) - set(schemas[0])
        if lacking or added:
            raise InputError(
                f"{path}: other columns than in {paths[0]}: "
                + (f"lacks {quoted_list(sorted(lacking))}. " if lacking else "")
                + (f"adds {quoted_list(sorted(added))}. " if added else "")
                + "Give files with the same columns."
            )
    schema = dict(schemas[0])
    for path, found in zip(paths, schemas, strict=True):
        for name, dtype in found.items():
            if dtype != schema[name]:
                schema[name] = _common_type(schema[name], dtype, name, path)
    if kind == "csv":  # which has no type for a column without any value
        schema = {name: pl.String() if t == pl.Null else t for name, t in schema.items()}
    return Source(paths, kind, schema)


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


def _infer_schema(
    path: Path, kind: str, dtypes: Mapping[str, pl.DataType]
) -> dict[str, pl.DataType] | None:
    """Return a file's columns, with the given types or ones that all its values suit.

    None for a file that has types of its own and no rows.
    """
    with _failures_explained(path, kind, dtypes):
        with path.open("rb") as stream:
            if not stream.read(1):
                raise InputError(f"{path}: the file is empty (0 bytes). Write it again.")
        if kind == "csv":
            return _infer_csv_schema(path, dtypes)
        if kind == "ndjson":
            found = pl.scan_ndjson(glob.escape(str(path)), infer_schema_length=None)
            return {name: dtypes.get(name, t) for name, t in found.collect_schema().items()}
        lazy = _scan(path, kind, {})
        rows = lazy.select(pl.len()).collect().item()
        return dict(lazy.collect_schema()) if rows else None


def _infer_csv_schema(path: Path, dtypes: Mapping[str, pl.DataType]) -> dict[str, pl.DataType]:
    """Guess types from the first rows, and from all where these do not tell; Null without values.

    A column is text whose values are of no single type even so, such as dates in two forms.
    """
    dialect = read_dialect(path)
    untyped = [name for name in dialect.names if name not in dtypes]
    guess = dialect.scan(path, dtypes)
    present = _count_values(guess, untyped)
    if present is None or _begins_empty(guess, present):
        guess = dialect.scan(path, dtypes, infer_rows=None)
        present = _count_values(guess, untyped)
    schema = dict(guess.collect_schema())
    for name in untyped:
        if present is None and (schema[name].is_temporal() or schema[name] == pl.Int128):
            schema[name] = pl.String() if _count_values(guess, [name]) is None else schema[name]
        elif present is not None and not present[name]:
            schema[name] = pl.Null()
    return schema


def _count_values(rows: pl.LazyFrame, columns: Sequence[str]) -> dict[str, int] | None:
    """Count what each column holds besides missing values; None if one cannot be read."""
    if not columns:
        return {}
    try:
        counts = rows.select(exactly(*columns).count()).collect(engine="streaming")
    except pl.exceptions.PolarsError:
        return None
    return counts.row(0, named=True)


def _begins_empty(rows: pl.LazyFrame, present: Mapping[str, int]) -> bool:
    """Return whether a column with values has none in the first rows, those of the first guess."""
    columns = [name for name, count in present.items() if count]
    return 0 in (_count_values(rows.head(GUESSED_ROWS), columns) or {}).values()


def _scan(path: Path, kind: str, schema: Mapping[str, pl.DataType]) -> pl.LazyFrame:
    """Return a file's rows, lazily; text is read as the types in ``schema``."""
    if kind == "csv":
        return read_dialect(path).scan(path, schema)
    if kind == "ndjson":
        return pl.scan_ndjson(glob.escape(str(path)), schema=dict(schema))
    if kind == "parquet":
        return pl.scan_parquet(path, glob=False, hive_partitioning=False)
    return pl.scan_ipc(path, glob=False, hive_partitioning=False)


@contextmanager
def _failures_explained(path: Path, kind: str, dtypes: Mapping[str, pl.DataType]) -> Iterator[None]:
    """Turn what reading a file can raise into one `InputError` that says what is wrong in it."""
    try:
        yield
    except OSError as error:
        if error.errno is not None:
            raise InputError(f"{path}: cannot be read: {error.strerror}.") from None
        raise _explain(path, kind, dtypes, error) from None
    except READ_ERRORS as error:
        raise _explain(path, kind, dtypes, error) from None


def _begins_with(path: Path, mark: bytes) -> bool:
    with path.open("rb") as stream:
        return stream.read(len(mark)) == mark


def _explain(
    path: Path, kind: str, dtypes: Mapping[str, pl.DataType], error: BaseException
) -> InputError:
    if kind == "csv":
        return explain_delimited(path, dtypes, error)
    if kind == "ndjson":
        return explain_ndjson(path, dtypes, error)
    if kind == "arrow" and _begins_with(path, b"\xff" * 4):
        return InputError(
            f"{path}: an Arrow stream, not an Arrow file. Write it as one (in pyarrow with "
            "ipc.new_file), or as Parquet."
        )
    reason = str(error).splitlines()[0]
    return InputError(f"{path}: damaged, or no {kind} file ({reason}). Make or fetch it again.")
