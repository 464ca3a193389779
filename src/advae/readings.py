"""How a column's values are to be read: the part of its type that the model keeps."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from advae.errors import ColumnError, InputError
from advae.instants import from_instants, to_instants
from advae.values import (
    DAY,
    FINITE,
    YEAR,
    FloatArray,
    bad_cell,
    quoted,
    to_numbers,
    to_texts,
    to_truths,
    wrong_type,
)

FARTHEST = 250_000 * YEAR
TIMES = ("date", "datetime", "time", "duration")


@dataclass(frozen=True)
class Reading:
    """What kind of values a column holds.

    Attributes
    ----------
    like
        "number", "boolean", "text", or one of `TIMES`.
    zone
        For datetimes, the time zone of the clock; None for clock times as they are written.
    """

    like: str
    zone: str | None = None

    def __post_init__(self) -> None:
        if self.like not in ("number", "boolean", "text", *TIMES):
            raise InputError(f"{self.like!r} is no kind of value")
        if self.zone is not None:
            try:
                pl.Series([0], dtype=pl.Datetime("us")).dt.replace_time_zone(self.zone)
            except pl.exceptions.PolarsError:
                raise InputError(f"the time zone {self.zone!r} is unknown here") from None

    @classmethod
    def of(cls, values: pl.Series) -> "Reading | None":
        """Tell how to read a column from its type; None where the type is not known yet.

        Raises
        ------
        InputError
            For nested, binary and other types that no kind of column can hold.
        """
        dtype = values.dtype
        if isinstance(dtype, pl.Datetime):
            return cls("datetime", dtype.time_zone)
        if dtype.is_numeric():
            return cls("number")
        if type(dtype) not in _LIKES:
            raise wrong_type(values, "numbers, texts, booleans or times")
        like = _LIKES[type(dtype)]
        return None if like is None else cls(like)

    def numbers(self, values: pl.Series, first_row: int) -> FloatArray:
        """Read values [n] other than texts as float64 [n], NaN where missing.

        Raises
        ------
        InputError
            For a value that cannot be read so; row numbers start at ``first_row``.
        """
        if self.like == "number":
            return to_numbers(values, first_row)
        if self.like == "boolean":
            return to_truths(values, first_row)
        _check_calendar(values, first_row)
        return to_instants(values, first_row, like=self.like, zone=self.zone)

    def texts(self, values: pl.Series, first_row: int) -> pl.Series:
        """Read values [n] as texts, null where missing; may raise `InputError`."""
        if self.like == "number":  # through float64, so that it does not matter what held them
            return to_texts(pl.Series(values.name, self.numbers(values, first_row)))
        return to_texts(values)

    def show(self, name: str, numbers: FloatArray) -> pl.Series:
        """Undo `numbers` for finite numbers [n]."""
        if self.like == "number":
            return pl.Series(name, numbers)
        if self.like == "boolean":
            return pl.Series(name, numbers >= 0.5)
        return from_instants(name, numbers, self.like, self.zone)

    @property
    def csv_dtype(self) -> pl.DataType:
        """The type to read a text file's column as, so that a category "001" keeps its zeros."""
        return pl.Float64() if self.like == "number" else pl.String()


def truths_among(known: Iterable[str]) -> dict[str, str]:
    """Return how texts of training spell "true" and "false", each if they do in just one way."""
    spelled: dict[str, list[str]] = {"true": [], "false": []}
    for text in known:
        spelled.get(text.strip().lower(), []).append(text)
    return {word: texts[0] for word, texts in spelled.items() if len(texts) == 1}


def respelled(texts: pl.Series, truths: Mapping[str, str]) -> pl.Series:
    """Spell true and false as training did, see `truths_among`; other texts stay.

    Python writes True where Polars and most files write true, and a boolean is no text at all.
    """
    for word, spelling in truths.items():
        same = texts.str.strip_chars().str.to_lowercase() == word
        texts = texts.set(same.fill_null(value=False), spelling)
    return texts


def check_finite(
    frame: pl.DataFrame, first_row: int, used: NDArray[np.bool_] | None = None
) -> None:
    """Refuse infinite numbers and times; ``used`` [n] marks the rows that count, all when None.

    Raises
    ------
    ColumnError
        For the first one; row numbers start at ``first_row``.
    """
    for values in frame.select(pl.selectors.float()):
        infinite = values.is_infinite()
        if infinite.any():
            bad = infinite.fill_null(value=False).to_numpy()
            bad = bad if used is None else bad & used
            if bad.any():
                raise bad_cell(values, bad, first_row, FINITE)
    for values in frame.select(pl.selectors.date() | pl.selectors.datetime()):
        _check_calendar(values, first_row, used)


def _check_calendar(
    values: pl.Series, first_row: int, used: NDArray[np.bool_] | None = None
) -> None:
    """Refuse times so far off that Polars panics; some databases write infinity so."""
    if isinstance(values.dtype, pl.Datetime):
        unit = {"ms": 1e3, "us": 1.0, "ns": 1e-3}[values.dtype.time_unit]
    elif isinstance(values.dtype, pl.Date):
        unit = DAY
    else:
        return
    far = np.abs(values.to_physical().cast(pl.Float64).to_numpy() * unit) > FARTHEST
    far = far if used is None else far & used
    if far.any():
        raise ColumnError(
            quoted(values.name),
            first_row + int(np.flatnonzero(far)[0]),
            "the time is more than 250,000 years off. Correct the value, or leave it empty.",
        )


_LIKES: dict[type[pl.DataType], str | None] = {
    pl.Boolean: "boolean",
    pl.String: "text",
    pl.Categorical: "text",
    pl.Enum: "text",
    pl.Date: "date",
    pl.Time: "time",
    pl.Duration: "duration",
    pl.Null: None,
}
