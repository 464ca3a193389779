"""The kinds of column a table can have: how each becomes numbers near [0, 1], and back.

A column becomes one or more encoded columns. Each of those either varied in training, and then
holds values in [0, 1] for training rows, or was fixed, and then is 0 for every training row and 1
for a row unlike all of them: another value in a constant column, a missing value where training
had none, a new category where training had no rare ones.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from advae.errors import InputError
from advae.tables.profile import Profile
from advae.tables.values import (
    DAY,
    HASH_BUCKETS,
    TIMES,
    YEAR,
    FloatArray,
    Reading,
    equals,
    is_missing,
    respelled,
    to_buckets,
    to_numbers,
    to_truths,
    truths_among,
)
from advae.variables import Variable

Encoded = NDArray[np.float32]

LIMIT = 1e9
"""Scaled values stop here, so that the squares and sums of float32 scores stay finite."""


def check(holds: bool, name: str) -> None:
    """Refuse a column whose stored state contradicts itself; only a damaged model has one."""
    if not holds:
        raise InputError(f"the stored state of column {name!r} is inconsistent")


@dataclass(frozen=True, kw_only=True)
class Column(ABC):
    """One column of the user's table.

    Attributes
    ----------
    name
        The user's name for it.
    profile
        Its training values in brief.
    """

    kind: ClassVar[str]

    name: str
    profile: Profile

    @property
    @abstractmethod
    def fixed(self) -> tuple[bool, ...]:
        """For each encoded column, whether it was 0 in every training row."""

    @abstractmethod
    def encode(self, values: pl.Series, into: Sequence[Encoded], first_row: int) -> None:
        """Write ``values`` [n] into the encoded columns, each [n]; may raise `InputError`."""

    @abstractmethod
    def decode(self, encoded: Encoded) -> pl.Series:
        """Turn encoded columns [n, k] into the user's units [n]; null where missing."""

    @abstractmethod
    def variables(self, places: tuple[int, ...]) -> tuple[Variable, ...]:
        """Return the values that its encoded columns, at these places of a row, hold."""

    @property
    def spanned(self) -> tuple[bool, ...]:
        """For each encoded column, whether the rows of training gave it its range."""
        return (True,) * len(self.fixed)

    @property
    def csv_dtype(self) -> pl.DataType:
        """The type to read a text file's column as; texts unless a number is sure."""
        return pl.String()

    @property
    def frequencies(self) -> dict[str, int]:
        """Training rows per category, bucket or truth value; empty for other kinds."""
        return {}

    @property
    def missing_is_new(self) -> bool:
        """Whether training had no missing value in this column."""
        return self.profile.missing == 0


@dataclass(frozen=True)
class Scale:
    """The straight line that takes ``low`` to 0 and ``high`` to 1, the training range."""

    low: float
    high: float

    def __post_init__(self) -> None:
        check(np.isfinite(self.low) and np.isfinite(self.high) and self.low < self.high, "scale")

    @cached_property
    def _factor(self) -> float:
        # The difference of two huge numbers overflows, that of their halves does not; halving
        # everything would lose the last bit of the tiniest.
        return 0.5 if max(abs(self.low), abs(self.high)) > 1e300 else 1.0

    def apply(self, numbers: FloatArray) -> FloatArray:
        """Scale ``numbers`` [n]; beyond the range they go on past 0 and 1, up to ±`LIMIT`."""
        factor, low, high = self._factor, self.low * self._factor, self.high * self._factor
        with np.errstate(over="ignore"):
            scaled = numbers * factor if factor != 1.0 else numbers
            scaled = (scaled - low) / (high - low)
        return np.clip(scaled, -LIMIT, LIMIT, out=scaled)

    def invert(self, scaled: Encoded) -> FloatArray:
        """Undo `apply`; a value beyond float64 becomes its greatest."""
        factor, low, high = self._factor, self.low * self._factor, self.high * self._factor
        with np.errstate(over="ignore"):
            numbers = (low + scaled.astype(np.float64) * (high - low)) / factor
        return np.nan_to_num(numbers)


