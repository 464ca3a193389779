"""The kinds of column a table can have: how each becomes numbers near [0, 1], and back.

Whatever differs from kind to kind is a method here: what is typical, what can stand in a value's
place, how training's values were distributed, and how values are described.

A column becomes one or more encoded columns. Each of those either varied in training, and then
holds values in [0, 1] for training rows, or was fixed, and then is 0 for every training row and 1
for a row unlike all of them: another value in a constant column, a missing value where training
had none, a new category where training had no rare ones.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal, NamedTuple

import numpy as np
import polars as pl
from jaxtyping import Float
from numpy.typing import NDArray

from advae.display.text import LONGEST, listed, share, shorten
from advae.errors import InputError
from advae.graph import Graph, Value
from advae.tables.distributions import Distribution, GroupedDistribution, ScaledDistribution
from advae.tables.profile import QUANTILE_LEVELS, RESERVOIR_SIZE, Profile
from advae.tables.values import (
    FloatArray,
    Given,
    ValueKind,
    equals,
    is_missing,
    missing_text,
    numbered,
    respelled,
    shown_values,
    to_texts,
    to_truths,
    truths_among,
)
from advae.variables import Variable

Encoded = NDArray[np.float32]

OnePart = Float[np.ndarray, "encoded"]
"""The encoded columns of one column in one row."""

Positions = Float[np.ndarray, "rows"]
"""Where values stand, see `advae.tables.distributions`; NaN where missing."""

Caution = Literal["constant", "empty", "hashed", "dated", "ordered"]
"""What the user should know of how a column is treated."""

CALENDAR: tuple[Caution, ...] = ("dated", "ordered")
"""Cautions of columns that tell when a row came."""

DIGITS = 4
"""Significant digits of an estimate, if more do not stand before the point."""

LIMIT = 1e9
"""Scaled values stop here, so that the squares and sums of float32 scores stay finite."""


class Written(NamedTuple):
    """A column in a graph.

    ``encoded``: float32 [n, k]. ``readable``: bool [n], where `Column.encode` would raise no
    error; None for everywhere.
    """

    encoded: Value
    readable: Value | None


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
    @abstractmethod
    def given(self) -> Given:
        """How a graph is given the values."""

    @abstractmethod
    def fed(self, values: pl.Series, first_row: int) -> np.ndarray:
        """Return values [n] as a graph is given them; may raise `InputError`."""

    @abstractmethod
    def in_graph(self, graph: Graph, values: Value) -> Written:
        """Write down `encode` for values [n] that are given so."""

    @property
    def absent(self) -> Encoded:
        """A missing value as encoded columns [1, k]."""
        return self.encoded(pl.Series(self.name, [None], dtype=pl.Null))

    @property
    def spanned(self) -> tuple[bool, ...]:
        """For each encoded column, whether the rows of training gave it its range."""
        return (True,) * len(self.fixed)

    @property
    def csv_dtype(self) -> pl.DataType:
        """The type to read a text file's column as; texts unless a number is sure."""
        return pl.String()

    @property
    def dated_dtype(self) -> pl.DataType | None:
        """The type that the user's form of dates is read to; None for what is no date."""
        return None

    @property
    def dates(self) -> "RangedColumn | None":
        """The column itself if its values tell when a row came; None for others."""
        return None

    @property
    def missing_is_new(self) -> bool:
        """Whether training had no missing value in this column."""
        return self.profile.missing == 0

    def encoded(self, values: pl.Series) -> Encoded:
        """Return values [n] as encoded columns [n, k]."""
        encoded = np.empty((len(values), len(self.fixed)), np.float32)
        self.encode(values, list(encoded.T), 0)
        return encoded

    @property
    @abstractmethod
    def typical(self) -> OnePart:
        """The middle or most frequent value of training, encoded [k]."""

    def possible(self, expected: Encoded) -> Encoded:
        """Replace expected columns [n, k] by those of possible values.

        What is expected is an average, such as half of one category and half of another.
        """
        return self.encoded(self.decode(np.ascontiguousarray(expected)))

    def settled(self, expected: Encoded) -> Encoded:
        """Return expected columns [n, k] with the first one where the decoded values stand."""
        return expected

    @property
    def caution(self) -> Caution | None:
        """What the user should know of how the column is treated."""
        return None

    @property
    def texts(self) -> tuple[str, ...]:
        """The texts that were learned as categories; none for other kinds."""
        return ()

    @property
    def digits(self) -> int:
        """Significant digits that tell the values of training apart."""
        return DIGITS

    def rounded(self, estimates: pl.Series) -> pl.Series:
        """Return decoded values without parts that no value of training has."""
        return estimates

    def in_texts(self, values: pl.Series, digits: int | None = None) -> np.ndarray:
        """Return values [n] as people write them, None where missing; see `shown_values`."""
        texts: np.ndarray = shown_values(values.to_frame(), digits)[:, 0]
        return texts

    @property
    @abstractmethod
    def distribution(self) -> Distribution:
        """The distribution of the values of training."""

    @abstractmethod
    def positions(self, encoded: Encoded) -> Positions:
        """Return where the values of encoded columns [n, k] stand in `distribution`."""

    def extent(self, values: pl.Series) -> tuple[float, float] | None:
        """Return the least and the greatest of present values; None for kinds without a range."""
        return None

    @abstractmethod
    def describe(self, extent: tuple[float, float] | None, others: str) -> str:
        """Say in a phrase what values training had, and what new values add to them.

        Parameters
        ----------
        extent
            The least and the greatest of the strange new values, from `extent`.
        others
            Some of the strange new values, in quotation marks; may be empty.
        """

    @abstractmethod
    def direction(self, seen: OnePart, expected: OnePart, *, alike: bool) -> str:
        """Say how an observed value differs from an expected one, both present.

        Parameters
        ----------
        seen, expected
            Encoded columns of the two, [k]; the expected ones `settled`.
        alike
            Whether the two are shown as the same text: then neither is the higher one.

        Returns
        -------
            ``"same"`` or ``"differs"``; for kinds with an order ``"same"``, ``"higher"``,
            ``"lower"``, ``"later"`` or ``"earlier"``.
        """

    ways_alike: ClassVar[bool] = False
    """Whether two values that depart in different `ways` still have something in common."""

    @property
    @abstractmethod
    def ways(self) -> tuple[str, ...]:
        """The ways in which a value can depart from what is expected, ``"missing"`` the first."""

    @abstractmethod
    def departures(self, encoded: Encoded, expected: Encoded) -> NDArray[np.int64]:
        """Return the place in `ways` of each value [n], given encoded columns [n, k] of both."""

    def unseen(self, encoded: Encoded) -> NDArray[np.bool_]:
        """Return which values [n] are of a category that training never, or hardly ever, had."""
        return np.zeros(len(encoded), bool)

    def breadth(self, encoded: OnePart) -> OnePart:
        """Return what counts as far from a value: for each of its encoded columns [k], above 0."""
        return np.ones_like(encoded)

    @abstractmethod
    def in_words(self, values: pl.Series) -> str:
        """Say in a phrase what values [n] stand in some rows; nothing where all are missing."""

    def telling(self, values: pl.Series) -> bool:
        """Return whether values [n] of some rows have anything in common that sets them apart."""
        return True

    @abstractmethod
    def standing(self, position: float, added: OnePart) -> str:
        """Say how usual a present value was in training, or which part of it counts most.

        Parameters
        ----------
        position
            Where the value stands.
        added
            What each encoded column adds to the score, [k].
        """


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

    def in_graph(self, graph: Graph, numbers: Value) -> Value:
        """Write down `apply`; float32 [n]."""
        factor, low, high = self._factor, self.low * self._factor, self.high * self._factor
        scaled = numbers * np.float64(factor) if factor != 1.0 else numbers
        scaled = (scaled - np.float64(low)) / np.float64(high - low)
        bounded = graph.op("Min", graph.op("Max", scaled, np.float64(-LIMIT)), np.float64(LIMIT))
        return bounded.cast(np.float32)

    def invert(self, scaled: Encoded) -> FloatArray:
        """Undo `apply`; a value beyond float64 becomes its greatest."""
        factor, low, high = self._factor, self.low * self._factor, self.high * self._factor
        with np.errstate(over="ignore"):
            numbers = (low + scaled.astype(np.float64) * (high - low)) / factor
        return np.nan_to_num(numbers)


