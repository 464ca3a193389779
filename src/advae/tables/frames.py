"""What users hold as a table, as a Polars frame."""

import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence, Sized
from contextlib import suppress
from decimal import Decimal
from typing import Any

import numpy as np
import polars as pl

from advae.errors import InputError, quoted, quoted_list
from advae.parallel import check_process
from advae.tables.values import (
    NAME_ANOTHER,
    ValueKind,
    check_columns,
    check_times,
    missing_counts,
    to_texts,
)

INDEX = re.compile(r"__index_level_\d+__$|Unnamed: 0$")
"""Columns in which pandas stores its index, or read one without a name."""

MERGED_BYTES = 1 << 27
"""What joined frames take at most, as much as `CELLS_AT_ONCE` numbers: texts can be long."""


def merged(frames: Iterable[pl.DataFrame], rows: int) -> Iterator[pl.DataFrame]:
    """Join small frames that follow each other, as long as they have at most so many rows."""
    held: list[pl.DataFrame] = []
    height = size = 0
    for frame in frames:
        taken = frame.estimated_size()
        if held and (height + frame.height > rows or size + taken > MERGED_BYTES):
            yield pl.concat(held)
            held, height, size = [], 0, 0
        held.append(frame)
        height += frame.height
        size += int(taken)
    if held:
        yield pl.concat(held)


def as_frame(data: Any) -> pl.DataFrame:
    """Return a table as a Polars frame, without copying where the types allow it.

    Parameters
    ----------
    data
        A Polars frame, lazy or not; a pandas frame; anything with the Arrow capsule interface;
        a dict of columns; a list of dicts, one a row; or a two-dimensional NumPy array or SciPy
        sparse matrix, shape (rows, columns), whose columns are called ``column_0``, ``column_1``
        and so on. The index of pandas is no column, also where an Arrow table has it as one.

    Raises
    ------
    InputError
        If it is none of these, or not two-dimensional.
    """
    check_process()
    if isinstance(data, pl.DataFrame):
        return data
    if isinstance(data, pl.LazyFrame):
        return data.collect()
    if hasattr(data, "toarray"):  # SciPy's: what is not stored is 0, a value like others
        data = data.toarray()
    if _are_records(data):
        names = dict.fromkeys(name for record in data for name in record)
        data = {name: [record.get(name) for record in data] for name in names}
    if isinstance(data, np.ndarray):
        if data.ndim != 2:
            raise InputError(
                f"the array has shape {data.shape}; expected two dimensions, (rows, columns): "
                "reshape(-1, 1) makes a column, reshape(1, -1) a row"
            )
        return pl.DataFrame([_column(f"column_{i}", data[:, i]) for i in range(data.shape[1])])
    if _is_pandas(data):
        return _from_pandas(data)
    if isinstance(data, list | tuple) and not data:
        raise InputError("the list of rows is empty. Give at least one, a dict of its values.")
    if not (hasattr(data, "__arrow_c_stream__") or isinstance(data, dict)):
        raise InputError(
            f"cannot read a table from {type(data).__name__}. Give a Polars or pandas frame, an "
            "Arrow table, a dict of columns, a list of dicts or a two-dimensional NumPy array; "
            "lists and iterators of them only where a table may come in batches."
        )
    try:
        if isinstance(data, dict):
            data = {name: _mapped(name, values) for name, values in data.items()}
        index = _stored_index(data)
        frame = pl.DataFrame(data)
        return without_columns(frame, index) if index else frame
    except (pl.exceptions.PolarsError, TypeError, ValueError) as error:
        raise InputError(f"cannot read the table: {error}") from None


def as_batches(data: Any) -> Iterator[pl.DataFrame]:
    """Return a table, or its batches, as an iterator of frames, converted one at a time.

    Parameters
    ----------
    data
        A table, see ``as_frame``; or an iterator, a list or a tuple of tables, such as the chunks
        of ``pandas.read_csv`` or a reader of Arrow batches.

    Raises
    ------
    InputError
        For anything else, when it is reached.
    """
    return map(as_frame, each_table(data))


def each_table(data: Any) -> Iterable[Any]:
    """Return the batches of a table as they were given, or the table as the only one."""
    in_batches = isinstance(data, Iterator | list | tuple) and not _are_records(data)
    return data if in_batches else [data]


