"""The kinds of column a table can have: how each becomes numbers near [0, 1], and back.

A column becomes one or more encoded columns. Each of those either varied in training, and then
holds values in [0, 1] for training rows, or was fixed, and then is 0 for every training row and 1
for a row unlike all of them: another value in a constant column, a missing value where training
had none, a new category where training had no rare ones.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from advae.display.text import count
from advae.errors import InputError, quoted
from advae.tables.profile import QUANTILE_LEVELS, RESERVOIR_SIZE, Profile
from advae.tables.values import (
    DAY,
    HASH_BUCKETS,
    TIMES,
    YEAR,
    FloatArray,
    ValueKind,
    equals,
    is_missing,
    misreading,
    respelled,
    to_buckets,
    to_numbers,
    to_truths,
    truths_among,
)

Encoded = NDArray[np.float32]

SINGLE = "One value in every training row; a row with another scores higher"
EMPTY = "Missing in every training row; a row with a value scores higher"
HASHED = f"Hashed into {HASH_BUCKETS} buckets; explanations name a bucket, not a value"
DATED = "Dated; a row before or after the training period scores higher"
CAUTIONS = (SINGLE, EMPTY, HASHED, DATED)
"""What the user should know of some kinds of column, in the order in which it is said."""

RARE_SHARE = 0.001
"""A category on fewer than 2 training rows, or fewer than this share of them, counts as rare."""


def least_frequent(rows: int) -> float:
    """Return how many of the training rows a category takes at least, not to count as rare."""
    return max(2.0, RARE_SHARE * rows)


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

    @property
    def spanned(self) -> tuple[bool, ...]:
        """For each encoded column, whether the rows of training gave it its range."""
        return (True,) * len(self.fixed)

    @property
    def csv_dtype(self) -> pl.DataType:
        """The type to read a text file's column as; texts unless a number is sure."""
        return pl.String()

    @property
    def missing_is_new(self) -> bool:
        """Whether training had no missing value in this column."""
        return self.profile.missing == 0

    @abstractmethod
    def typical(self) -> Encoded:
        """Return the middle or most frequent value of training, encoded, [k]."""

    def possible(self, expected: Encoded) -> Encoded:
        """Turn averages [n, k], half one category and half another, into values that can be."""
        return self._encoded(self.decode(np.ascontiguousarray(expected)))

    def as_shown(self, expected: Encoded) -> Encoded:
        """Return [n, k] encoded anew where the value shown lies elsewhere than ``expected``."""
        return expected

    def _encoded(self, values: pl.Series) -> Encoded:
        part = np.empty((len(values), len(self.fixed)), np.float32)
        self.encode(values, list(part.T), 0)
        return part

    @property
    def caution(self) -> str:
        """What the user should know of this kind of column, one of `CAUTIONS`; or nothing."""
        return ""

    @property
    def misread(self) -> str:
        """What categories seem to be instead, and what to do; nothing if they are categories."""
        return ""

    @property
    def only_value(self) -> str:
        """The only value of training, as errors show values; nothing if it had none or several."""
        return ""

    @property
    def scaled(self) -> "ScaledColumn | None":
        """The column itself if its values have an order and are scaled; None for other kinds."""
        return None

    @property
    def groups(self) -> tuple[tuple[str, int], ...]:
        """Each category, bucket or truth value, and its training rows; empty where scaled."""
        return ()

    def group_of(self, encoded: Encoded) -> NDArray[np.intp]:
        """Return the position in `groups` of each row [n]; their number for a missing value."""
        return np.asarray(encoded.argmax(axis=1))

    @abstractmethod
    def strange(self, encoded: Encoded) -> NDArray[np.bool_]:
        """Return which rows [n] hold a value unlike those that training knew."""

    @property
    def strange_expected(self) -> float:
        """Share of strange values that further rows like training's would have."""
        return (self._nearly_strange + 1) / (self.profile.rows + 1)

    @property
    @abstractmethod
    def _nearly_strange(self) -> int:
        """How many training rows would be strange to all others, as a new row can be."""

    @property
    def rare(self) -> int:
        """Training rows with a value too rare for an encoded column of its own."""
        return 0

    @property
    def marks_missing(self) -> bool:
        """Whether encoded rows tell a missing value from another one that is new."""
        return True

    @property
    def known_values(self) -> tuple[str, str]:
        """What training knew, in words, and the words before values that came since; or nothing."""
        return "", ""


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
class ScaledColumn(Column):
    """A column of values in an order, scaled by the training range; a missing one is the median."""

    scale: Scale
    median: float

    def __post_init__(self) -> None:
        check(self.scale.low <= self.median <= self.scale.high, self.name)

    @abstractmethod
    def numbers(self, values: pl.Series, first_row: int = 0) -> FloatArray:
        """Read ``values`` [n] as what is scaled, NaN where missing; may raise `InputError`."""

    @abstractmethod
    def show(self, numbers: FloatArray) -> pl.Series:
        """Undo `numbers` for finite numbers [n]."""

    def typical(self) -> Encoded:
        """Return the median, encoded."""
        typical: Encoded = self._encoded(self.show(np.array([self.median])))[0]
        return typical

    @property
    def scaled(self) -> "ScaledColumn":
        """The column itself."""
        return self

    def strange(self, encoded: Encoded) -> NDArray[np.bool_]:
        """Return which values lie outside the training range."""
        place = encoded[:, 0]
        return np.asarray((encoded[:, -1] <= 0.5) & ((place < 0) | (place > 1)))

    @property
    def _nearly_strange(self) -> int:
        """Of n + 1 rows like one another, the last is the least or greatest by chance 2/(n+1)."""
        return 1

    @property
    def directions(self) -> tuple[str, str]:
        """What a greater and a lesser value are called."""
        return "higher", "lower"

    @property
    def shared_digits(self) -> int:
        """How many leading digits all numbers of training share, beyond which they differ."""
        return 0

    @property
    def calendar_cycles(self) -> tuple[str, ...]:
        """The cycles that dates are placed in, each with a sine and a cosine."""
        return ()

    def leading_cycle(self, added: Encoded) -> str | None:
        """Return the cycle of a date that adds more to a score than its position, if one does.

        Parameters
        ----------
        added
            What each encoded column adds, [k].
        """
        if not self.calendar_cycles:
            return None
        by_cycle = added[1:-1].reshape(-1, 2).sum(axis=1)
        return self.calendar_cycles[int(by_cycle.argmax())] if by_cycle.max() > added[0] else None