RANGE_DIGITS = 4
"""Significant digits of the ends of a range, if these are enough to tell them apart."""


class RangedColumn(Column):
    """A column of numbers or instants, scaled by the training range."""

    # Not a dataclass: how values are read is a field of times, but the same for all numbers.
    reading: ValueKind
    scale: Scale
    median: float

    def __post_init__(self) -> None:
        check(self.scale.low <= self.median <= self.scale.high, self.name)
        check(len(self.profile.quantiles) > 0, self.name)

    @property
    def given(self) -> Given:
        """As numbers, or as microseconds."""
        return self.reading.given

    def fed(self, values: pl.Series, first_row: int) -> np.ndarray:
        """Return the numbers, or microseconds."""
        return self.reading.fed(values, first_row)

    def in_graph(self, graph: Graph, values: Value) -> Written:
        """Write down scaled numbers, what a kind has beside them, and the mark of missing ones."""
        read = self.reading.in_graph(graph, values)
        parts = [self.scale.in_graph(graph, read.numbers), *self._beside(graph, read.numbers)]
        parts.append(read.missing.cast(np.float32))
        present = graph.concat([part.widened(1) for part in parts])
        encoded = read.missing.widened(1).where(self.absent, present)
        return Written(encoded, read.readable)

    def _beside(self, graph: Graph, numbers: Value) -> list[Value]:
        """Write down the encoded columns between the scaled number and the mark, each [n]."""
        return []

    def show(self, numbers: FloatArray) -> pl.Series:
        """Return numbers, or instants in microseconds, [n] in the user's units."""
        return self.reading.show(self.name, numbers)

    @property
    def typical(self) -> OnePart:
        """The median."""
        median = self.reading.show(self.name, np.array([self.median]))
        return np.asarray(self.encoded(median)[0])

    @property
    def csv_dtype(self) -> pl.DataType:
        """Numbers, whole or not; times are read as texts."""
        return self.reading.csv_dtype

    @property
    def dates(self) -> "RangedColumn | None":
        """The column, if a caution says so."""
        return self if self.caution in CALENDAR else None

    @cached_property
    def distribution(self) -> ScaledDistribution:
        """Known by the quantiles."""
        scaled = self.scale.apply(np.array(self.profile.quantiles))
        return ScaledDistribution(scaled.astype(np.float32), self.profile)

    def positions(self, encoded: Encoded) -> Positions:
        """Return the scaled values."""
        return np.where(encoded[:, -1] > 0.5, np.nan, encoded[:, 0])

    def extent(self, values: pl.Series) -> tuple[float, float] | None:
        """Return the least and the greatest value as they are: encoded, they are rounded."""
        numbers = self.reading.numbers(values, 0)
        return float(numbers[numbers.argmin()]), float(numbers[numbers.argmax()])

    def describe(self, extent: tuple[float, float] | None, others: str) -> str:
        """Name the ends of the training range, and those of new values beyond it."""
        scale = self.scale
        least, most = extent or (scale.low, scale.high)
        low, high, down, up = self._shown([scale.low, scale.high, least, most])
        beyond = [f"down to {down}"] if least < scale.low else []
        beyond += [f"up to {up}"] if most > scale.high else []
        if not beyond:
            return f"{low} to {high} in training"
        return f"{low} to {high} in training; now {' and '.join(beyond)}"

    def _shown(self, numbers: list[float]) -> list[str]:
        """Show numbers as the user writes them, those that differ in texts that differ."""
        array = np.array(numbers)
        values = self.show(array)
        whole = (array == np.rint(array)).all()  # and may be names or dates
        for digits in (None,) if whole else (RANGE_DIGITS, 2 * RANGE_DIGITS, None):
            texts = [shorten(text) for text in self.in_texts(values, digits)]
            if len(set(texts)) == len(set(numbers)):
                break
        return texts

    @property
    def _words(self) -> tuple[str, str]:
        """What a greater and a lesser value are called."""
        return "higher", "lower"

    def direction(self, seen: OnePart, expected: OnePart, *, alike: bool) -> str:
        """Say which is the greater one."""
        more, less = self._words
        return "same" if alike else more if seen[0] > expected[0] else less

    @property
    def ways(self) -> tuple[str, ...]:
        """Missing, present where none is expected, and the two directions."""
        return "missing", "present", *self._words

    def departures(self, encoded: Encoded, expected: Encoded) -> NDArray[np.int64]:
        """Compare the values with the expected ones."""
        seen, wanted = self.positions(encoded), self.positions(self.settled(expected))
        return np.select([np.isnan(seen), np.isnan(wanted), seen > wanted], [0, 1, 2], 3)

    def breadth(self, encoded: OnePart) -> OnePart:
        """Return the width of nine tenths of training's values, or the distance from their median.

        The greater of the two; parts of a cycle and marks have 1.
        """
        quantiles = self.scale.apply(np.array(self.profile.quantiles))
        far = np.ones_like(encoded)
        middle = quantiles[len(quantiles) // 2]
        far[0] = max(quantiles[-2] - quantiles[1], abs(encoded[0] - middle), 1e-6)
        return far

    def in_words(self, values: pl.Series) -> str:
        """Name the range of all values but the outermost twentieth on either side."""
        numbers = np.sort(self.reading.numbers(values, 0))
        present = numbers[~np.isnan(numbers)]
        if not len(present):
            return ""
        ends = present[np.rint(np.array([0.05, 0.95]) * (len(present) - 1)).astype(int)]
        low, high = map(shorten, self.in_texts(self.show(ends), self.digits))
        return low if low == high else f"{low} to {high}"

    def standing(self, position: float, added: OnePart) -> str:
        """Say where the value stands among those of training."""
        more, less = self._words
        if position < 0 or position > 1:
            return f"{less if position < 0 else more} than every training row"
        if position in (0, 1):
            return "at the end of the training range"
        least, most = (float(level) for level in QUANTILE_LEVELS[[1, -2]])
        below = self.distribution.share_below(position)
        # Between the last quantile and the end of the range nothing tells where the rows lie.
        bound = "at least " if below > most else "at most " if below < least else ""
        known = min(max(below, least), most)
        return f"{more} than {bound}{100 * known:.0f}\u00a0% of training rows"


APART = 0.25
"""Share of some rows that have groups other than training's from which on these tell them apart."""

WHOLE = 1e-6
"""How far from a whole number a quantile of whole numbers may be computed to lie."""


@dataclass(frozen=True, kw_only=True)
class NumberColumn(RangedColumn):
    """A column of numbers, scaled by the training range; a missing one takes the median."""

    kind = "number"
    reading = ValueKind("number")

    scale: Scale
    median: float
    ordered: bool = False
    """Whether the training rows are in its order, so that new rows lie beyond it by nature."""

    @property
    def fixed(self) -> tuple[bool, ...]:
        """The number varied; the mark of a missing one perhaps."""
        return False, self.missing_is_new

    @property
    def caution(self) -> Caution | None:
        """The place of a row in its file says nothing about the row."""
        return "ordered" if self.ordered else None

    def variables(self, places: tuple[int, ...]) -> tuple[Variable, ...]:
        """Return the number."""
        return (Variable("number", places[:1], places[1]),)

    def encode(self, values: pl.Series, into: Sequence[Encoded], first_row: int) -> None:
        """Scale the numbers, and mark the missing ones."""
        numbers = self.reading.numbers(values, first_row)
        into[0][:] = self.scale.apply(numbers)
        missing = np.isnan(numbers)
        into[1][:] = missing
        if missing.any():
            into[0][missing] = self.scale.apply(np.array([self.median]))[0]

    def decode(self, encoded: Encoded) -> pl.Series:
        """Return the numbers; what float32 leaves of a 0 is 0."""
        numbers, scale = self.scale.invert(encoded[:, 0]), self.scale
        rounded = float(np.finfo(np.float32).eps) * max(abs(scale.low), abs(scale.high))
        if rounded < min(-scale.low, scale.high):
            numbers[np.abs(numbers) < rounded] = 0.0
        return without_missing(self.show(numbers), encoded)

    def possible(self, expected: Encoded) -> Encoded:
        """Round the numbers where training had whole ones only."""
        numbers = self.decode(expected)
        return self.encoded(numbers.round() if self.whole else numbers)

    @cached_property
    def whole(self) -> bool:
        """Whether the numbers of training were whole, as far as its quantiles tell.

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
        fits = (np.abs(ends - np.rint(ends)) < WHOLE) & (steps <= room[:, None] + WHOLE)
        return bool(apart and fits.any(axis=1).all())

    @property
    def digits(self) -> int:
        """More than four for numbers that share their first digits: latitudes in one town."""
        low, high = self.scale.low, self.scale.high
        same = np.log10(max(abs(low), abs(high))) - np.log10(high - low)
        return DIGITS + int(max(same, 0.0))


class GroupedColumn(Column):
    """A column whose values have no order, each in one of several groups."""

    @property
    @abstractmethod
    def frequencies(self) -> dict[str, int]:
        """Training rows per group of present values, by its name."""

    @property
    def _strange(self) -> list[bool]:
        """For each group, whether its values are strange."""
        return [rows == 0 for rows in self.frequencies.values()]

    @property
    def _nearly_strange(self) -> int:
        """Training rows that would be strange to the others, as new rows are to all."""
        return 0

    @property
    def typical(self) -> OnePart:
        """The most frequent category or bucket."""
        encoded = np.zeros(len(self.fixed), np.float32)
        encoded[self.profile.counts.index(max(self.profile.counts))] = 1
        return encoded

    @cached_property
    def distribution(self) -> GroupedDistribution:
        """Known by the rows in each group."""
        return GroupedDistribution(
            self.frequencies, self._strange, self._nearly_strange, self.profile
        )

    def positions(self, encoded: Encoded) -> Positions:
        """Return the numbers of the groups, whose encoded columns stand before that of missing."""
        group = encoded.argmax(axis=1)
        return np.where(group == encoded.shape[1] - 1, np.nan, group)

    def describe(self, extent: tuple[float, float] | None, others: str) -> str:
        """Say nothing: buckets have no names, and there is no third truth value."""
        return ""

    ways_alike = True

    @property
    def ways(self) -> tuple[str, ...]:
        """Missing, and each of the groups."""
        return "missing", *self.frequencies

    def departures(self, encoded: Encoded, expected: Encoded) -> NDArray[np.int64]:
        """Return the groups of the values, whatever is expected."""
        return np.asarray(np.nan_to_num(self.positions(encoded) + 1), np.int64)

    def unseen(self, encoded: Encoded) -> NDArray[np.bool_]:
        """Return which groups are strange."""
        return self.distribution.strange(self.positions(encoded))

    def in_words(self, values: pl.Series) -> str:
        """Name the most frequent values."""
        heads = to_texts(values.filter(~is_missing(values))).str.head(LONGEST + 1).alias("text")
        counted = (
            heads.to_frame().group_by("text").len().sort(["len", "text"], descending=[True, False])
        )
        return listed(counted["text"].to_list())

    def telling(self, values: pl.Series) -> bool:
        """Return whether the groups are others than those of training rows, in `APART` of the rows.

        Where the usual groups stand, the rows have nothing in common by them.
        """
        known = self.distribution
        rows = known.bar_counts(self.positions(self.encoded(values)))
        return bool(np.abs(rows / max(rows.sum(), 1) - known.bars).sum() / 2 >= APART)

    def direction(self, seen: OnePart, expected: OnePart, *, alike: bool) -> str:
        """Say whether the two are in one group."""
        seen_in, expected_in = self.positions(np.stack([seen, expected]))
        return "same" if seen_in == expected_in else "differs"

    def standing(self, position: float, added: OnePart) -> str:
        """Say how frequent the value was, or that it was not seen."""
        group = int(position)
        if self._strange[group]:
            return "never seen in training"
        return f"found in {share(float(self.distribution.bars[group]))} of training rows"


@dataclass(frozen=True, kw_only=True)
class BooleanColumn(GroupedColumn):
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

    @property
    def given(self) -> Given:
        """As 1 and 0."""
        return ValueKind("boolean").given

    def fed(self, values: pl.Series, first_row: int) -> np.ndarray:
        """Return 1 and 0."""
        return ValueKind("boolean").fed(values, first_row)

    def in_graph(self, graph: Graph, values: Value) -> Written:
        """Write down 1 for true and 0 for false, and the mark of missing ones."""
        read = ValueKind("boolean").in_graph(graph, values)
        parts = [part.cast(np.float32).widened(1) for part in (read.numbers, read.missing)]
        encoded = read.missing.widened(1).where(self.absent, graph.concat(parts))
        return Written(encoded, read.readable)

    def decode(self, encoded: Encoded) -> pl.Series:
        """Return true from 0.5 up."""
        return without_missing(pl.Series(self.name, encoded[:, 0] >= 0.5), encoded)

    @property
    def typical(self) -> OnePart:
        """The more frequent of the two."""
        false, true = self.profile.counts
        return np.array([true >= false, False], np.float32)

    @property
    def frequencies(self) -> dict[str, int]:
        """Training rows with false and with true."""
        return dict(zip(("false", "true"), self.profile.counts, strict=True))

    def positions(self, encoded: Encoded) -> Positions:
        """Return 0 for false and 1 for true."""
        return np.where(encoded[:, -1] > 0.5, np.nan, encoded[:, 0] >= 0.5)


@dataclass(frozen=True, kw_only=True)
class ConstantColumn(GroupedColumn):
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

    @property
    def given(self) -> Given:
        """As training's value is."""
        given = self.reading.given
        if self.reading.like != "text":
            return given
        return given._replace(missing=missing_text([str(self.value)]))

    def fed(self, values: pl.Series, first_row: int) -> np.ndarray:
        """Return the values."""
        if self.reading.like == "text":
            return texts_fed(self.reading.texts(values, first_row), self.given)
        if self.value is None and values.dtype == pl.String:
            # Whatever it is, it is new.
            return np.where(is_missing(values).to_numpy(), self.given.missing, 0)
        return self.reading.fed(values, first_row)

    def in_graph(self, graph: Graph, values: Value) -> Written:
        """Write down which values differ from the only one of training."""
        readable = None
        if self.reading.like == "text":
            known = {} if self.value is None else {str(self.value): 0}
            code = numbered(graph, values, known, missing=2, other=1)
            equal, missing = code.equals(np.int64(0)), code.equals(np.int64(2))
        else:
            numbers, missing, readable = self.reading.in_graph(graph, values)
            value = np.float64(np.nan if self.value is None else self.value)
            equal = numbers.equals(value) & ~missing
            if self.value and not float(self.value).is_integer():  # see `equals`
                single = np.float32(value)
                equal = equal | numbers.cast(np.float32).equals(single) if single else equal
        parts = [~equal] if self.missing_is_new else [~(equal | missing), missing]
        parts = [~missing] if self.value is None else parts
        encoded = graph.concat([part.cast(np.float32).widened(1) for part in parts])
        return Written(encoded, readable)

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

    @property
    def typical(self) -> OnePart:
        """The only value."""
        return np.zeros(len(self.fixed), np.float32)

    @property
    def caution(self) -> Caution | None:
        """Another value is an anomaly by itself."""
        return "empty" if self.value is None else "constant"

    @property
    def frequencies(self) -> dict[str, int]:
        """Training rows with the only value; none have another one."""
        return {"training's value": self.profile.rows - self.profile.missing, "another value": 0}

    def positions(self, encoded: Encoded) -> Positions:
        """Return 0 for the only value and 1 for another one."""
        other = encoded[:, 0] > 0.5
        if self.value is None:
            return np.where(other, 1.0, np.nan)
        # The only encoded column, where training had no missing value, marks all other values.
        return np.where((encoded[:, 1:] > 0.5).any(axis=1), np.nan, other)

    def describe(self, extent: tuple[float, float] | None, others: str) -> str:
        """Say that there was one value, and name other ones."""
        known = f"{'only missing values' if self.value is None else 'one value'} in training"
        return f"{known}; now also {others}" if others else known


def texts_fed(texts: pl.Series, given: Given) -> np.ndarray:
    """Return texts, null where missing, as a graph is given them."""
    return texts.fill_null(str(given.missing)).to_numpy().astype(object)


def marked(code: Value, columns: int) -> Value:
    """Write down one column for each code below ``columns``, 1 where a value has the code."""
    codes = np.arange(columns)[None]
    return code.widened(1).equals(codes).cast(np.float32)


def without_missing(values: pl.Series, encoded: Encoded) -> pl.Series:
    """Replace by null what the last encoded column, the one for missing values, marks so."""
    return values.set(pl.Series(encoded[:, -1] > 0.5), None)
