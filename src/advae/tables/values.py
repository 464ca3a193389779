"""The user's values as numbers, truth values or texts, or one error that names the cell.

Every function takes one column and gives NaN (or null, for texts) where a value is missing.
Row numbers in errors start at 0 with the first data row, plus the given ``first_row``.
"""

import difflib
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from itertools import product
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np
import polars as pl
from numpy.typing import NDArray

from advae.errors import ColumnError, InputError, quoted, quoted_list
from advae.graph import Graph, Value

FloatArray = NDArray[np.float64]

FINITE = "a finite number"
"""What infinite values are said not to be."""

DAY = 86_400_000_000.0
"""Microseconds in a day. Instants are held as microseconds, which float64 counts exactly for
285 years around 1970 and to within one for far longer."""

YEAR = 365.2425 * DAY
HASH_BUCKETS = 32
CATEGORIES = (pl.Categorical, pl.Enum)


NAME_ANOTHER = "Name columns that it has."
"""The advice where it is the asker who can be wrong about a name, and not the table."""


def check_columns(
    wanted: Iterable[str],
    found: Collection[str],
    where: str,
    others_known: Collection[str] = (),
    advice: str = "Add or rename the columns.",
) -> None:
    """Refuse a table or file, called ``where``, that lacks some of the ``wanted`` columns.

    ``others_known`` are columns that are known to be others, and so not meant by a wrong name.
    ``advice`` is for a name that is like none: `NAME_ANOTHER` where not a model wants the columns.
    """
    wanted, known = list(wanted), set(found)
    missing = [name for name in wanted if name not in known]
    if not missing:
        return
    # Columns in their place are no hints. All in one case: difflib tells "ID" from "id".
    others = known.difference(wanted, others_known)
    folded = {name.casefold(): name for name in reversed(list(found)) if name in others}
    hints = []
    for name in missing[:10]:
        word = name.casefold()
        # A name without its unit, if there is one such column: "sodium" for "sodium [mmol/l]".
        with_unit = [each for each in folded if _begins(each, word) or _begins(word, each)]
        close = with_unit if len(with_unit) == 1 else difflib.get_close_matches(word, folded, n=1)
        hints += [f"{quoted(folded[each])} for {quoted(name)}" for each in close]
    raise InputError(
        f"missing column{'' if len(missing) == 1 else 's'} {quoted_list(missing)}; {where} has "
        f"{quoted_list(found) if found else 'no columns'}. "
        + (f"Did you mean {', '.join(hints)}?" if hints else advice)
    )


def _begins(name: str, word: str) -> bool:
    """Return whether a name is a word and something behind it."""
    return bool(word) and re.match(rf"{re.escape(word)}\W", name) is not None


def bad_cell(values: pl.Series, bad: NDArray[np.bool_], first_row: int, wanted: str) -> ColumnError:
    """Describe the first cell marked in ``bad``; ``wanted`` completes "... is not"."""
    row = int(np.flatnonzero(bad)[0])
    value = "a missing value" if values[row] is None else quoted(values[row])
    return ColumnError(
        quoted(values.name),
        first_row + row,
        f"{value} is not {wanted}. Correct the value, or remove the row.",
    )


def is_missing(values: pl.Series) -> pl.Series:
    """Tell which values are missing: null, or NaN."""
    return (values.fill_nan(None) if values.dtype.is_float() else values).is_null()


def missing_counts(frame: pl.DataFrame) -> dict[str, int]:
    """Count the missing values of each column, of all at once: a table can have thousands."""
    counted = frame.with_columns(pl.selectors.float().fill_nan(None)).null_count()
    return dict(zip(frame.columns, counted.row(0), strict=True))


def no_values(values: pl.Series, wanted: str) -> pl.Series:
    """Return a column without any value, of whatever type, as one of type Null.

    Where all values of a batch are missing their type is chance: pandas takes them for floats.

    Raises
    ------
    ColumnError
        For a column with a value: it cannot be read as ``wanted``.
    """
    if not is_missing(values).all():
        raise wrong_type(values, wanted)
    return pl.Series(values.name, [None] * len(values), dtype=pl.Null)


