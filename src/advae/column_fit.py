"""Choose and build the kind of each column from what training held."""

from dataclasses import replace

import polars as pl

from advae.categories import CategoryColumn, HashedColumn
from advae.column_summary import BucketSummary, NumberSummary, Profile, TextSummary, TimeSummary
from advae.columns import BooleanColumn, Column, ConstantColumn, NumberColumn, Scale
from advae.errors import InputError
from advae.misread import marked, misreading
from advae.readings import TIMES, Reading
from advae.times import TimeColumn
from advae.values import quoted

MAX_CATEGORIES = 50
RARE_SHARE = 0.001
"""A category on fewer than 2 training rows, or fewer than this share of them, counts as rare."""


def least_frequent(rows: int) -> float:
    """Return how many of the training rows a category takes at least, not to count as rare."""
    return max(2.0, RARE_SHARE * rows)


class ColumnFit:
    """Gathers one column over the batches of training, then builds the encoder for it.

    Parameters
    ----------
    name
        The column's name.
    hashed
        Whether to hash its values instead of learning its categories.
    """

    def __init__(self, name: str, *, hashed: bool) -> None:
        self.name = name
        self._hashed = hashed
        self._untyped_rows = 0  # rows of null in batches that do not tell the type
        self._reading: Reading | None = None
        self._summary: NumberSummary | TextSummary | BucketSummary = TextSummary()

    def update(self, values: pl.Series, first_row: int) -> None:
        """Take in the next rows [n], the first of which is number ``first_row``.

        Raises
        ------
        InputError
            For a value or type that cannot be used, or a type unlike an earlier batch's.
        """
        reading = Reading.of(values)
        if reading is None:
            self._untyped_rows += len(values)
            return
        if self._reading is None:
            self._reading = reading
            self._summary = self._choose_summary(reading.like)
        elif reading != self._reading:
            raise InputError(
                f"column {quoted(self.name)} turns from {self._reading.like} to {reading.like} "
                f"at row {first_row}. Give it one type throughout."
            )
        if isinstance(self._summary, NumberSummary):
            self._summary.update(reading.numbers(values, first_row))
        else:
            self._summary.update(reading.texts(values, first_row))

    def _choose_summary(self, like: str) -> NumberSummary | TextSummary | BucketSummary:
        if self._hashed:
            if like in ("text", "number"):
                return BucketSummary()
            raise InputError(
                f"column {quoted(self.name)} holds values of type {like}; only texts and numbers "
                "can be hashed. Take it out of the hashed columns."
            )
        if like in TIMES:
            return TimeSummary()
        return NumberSummary() if like == "number" else TextSummary()

    @property
    def crowded(self) -> bool:
        """Whether the column has too many categories, or hardly any value twice."""
        if not isinstance(self._summary, TextSummary) or self._reading == Reading("boolean"):
            return False
        frequent, present = self._frequent(self._summary), self._summary.counts.total()
        repeats = sum(frequent.values()) >= present / 2
        several = len(self._summary.counts) > 1
        return (
            self._summary.overflowed or len(frequent) > MAX_CATEGORIES or (several and not repeats)
        )

    def hint(self) -> str:
        """Say what else a `crowded` column seems to hold: numbers or dates, spoilt or as texts."""
        if not isinstance(self._summary, TextSummary):
            return ""
        texts = pl.Series(self.name, list(self._summary.counts), dtype=pl.String)
        odd = texts.filter(texts.str.strip_chars().cast(pl.Float64, strict=False).is_null())
        if not len(odd):
            said = "holds numbers as texts, or with blanks: convert it."
        elif 10 * len(odd) <= len(texts):
            said = marked(odd)
        else:
            said = misreading(texts)
        return f" But {quoted(self.name)} {said}" if said else ""

    def _frequent(self, summary: TextSummary) -> dict[str, int]:
        """Return the categories worth a column, the most frequent first."""
        least = least_frequent(summary.rows + self._untyped_rows)
        ranked = sorted(summary.counts.items(), key=lambda item: (-item[1], item[0]))
        return {text: count for text, count in ranked if count >= least}

    def build(self) -> Column:
        """Return the encoder of the rows taken in so far; the column must not be `crowded`."""
        summary, reading = self._summary, self._reading or Reading("text")
        profile = Profile(
            rows=summary.rows + self._untyped_rows,
            missing=summary.missing + self._untyped_rows,
            quantiles=summary.quantiles() if isinstance(summary, NumberSummary) else (),
        )
        name = self.name
        if not summary.varies:
            value: float | str | None = summary.first
            if reading.like == "boolean" and value is not None:
                value = float(value == "true")
            elif reading.like == "number" and value is not None:
                value = float(value)  # hashed as a text
            return ConstantColumn(name=name, profile=profile, reading=reading, value=value)
        if isinstance(summary, BucketSummary):
            profile = replace(profile, counts=tuple(summary.counts.tolist()))
            return HashedColumn(name=name, profile=profile, reading=reading)
        if isinstance(summary, TextSummary):
            if reading.like == "boolean":
                counts = summary.counts["false"], summary.counts["true"]
                return BooleanColumn(name=name, profile=replace(profile, counts=counts))
            frequent = self._frequent(summary)
            profile = replace(profile, counts=tuple(frequent.values()))
            return CategoryColumn(name=name, profile=profile, categories=tuple(frequent))
        scale = Scale(summary.range.low, summary.range.high)
        if isinstance(summary, TimeSummary):
            return TimeColumn(
                name=name,
                profile=profile,
                reading=reading,
                scale=scale,
                median=summary.median,
                cycles=summary.cycles(reading.like),
            )
        return NumberColumn(name=name, profile=profile, scale=scale, median=summary.median)