@dataclass(frozen=True, kw_only=True)
class NumberColumn(Column):
    """A column of numbers, scaled by the training range; a missing one takes the median."""

    kind = "number"

    scale: Scale
    median: float

    def __post_init__(self) -> None:
        check(self.scale.low <= self.median <= self.scale.high, self.name)

    @property
    def fixed(self) -> tuple[bool, ...]:
        """The number varied; the mark of a missing one perhaps."""
        return False, self.missing_is_new

    def variables(self, places: tuple[int, ...]) -> tuple[Variable, ...]:
        """Return the number."""
        return (Variable("number", places[:1], places[1]),)

    def encode(self, values: pl.Series, into: Sequence[Encoded], first_row: int) -> None:
        """Scale the numbers, and mark the missing ones."""
        numbers = to_numbers(values, first_row)
        into[0][:] = self.scale.apply(numbers)
        missing = np.isnan(numbers)
        into[1][:] = missing
        if missing.any():
            into[0][missing] = self.scale.apply(np.array([self.median]))[0]

    def decode(self, encoded: Encoded) -> pl.Series:
        """Return the numbers."""
        return without_missing(pl.Series(self.name, self.scale.invert(encoded[:, 0])), encoded)

    @property
    def csv_dtype(self) -> pl.DataType:
        """Numbers, whole or not."""
        return pl.Float64()


@dataclass(frozen=True, kw_only=True)
class BooleanColumn(Column):
    """A column of true and false; a missing one takes the training share of true."""

    kind = "boolean"

    def __post_init__(self) -> None:
        check(len(self.profile.counts) == 2 and min(self.profile.counts) > 0, self.name)

    @property
    def fixed(self) -> tuple[bool, ...]:
        """The truth varied; the mark of a missing one perhaps."""
        return False, self.missing_is_new

    def variables(self, places: tuple[int, ...]) -> tuple[Variable, ...]:
        """Return the truth."""
        return (Variable("truth", places[:1], places[1]),)

    def encode(self, values: pl.Series, into: Sequence[Encoded], first_row: int) -> None:
        """Write 1 for true and 0 for false, and mark the missing ones."""
        truths = to_truths(values, first_row)
        missing = np.isnan(truths)
        share = self.profile.counts[1] / sum(self.profile.counts)
        into[0][:] = np.where(missing, share, truths)
        into[1][:] = missing

    def decode(self, encoded: Encoded) -> pl.Series:
        """Return true from 0.5 up."""
        return without_missing(pl.Series(self.name, encoded[:, 0] >= 0.5), encoded)

    @property
    def frequencies(self) -> dict[str, int]:
        """Training rows with false and with true."""
        return dict(zip(("false", "true"), self.profile.counts, strict=True))


@dataclass(frozen=True, kw_only=True)
class ConstantColumn(Column):
    """A column with one value, or none, in training: any other value is new.

    ``value`` is a number (instants in microseconds, false and true as 0 and 1), a text, or None
    where training had only missing values.
    """

    kind = "constant"

    reading: Reading
    value: float | str | None

    def __post_init__(self) -> None:
        check(isinstance(self.value, str | None) or np.isfinite(self.value), self.name)
        texts = self.reading.like == "text"
        check(self.value is None or isinstance(self.value, str) == texts, self.name)

    @property
    def fixed(self) -> tuple[bool, ...]:
        """Other values never occurred; missing ones perhaps."""
        # Missing values that training never had need no column apart: they differ too.
        return (True,) if self.value is None or self.missing_is_new else (True, False)

    def variables(self, places: tuple[int, ...]) -> tuple[Variable, ...]:
        """Return whether there is another value."""
        return (Variable("truth", places[:1], places[1] if len(places) > 1 else None),)

    def encode(self, values: pl.Series, into: Sequence[Encoded], first_row: int) -> None:
        """Mark the values that differ from the only one of training."""
        if self.value is None:
            into[0][:] = ~is_missing(values).to_numpy()
            return
        if self.reading.like == "text":
            truths = truths_among([str(self.value)])
            texts = respelled(self.reading.texts(values, first_row), truths)
            missing, equal = texts.is_null().to_numpy(), texts.eq_missing(self.value).to_numpy()
        else:
            numbers = self.reading.numbers(values, first_row)
            missing, equal = np.isnan(numbers), equals(numbers, float(self.value))
        if self.missing_is_new:
            into[0][:] = ~equal
        else:
            into[0][:] = ~(equal | missing)
            into[1][:] = missing

    def decode(self, encoded: Encoded) -> pl.Series:
        """Return the only value of training, or null where another is expected."""
        if self.value is None or isinstance(self.value, str):
            constant = pl.Series(self.name, [self.value], dtype=pl.String)
        else:
            constant = self.reading.show(self.name, np.array([self.value]))
        absent = (encoded > 0.5).any(axis=1)  # neither another value nor a missing one is known
        return constant.new_from_index(0, len(encoded)).set(pl.Series(absent), None)

    @property
    def csv_dtype(self) -> pl.DataType:
        """The type of training's value."""
        return self.reading.csv_dtype