def plain_texts(values: pl.Series) -> pl.Series:
    """Return categories as the texts that they are, other values unchanged."""
    return values.cast(pl.String) if isinstance(values.dtype, CATEGORIES) else values


def to_numbers(values: pl.Series, first_row: int = 0) -> FloatArray:
    """Read a column as float64 numbers; null and NaN are both missing and give NaN.

    Parameters
    ----------
    values
        Numbers of any type, booleans (0 and 1), or texts that spell numbers.
    first_row
        The row number of ``values[0]``, for errors.

    Returns
    -------
        float64 [n], finite or NaN. May be a read-only view of ``values``.

    Raises
    ------
    InputError
        For an infinite value, a text that spells no number, or another type.
    """
    values = plain_texts(values)
    dtype = values.dtype
    if dtype == pl.String:
        trimmed = values.str.strip_chars()
        numbers = trimmed.cast(pl.Float64, strict=False)
        misread = (numbers.is_null() & values.is_not_null() & (trimmed != "")).to_numpy()
        if misread.any():
            raise bad_cell(values, misread, first_row, "a number, but training had numbers here")
    elif dtype.is_numeric() or dtype == pl.Boolean:
        numbers = values.cast(pl.Float64)
    else:
        numbers = no_values(values, "numbers").cast(pl.Float64)
    array: FloatArray = numbers.to_numpy()
    if not np.isfinite(array).all():
        infinite = np.isinf(array)
        if infinite.any():
            raise bad_cell(values, infinite, first_row, FINITE)
    return array


def to_truths(
    values: pl.Series,
    first_row: int = 0,
    *,
    true: Collection[str] = ("true", "1"),
    false: Collection[str] = ("false", "0"),
    wanted: str = "true or false (or 1 or 0)",
) -> FloatArray:
    """Read a column as truth values: 1 for true, 0 for false, NaN where missing.

    Parameters
    ----------
    values
        Booleans, the numbers 0 and 1, or texts among ``true`` and ``false``.
    first_row
        The row number of ``values[0]``, for errors.
    true, false
        Accepted spellings in lower case; case and outer blanks in ``values`` do not count.
    wanted
        What the error says was expected.

    Raises
    ------
    InputError
        For any other value.
    """
    values = plain_texts(values)
    if values.dtype == pl.String:
        words = values.str.strip_chars().str.to_lowercase()
        known = words.is_in(list(true)).cast(pl.Float64)
        truths = known.set(~words.is_in([*true, *false]) & (words != ""), 2.0)
        array: FloatArray = truths.set(words == "", None).to_numpy()
    elif values.dtype.is_numeric() or values.dtype == pl.Boolean:
        array = values.cast(pl.Float64).to_numpy()
    else:
        array = no_values(values, wanted).cast(pl.Float64).to_numpy()
    bad = ~(np.isnan(array) | (array == 0) | (array == 1))
    if bad.any():
        raise bad_cell(values, bad, first_row, wanted)
    return array


def to_texts(values: pl.Series) -> pl.Series:
    """Read a column of texts, categories, numbers, booleans or times as texts, null where missing.

    Whole numbers are spelled without a point: tools that hold missing integers as floats turn the
    category 1 into 1.0, and databases into 1.00. Durations are spelled like "3d 04:05:06.25".

    Raises
    ------
    InputError
        For nested and binary values.
    """
    dtype = values.dtype
    if dtype.is_nested() or dtype in (pl.Binary, pl.Object):
        return no_values(values, "texts").cast(pl.String)
    if dtype.is_float():
        return values.fill_nan(None).cast(pl.String).str.strip_suffix(".0")
    if isinstance(dtype, pl.Decimal) and dtype.scale:
        return values.cast(pl.String).str.strip_chars_end("0").str.strip_suffix(".")
    if isinstance(dtype, pl.Duration):  # the only type that Polars does not cast
        length = pl.lit(values).dt.total_microseconds()
        sign = pl.when(length < 0).then(pl.lit("-")).otherwise(pl.lit(""))
        clock = (length.abs() % int(DAY) * 1000).cast(pl.Time).dt.to_string("%T%.f")
        days = length.abs() // int(DAY)
        whole = pl.when(days > 0).then(pl.format("{}d ", days)).otherwise(pl.lit(""))
        return pl.select(pl.format("{}{}{}", sign, whole, clock)).to_series().alias(values.name)
    return values if dtype == pl.String else values.cast(pl.String)


