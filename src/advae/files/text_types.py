"""Texts as numbers, truths and times: which type all values of a column suit, and reading them."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date, time
from typing import Any

import polars as pl

from advae.errors import quoted
from advae.files.options import ReadOptions
from advae.tables.frames import exactly
from advae.tables.values import bad_cell, date_forms, parse_times

WHOLE = (pl.Int64(), pl.Int128())
TYPES: tuple[pl.DataType, ...] = (
    *(*WHOLE, pl.Float64(), pl.Boolean(), pl.Date(), pl.Time()),
    *(pl.Datetime("us"), pl.Datetime("us", "UTC")),
)
"""What texts may be, each tried before the next."""

NATIVE = (pl.String(), pl.Float64(), pl.Int64())
"""Types that Polars reads as we do where it reads delimited text."""

NOON = time(12)

_WANTED = {
    pl.Boolean: "true or false",
    pl.Date: "a date, such as 2024-12-31",
    pl.Datetime: "an instant, such as 2024-12-31 23:59:59",
    pl.Time: "a time, such as 23:59:59",
}


class TextReader:
    """Reads texts of one file as values.

    Parameters
    ----------
    decimal_comma
        Whether 1,5 is one and a half.
    missing
        Texts that stand for missing values where a column holds no texts.
    date_format
        The only form of dates and instants; None for those of `parse_times`.
    """

    def __init__(
        self, *, decimal_comma: bool, missing: Collection[str], date_format: str | None
    ) -> None:
        self._decimal_comma = decimal_comma
        self._missing = list(missing)
        self._format = date_format
        self.guesses = date_format is None

    @classmethod
    def of(cls, options: ReadOptions, *, decimal_comma: bool = False) -> "TextReader":
        """Return a reader of texts that are written as options say."""
        return cls(
            decimal_comma=decimal_comma, missing=options.missing, date_format=options.date_format
        )

    def read(self, texts: pl.Series, dtype: pl.DataType) -> tuple[pl.Series, pl.Series]:
        """Return texts as values of a type, null where they cannot be, and which those are."""
        frame = pl.DataFrame([texts.alias("text")]).select(bare=self._bare("text"))
        bare = frame["bare"]
        if _is_plain(dtype):
            values = frame.select(self._plain(pl.col("bare"), dtype))["bare"]
        else:
            values = self._times(bare, dtype)
        return values.alias(texts.name), values.is_null() & bare.is_not_null()

    def spoiled(self, texts: Sequence[pl.Series], dtype: pl.DataType) -> list[bool]:
        """Return of each column whether one of its texts cannot be read as a type."""
        if not _is_plain(dtype):
            return [bool(self.read(held, dtype)[1].any()) for held in texts]
        # All columns in one go: each by itself costs as much as hundreds of rows.
        names = [str(number) for number in range(len(texts))]
        bare = pl.DataFrame(dict(zip(names, texts, strict=True))).select(map(self._bare, names))
        bad = bare.select(
            (self._plain(held, dtype).is_null() & held.is_not_null()).any().alias(name)
            for name, held in zip(names, map(pl.col, names), strict=True)
        )
        return [bool(column.item()) for column in bad]

    def _bare(self, name: str) -> pl.Expr:
        return _nulled(pl.col(name).str.strip_chars(" \t"), self._missing)

    def _plain(self, bare: pl.Expr, dtype: pl.DataType) -> pl.Expr:
        """Return texts as numbers or truths."""
        if dtype == pl.Boolean:
            word = bare.str.to_lowercase()
            return pl.when(word.is_in(["true", "false"])).then(word == "true")
        if self._decimal_comma:
            pointed = bare.str.contains(".", literal=True)
            bare = pl.when(~pointed).then(bare.str.replace(",", ".", literal=True))
        return bare.cast(dtype, strict=False)

    def _times(self, bare: pl.Series, dtype: pl.DataType) -> pl.Series:
        if self._format is not None and dtype != pl.Time:
            return _formatted(bare, dtype, self._format)
        zoned = isinstance(dtype, pl.Datetime) and dtype.time_zone is not None
        like = "date" if dtype == pl.Date else "time" if dtype == pl.Time else "datetime"
        return parse_times(bare, like, zoned=zoned)

    def typed(
        self, texts: pl.DataFrame, schema: Mapping[str, pl.DataType], first_row: int
    ) -> pl.DataFrame:
        """Read texts as the types of a schema, null where they are missing.

        Raises
        ------
        ColumnError
            For the first text that cannot be read so; row numbers start at ``first_row``.
        """
        columns, given = {}, _by_name(texts)
        for name, dtype in schema.items():
            held = given[name]
            if dtype != held.dtype:
                held, bad = self.read(held, dtype)
                if bad.any():
                    wanted = _WANTED.get(type(dtype), "a number")
                    raise bad_cell(given[name], bad.to_numpy(), first_row, wanted)
            columns[name] = held
        return pl.DataFrame(columns)


def _is_plain(dtype: pl.DataType) -> bool:
    return dtype.is_numeric() or dtype == pl.Boolean


class TypeFinder:
    """Finds the types that all values of some columns suit, as texts pass by.

    Parameters
    ----------
    names
        The columns whose type is to be found.
    reader
        Reads their texts.
    """

    def __init__(self, names: Collection[str], reader: TextReader) -> None:
        self._reader = reader
        self._types: dict[str, list[pl.DataType]] = {name: list(TYPES) for name in names}
        self._forms: dict[str, set[str]] = {name: set() for name in names}
        self._filled: set[str] = set()
        self._spans: dict[str, tuple[int, date, date]] = {}
        self._latest: dict[str, time] = {}

    def update(self, texts: pl.DataFrame) -> None:
        """Take in the next rows: as texts, or already read as the types of now."""
        given = _by_name(texts)
        self._filled |= {n for n in self._types if given[n].null_count() < texts.height}
        found = {name: given[name] for name in self._types if given[name].dtype == pl.String}
        numbers: set[str] = set()
        for dtype in TYPES:
            tried = [n for n in found if n not in numbers and dtype in self._types[n]]
            spoiled = self._spoiled([found[name] for name in tried], dtype)
            for name, bad in zip(tried, spoiled, strict=True):
                if bad:
                    self._types[name].remove(dtype)
                elif dtype.is_numeric() and name in self._filled:  # no number is a time
                    self._types[name] = [t for t in self._types[name] if t.is_numeric()]
                    numbers.add(name)
        for name, held in found.items():
            types = self._types[name]
            if types and types[0] == pl.Time and name in self._filled:
                times = self._reader.read(held, pl.Time())[0]
                latest: Any = times.max()
                self._latest[name] = max(latest or time(), self._latest.get(name, time()))
            if self._reader.guesses and any(t.is_temporal() and t != pl.Time for t in types):
                self._forms[name] |= set(date_forms(held))
                if len(self._forms[name]) > 1:
                    types.clear()
                elif "day first" in self._forms[name]:
                    self._span(name, held, types[0])

    def _spoiled(self, texts: Sequence[pl.Series], dtype: pl.DataType) -> list[bool]:
        """Return of each column whether a text does not suit a type."""
        # Where one of the first does not, all need not be tried.
        bad = self._reader.spoiled([held[:100] for held in texts], dtype)
        left = [place for place, spoilt in enumerate(bad) if not spoilt and len(texts[place]) > 100]
        whole = self._reader.spoiled([texts[place] for place in left], dtype)
        for place, spoilt in zip(left, whole, strict=True):
            bad[place] = spoilt
        return bad

    def _span(self, name: str, held: pl.Series, dtype: pl.DataType) -> None:
        """Keep the greatest day, and the first and last date, of dates with the day first."""
        days = self._reader.read(held, dtype)[0].drop_nulls().dt.date()
        if not len(days):
            return
        found: Any = (days.dt.day().max(), days.min(), days.max())
        before = self._spans.get(name, found)
        self._spans[name] = (
            max(before[0], found[0]),
            min(before[1], found[1]),
            max(before[2], found[2]),
        )

    def notes(self) -> list[str]:
        """Return remarks on dates whose day may be their month, and times that may be durations."""
        short = [
            f"{quoted(name)} is read as times of the day, none after {latest}; if these are "
            "durations, write them as numbers, for instance of seconds"
            for name, latest in self._latest.items()
            if self._types[name] and latest < NOON
        ]
        return short + [
            f"{quoted(name)} is read with the day first, as {first} to {last}; no day is above 12, "
            "so the month may come first. Say how dates are written if it does"
            for name, (greatest, first, last) in self._spans.items()
            if greatest <= 12 and self._types[name]
        ]

    def now(self) -> dict[str, pl.DataType]:
        """Return the types that all values so far suit; String where no other does."""
        return {name: types[0] if types else pl.String() for name, types in self._types.items()}

    def found(self) -> dict[str, pl.DataType]:
        """Return the types at the end; Null for columns without a value."""
        return {
            name: dtype if name in self._filled else pl.Null() for name, dtype in self.now().items()
        }


def nulled(texts: pl.Series, missing: Collection[str]) -> pl.Series:
    """Return texts, null where one is among those that stand for missing values."""
    # Under another name: one called "^x$" is a pattern to Polars.
    held = pl.DataFrame([texts.alias("text")]).select(_nulled(pl.col("text"), missing))
    return held["text"].alias(texts.name)


def _nulled(text: pl.Expr, missing: Collection[str]) -> pl.Expr:
    return pl.when(~text.is_in(list(missing))).then(text)


def _by_name(frame: pl.DataFrame) -> dict[str, pl.Series]:
    """Return the columns; asked for alone, one called "^x$" is a pattern to Polars."""
    return {held.name: held for held in frame.iter_columns()}


def unpadded(missing: Collection[str], names: Collection[str]) -> Iterator[pl.Expr]:
    """Return texts without blanks around, or quotes behind them; null where nothing is left."""
    for name in names:
        text = exactly(name).str.strip_chars().str.replace('(?s)^"(.*)"$', "${1}")
        yield pl.when(~text.is_in(list(missing))).then(text).name.keep()


def _formatted(texts: pl.Series, dtype: pl.DataType, form: str) -> pl.Series:
    timed = any(sign in form for sign in ("%H", "%I", "%T", "%R", "%s"))
    zone = "UTC" if any(sign in form for sign in ("%z", "%Z", "%:z", "%#z")) else None
    wanted = pl.Datetime("us", zone) if timed else pl.Date()
    if dtype != wanted:
        return pl.Series(texts.name, [None] * len(texts), dtype=dtype)
    if not timed:
        return texts.str.to_date(form, strict=False)
    return texts.str.to_datetime(form, strict=False, time_unit="us", time_zone=zone)