TOLERANCE = 1e-6
"""How far from a whole number a quantile of whole numbers may be computed to lie."""


@dataclass(frozen=True, kw_only=True)
class NumberColumn(ScaledColumn):
    """A column of numbers."""

    kind = "number"

    @property
    def fixed(self) -> tuple[bool, ...]:
        """The number varied; the mark of a missing one perhaps."""
        return False, self.missing_is_new

    def encode(self, values: pl.Series, into: Sequence[Encoded], first_row: int) -> None:
        """Scale the numbers, and mark the missing ones."""
        numbers = self.numbers(values, first_row)
        into[0][:] = self.scale.apply(numbers)
        missing = np.isnan(numbers)
        into[1][:] = missing
        if missing.any():
            into[0][missing] = self.scale.apply(np.array([self.median]))[0]

    def decode(self, encoded: Encoded) -> pl.Series:
        """Return the numbers."""
        return without_missing(self.show(self.scale.invert(encoded[:, 0])), encoded)

    def numbers(self, values: pl.Series, first_row: int = 0) -> FloatArray:
        """Read numbers; see `to_numbers`."""
        return to_numbers(values, first_row)

    def show(self, numbers: FloatArray) -> pl.Series:
        """Return the numbers as a column."""
        return pl.Series(self.name, numbers)

    def possible(self, expected: Encoded) -> Encoded:
        """Round the number where training had whole ones only."""
        values = self.decode(np.ascontiguousarray(expected))
        return self._encoded(values.round() if self.whole else values)

    @cached_property
    def whole(self) -> bool:
        """Whether the numbers of training were whole, as their quantiles tell.

        Between two neighbours in order, a quantile lies on a straight line: at a known part of the
        way from one whole number to another, and that is no further than to the next quantiles.
        """
        profile, quantiles = self.profile, np.array(self.profile.quantiles)
        known = min(profile.rows - profile.missing, RESERVOIR_SIZE)
        part = QUANTILE_LEVELS * (known - 1) % 1
        with np.errstate(over="ignore"):
            room = np.append(quantiles[1:], np.inf) - np.append(-np.inf, quantiles[:-1])
        # Numbers that are all tiny are whole to within the tolerance, but differ by less than 1.
        apart = self.scale.high - self.scale.low >= 1
        # As the part is a multiple of 1/20, twenty steps further on everything repeats.
        steps = np.arange(20.0)
        ends = quantiles[:, None] - part[:, None] * steps
        fits = (np.abs(ends - np.rint(ends)) < TOLERANCE) & (steps <= room[:, None] + TOLERANCE)
        return bool(apart and fits.any(axis=1).all())

    @property
    def shared_digits(self) -> int:
        """Those of latitudes in one town, for instance."""
        low, high = self.scale.low, self.scale.high
        shared = np.log10(max(abs(low), abs(high))) - np.log10(high - low)
        return int(max(shared, 0.0))

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

    def typical(self) -> Encoded:
        """Return the more frequent of false and true, encoded."""
        return np.array([self.profile.counts[1] >= self.profile.counts[0], 0], np.float32)

    @property
    def groups(self) -> tuple[tuple[str, int], ...]:
        """Training rows with false and with true."""
        return tuple(zip(("false", "true"), self.profile.counts, strict=True))

    def group_of(self, encoded: Encoded) -> NDArray[np.intp]:
        """Return 0 for false, 1 for true, 2 where missing."""
        return np.where(encoded[:, -1] > 0.5, 2, (encoded[:, 0] >= 0.5).astype(int))

    def strange(self, encoded: Encoded) -> NDArray[np.bool_]:
        """Return that neither value is new."""
        return np.zeros(len(encoded), bool)

    @property
    def _nearly_strange(self) -> int:
        return 0


