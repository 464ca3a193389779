"""Columns of categories: frequent ones one by one, very many of them by a hash."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import polars as pl

from advae.columns import Column, Encoded, check, without_missing
from advae.readings import Reading, respelled, truths_among
from advae.values import HASH_BUCKETS, to_buckets

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

    def encode(self, values: pl.Series, into: Sequence[Encoded], first_row: int) -> None:
        """Mark the category of each row, or that it is rare, unseen or missing."""
        texts = respelled(Reading("text").texts(values, first_row), self._truths)
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
