"""Tables of named columns of any type, as the float32 matrices the networks read, and back."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from advae.config import TREND as TREND_SETTING
from advae.display.text import count
from advae.errors import InputError, quoted, quoted_list
from advae.parallel import rows_at_once
from advae.records import restore
from advae.tables.categories import CategoryColumn, HashedColumn, least_frequent
from advae.tables.columns import (
    BooleanColumn,
    Caution,
    Column,
    ConstantColumn,
    NumberColumn,
    RangedColumn,
    Scale,
)
from advae.tables.frames import INDEX, as_frame
from advae.tables.profile import BucketSummary, NumberSummary, Profile, TextSummary, TimeSummary
from advae.tables.times import TimeColumn
from advae.tables.values import (
    HASH_BUCKETS,
    NAME_ANOTHER,
    TIMES,
    ValueKind,
    check_columns,
    date_forms,
    to_instants,
    two_forms,
)
from advae.variables import Variable

MARKS = frozenset(
    {"", "-", "--", "---", ".", "?", "*", "na", "n.a.", "n/a", "#n/a", "nan", "nat", "nil"}
    | {"null", "(null)", "none", "missing", "unknown", "<na>", "#div/0!", "#value!", "#num!"}
)
"""Texts that stand for a missing value, in lower case."""

_GROUPED = r"\d{1,3}(?:[.,'\u2019_ \u00a0\u202f]\d{3})+(?:[.,]\d+)?"
_NUMBER = rf"(?:{_GROUPED}|\d+(?:[.,]\d+)?)"
_SIGN = r"[$€£¥%]?"
WRITTEN = re.compile(rf"[-+−(]?\s*{_SIGN}\s*[-+−]?{_NUMBER}\s*{_SIGN}\s*[-)]?$")
"""A number with a sign of its unit, groups of digits, a decimal comma, or brackets for minus."""

GROUPED = re.compile(r"[-+]?[1-9]\d{0,2}(?:\.\d{3})+$")
"""A number that is decimal, or one with groups of thousands."""

MEASURED = re.compile(r"[-+]?\d+(?:[.,]\d+)?\s*[A-Za-zµΩ°%/²³]+\.?$")
"""A number and its unit."""

LASTED = re.compile(r"\d+:\d{2}(?::\d{2}(?:[.,]\d+)?)?$")
"""A time of the day, or a duration."""

_DAY = r"(?:\d{4}[./-]\d{1,2}[./-]\d{1,2}|\d{1,2}[./-]\d{1,2}[./-]\d\d(?:\d\d)?)"
DATED = re.compile(rf"{_DAY}(?:\b|T)")


def misreading(texts: Collection[str]) -> str:
    """Say what different texts, all of a column, seem to be, and what to do; nothing if texts.

    Numbers alone are no misreading: they may name categories, and nothing but texts can.
    """
    known = sorted(text.strip() for text in texts)
    marks = [text for text in known if text.lower() in MARKS]
    values = [text for text in known if text.lower() not in MARKS]
    plain = pl.Series(values, dtype=pl.String).cast(pl.Float64, strict=False).is_not_null()
    if len(values) < 2:
        return ""
    if plain.all():
        return marked(marks) if marks else ""
    if all(map(WRITTEN.match, values)):
        return written_like(quoted_list(values, 3))
    if all(map(MEASURED.match, values)) and len(set(map(_unit, values))) <= UNITS:
        return (
            f"holds numbers with units, such as {quoted_list(values, 3)}: write the numbers alone, "
            "all in one unit."
        )
    if all(map(LASTED.match, values)):
        return (
            f"holds times or durations, such as {quoted_list(values, 3)}: write durations as "
            "numbers, for instance of seconds, and times like 23:59:59."
        )
    if not all(map(DATED.match, values)):
        return ""
    forms = date_forms(pl.Series(values))
    if len(forms) > 1:
        return two_forms(forms)
    try:
        to_instants(pl.Series(values), like="datetime")
    except InputError:
        return (
            f"holds dates in a form, or in forms, that are not read, such as "
            f"{quoted_list(values, 3)}: write them like 2024-12-31."
        )
    return "holds dates as texts: convert it."


UNITS = 5
"""Of so many units in a column texts are numbers with units; of more they are names, such as A4."""


def _unit(text: str) -> str:
    return text.lstrip("+-0123456789., ")


def written_like(examples: str) -> str:
    """Say that numbers are written in another way than is read."""
    return (
        f"holds numbers written like {examples}: write them without groups of thousands and signs "
        "of units, and with a decimal point."
    )


def marked(marks: Collection[str]) -> str:
    """Say that numbers are mixed with some texts."""
    return (
        f"holds numbers, except for texts such as {quoted_list(marks, 3)}: leave those fields "
        "empty to have it read so."
    )


MAX_CATEGORIES = 512
"""Most categories of a column with an encoded column each; the others count as rare."""


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
        self._reading: ValueKind | None = None
        self._summary: NumberSummary | TextSummary | BucketSummary = TextSummary()

    def update(self, values: pl.Series, first_row: int) -> None:
        """Take in the next rows [n], the first of which is number ``first_row``.

        Raises
        ------
        InputError
            For a value or type that cannot be used, or a type unlike an earlier batch's.
        """
        reading = ValueKind.of(values)
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
        if not isinstance(self._summary, TextSummary) or self._reading == ValueKind("boolean"):
            return False
        frequent, present = self._frequent(self._summary), self._summary.counts.total()
        repeats = sum(frequent.values()) >= present / 2
        several = len(self._summary.counts) > 1
        return self._summary.overflowed or (several and not repeats)

    @property
    def different(self) -> int:
        """How many different texts a column of categories has, those too rare to learn too."""
        return len(self._summary.counts) if isinstance(self._summary, TextSummary) else 0

    def hint(self, said: str = "") -> str:
        """Say what else a `crowded` column seems to hold: numbers or dates, spoilt or as texts.

        ``said`` is what is already known of that.
        """
        if said:
            return f"{quoted(self.name)} {said}"
        if not isinstance(self._summary, TextSummary):
            return ""
        texts = pl.Series(self.name, list(self._summary.counts), dtype=pl.String)
        odd = texts.filter(texts.str.strip_chars().cast(pl.Float64, strict=False).is_null())
        signed = texts.filter(texts.str.contains(".", literal=True))
        if not len(odd) and len(signed) and all(map(GROUPED.match, signed)):
            said = (
                f"holds numbers such as {quoted(signed[0])}, with three digits behind each point: "
                "if these are groups of thousands, write them without the points."
            )
        elif not len(odd):
            said = "holds numbers as texts, or with blanks: convert it."
        elif all(map(WRITTEN.match, odd)):
            said = written_like(quoted_list(odd, 3))
        elif 10 * len(odd) <= len(texts):
            said = marked(odd)
        else:
            said = misreading(texts)
        return f"{quoted(self.name)} {said}" if said else ""

    def _frequent(self, summary: TextSummary) -> dict[str, int]:
        """Return the categories worth a column, the most frequent first."""
        least = least_frequent(summary.rows + self._untyped_rows)
        ranked = sorted(summary.counts.items(), key=lambda item: (-item[1], item[0]))
        return {text: count for text, count in ranked[:MAX_CATEGORIES] if count >= least}

    def build(self) -> Column:
        """Return the encoder of the rows taken in so far; the column must not be `crowded`."""
        summary, reading = self._summary, self._reading or ValueKind("text")
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
        return NumberColumn(
            name=name,
            profile=profile,
            scale=scale,
            median=summary.median,
            ordered=summary.ordered,
        )


KINDS: dict[str, type[Column]] = {
    kind.kind: kind
    for kind in (
        NumberColumn,
        BooleanColumn,
        CategoryColumn,
        HashedColumn,
        TimeColumn,
        ConstantColumn,
    )
}

CAUTIONS: dict[Caution, str] = {
    "constant": "One value in every training row; a row with another scores higher",
    "empty": "Missing in every training row; a row with a value scores higher",
    "hashed": f"Hashed into {HASH_BUCKETS} buckets; explanations name a bucket, not a value",
}

TIMELESS: dict[Caution, str] = {
    "dated": "Dates, learned by their place in the day, week and year; how late they are counts "
    f"only with {TREND_SETTING}",
    "ordered": "Numbers that the rows are sorted by; those of new rows would lie beyond, so they "
    f"count only with {TREND_SETTING}",
}
"""Cautions where no row is judged by its place in the training period."""

TREND: dict[Caution, str] = {
    "dated": "Dates, judged also by their place in the training period; rows before or after it "
    "score higher for that",
}
"""Cautions where rows are."""

CACHED_ROWS = 8192
"""Rows encoded at a time: what is being filled, column by column, stays in the cache."""


@dataclass(frozen=True)
class TableEncoder:
    """Encodes tables as numbers near [0, 1] by what a training table held, and decodes them.

    The encoded columns that varied in training come first, `network_width` of them; those that
    were fixed come last, and are 0 for a row like training's and 1 for one unlike all of it. So
    the square of the fixed part always raises a row's score, and no network need learn it.

    Attributes
    ----------
    features
        One encoder per column of the user's table, in training order.
    said
        What columns of texts seem to hold, for `notes`; not stored.
    """

    features: tuple[Column, ...]
    said: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        if len(set(self.feature_names)) != len(self.features):
            raise InputError("the stored state of the table has two columns of one name")
        if self.network_width == 0:
            raise InputError("no column varies in the training rows; there is nothing to learn")

    @classmethod
    def fit(
        cls,
        frame: pl.DataFrame,
        *,
        hashed: Collection[str] = (),
        said: Mapping[str, str] | None = None,
    ) -> "TableEncoder":
        """Learn the columns of a table; see `fit_batches`."""
        return cls.fit_batches([frame], hashed=hashed, said=said)

    @classmethod
    def fit_batches(
        cls,
        batches: Iterable[pl.DataFrame],
        *,
        hashed: Collection[str] = (),
        said: Mapping[str, str] | None = None,
    ) -> "TableEncoder":
        """Learn the columns of a table in one pass and bounded memory.

        Parameters
        ----------
        batches
            The rows, cut anywhere, with the same columns in each batch.
        hashed
            Columns of texts or numbers to hash, for those with more categories than one-hot
            coding can hold.
        said
            What columns of texts seem to hold, from `Oddities`.

        Raises
        ------
        InputError
            For no columns, fewer than two rows, rows that are all identical, infinite numbers,
            columns of a type that cannot be encoded or with too many categories.
        """
        fits: list[ColumnFit] = []
        rows = 0
        for batch in batches:
            if not fits:
                check_columns(hashed, batch.columns, "the table", advice=NAME_ANOTHER)
                fits = [ColumnFit(name, hashed=name in hashed) for name in batch.columns]
            check_columns([fit.name for fit in fits], batch.columns, "the table")
            for fit in fits:
                fit.update(batch[fit.name], rows)
            rows += batch.height
        if not fits:
            raise InputError("the table has no columns. Give it at least one.")
        if rows < 2:
            raise InputError(
                f"only {count(rows, 'row')} to learn from: learning what is normal takes at least "
                "2. Give more rows."
            )
        crowded = [fit for fit in fits if fit.crowded]
        if crowded:
            names = [fit.name for fit in crowded]
            index = "is where pandas keeps its index: leave it out."
            told = {**(said or {}), **dict.fromkeys(filter(INDEX.match, names), index)}
            but = " ".join(filter(None, (fit.hint(told.get(fit.name, "")) for fit in crowded)))
            raise InputError(
                f"too many different texts in {quoted_list(names)}: hardly "
                "any value twice, or too many to count. Ignore such a column if it only names the "
                "row, or have its values hashed." + (f" But {but}" if but else "")
            )
        columns = tuple(fit.build() for fit in fits)
        if all(all(column.fixed) for column in columns):
            raise InputError(
                "all rows to learn from are identical: no column varies, so there is nothing to "
                "learn. Check the columns that were left out, or give other rows."
            )
        return cls(columns, said or {})

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The user's column names, in training order."""
        return tuple(feature.name for feature in self.features)

    @cached_property
    def width(self) -> int:
        """The number of encoded columns."""
        return sum(len(feature.fixed) for feature in self.features)

    @cached_property
    def network_width(self) -> int:
        """The number of encoded columns that varied in training; they come first."""
        return sum(not fixed for feature in self.features for fixed in feature.fixed)

    @cached_property
    def places(self) -> tuple[tuple[int, ...], ...]:
        """For each feature, where its encoded columns are, in the order that it writes them."""
        varied, fixed = iter(range(self.network_width)), iter(range(self.network_width, self.width))
        return tuple(
            tuple(next(fixed if was_fixed else varied) for was_fixed in feature.fixed)
            for feature in self.features
        )

    @property
    def dates(self) -> RangedColumn | None:
        """The column that tells when rows came: a date, else a running number; None without."""
        found = filter(None, (column.dates for column in self.features))
        return min(found, key=lambda each: each.caution != "dated", default=None)

    @property
    def calendar(self) -> tuple[int, ...]:
        """Where the encoded columns are that tell when in the training period a row came.

        None if nothing else varied: then there is nothing else to learn.
        """
        found = tuple(
            places[0]
            for feature, places in zip(self.features, self.places, strict=True)
            if feature.dates is not None
        )
        return found if len(found) < self.network_width else ()

    @property
    def variables(self) -> tuple[Variable, ...]:
        """What the encoded columns are of, feature by feature."""
        return tuple(
            variable
            for feature, places in zip(self.features, self.places, strict=True)
            for variable in feature.variables(places)
        )

    @cached_property
    def owner(self) -> NDArray[np.int32]:
        """The position in `features` that each encoded column belongs to, int32 [width]."""
        owner = np.empty(self.width, np.int32)
        for number, places in enumerate(self.places):
            owner[list(places)] = number
        return owner

    @cached_property
    def spanned(self) -> NDArray[np.bool_]:
        """For each encoded column, whether the rows of training gave it its range, bool [width]."""
        spanned = np.empty(self.width, bool)
        for feature, places in zip(self.features, self.places, strict=True):
            spanned[list(places)] = feature.spanned
        return spanned

    def group(self, contributions: NDArray[np.floating]) -> NDArray[np.floating]:
        """Add up encoded columns' contributions [n, width] by feature, [n, n_features]."""
        return np.stack(
            [contributions[:, list(places)].sum(axis=1) for places in self.places], axis=1
        )

    @property
    def dtypes(self) -> dict[str, pl.DataType]:
        """The types to read a text file's columns as, for rows to be scored."""
        return {feature.name: feature.csv_dtype for feature in self.features}

    def extra_columns(self, frame: pl.DataFrame) -> list[str]:
        """Return the columns of ``frame`` that training did not have, which are not used."""
        known = set(self.feature_names)
        return [name for name in frame.columns if name not in known]

    def transform(self, data: Any, *, first_row: int = 0) -> NDArray[np.float32]:
        """Encode the rows of a table.

        Parameters
        ----------
        data
            The training columns [n rows] in any order, see `advae.tables.frames.as_frame`; others
            are not used.
        first_row
            The number of the first row, for errors.

        Returns
        -------
            float32 [n, width]. Within [0, 1] for rows in the training range, within ±1e9 always.

        Raises
        ------
        InputError
            For a missing column, or a value that cannot be read as training's could.
        """
        frame = as_frame(data)
        check_columns(self.feature_names, frame.columns, "the table")
        encoded = np.empty((frame.height, self.width), np.float32)
        for start in range(0, frame.height, CACHED_ROWS):
            block = encoded[start : start + CACHED_ROWS]
            for feature, places in zip(self.features, self.places, strict=True):
                values = frame[feature.name].slice(start, CACHED_ROWS)
                feature.encode(values, [block[:, place] for place in places], first_row + start)
        return encoded

    def transform_parts(
        self, frame: pl.DataFrame, *, first_row: int = 0
    ) -> Iterator[tuple[pl.DataFrame, NDArray[np.float32]]]:
        """Encode a table in parts, at least one, of bounded memory however wide they become."""
        step = rows_at_once(self.width)
        for start in range(0, max(1, frame.height), step):
            part = frame.slice(start, step)
            yield part, self.transform(part, first_row=first_row + start)

    def decode(self, encoded: NDArray[np.float32]) -> pl.DataFrame:
        """Turn encoded rows, usually expected ones, into the user's units.

        Parameters
        ----------
        encoded
            float [n, width].

        Returns
        -------
            One column per feature [n]; null where a missing value is expected.
        """
        # Not a list of columns: Polars would rename one whose name is empty.
        return pl.DataFrame(
            {
                feature.name: feature.decode(encoded[:, list(places)])
                for feature, places in zip(self.features, self.places, strict=True)
            }
        )

    def cautioned(self, caution: Caution) -> list[str]:
        """Return the names of the columns that are treated so."""
        return [feature.name for feature in self.features if feature.caution == caution]

    def notes(self, *, trend: bool) -> tuple[str, ...]:
        """Return sentences on the columns that are treated in a way the user should know of.

        ``trend``: whether rows are judged by their place in the training period, `calendar`.
        """
        cautioned = [
            f"{sentence}: {quoted_list(names)}."
            for caution, sentence in (CAUTIONS | (TREND if trend else TIMELESS)).items()
            if (names := self.cautioned(caution))
        ]
        misread = [
            f"Learned as categories, but {quoted(f.name)} {said}"
            for f in self.features
            if f.texts and (said := self.said.get(f.name) or misreading(f.texts))
        ]
        index = list(filter(INDEX.match, self.feature_names))
        stored = [f"Learned, though pandas keeps its index there: {quoted_list(index)}."]
        return *cautioned, *misread, *(stored if index else [])

    def to_json(self) -> dict[str, Any]:
        """Return the whole state, to be stored as JSON."""
        return {"features": [{"kind": f.kind, **asdict(f)} for f in self.features]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "TableEncoder":
        """Undo `to_json`, exactly.

        Raises
        ------
        InputError
            For a state that `to_json` cannot have written.
        """
        features = data.get("features") if isinstance(data, dict) and len(data) == 1 else None
        if not isinstance(features, list) or not features:
            raise InputError(f"expected a list of features, found {quoted(data)}")
        columns = []
        for number, feature in enumerate(features):
            where = f"features[{number}]"
            kind = feature.get("kind") if isinstance(feature, dict) else None
            if not isinstance(kind, str) or kind not in KINDS:
                raise InputError(
                    f"{where}: {quoted(kind)} is no kind of column; known are {', '.join(KINDS)}"
                )
            state = {name: value for name, value in feature.items() if name != "kind"}
            columns.append(restore(KINDS[kind], state, where))
        names = [column.name for column in columns]
        if len(set(names)) < len(names):
            raise InputError("two features have one name")
        return cls(tuple(columns))
