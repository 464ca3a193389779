"""Columns of categories: one for each frequent one, or all spread over buckets by a hash."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl

from advae.display.text import count
from advae.graph import Graph, Value
from advae.tables.columns import (
    Caution,
    Encoded,
    GroupedColumn,
    OnePart,
    Written,
    check,
    marked,
    texts_fed,
    without_missing,
)
from advae.tables.values import (
    HASH_BUCKETS,
    Given,
    ValueKind,
    missing_text,
    numbered,
    respelled,
    to_buckets,
    truths_among,
)
from advae.variables import Variable

RARE = "(rare or unseen)"
RARE_SHARE = 0.0001
"""A category on fewer than 2 training rows, or fewer than this share of them, counts as rare."""


def least_frequent(rows: int) -> float:
    """Return how many of the training rows a category takes at least, not to count as rare."""
    return max(2.0, RARE_SHARE * rows)


@dataclass(frozen=True, kw_only=True)
class CategoryColumn(GroupedColumn):
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
        texts = respelled(ValueKind("text").texts(values, first_row), self._truths)
        other, missing = len(self.categories), len(self.categories) + 1
        codes = texts.cast(self._enum, strict=False).to_physical().cast(pl.UInt16).fill_null(other)
        codes_or_missing = codes.set(texts.is_null(), missing).to_numpy()
        for code, column in enumerate(into):
            column[:] = codes_or_missing == code

    @property
    def given(self) -> Given:
        """As texts."""
        given = ValueKind("text").given
        return given._replace(missing=missing_text(self.categories))

    def fed(self, values: pl.Series, first_row: int) -> np.ndarray:
        """Return the texts."""
        return texts_fed(ValueKind("text").texts(values, first_row), self.given)

    def in_graph(self, graph: Graph, values: Value) -> Written:
        """Write down the category of each row, or that it is rare, unseen or missing."""
        known = {category: code for code, category in enumerate(self.categories)}
        other = len(known)
        code = numbered(graph, values, known, missing=other + 1, other=other)
        return Written(marked(code, other + 2), None)

    def decode(self, encoded: Encoded) -> pl.Series:
        """Return the likeliest category."""
        names = pl.Series([*self.categories, RARE])
        chosen = names.gather(encoded[:, :-1].argmax(axis=1)).alias(self.name)
        return without_missing(chosen, encoded)

    @property
    def texts(self) -> tuple[str, ...]:
        """The frequent categories."""
        return self.categories

    @property
    def frequencies(self) -> dict[str, int]:
        """Training rows per category, the rare ones together."""
        return dict(zip(self.categories, self.profile.counts, strict=True)) | {RARE: self.rare}

    @property
    def _strange(self) -> list[bool]:
        """Rare values are, even if training had some."""
        return [False] * len(self.categories) + [True]

    @property
    def _nearly_strange(self) -> int:
        """Also rows of a category that would be rare without one of them."""
        least = math.ceil(least_frequent(self.profile.rows))
        return self.rare + least * self.profile.counts.count(least)

    def describe(self, extent: tuple[float, float] | None, others: str) -> str:
        """Count the categories, and name values that are none of them."""
        known = f"{count(len(self.categories), 'category', 'categories')} in training"
        return f"{known}; others: {others}" if others else known

    def standing(self, position: float, added: OnePart) -> str:
        """Say how frequent the category was; rare values and unseen ones are one."""
        if self.rare and position == len(self.categories):
            return "rare or never seen in training"
        return super().standing(position, added)


@dataclass(frozen=True, kw_only=True)
class HashedColumn(GroupedColumn):
    """A column with many different texts or numbers, spread over `HASH_BUCKETS` by a hash."""

    kind = "hash"

    reading: ValueKind

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

    @property
    def given(self) -> Given:
        """As buckets, since no operator makes a hash of a text."""
        what = "the text" if self.reading.like == "text" else "the number, as a text"
        meaning = f"the CRC-32 of {what} in UTF-8, modulo {HASH_BUCKETS}"
        return Given(np.int32, -1, meaning)

    def fed(self, values: pl.Series, first_row: int) -> np.ndarray:
        """Return the buckets."""
        return to_buckets(self.reading.texts(values, first_row)).astype(np.int32)

    def in_graph(self, graph: Graph, values: Value) -> Written:
        """Write down the bucket of each row, or that its value is missing."""
        bucket = values.cast(np.int64)
        missing = bucket.equals(np.int64(-1))
        readable = (bucket > np.int64(-2)) & (bucket < np.int64(HASH_BUCKETS))
        code = missing.where(np.int64(HASH_BUCKETS), bucket)
        return Written(marked(code, HASH_BUCKETS + 1), readable)

    def decode(self, encoded: Encoded) -> pl.Series:
        """Return the likeliest bucket."""
        names = pl.Series([f"(hash bucket {bucket})" for bucket in range(HASH_BUCKETS)])
        chosen = names.gather(encoded[:, :-1].argmax(axis=1)).alias(self.name)
        return without_missing(chosen, encoded)

    @property
    def csv_dtype(self) -> pl.DataType:
        """The type of training's values."""
        return self.reading.csv_dtype

    def possible(self, expected: Encoded) -> Encoded:
        """Choose the likeliest bucket: a bucket has no value of its own."""
        return np.asarray(np.eye(expected.shape[1], dtype=np.float32)[expected.argmax(axis=1)])

    @property
    def caution(self) -> Caution | None:
        """A bucket stands for many values."""
        return "hashed"

    @property
    def frequencies(self) -> dict[str, int]:
        """Training rows per bucket."""
        return {f"(hash bucket {bucket})": n for bucket, n in enumerate(self.profile.counts)}

    @property
    def _nearly_strange(self) -> int:
        """The row of a bucket that would be empty without it."""
        return self.profile.counts.count(1)
