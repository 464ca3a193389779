"""What users hold as a table, as a Polars frame."""

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np
import polars as pl

from advae.errors import InputError
from advae.processes import check_process
from advae.values import quoted, quoted_list


def as_frame(data: Any) -> pl.DataFrame:
    """Return a table as a Polars frame, without copying where the types allow it.

    Parameters
    ----------
    data
        A Polars frame, lazy or not; a pandas frame; anything with the Arrow capsule interface;
        a mapping of columns; or a two-dimensional NumPy array, shape (rows, columns), whose
        columns are called ``column_0``, ``column_1`` and so on.

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
    if isinstance(data, np.ndarray):
        if data.ndim != 2:
            raise InputError(
                f"the array has shape {data.shape}; expected two dimensions, (rows, columns): "
                "reshape(-1, 1) makes a column, reshape(1, -1) a row"
            )
        return pl.DataFrame([_column(f"column_{i}", data[:, i]) for i in range(data.shape[1])])
    if type(data).__module__.split(".")[0] == "pandas":
        return _from_pandas(data)
    if not (hasattr(data, "__arrow_c_stream__") or isinstance(data, dict)):
        raise InputError(
            f"cannot read a table from {type(data).__name__}; give a Polars or pandas frame, a "
            "two-dimensional NumPy array, an Arrow table, or a list or iterator of such batches"
        )
    try:
        return pl.DataFrame(data)
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
    return map(as_frame, data if isinstance(data, Iterator | list | tuple) else [data])


def kept_columns(frame: pl.DataFrame, keep: Sequence[str], taken: Sequence[str]) -> list[pl.Series]:
    """Return columns to carry along, once each.

    Raises
    ------
    InputError
        For a column that the frame lacks, or whose name is among those taken.
    """
    for name in keep:
        if name not in frame.columns:
            raise InputError(
                f"no column {quoted(name)} in the data; it has {quoted_list(frame.columns)}"
            )
        if name in taken:
            raise InputError(
                f"column {name!r} cannot be kept: the output has a column of that name; rename it"
            )
    return [frame[name] for name in dict.fromkeys(keep)]


def without_columns(frame: pl.DataFrame, ignored: Collection[str]) -> pl.DataFrame:
    """Return a frame without columns that are not to be learned; ``InputError`` if it lacks one."""
    for name in ignored:
        if name not in frame.columns:
            raise InputError(
                f"column {quoted(name)}, to be ignored, is not among {quoted_list(frame.columns)}"
            )
    return frame.drop(ignored)


def _from_pandas(data: Any) -> pl.DataFrame:
    # Column by column through NumPy: Polars' own conversion needs pyarrow for text.
    if getattr(data, "ndim", 0) != 2:
        raise InputError("expected a pandas DataFrame; to_frame() makes one of a Series")
    names = [str(name) for name in data.columns]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"column {twice[0]!r} occurs more than once; rename one of them")
    return pl.DataFrame(
        [_from_pandas_column(name, data.iloc[:, i]) for i, name in enumerate(names)]
    )


def _from_pandas_column(name: str, column: Any) -> pl.Series:
    if isinstance(column.dtype, np.dtype) and column.dtype.kind != "O":
        return _column(name, column.to_numpy())
    missing = column.isna().to_numpy()
    return _from_objects(name, [None if m else v for m, v in zip(missing, column, strict=True)])


def _column(name: str, values: np.ndarray) -> pl.Series:
    """Return one column of a NumPy array; values under a mask are missing."""
    if isinstance(values, np.ma.MaskedArray):
        hidden = pl.Series(np.ma.getmaskarray(values))
        shown = _column(name, np.asarray(values.data))
        return pl.select(pl.when(~hidden).then(shown).alias(name)).to_series()
    kind = values.dtype.kind
    if kind == "O":
        return _from_objects(name, values.tolist())
    if kind in "mM" and np.datetime_data(values.dtype)[0] not in ("D", "ms", "us", "ns"):
        values = values.astype(f"{kind}8[us]")  # a unit that Polars has
    if kind not in "biufmMUST":
        raise InputError(
            f"column {name!r} has NumPy type {values.dtype}; expected numbers, true/false, text or "
            "times"
        )
    return pl.Series(name, np.ascontiguousarray(values))


def _from_objects(name: str, values: list[Any]) -> pl.Series:
    present = [v for v in values if v is not None]
    if any(isinstance(v, float) for v in present) and all(_is_number(v) for v in present):
        values = [None if v is None else float(v) for v in values]
    try:
        column = pl.Series(name, values)
    except (pl.exceptions.PolarsError, TypeError, OverflowError):
        column = pl.Series(name, values, dtype=pl.Object)
    if column.dtype == pl.Object:
        found = ", ".join(sorted({type(v).__name__ for v in present}))
        raise InputError(
            f"column {name!r} mixes {found}; convert it to one type, for instance with astype(str)"
        )
    return column


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)