def to_buckets(texts: pl.Series) -> NDArray[np.int64]:
    """Spread texts over `HASH_BUCKETS` buckets by their CRC-32, the same everywhere and for ever.

    Returns
    -------
        int64 [n], 0 to `HASH_BUCKETS` - 1; -1 where missing.
    """
    distinct = texts.drop_nulls().unique()
    buckets = [crc32(text.encode()) % HASH_BUCKETS for text in distinct]
    known = pl.DataFrame({"text": distinct, "bucket": pl.Series(buckets, dtype=pl.Int64)})
    found = texts.to_frame("text").join(known, on="text", how="left", maintain_order="left")
    return found["bucket"].fill_null(-1).to_numpy()


def equals(numbers: FloatArray, value: float) -> NDArray[np.bool_]:
    """Tell which numbers are a value, also where one of the two was stored in single precision."""
    equal: NDArray[np.bool_] = numbers == value
    single = np.float32(value)
    # Whole numbers and microseconds must agree to the last digit, and tiny numbers are all 0 in
    # single precision.
    if single and not value.is_integer():
        with np.errstate(over="ignore"):
            equal |= numbers.astype(np.float32) == single
    return equal


def wrong_type(values: pl.Series, wanted: str) -> ColumnError:
    """Say that a column holds values of a type that cannot be read as ``wanted``."""
    return ColumnError(
        quoted(values.name),
        None,
        f"holds values of type {values.dtype}; expected {wanted}. "
        "Convert the column, or ignore it when fitting.",
    )


def to_instants(
    values: pl.Series, first_row: int = 0, *, like: str, zone: str | None = None
) -> FloatArray:
    """Read a column of times as microseconds: since 1970, since midnight, or of duration.

    Parameters
    ----------
    values
        Times, or texts that spell them; durations as `to_texts` does.
    first_row
        The row number of ``values[0]``, for errors.
    like
        "date", "datetime", "time" or "duration"; the first two may stand for one another.
    zone
        Time zone of the clock that gives the microseconds; values without a zone are taken to be
        in it. None reads the clock time as it is written.

    Returns
    -------
        float64 [n], NaN where missing.

    Raises
    ------
    InputError
        For a text that spells no such time, or another type.
    """
    values = plain_texts(values)
    times = _parse_times(values, first_row, like, zone) if values.dtype == pl.String else values
    dtype = times.dtype
    if like == "time" and dtype == pl.Time:
        instants = times.cast(pl.Int64) / 1000
    elif like == "duration" and isinstance(dtype, pl.Duration):
        instants = times.dt.total_microseconds()
    elif like in ("date", "datetime") and isinstance(dtype, (pl.Date, pl.Datetime)):
        if isinstance(dtype, pl.Datetime) and dtype.time_zone is not None:
            local = times if zone is None else times.dt.convert_time_zone(zone)
            times = local.dt.replace_time_zone(None)
        instants = times.cast(pl.Datetime("us")).cast(pl.Int64)
    else:
        instants = no_values(times, f"values of type {like}")
    return instants.cast(pl.Float64).to_numpy()


def _parse_times(texts: pl.Series, first_row: int, like: str, zone: str | None) -> pl.Series:
    """Read texts as times, each by its own form: what a text means no other text can change."""
    frame, trimmed = texts.alias("text").to_frame(), pl.col("text").str.strip_chars()
    if like in ("time", "duration"):
        read = _read_times(trimmed, "time") if like == "time" else _read_durations(trimmed)
    else:
        instants = _read_times(trimmed, "datetime", zoned=True)
        clock = instants.dt.convert_time_zone(zone or "UTC").dt.replace_time_zone(None)
        read = pl.coalesce(_read_times(trimmed, "datetime"), clock)
    odd = read.is_null() & (trimmed != "").fill_null(value=False)
    times, misread = frame.select(read.alias("times"), odd.alias("misread"))
    if misread.any():
        wanted = f"a {like}, such as {_EXAMPLES[like]}"
        raise bad_cell(texts, misread.to_numpy(), first_row, wanted)
    if times.is_null().all():
        return pl.Series(texts.name, times, dtype=pl.Null)
    times = times.alias(texts.name)
    if like == "duration":
        check_times(times, first_row)
    return times