def without_missing(values: pl.Series, encoded: Encoded) -> pl.Series:
    """Replace by null what the last encoded column, the one for missing values, marks so."""
    return values.set(pl.Series(encoded[:, -1] > 0.5), None)


CYCLES = {"day": DAY, "week": 7 * DAY, "year": YEAR}

SECOND = 1e6
LONG = 100 * SECOND
"""Microseconds from which on a fraction of a second tells nothing."""


@dataclass(frozen=True, kw_only=True)
class TimeColumn(Column):
    """A column of instants: their position in the training range, and where they fall in cycles.

    Each cycle gives a sine and a cosine, moved to [0, 1].
    """

    kind = "time"

    reading: Reading
    scale: Scale
    median: float
    cycles: tuple[str, ...]

    def __post_init__(self) -> None:
        check(self.scale.low <= self.median <= self.scale.high, self.name)
        check(self.reading.like in TIMES and set(self.cycles) <= set(CYCLES), self.name)

    @property
    def fixed(self) -> tuple[bool, ...]:
        """Position and cycles varied; the mark of a missing time perhaps."""
        return *(False,) * (1 + 2 * len(self.cycles)), self.missing_is_new

    @property
    def spanned(self) -> tuple[bool, ...]:
        """A day is a day, whatever the rows."""
        return True, *(False,) * (2 * len(self.cycles)), True

    def variables(self, places: tuple[int, ...]) -> tuple[Variable, ...]:
        """Return the position, and the place in each cycle."""
        first = len(places) - 1 - 2 * len(self.cycles)
        found = [Variable("number", places[:1], places[-1])] if first else []
        for number, cycle in enumerate(self.cycles):
            own = places[first + 2 * number : first + 2 * number + 2]
            found.append(Variable("weekday" if cycle == "week" else "phase", own, places[-1]))
        return tuple(found)

    def encode(self, values: pl.Series, into: Sequence[Encoded], first_row: int) -> None:
        """Place the times in the training range and in their cycles."""
        instants = self.reading.numbers(values, first_row)
        missing = np.isnan(instants)
        instants = np.where(missing, self.median, instants)
        into[0][:] = self.scale.apply(instants)
        for number, cycle in enumerate(self.cycles):
            # Weeks and years turn by whole days: the time of day has a cycle of its own.
            moment = instants if cycle == "day" else instants // DAY * DAY
            angle = 2 * np.pi * (moment % CYCLES[cycle] / CYCLES[cycle])
            into[1 + 2 * number][:] = (1 + np.sin(angle)) / 2
            into[2 + 2 * number][:] = (1 + np.cos(angle)) / 2
        into[-1][:] = missing

    def decode(self, encoded: Encoded) -> pl.Series:
        """Return the times at their positions, moved to the weekday and the time of day."""
        instants = self.scale.invert(encoded[:, 0])
        if self.cycles:
            clock = np.full(len(instants), self.scale.low % DAY)  # as ever, if it has no cycle
            if "day" in self.cycles:
                clock = self._phase("day", encoded)
            days = np.rint((instants - clock) / DAY)
            if "week" in self.cycles:
                days += (np.rint(self._phase("week", encoded) / DAY) - days + 3) % 7 - 3
            instants = clock if self.reading.like == "time" else days * DAY + clock
        return without_missing(self.show(instants), encoded)

    def _phase(self, cycle: str, encoded: Encoded) -> FloatArray:
        """Return how far into a cycle the times of encoded columns are, in microseconds."""
        place = 1 + 2 * self.cycles.index(cycle)
        sine, cosine = 2.0 * encoded[:, place : place + 2].T.astype(np.float64) - 1.0
        phase: FloatArray = np.arctan2(sine, cosine) / (2 * np.pi) % 1.0 * CYCLES[cycle]
        return phase

    def show(self, instants: FloatArray) -> pl.Series:
        """Return instants [n] in the user's units, without fractions of a second that tell nothing.

        Those of a long duration, and of a moment where training spans a long time.
        """
        moment = self.reading.like != "duration"
        size = self.scale.high - self.scale.low if moment else np.abs(instants)
        whole = np.rint(instants / SECOND) * SECOND
        if self.reading.like == "time":
            whole = np.minimum(whole, DAY - SECOND)
        return self.reading.show(self.name, np.where(size < LONG, instants, whole))


