"""What users hold as a table, as a Polars frame."""

from typing import Any

import numpy as np
import polars as pl

from advae.errors import InputError


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
        names = [f"column_{position}" for position in range(data.shape[1])]
        return pl.DataFrame(np.ascontiguousarray(data), schema=names, orient="row")
    if type(data).__module__.split(".")[0] == "pandas":
        return _from_pandas(data)
    if not (hasattr(data, "__arrow_c_stream__") or isinstance(data, dict)):
        raise InputError(
            f"cannot read a table from {type(data).__name__}; give a Polars or pandas frame, a "
            "two-dimensional NumPy array, or an Arrow table"
        )
    try:
        return pl.DataFrame(data)
    except (pl.exceptions.PolarsError, TypeError, ValueError) as error:
        raise InputError(f"cannot read the table: {error}") from None


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
    kind = column.dtype.kind if isinstance(column.dtype, np.dtype) else "extension"
    if kind in "biufmM":
        return pl.Series(name, column.to_numpy())
    missing = column.isna().to_numpy()
    values = [None if m else v for m, v in zip(missing, column.tolist(), strict=True)]
    try:
        return pl.Series(name, values)
    except (pl.exceptions.PolarsError, TypeError) as error:
        raise InputError(
            f"column {name!r} mixes types ({error}); convert it to one, for instance with "
            "astype(str)"
        ) from None