_LENGTH = r"^(-?)(?:(\d{1,7})d )?(\d{1,8}):([0-5]\d)(?::([0-5]\d(?:\.\d{1,9})?))?$"


def _read_durations(texts: pl.Expr) -> pl.Expr:
    """Undo `to_texts` for durations: "-3d 04:05:06.25"."""
    parts = texts.str.extract_groups(_LENGTH).struct
    days, hours, minutes = (parts.field(place).cast(pl.Int64) for place in "234")
    seconds = parts.field("5").fill_null("0").cast(pl.Float64)
    length = ((days.fill_null(0) * 24 + hours) * 60 + minutes) * 60_000_000 + (
        seconds * 1e6
    ).round().cast(pl.Int64)
    sign = pl.when(parts.field("1") == "-").then(-1).otherwise(1)
    return (sign * length).cast(pl.Duration("us"))


_YEAR_FIRST = r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}"
_DAY_FIRST = r"\d{1,2}[-/.]\d{1,2}[-/.]\d{4}"
_CLOCK = r"\d{1,2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?"
_INSTANT = rf"^({_YEAR_FIRST}|{_DAY_FIRST})(?:[T ]({_CLOCK}))? ?(Z|[-+]\d{{2}}(?::?\d{{2}})?)?$"


def parse_times(texts: pl.Series, like: str, *, zoned: bool = False) -> pl.Series:
    """Read texts as times, each alone: 2024-12-31 and 31.12.2024, with / or - as well, 23:59:59.

    Parameters
    ----------
    texts
        Without blanks around.
    like
        "date", "datetime" (a date alone is its midnight) or "time".
    zoned
        Whether to read the instants that name a zone, and only those.

    Returns
    -------
        Times in microseconds, [n]; null where a text is none. In UTC if ``zoned``.
    """
    found = texts.alias("text").to_frame().select(_read_times(pl.col("text"), like, zoned=zoned))
    return found.to_series().alias(texts.name)


def _read_times(texts: pl.Expr, like: str, *, zoned: bool = False) -> pl.Expr:
    """Return what `parse_times` does, as an expression: steps one by one take long for few rows."""
    if like == "time":
        such = pl.when(texts.str.contains(f"^{_CLOCK}$")).then(texts)
        return _with_seconds(such).str.to_time("%H:%M:%S%.f", strict=False)
    parts = texts.str.extract_groups(_INSTANT).struct
    day, clock, zone = (parts.field(str(number)) for number in (1, 2, 3))
    day = day.str.replace_all("[/.]", "-").str.replace(r"^(\d+)-(\d+)-(\d{4})$", "$3-$2-$1")
    if like == "date":
        alone = pl.when(clock.is_null() & zone.is_null()).then(day)
        return alone.str.to_date("%Y-%m-%d", strict=False)
    times = day + " " + _with_seconds(clock).fill_null("00:00:00")
    form, utc = "%Y-%m-%d %H:%M:%S%.f", None
    if zoned:
        times, form, utc = times + zone, f"{form}%#z", "UTC"
    read: pl.Expr = times if zoned else pl.when(zone.is_null()).then(times)
    return read.str.to_datetime(form, strict=False, time_unit="us", time_zone=utc)


def _with_seconds(clock: pl.Expr) -> pl.Expr:
    return clock.str.replace(r"^(\d{1,2}:\d{2})$", "${1}:00")


def date_forms(texts: pl.Series) -> dict[str, str]:
    """Return the forms in which texts spell dates, "year first" or "day first", by an example."""
    found, texts = {}, texts.alias("text")
    for form, pattern in (("year first", _YEAR_FIRST), ("day first", _DAY_FIRST)):
        such = texts.filter(texts.str.contains(rf"^\s*{pattern}(?:[T\s]|$)").fill_null(value=False))
        if len(such):
            found[form] = str(such[0])
    return found