@dataclass(frozen=True, kw_only=True)
class ConstantColumn(Column):
    """A column with one value, or none, in training: any other value is new.

    ``value`` is a number (instants in microseconds, false and true as 0 and 1), a text, or None
    where training had only missing values.
    """

    kind = "constant"

    reading: ValueKind
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

    def typical(self) -> Encoded:
        """Return the only value, encoded."""
        return np.zeros(len(self.fixed), np.float32)

    @property
    def caution(self) -> str:
        """Any other value is new."""
        return EMPTY if self.value is None else SINGLE

    @property
    def only_value(self) -> str:
        """Numbers as they are, others in quotation marks."""
        if self.value is None:
            return ""
        if isinstance(self.value, str):
            return quoted(self.value)
        if self.reading.like == "number":
            return f"{self.value:g}"
        return quoted(self.reading.show("", np.array([self.value]))[0])

    @property
    def groups(self) -> tuple[tuple[str, int], ...]:
        """The value of training, and all others."""
        return ("training's value", self.profile.rows - self.profile.missing), ("another value", 0)

    def group_of(self, encoded: Encoded) -> NDArray[np.intp]:
        """Return 0 for training's value, 1 for another, 2 where missing."""
        other = encoded[:, 0] > 0.5
        # With one encoded column, and a value in training, a missing one counts as another.
        missing = ~other if self.value is None else (encoded[:, -1] > 0.5) & (len(self.fixed) > 1)
        return np.where(missing, 2, other.astype(int))

    def strange(self, encoded: Encoded) -> NDArray[np.bool_]:
        """Return which values differ from the only one of training."""
        return np.asarray(self.group_of(encoded) == 1)

    @property
    def _nearly_strange(self) -> int:
        return 0

    @property
    def marks_missing(self) -> bool:
        """Not where training had a value in every row."""
        return self.value is None or not self.missing_is_new

    @property
    def known_values(self) -> tuple[str, str]:
        """There was one value, or none."""
        value = "only missing values" if self.value is None else "one value"
        return f"{value} in training", "now also "

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
class TimeColumn(ScaledColumn):
    """A column of instants: their position in the training range, and where they fall in cycles.

    Each cycle gives a sine and a cosine, moved to [0, 1].
    """

    kind = "time"

    reading: ValueKind
    cycles: tuple[str, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self.reading.like in TIMES and set(self.cycles) <= set(CYCLES), self.name)

    @property
    def fixed(self) -> tuple[bool, ...]:
        """Position and cycles varied; the mark of a missing time perhaps."""
        return *(False,) * (1 + 2 * len(self.cycles)), self.missing_is_new

    @property
    def spanned(self) -> tuple[bool, ...]:
        """A day is a day, whatever the rows."""
        return True, *(False,) * (2 * len(self.cycles)), True

    def encode(self, values: pl.Series, into: Sequence[Encoded], first_row: int) -> None:
        """Place the times in the training range and in their cycles."""
        instants = self.numbers(values, first_row)
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

    def numbers(self, values: pl.Series, first_row: int = 0) -> FloatArray:
        """Read times as microseconds; see `to_instants`."""
        return self.reading.numbers(values, first_row)

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

    def typical(self) -> Encoded:
        """Return the median, encoded to the microsecond."""
        exact = self.reading.show(self.name, np.array([self.median]))
        typical: Encoded = self._encoded(exact)[0]
        return typical

    def as_shown(self, expected: Encoded) -> Encoded:
        """Encode the time that `decode` gives: the cycles move it from its position."""
        return self.possible(expected)

    @property
    def caution(self) -> str:
        """New dates lie after those of training."""
        return DATED if self._dated else ""

    @property
    def directions(self) -> tuple[str, str]:
        """A moment is later or earlier, a duration higher or lower."""
        return super().directions if self.reading.like == "duration" else ("later", "earlier")

    @property
    def calendar_cycles(self) -> tuple[str, ...]:
        """None for times of day, whose only cycle tells nothing that they do not."""
        return self.cycles if self._dated else ()

    @property
    def _dated(self) -> bool:
        return self.reading.like in ("date", "datetime")