def _are_records(data: Any) -> bool:
    """Return whether these are rows, a dict each, and not batches, each a dict of columns."""
    return (
        isinstance(data, list | tuple)
        and bool(data)
        and all(isinstance(each, dict) for each in data)
        and not any(isinstance(v, Sized) and not isinstance(v, str) for v in data[0].values())
    )


def index_of(data: Any) -> Any:
    """Return the index of a pandas frame; None of any other table."""
    return data.index if _is_pandas(data) else None


def with_index(frame: pl.DataFrame, index: Any) -> Any:
    """Return a frame as a pandas one with an index of `index_of`, or as it is if that is None."""
    if index is None:
        return frame
    import pandas as pd

    # Not Polars' own conversion, which needs pyarrow.
    plain = {
        each.name: each.to_numpy()
        if (each.dtype.is_numeric() or each.dtype == pl.Boolean) and not each.null_count()
        else pd.Series(each.to_list(), index, dtype=None if each.null_count() < len(each) else "O")
        for each in frame
    }
    return pd.DataFrame(plain, index)


def named_scores(name: str, values: np.ndarray, index: Any) -> Any:
    """Return one value a row: an array, or with an index of `index_of` a pandas series."""
    return values if index is None else with_index(pl.DataFrame({name: values}), index)[name]


def names_given(names: Collection[str]) -> list[str]:
    """Return the names of columns, each once; a single one may have been given without a list.

    They are returned as texts, as a frame has them: in pandas a name can be 0 or ("x", "a").
    """
    return [names] if isinstance(names, str) else list(dict.fromkeys(map(str, names)))


def exactly(*names: str) -> pl.Expr:
    """Return an expression for columns of just these names; to ``pl.col``, "*" is a pattern."""
    return pl.selectors.by_name(*names).as_expr()


def check_name(name: str) -> None:
    """Refuse a name from ^ to $: Polars takes it for a pattern wherever a column is named."""
    if name.startswith("^") and name.endswith("$"):
        raise InputError(
            f"column {quoted(name)}: a name from ^ to $ is a pattern to Polars. Rename the column, "
            "or leave it out."
        )


def kept_columns(frame: pl.DataFrame, keep: Sequence[str], taken: Sequence[str]) -> list[pl.Series]:
    """Return columns to carry along, once each.

    Raises
    ------
    InputError
        For a column that the frame lacks, or whose name is among those taken.
    """
    keep = names_given(keep)
    check_columns(keep, frame.columns, "the table", advice=NAME_ANOTHER)
    check_free(keep, taken)
    return [frame[name] for name in keep]


def check_free(keep: Collection[str], taken: Collection[str]) -> None:
    """Refuse a column to carry along whose name the output has for another."""
    for name in keep:
        if name in taken:
            raise InputError(
                f"column {quoted(name)} cannot be kept: the output has a column of that name. "
                "Rename it."
            )


def without_columns(frame: pl.DataFrame, ignored: Collection[str]) -> pl.DataFrame:
    """Return a frame without columns that are not to be learned; ``InputError`` if it lacks one."""
    check_columns(ignored, frame.columns, "the table", advice=NAME_ANOTHER)
    # Not drop, to which names such as "*" are patterns.
    return frame.select(frame[name] for name in frame.columns if name not in ignored)


def _is_pandas(data: object) -> bool:
    # pandas need not be installed; others, such as GeoPandas, have subclasses of its frame.
    return any(each.__module__.split(".")[0] == "pandas" for each in type(data).__mro__)


def _stored_index(data: object) -> list[str]:
    """Return the columns of an Arrow table that are the index of a pandas frame without a name."""
    told = getattr(getattr(data, "schema", None), "pandas_metadata", None)
    names = told.get("index_columns", []) if isinstance(told, dict) else []
    return [name for name in names if isinstance(name, str) and INDEX.match(name)]


def _from_pandas(data: Any) -> pl.DataFrame:
    # Column by column through NumPy: Polars' own conversion needs pyarrow for text.
    if getattr(data, "ndim", 0) != 2:
        raise InputError(
            f"expected a pandas DataFrame, but this is of type {type(data).__name__}: its "
            "to_frame() is a table of one column, its to_frame().T one of one row."
        )
    names = [str(name) for name in data.columns]
    twice = sorted(name for name, times in Counter(names).items() if times > 1)
    if twice:
        raise InputError(f"column {quoted(twice[0])} occurs more than once. Rename one of them.")
    # Not a list of columns: Polars would rename one whose name is empty.
    return pl.DataFrame(
        {name: _from_pandas_column(name, data.iloc[:, i]) for i, name in enumerate(names)}
    )