def two_forms(forms: Mapping[str, str]) -> str:
    """Say that a column holds dates in the two forms that `date_forms` found."""
    examples = " and ".join(quoted(text) for text in forms.values())
    return f"holds dates in two forms, such as {examples}: write all of them in one."


_EXAMPLES = {
    "date": "2024-12-31",
    "datetime": "2024-12-31 23:59:59",
    "time": "23:59:59",
    "duration": "3d 04:05:06.25",
}


def from_instants(name: str, instants: FloatArray, like: str, zone: str | None) -> pl.Series:
    """Undo `to_instants`: a column of times from finite microseconds [n], rounded as they need."""
    if like == "time":
        clipped = np.clip(np.rint(instants), 0, DAY - 1)
        return pl.Series(name, clipped.astype(np.int64) * 1000).cast(pl.Time)
    if like == "date":
        instants = np.rint(instants / DAY) * DAY
    whole = pl.Series(name, np.clip(np.rint(instants), *_CALENDAR).astype(np.int64))
    if like == "duration":
        return whole.cast(pl.Duration("us"))
    if like == "date":
        return whole.cast(pl.Datetime("us")).cast(pl.Date)
    clock, day = whole.cast(pl.Datetime("us")), timedelta(days=1)
    # When clocks are put forward an hour does not exist: a time in it becomes the time one day
    # earlier plus 24 hours, which lies after the gap.
    there, before = (
        times.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
        for times in (clock, clock - day)
    )
    return there.zip_with(there.is_not_null(), before + day)


_CALENDAR = (-62_135_596_800_000_000, 253_402_214_400_000_000)  # the years 1 to 9999


TIMES = ("date", "datetime", "time", "duration")


class Given(NamedTuple):
    """How a graph is given the values of a column.

    ``dtype``: of NumPy, ``object`` for texts. ``missing``: what stands for a missing value.
    ``meaning``: what the values are.
    """

    dtype: Any
    missing: str | float | int
    meaning: str


NOT_A_TIME = -(2**63)
"""The missing time of NumPy and pandas."""

_GIVEN = {
    "number": Given(np.float64, np.nan, "the number"),
    "boolean": Given(np.int8, -1, "1 for true, 0 for false"),
    "text": Given(object, "", "the text"),
    "date": Given(np.int64, NOT_A_TIME, "microseconds from 1970-01-01 to midnight of the day"),
    "datetime": Given(np.int64, NOT_A_TIME, "microseconds since 1970-01-01 00:00:00"),
    "time": Given(np.int64, NOT_A_TIME, "microseconds since midnight"),
    "duration": Given(np.int64, NOT_A_TIME, "microseconds"),
}


class ReadValues(NamedTuple):
    """Values of a column in a graph, each of shape [n].

    ``numbers``: float64, of no meaning where ``missing``. ``readable``: where `ValueKind.numbers`
    would raise no error; None for everywhere.
    """

    numbers: Value
    missing: Value
    readable: Value | None