RARE = "(rare or unseen)"


def most_frequent(column: Column) -> Encoded:
    """Return the encoded value of a one-hot column that most training rows have."""
    encoded = np.zeros(len(column.fixed), np.float32)
    encoded[column.profile.counts.index(max(column.profile.counts))] = 1
    return encoded


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

    def encode(self, values: pl.Series, into: Sequence[Encoded], first_row: int) -> None:
        """Mark the category of each row, or that it is rare, unseen or missing."""
        texts = respelled(ValueKind("text").texts(values, first_row), self._truths)
        other, missing = len(self.categories), len(self.categories) + 1
        codes = texts.cast(self._enum, strict=False).to_physical().cast(pl.UInt8).fill_null(other)
        codes_or_missing = codes.set(texts.is_null(), missing).to_numpy()
        for code, column in enumerate(into):
            column[:] = codes_or_missing == code

    def decode(self, encoded: Encoded) -> pl.Series:
        """Return the likeliest category."""
        names = pl.Series([*self.categories, RARE])
        chosen = names.gather(encoded[:, :-1].argmax(axis=1)).alias(self.name)
        return without_missing(chosen, encoded)

    def typical(self) -> Encoded:
        """Return the most frequent category, encoded."""
        return most_frequent(self)

    @property
    def misread(self) -> str:
        """Numbers or dates in a form that is not read."""
        return misreading(self.categories)

    @property
    def groups(self) -> tuple[tuple[str, int], ...]:
        """Training rows per category, those of the rare ones together."""
        return *zip(self.categories, self.profile.counts, strict=True), (RARE, self.rare)

    def strange(self, encoded: Encoded) -> NDArray[np.bool_]:
        """Return which values are rare or unseen."""
        return np.asarray(self.group_of(encoded) == len(self.categories))

    @property
    def _nearly_strange(self) -> int:
        """Rows with a rare value, and those of a category that would be one without the row."""
        least = math.ceil(least_frequent(self.profile.rows))
        return self.rare + least * self.profile.counts.count(least)

    @property
    def known_values(self) -> tuple[str, str]:
        """How many frequent categories there were."""
        known = count(len(self.categories), "category", "categories")
        return f"{known} in training", "others: "


@dataclass(frozen=True, kw_only=True)
class HashedColumn(Column):
    """A column with many different texts or numbers, spread over `HASH_BUCKETS` by a hash."""

    kind = "hash"

    reading: ValueKind

    def __post_init__(self) -> None:
        check(len(self.profile.counts) == HASH_BUCKETS, self.name)

    @property
    def fixed(self) -> tuple[bool, ...]:
        """Buckets that training left empty, and missing values perhaps."""
        return *(rows == 0 for rows in self.profile.counts), self.missing_is_new

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

    def typical(self) -> Encoded:
        """Return the fullest bucket, encoded."""
        return most_frequent(self)

    def possible(self, expected: Encoded) -> Encoded:
        """Return the likeliest bucket, encoded: a bucket has no value that could be encoded."""
        return np.asarray(np.eye(expected.shape[1])[expected.argmax(axis=1)], np.float32)

    @property
    def caution(self) -> str:
        """A bucket holds several values."""
        return HASHED

    @property
    def groups(self) -> tuple[tuple[str, int], ...]:
        """Training rows per bucket."""
        return tuple((f"(hash bucket {bucket})", n) for bucket, n in enumerate(self.profile.counts))

    def strange(self, encoded: Encoded) -> NDArray[np.bool_]:
        """Return which values fall in buckets that training left empty."""
        return np.asarray((encoded[:, :-1][:, np.array(self.fixed[:-1])] > 0.5).any(axis=1))

    @property
    def _nearly_strange(self) -> int:
        return self.profile.counts.count(1)