def _from_pandas_column(name: str, column: Any) -> pl.Series:
    dtype = column.dtype
    if getattr(dtype, "name", "") == "category":
        # Numbers that name categories are no amounts.
        values = _from_objects(name, column.astype(object).tolist())
        return to_texts(values) if values.dtype.is_numeric() else values
    if isinstance(dtype, np.dtype) and dtype.kind != "O":
        return _column(name, column.to_numpy())
    # Columns of pandas' own types are converted whole where they can be: value by value is slow.
    plain = getattr(dtype, "numpy_dtype", None)
    if plain is not None and plain.kind in "biuf":
        values = column.to_numpy(plain, na_value=plain.type())
        return _column(name, np.ma.array(values, mask=column.isna()))
    if hasattr(dtype, "tz"):
        instants = _column(name, column.to_numpy(f"M8[{dtype.unit}]")).dt.replace_time_zone("UTC")
        with suppress(pl.exceptions.PolarsError):  # a zone without a name, such as an offset
            return instants.dt.convert_time_zone(str(dtype.tz))
    return _from_objects(name, column.tolist())


def _mapped(name: str, values: Any) -> Any:
    """Return one column of a mapping, or leave it to Polars."""
    if _is_pandas(values) and getattr(values, "ndim", 0) == 1:
        return _from_pandas_column(name, values)
    if isinstance(values, np.ndarray) and values.ndim == 1:
        return _column(name, values)
    return _from_objects(name, values) if isinstance(values, list | tuple) else values


def _column(name: str, values: np.ndarray) -> pl.Series:
    """Return one column of a NumPy array; values under a mask are missing."""
    if isinstance(values, np.ma.MaskedArray):
        hidden = pl.Series(np.ma.getmaskarray(values))
        shown = _column(name, np.asarray(values.data))
        return pl.select(pl.when(~hidden).then(shown).alias(name)).to_series()
    kind = values.dtype.kind
    if kind in "OT":
        return _from_objects(name, values.tolist())
    if kind in _UNITS:
        unit, multiple = np.datetime_data(values.dtype)
        if unit not in _UNITS[kind] or multiple != 1:
            values = values.astype(f"{kind}8[us]")
    elif kind == "f" and values.dtype.itemsize > 8:
        with np.errstate(over="ignore"):  # what overflows is infinite, and refused as such
            values = values.astype(np.float64)
    elif kind not in "biufUS":
        raise InputError(
            f"column {quoted(name)} has NumPy type {values.dtype}; expected numbers, true/false, "
            "text or times"
        )
    return pl.Series(name, np.ascontiguousarray(values))


_UNITS = {"M": ("D", "ms", "us", "ns"), "m": ("ms", "us", "ns")}
"""NumPy's units of instants and of spans that Polars has."""


def _from_objects(name: str, values: Sequence[Any]) -> pl.Series:
    """Return a column of Python's, NumPy's or pandas' single values."""
    if any(_can_be_missing(kind) for kind in set(map(type, values))):
        values = [None if _is_missing(value) else value for value in values]
    kinds = set(map(type, values)) - {type(None)}
    if len(kinds) == 1 and (times := _NUMPY_TIMES.get(*kinds)):
        return _column(name, np.array(values, times))
    column = pl.Series(name, dtype=pl.Object)
    # Polars panics, or lets NumPy and Python raise, for numbers of types or sizes that it lacks.
    with suppress(
        *(pl.exceptions.PolarsError, pl.exceptions.PanicException),
        *(TypeError, ValueError, OverflowError, RuntimeError),
    ):
        column = pl.Series(name, values)
    if column.dtype == pl.Object and all(_is_number(kind) for kind in kinds):
        try:
            column = pl.Series(name, [None if v is None else float(v) for v in values], pl.Float64)
        except OverflowError:
            raise InputError(
                f"column {quoted(name)} holds a whole number beyond 1.8e308, the largest float. "
                "Correct it, or convert the column to text."
            ) from None
    if column.dtype == pl.Object:
        found = ", ".join(sorted(kind.__name__ for kind in kinds))
        raise InputError(
            f"column {quoted(name)} mixes {found}. Convert it to one type, for instance with "
            "astype(str)."
            if len(kinds) > 1
            else f"column {quoted(name)} holds values of type {found}. Convert it to numbers, "
            "true/false, text or times."
        )
    return column