@dataclass(frozen=True)
class ValueKind:
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
    def of(cls, values: pl.Series) -> "ValueKind | None":
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
        check_times(values, first_row)
        return to_instants(values, first_row, like=self.like, zone=self.zone)

    def texts(self, values: pl.Series, first_row: int) -> pl.Series:
        """Read values [n] as texts, null where missing; may raise `InputError`."""
        if self.like == "number":  # as float64, so that integers and floats are spelled alike
            return to_texts(pl.Series(values.name, self.numbers(values, first_row)))
        check_times(values, first_row)
        return to_texts(values)

    def show(self, name: str, numbers: FloatArray) -> pl.Series:
        """Undo `numbers` for finite numbers [n]."""
        if self.like == "number":
            return pl.Series(name, numbers)
        if self.like == "boolean":
            return pl.Series(name, numbers >= 0.5)
        return from_instants(name, numbers, self.like, self.zone)

    @property
    def given(self) -> Given:
        """How a graph is given values of this kind."""
        given = _GIVEN[self.like]
        if self.zone is None:
            return given
        return given._replace(meaning=f"{given.meaning} by the clock of {self.zone}")

    def fed(self, values: pl.Series, first_row: int) -> np.ndarray:
        """Return values [n] other than texts as a graph is given them; may raise `InputError`."""
        given = self.given
        numbers = self.numbers(values, first_row)
        missing = np.isnan(numbers)
        return np.where(missing, given.missing, np.where(missing, 0, numbers).astype(given.dtype))

    def in_graph(self, graph: Graph, values: Value) -> ReadValues:
        """Write down `numbers` for values other than texts."""
        if self.like == "number":
            finite = ~graph.op("IsInf", values)
            return ReadValues(values, graph.op("IsNaN", values), finite)
        if self.like == "boolean":
            truths = values.cast(np.int64)
            missing = truths.equals(np.int64(-1))
            known = missing | truths.equals(np.int64(0)) | truths.equals(np.int64(1))
            return ReadValues(truths.cast(np.float64), missing, known)
        instants = values.cast(np.float64)
        missing = values.equals(np.int64(NOT_A_TIME))
        least, most, _ = _BOUNDS[_DTYPES[self.like]]
        near = ~(instants < np.float64(least)) & (instants < np.float64(most))
        return ReadValues(instants, missing, near | missing)

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


def folded(text: str) -> str:
    """Return a text without what the spellings of one text differ in: its case, and its blanks."""
    return " ".join(text.split()).casefold()


def respelled(texts: pl.Series, truths: Mapping[str, str]) -> pl.Series:
    """Spell true and false as training did, see `truths_among`; other texts stay.

    Python writes True where Polars and most files write true, and a boolean is no text at all.
    """
    for word, spelling in truths.items():
        same = texts.str.strip_chars().str.to_lowercase() == word
        texts = texts.set(same.fill_null(value=False), spelling)
    return texts


def missing_text(known: Collection[str]) -> str:
    """Return the text that stands for a missing one in a graph: the empty one, if it is free."""
    text = ""
    while text in known:
        text = f"({text or 'missing'})"
    return text


def numbered(
    graph: Graph, texts: Value, known: Mapping[str, int], missing: int, other: int
) -> Value:
    """Write down which number each text has; missing and other ones have numbers of their own.

    True and false count as training spelled them, as by `respelled`, but for blanks around them:
    no operator takes these away.
    """
    numbers = dict(known)
    for word, spelling in truths_among(known).items():
        for letters in product(*((letter, letter.upper()) for letter in word)):
            numbers["".join(letters)] = known[spelling]
    numbers[missing_text(known)] = missing
    return graph.op(
        "LabelEncoder",
        texts,
        domain="ai.onnx.ml",
        keys_strings=list(numbers),
        values_int64s=list(numbers.values()),
        default_int64=other,
    )


