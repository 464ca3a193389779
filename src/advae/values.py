"""The user's values as numbers, truth values or texts, or one error that names the cell.

Every function takes one column and gives NaN (or null, for texts) where a value is missing.
Row numbers in errors start at 0 with the first data row, plus the given ``first_row``.
"""

import difflib
from collections.abc import Collection, Iterable
from zlib import crc32

import numpy as np
import polars as pl
from numpy.typing import NDArray

from advae.errors import ColumnError, InputError

FloatArray = NDArray[np.float64]

FINITE = "a finite number"
"""What infinite values are said not to be."""

DAY = 86_400_000_000.0
"""Microseconds in a day. Instants are held as microseconds, which float64 counts exactly for
285 years around 1970 and to within one for far longer."""

YEAR = 365.2425 * DAY
HASH_BUCKETS = 32
CATEGORIES = (pl.Categorical, pl.Enum)


def quoted(value: object) -> str:
    """Show a user's value on one line: escaped, and cut at 40 characters."""
    text = str(value)
    return repr(text if len(text) <= 40 else text[:39] + "…")


def quoted_list(values: Collection[object], limit: int = 10) -> str:
    """Show some of the user's values, at most ``limit`` of them."""
    shown = ", ".join(quoted(value) for value in list(values)[:limit])
    return shown if len(values) <= limit else f"{shown} and {len(values) - limit} more"


def check_columns(wanted: Iterable[str], found: Collection[str], where: str) -> None:
    """Refuse a table or file, called ``where``, that lacks some of the ``wanted`` columns."""
    known = set(found)
    missing = [name for name in wanted if name not in known]
    if not missing:
        return
    near = {name: difflib.get_close_matches(name, found, n=1) for name in missing[:10]}
    hints = [f"{quoted(close[0])} for {quoted(name)}" for name, close in near.items() if close]
    raise InputError(
        f"missing column{'' if len(missing) == 1 else 's'} {quoted_list(missing)}; {where} has "
        f"{quoted_list(found) if found else 'no columns'}. "
        + (f"Did you mean {', '.join(hints)}?" if hints else "Add or rename the columns.")
    )


def bad_cell(values: pl.Series, bad: NDArray[np.bool_], first_row: int, wanted: str) -> ColumnError:
    """Describe the first cell marked in ``bad``; ``wanted`` completes "... is not"."""
    row = int(np.flatnonzero(bad)[0])
    value = "a missing value" if values[row] is None else quoted(values[row])
    return ColumnError(
        quoted(values.name),
        first_row + row,
        f"{value} is not {wanted}. Correct the value, or remove the row.",
    )


def is_missing(values: pl.Series) -> pl.Series:
    """Tell which values are missing: null, or NaN."""
    return (values.fill_nan(None) if values.dtype.is_float() else values).is_null()


def no_values(values: pl.Series, wanted: str) -> pl.Series:
    """Return a column without any value, of whatever type, as one of type Null.

    Where all values of a batch are missing their type is chance: pandas takes them for floats.

    Raises
    ------
    ColumnError
        For a column with a value: it cannot be read as ``wanted``.
    """
    if not is_missing(values).all():
        raise wrong_type(values, wanted)
    return pl.Series(values.name, [None] * len(values), dtype=pl.Null)


def plain_texts(values: pl.Series) -> pl.Series:
    """Return categories as the texts that they are, other values unchanged."""
    return values.cast(pl.String) if isinstance(values.dtype, CATEGORIES) else values


def to_numbers(values: pl.Series, first_row: int = 0) -> FloatArray:
    """Read a column as float64 numbers; null and NaN are both missing and give NaN.

    Parameters
    ----------
    values
        Numbers of any type, booleans (0 and 1), or texts that spell numbers.
    first_row
        The row number of ``values[0]``, for errors.

    Returns
    -------
        float64 [n], finite or NaN. May be a read-only view of ``values``.

    Raises
    ------
    InputError
        For an infinite value, a text that spells no number, or another type.
    """
    values = plain_texts(values)
    dtype = values.dtype
    if dtype == pl.String:
        trimmed = values.str.strip_chars()
        numbers = trimmed.cast(pl.Float64, strict=False)
        misread = (numbers.is_null() & values.is_not_null() & (trimmed != "")).to_numpy()
        if misread.any():
            raise bad_cell(values, misread, first_row, "a number, but training had numbers here")
    elif dtype.is_numeric() or dtype == pl.Boolean:
        numbers = values.cast(pl.Float64)
    else:
        numbers = no_values(values, "numbers").cast(pl.Float64)
    array: FloatArray = numbers.to_numpy()
    if not np.isfinite(array).all():
        infinite = np.isinf(array)
        if infinite.any():
            raise bad_cell(values, infinite, first_row, FINITE)
    return array