_NUMPY_TIMES = {np.datetime64: "M8", np.timedelta64: "m8"}
"""NumPy's types of single times, and of arrays of them; Polars knows only those of arrays."""


def _is_number(kind: type) -> bool:
    return issubclass(kind, int | float | Decimal | np.integer | np.floating) and kind is not bool


def _can_be_missing(kind: type) -> bool:
    # pandas has missing values of its own, and need not be installed.
    return issubclass(kind, float | np.floating | Decimal) or kind.__name__ in _PANDAS_MISSING


_PANDAS_MISSING = ("NAType", "NaTType")


def _is_missing(value: object) -> bool:
    if isinstance(value, float | np.floating):
        return math.isnan(value)
    if isinstance(value, Decimal):
        return value.is_nan()
    return type(value).__name__ in _PANDAS_MISSING


class BatchSchema:
    """Makes every batch of a stream fit the ones before it, or says why it does not.

    Batches of one table can have other types: in pandas, whole numbers are floats where one is
    missing, and a column without a value can have any type. So a column must hold one kind of
    values in all batches, numbers or texts or dates, of any type; a column without a value in a
    batch has type Null there. `joined` can join the batches returned.
    """

    def __init__(self) -> None:
        self._columns: dict[str, None] | None = None
        self._held: dict[str, tuple[ValueKind | pl.DataType, pl.DataType]] = {}
        self._batches = 0
        self._rows = 0

    def match(self, batch: pl.DataFrame) -> pl.DataFrame:
        """Return the next batch with the columns of the first, in their order.

        Raises
        ------
        InputError
            For a column that is missing, was not there before, or holds another kind of values;
            or whose name is a pattern.
        """
        self._batches += 1
        columns = dict.fromkeys(batch.columns)
        if self._columns is None:
            self._columns = columns
            for name in columns:
                check_name(name)
        if columns.keys() != self._columns.keys():
            lacking = [name for name in self._columns if name not in columns]
            added = [name for name in columns if name not in self._columns]
            raise InputError(
                f"{self._where()} has other columns than the first: "
                + (f"it lacks {quoted_list(lacking)}. " if lacking else "")
                + (f"It adds {quoted_list(added)}. " if added else "")
                + "Give batches with the same columns."
            )
        missing = missing_counts(batch)
        matched = batch.select(
            self._matched(batch[name], missing[name] == batch.height) for name in self._columns
        )
        self._rows += batch.height
        return matched

    def _matched(self, values: pl.Series, empty: bool) -> pl.Series:
        name = values.name
        if empty:
            return pl.Series(name, [None] * len(values), dtype=pl.Null)
        kind, dtype = _kind(values), values.dtype
        known, before = self._held.setdefault(name, (kind, dtype))
        if kind != known:
            raise InputError(
                f"{self._where()} holds values of type {dtype} in column {quoted(name)}, but "
                f"{before} stood there before. Give the column one type throughout, or leave it "
                "out."
            )
        if dtype != _plain(dtype):  # which times far off would not survive
            check_times(values, self._rows)
        return values.cast(_plain(dtype))

    def _where(self) -> str:
        return f"batch {self._batches} of the table (from row {self._rows} on; the first is row 0)"


def joined(frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Return matched batches, at least one, as one frame."""
    return pl.concat(frames, how="vertical_relaxed")


def _kind(values: pl.Series) -> ValueKind | pl.DataType:
    try:
        return ValueKind.of(values) or values.dtype
    except InputError:
        return values.dtype  # not to be learned; that is said where columns are learned


def _plain(dtype: pl.DataType) -> pl.DataType:
    """Return a type that joins with the other types of its kind without loss.

    Of two units of time Polars takes the coarser; two Enums, and Decimals of unlike places, have no
    common type. Decimals are learned as floats anyway.
    """
    if isinstance(dtype, pl.Datetime):
        return pl.Datetime("us", dtype.time_zone)
    if isinstance(dtype, pl.Duration):
        return pl.Duration("us")
    if isinstance(dtype, pl.Decimal):
        return pl.Float64()
    return pl.String() if isinstance(dtype, pl.Enum) else dtype
