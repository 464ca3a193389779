"""What training remembers of each column, gathered in one pass and bounded memory.

Counts, minimum and maximum are exact. Quantiles come from a uniform sample of at most
`RESERVOIR_SIZE` values and are exact below that. How the rows were cut into batches changes
nothing.
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np
import polars as pl

from advae.errors import InputError
from advae.tables.sampling import Reservoir
from advae.tables.values import DAY, HASH_BUCKETS, YEAR, FloatArray, to_buckets

RESERVOIR_SIZE = 100_000
MAX_DISTINCT = 10_000
"""Distinct texts counted per column; a column with more is beyond one-hot coding anyway."""

QUANTILE_LEVELS = np.linspace(0.0, 1.0, 21)

FEWEST_ORDERED = 20
"""Rows of a column in order from which on that is no chance."""

FEWEST_STEPS = 3
"""Changes of value in it: two groups one after the other are no order."""


@dataclass(frozen=True, kw_only=True)
class Profile:
    """A column's training values in brief, kept in the model for reports.

    Attributes
    ----------
    rows
        Training rows, those with a missing value included.
    missing
        Rows with a missing value.
    quantiles
        0, 5, ... 100 % of the numbers or instants (microseconds); empty for other columns.
    counts
        Rows per category, bucket or truth value, in the column's own order; empty for others.
    """

    rows: int
    missing: int
    quantiles: tuple[float, ...] = ()
    counts: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        sound = (
            self.rows > 0
            and 0 <= self.missing <= self.rows
            and len(self.quantiles) in (0, len(QUANTILE_LEVELS))
            and list(self.quantiles) == sorted(self.quantiles)
            and min(self.counts, default=0) >= 0
            and sum(self.counts) <= self.rows - self.missing
        )
        if not sound:
            raise InputError("the stored profile of a column contradicts itself")


class NumberRange:
    """The least and the greatest of a stream of numbers."""

    def __init__(self) -> None:
        self.low = np.inf
        self.high = -np.inf

    def update(self, numbers: FloatArray) -> None:
        """Take in the next rows [n]; NaN is missing."""
        self.low = min(self.low, float(np.fmin.reduce(numbers, initial=np.inf)))
        self.high = max(self.high, float(np.fmax.reduce(numbers, initial=-np.inf)))

    @property
    def varies(self) -> bool:
        """Whether two numbers differed."""
        return self.low < self.high


class NumberSummary:
    """Range, order and a uniform sample of a column of numbers; NaN is missing."""

    def __init__(self) -> None:
        self.rows = 0
        self.missing = 0
        self.range = NumberRange()
        self._last: FloatArray = np.empty(0)
        self._ups = self._downs = 0
        self._sample = Reservoir(RESERVOIR_SIZE, np.random.default_rng(0))

    def update(self, numbers: FloatArray) -> None:
        """Take in the next rows [n]."""
        present = numbers[~np.isnan(numbers)]
        self.rows += len(numbers)
        self.missing += len(numbers) - len(present)
        self.range.update(present)
        # Compared, not subtracted: differences of the largest numbers overflow.
        known = np.append(self._last, present)
        self._ups += int((known[1:] > known[:-1]).sum())
        self._downs += int((known[1:] < known[:-1]).sum())
        self._last = present[-1:] if len(present) else self._last
        self._sample.update({"numbers": present})

    @property
    def varies(self) -> bool:
        """Whether two values differed."""
        return self.range.varies

    @property
    def ordered(self) -> bool:
        """Whether the rows are in its order, as rows are that were written one after the other."""
        enough = self.rows - self.missing >= FEWEST_ORDERED
        steps = sorted((self._ups, self._downs))
        return enough and steps[0] == 0 and steps[1] >= FEWEST_STEPS

    @property
    def first(self) -> float | None:
        """A value, None for a column with none; the value, for a column that does not vary."""
        return self.range.low if len(self._sample) else None

    @property
    def median(self) -> float:
        """The middle value of a column that has any."""
        return self._quantiles(np.array([0.5]))[0]

    def quantiles(self) -> tuple[float, ...]:
        """Return the quantiles at `QUANTILE_LEVELS`; none for a column without a value."""
        return self._quantiles(QUANTILE_LEVELS) if len(self._sample) else ()

    def _quantiles(self, levels: FloatArray) -> tuple[float, ...]:
        # Halves, because the difference of two float64 can overflow where that of halves cannot.
        quantiles = np.quantile(self._sample["numbers"] / 2, levels) * 2
        quantiles[levels == 0] = self.range.low
        quantiles[levels == 1] = self.range.high
        return tuple(float(value) for value in np.clip(quantiles, self.range.low, self.range.high))


class TimeSummary(NumberSummary):
    """Also whether the time of day and the weekday vary, for a column of instants."""

    def __init__(self) -> None:
        super().__init__()
        self._time_of_day = NumberRange()
        self._weekday = NumberRange()

    def update(self, numbers: FloatArray) -> None:
        """Take in the next rows [n], microseconds."""
        super().update(numbers)
        self._time_of_day.update(numbers % DAY)
        self._weekday.update(numbers // DAY % 7)

    def cycles(self, like: str) -> tuple[str, ...]:
        """Return the cycles worth a pair of columns: those that vary, and repeat in the period."""
        if like == "time":
            return ("day",)
        if like == "duration":
            return ()
        span = self.range.high - self.range.low
        worth = {
            "day": span > DAY and self._time_of_day.varies,
            "week": span > 14 * DAY and self._weekday.varies,
            "year": span > 1.5 * YEAR,
        }
        return tuple(cycle for cycle, helps in worth.items() if helps)


class TextSummary:
    """How often each text occurs, up to `MAX_DISTINCT` different ones."""

    def __init__(self) -> None:
        self.rows = 0
        self.missing = 0
        self.counts: Counter[str] = Counter()
        self.overflowed = False

    def update(self, texts: pl.Series) -> None:
        """Take in the next rows [n]."""
        self.rows += len(texts)
        self.missing += texts.null_count()
        if self.overflowed:
            return
        tally = texts.drop_nulls().alias("text").value_counts(name="rows")
        self.counts.update(dict(tally.iter_rows()))
        self.overflowed = len(self.counts) > MAX_DISTINCT

    @property
    def varies(self) -> bool:
        """Whether two values differed."""
        return self.overflowed or len(self.counts) > 1

    @property
    def first(self) -> str | None:
        """A value, None for a column with none."""
        return next(iter(self.counts), None)


class BucketSummary:
    """How often each hash bucket occurs, and whether the texts vary at all."""

    def __init__(self) -> None:
        self.rows = 0
        self.missing = 0
        self.counts = np.zeros(HASH_BUCKETS, np.int64)
        self.first: str | None = None
        self.varies = False

    def update(self, texts: pl.Series) -> None:
        """Take in the next rows [n]."""
        self.rows += len(texts)
        present = texts.drop_nulls()
        self.missing += len(texts) - len(present)
        if not len(present):
            return
        self.counts += np.bincount(to_buckets(present), minlength=HASH_BUCKETS)
        self.first = present[0] if self.first is None else self.first
        self.varies = self.varies or bool((present != self.first).any())