def to_truths(
    values: pl.Series,
    first_row: int = 0,
    *,
    true: Collection[str] = ("true", "1"),
    false: Collection[str] = ("false", "0"),
    wanted: str = "true or false (or 1 or 0)",
) -> FloatArray:
    """Read a column as truth values: 1 for true, 0 for false, NaN where missing.

    Parameters
    ----------
    values
        Booleans, the numbers 0 and 1, or texts among ``true`` and ``false``.
    first_row
        The row number of ``values[0]``, for errors.
    true, false
        Accepted spellings in lower case; case and outer blanks in ``values`` do not count.
    wanted
        What the error says was expected.

    Raises
    ------
    InputError
        For any other value.
    """
    values = plain_texts(values)
    if values.dtype == pl.String:
        words = values.str.strip_chars().str.to_lowercase()
        known = words.is_in(list(true)).cast(pl.Float64)
        truths = known.set(~words.is_in([*true, *false]) & (words != ""), 2.0)
        array: FloatArray = truths.set(words == "", None).to_numpy()
    elif values.dtype.is_numeric() or values.dtype == pl.Boolean:
        array = values.cast(pl.Float64).to_numpy()
    else:
        array = no_values(values, wanted).cast(pl.Float64).to_numpy()
    bad = ~(np.isnan(array) | (array == 0) | (array == 1))
    if bad.any():
        raise bad_cell(values, bad, first_row, wanted)
    return array


def to_texts(values: pl.Series) -> pl.Series:
    """Read a column of texts, categories, numbers, booleans or times as texts, null where missing.

    Whole numbers are spelled without a point: tools that hold missing integers as floats turn the
    category 1 into 1.0, and databases into 1.00. Durations are spelled like "3d 04:05:06.25".

    Raises
    ------
    InputError
        For nested and binary values.
    """
    dtype = values.dtype
    if dtype.is_nested() or dtype in (pl.Binary, pl.Object):
        return no_values(values, "texts").cast(pl.String)
    if dtype.is_float():
        return values.fill_nan(None).cast(pl.String).str.strip_suffix(".0")
    if isinstance(dtype, pl.Decimal) and dtype.scale:
        return values.cast(pl.String).str.strip_chars_end("0").str.strip_suffix(".")
    if isinstance(dtype, pl.Duration):  # the only type that Polars does not cast
        length = pl.lit(values).dt.total_microseconds()
        sign = pl.when(length < 0).then(pl.lit("-")).otherwise(pl.lit(""))
        clock = (length.abs() % int(DAY) * 1000).cast(pl.Time).dt.to_string("%T%.f")
        days = length.abs() // int(DAY)
        whole = pl.when(days > 0).then(pl.format("{}d ", days)).otherwise(pl.lit(""))
        return pl.select(pl.format("{}{}{}", sign, whole, clock)).to_series().alias(values.name)
    return values if dtype == pl.String else values.cast(pl.String)


def to_buckets(texts: pl.Series) -> NDArray[np.int64]:
    """Spread texts over `HASH_BUCKETS` buckets by their CRC-32, the same everywhere and for ever.

    Returns
    -------
        int64 [n], 0 to `HASH_BUCKETS` - 1; -1 where missing.
    """
    distinct = texts.drop_nulls().unique()
    buckets = [crc32(text.encode()) % HASH_BUCKETS for text in distinct]
    known = pl.DataFrame({"text": distinct, "bucket": pl.Series(buckets, dtype=pl.Int64)})
    found = texts.to_frame("text").join(known, on="text", how="left", maintain_order="left")
    return found["bucket"].fill_null(-1).to_numpy()


def equals(numbers: FloatArray, value: float) -> NDArray[np.bool_]:
    """Tell which numbers are a value, also where one of the two was stored in single precision."""
    equal: NDArray[np.bool_] = numbers == value
    single = np.float32(value)
    # Whole numbers, and microseconds, are told apart to the last digit; what is tiny becomes 0.
    if single and not value.is_integer():
        with np.errstate(over="ignore"):
            equal |= numbers.astype(np.float32) == single
    return equal


def wrong_type(values: pl.Series, wanted: str) -> ColumnError:
    """Say that a column holds values of a type that cannot be read as ``wanted``."""
    return ColumnError(
        quoted(values.name),
        None,
        f"holds values of type {values.dtype}; expected {wanted}. "
        "Convert the column, or leave it out with --ignore when fitting.",
    )
