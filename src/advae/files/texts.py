"""What texts are that a file has in place of numbers, truths and times, and how to read them so."""

from collections.abc import Callable, Mapping, Sequence

import polars as pl

from advae.tables.frames import exactly

GUESSED_ROWS = 1000
"""First rows that types are guessed from."""

NUMBERS = (pl.Int64(), pl.Float64())
"""What texts may be: Polars takes +3 for a text where it guesses, and a column with it."""

TIMES = (pl.Date(), pl.Datetime("us"), pl.Datetime("us", "UTC"), pl.Time())
"""What texts of JSON may be, each tried before the next."""

TYPES = (*NUMBERS, pl.Boolean(), *TIMES)
"""What texts with blanks around may be, in the same way."""

ReadAs = Callable[[pl.Expr, pl.DataType], pl.Expr]


def read_as(
    text: pl.Expr, dtype: pl.DataType, *, decimal_comma: bool = False, strict: bool = True
) -> pl.Expr:
    """Read texts without blanks around as one of `TYPES`; as other types they stay texts."""
    if dtype.is_numeric():
        plain = text.str.replace(",", ".", literal=True) if decimal_comma else text
        return plain.cast(dtype, strict=strict)
    if dtype == pl.Boolean:
        word = text.str.to_lowercase()
        return pl.when(word.is_in(["true", "false"])).then(word == "true").name.keep()
    if dtype == pl.Date:
        return text.str.to_date(strict=strict)
    if isinstance(dtype, pl.Datetime):
        return text.str.to_datetime(time_unit="us", time_zone=dtype.time_zone, strict=strict)
    return text.str.to_time(strict=strict) if dtype == pl.Time else text


def types_of_texts(
    rows: pl.LazyFrame,
    names: Sequence[str],
    types: Sequence[pl.DataType],
    read_as: ReadAs,
) -> Mapping[str, pl.DataType]:
    """Return the first type that all values of a column can be read as, where there is one.

    ``read_as`` gives texts as one of the types, null where they cannot be.
    """
    found: dict[str, pl.DataType] = {}
    if not names or not types:
        return found
    texts = rows.select(exactly(*names))
    first = texts.head(GUESSED_ROWS).collect().lazy()
    for dtype in types:
        left = [name for name in names if name not in found]
        likely = _readable(first, left, dtype, read_as)
        found |= dict.fromkeys(_readable(texts, likely, dtype, read_as), dtype)
    return found


def _readable(
    rows: pl.LazyFrame, names: Sequence[str], dtype: pl.DataType, read_as: ReadAs
) -> list[str]:
    """Return the columns all of whose texts can be read as a type."""
    misread = (
        read_as(exactly(name), pl.String()).is_not_null() & read_as(exactly(name), dtype).is_null()
        for name in names
    )
    checks = [each.any().alias(str(number)) for number, each in enumerate(misread)]
    try:
        found = rows.select(checks).collect(engine="streaming").row(0) if checks else ()
    except pl.exceptions.PolarsError:  # of a column that holds no such times at all
        if len(names) == 1:
            return []
        return [name for name in names if _readable(rows, [name], dtype, read_as)]
    return [name for name, bad in zip(names, found, strict=True) if not bad]