def check_finite(
    frame: pl.DataFrame, first_row: int, used: NDArray[np.bool_] | None = None
) -> None:
    """Refuse infinite numbers and times, and texts that are too long.

    ``used`` [n] marks the rows that count, all when None.

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
    for values in frame.select(pl.selectors.temporal()):
        check_times(values, first_row, used)
    check_lengths(frame, first_row, used)


LONGEST_TEXT = 4096
"""Bytes of a text that is learned. Longer ones tell no kinds of rows apart, and the texts of all
rows to learn from are held at once."""


def check_lengths(
    frame: pl.DataFrame, first_row: int, used: NDArray[np.bool_] | None = None
) -> None:
    """Refuse texts of more than `LONGEST_TEXT` bytes; ``used`` [n] marks the rows that count.

    Raises
    ------
    ColumnError
        For the first one; row numbers start at ``first_row``.
    """
    for values in frame.iter_columns():
        held = values.alias("text")  # one called "^x$" is a pattern to Polars
        if isinstance(held.dtype, CATEGORIES):
            # Not as texts: one long category can stand in millions of rows.
            lengths = held.cat.len_bytes()
        elif held.dtype == pl.String:
            lengths = held.str.len_bytes()
        else:
            continue
        bad = (lengths > LONGEST_TEXT).fill_null(value=False).to_numpy()
        bad = bad if used is None else bad & used
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            raise ColumnError(
                quoted(values.name),
                first_row + row,
                f"a text of {lengths[row]:,} bytes, and {LONGEST_TEXT:,} are the most that is "
                "learned. Shorten it, or ignore the column.",
            )


def check_times(values: pl.Series, first_row: int, used: NDArray[np.bool_] | None = None) -> None:
    """Refuse times that neither Python nor, further off, Polars can hold; other types pass.

    Some databases write infinity as such a time. ``used`` [n] marks the rows that count.

    Raises
    ------
    ColumnError
        For the first one; row numbers start at ``first_row``.
    """
    bad = unspeakable(values)
    bad = bad if used is None else bad & used
    if bad.any():
        raise ColumnError(
            quoted(values.name),
            first_row + int(np.flatnonzero(bad)[0]),
            f"{_BOUNDS[type(values.dtype)][2]}. Correct the value, or leave it empty.",
        )


def unspeakable(values: pl.Series) -> NDArray[np.bool_]:
    """Tell which values are times that `check_times` refuses; none of another type is."""
    if isinstance(values.dtype, pl.Datetime | pl.Duration):
        unit = {"ms": 1e3, "us": 1.0, "ns": 1e-3}[values.dtype.time_unit]
    elif isinstance(values.dtype, pl.Date):
        unit = DAY
    elif isinstance(values.dtype, pl.Time):
        unit = 1e-3
    else:
        return np.zeros(len(values), bool)
    least, most, _ = _BOUNDS[type(values.dtype)]
    if isinstance(values.dtype, pl.Datetime) and values.dtype.time_zone is not None:
        least, most = least + DAY, most - DAY  # on the clock of any zone
    moments = values.to_physical().cast(pl.Float64).to_numpy() * unit
    bad: NDArray[np.bool_] = (moments < least) | (moments >= most)
    return bad


_DTYPES: dict[str, type[pl.DataType]] = {
    "date": pl.Date,
    "datetime": pl.Datetime,
    "time": pl.Time,
    "duration": pl.Duration,
}
_LONGEST = 10_000 * YEAR
_YEARS = (_CALENDAR[0], _CALENDAR[1] + DAY, "the time is before the year 1 or after the year 9999")
_BOUNDS: dict[type[pl.DataType], tuple[float, float, str]] = {
    pl.Date: _YEARS,
    pl.Datetime: _YEARS,
    pl.Time: (0.0, DAY, "the time is not one of a day"),
    pl.Duration: (-_LONGEST, _LONGEST, "the duration is more than 10,000 years"),
}


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


def shown_values(frame: pl.DataFrame, digits: int | None = None) -> np.ndarray:
    """Return every value as people write it, shape (rows, columns), object.

    Null and NaN, both missing, become None. With ``digits``, floating-point numbers are rounded to
    so many significant digits, though not before the point; without, they are written in full.
    Fractions of a second that are 0 are left out.
    """
    return np.stack([_shown(column, digits).to_numpy() for column in frame], axis=1)


def _shown(values: pl.Series, digits: int | None) -> pl.Series:
    if isinstance(values.dtype, pl.Datetime | pl.Time):
        return to_texts(values).str.replace(r"\.0+(\D|$)", "$1")
    if digits is not None and values.dtype.is_float():
        values = _rounded(values, digits)
    return to_texts(values)


def _rounded(values: pl.Series, digits: int) -> pl.Series:
    number = pl.lit(values)
    # Only fractions are rounded away: 20240615 is not 20240000, even if it is an estimate.
    whole = number.abs() >= 10.0 ** (digits - 1)
    shown = pl.when(whole).then(number.round()).otherwise(number.round_sig_figs(digits))
    rounded = pl.select(shown).to_series().alias(values.name)
    # Polars' powers of ten are inexact beyond the 22nd: such small numbers are rounded as texts.
    tiny = (number.abs() < 10.0 ** (digits - 22)) & (number != 0)
    few = pl.select(tiny).to_series().fill_null(value=False).arg_true()
    texts = (f"{value:.{digits}g}" for value in values[few])
    return rounded.scatter(few, list(map(float, texts))) if len(few) else rounded