RARE = "(rare or unseen)"


@dataclass(frozen=True, kw_only=True)
class CategoryColumn(Column):
    """A column of categories: one encoded column for each frequent one, one for all others."""

    kind = "category"

    categories: tuple[str, ...]

    def __post_init__(self) -> None:
        check(len(set(self.categories)) == len(self.profile.counts) > 0, self.name)
        check(len(self.categories) == len(self.profile.counts) and self.rare >= 0, self.name)

    @property
    def rare(self) -> int:
        """Training rows with a value too rare for an encoded column of its own."""
        return self.profile.rows - self.profile.missing - sum(self.profile.counts)

    @property
    def fixed(self) -> tuple[bool, ...]:
        """Each frequent category varied; rare and missing ones perhaps."""
        return *(False,) * len(self.categories), self.rare == 0, self.missing_is_new

    @cached_property
    def _enum(self) -> pl.Enum:
        return pl.Enum(self.categories)

    @cached_property
    def _truths(self) -> dict[str, str]:
        return truths_among(self.categories)

    def variables(self, places: tuple[int, ...]) -> tuple[Variable, ...]:
        """Return the category."""
        return (Variable("category", places[:-1], places[-1]),)

    def encode(self, values: pl.Series, into: Sequence[Encoded], first_row: int) -> None:
        """Mark the category of each row, or that it is rare, unseen or missing."""
        texts = respelled(Reading("text").texts(values, first_row), self._truths)
        other, missing = len(self.categories), len(self.categories) + 1
        codes = texts.cast(self._enum, strict=False).to_physical().cast(pl.UInt16).fill_null(other)
        codes_or_missing = codes.set(texts.is_null(), missing).to_numpy()
        for code, column in enumerate(into):
            column[:] = codes_or_missing == code

    def decode(self, encoded: Encoded) -> pl.Series:
        """Return the likeliest category."""
        names = pl.Series([*self.categories, RARE])
        chosen = names.gather(encoded[:, :-1].argmax(axis=1)).alias(self.name)
        return without_missing(chosen, encoded)

    @property
    def frequencies(self) -> dict[str, int]:
        """Training rows per category, the rare ones together."""
        rare = {RARE: self.rare} if self.rare else {}
        return dict(zip(self.categories, self.profile.counts, strict=True)) | rare


@dataclass(frozen=True, kw_only=True)
class HashedColumn(Column):
    """A column with many different texts or numbers, spread over `HASH_BUCKETS` by a hash."""

    kind = "hash"

    reading: Reading

    def __post_init__(self) -> None:
        check(len(self.profile.counts) == HASH_BUCKETS, self.name)

    @property
    def fixed(self) -> tuple[bool, ...]:
        """Buckets that training left empty, and missing values perhaps."""
        return *(count == 0 for count in self.profile.counts), self.missing_is_new

    def variables(self, places: tuple[int, ...]) -> tuple[Variable, ...]:
        """Return the bucket."""
        return (Variable("bucket", places[:-1], places[-1]),)

    def encode(self, values: pl.Series, into: Sequence[Encoded], first_row: int) -> None:
        """Mark the bucket of each row, or that its value is missing."""
        buckets = to_buckets(self.reading.texts(values, first_row))
        for bucket, column in enumerate(into[:-1]):
            column[:] = buckets == bucket
        into[-1][:] = buckets < 0

    def decode(self, encoded: Encoded) -> pl.Series:
        """Return the likeliest bucket."""
        names = pl.Series([f"(hash bucket {bucket})" for bucket in range(HASH_BUCKETS)])
        chosen = names.gather(encoded[:, :-1].argmax(axis=1)).alias(self.name)
        return without_missing(chosen, encoded)

    @property
    def csv_dtype(self) -> pl.DataType:
        """The type of training's values."""
        return self.reading.csv_dtype

    @property
    def frequencies(self) -> dict[str, int]:
        """Training rows per bucket."""
        return {f"(hash bucket {bucket})": n for bucket, n in enumerate(self.profile.counts)}
