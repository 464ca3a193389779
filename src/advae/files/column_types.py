"""The types of the columns of text files: given, or guessed from the values."""

import glob
from collections.abc import Mapping, Sequence
from datetime import date
from functools import partial
from pathlib import Path

import polars as pl

from advae.files.delimited import Dialect
from advae.files.texts import GUESSED_ROWS, TIMES, read_as, types_of_texts
from advae.tables.frames import exactly


def types_in_delimited(
    path: Path, dialect: Dialect, dtypes: Mapping[str, pl.DataType]
) -> dict[str, pl.DataType]:
    """Guess types from the first rows, and from all where these do not tell; Null without values.

    A column is text whose values are of no single type even so, such as dates in two forms.
    """
    untyped = [name for name in dialect.names if name not in dtypes]
    guess = dialect.scan(path, dtypes)
    present = _count_values(guess, untyped)
    if present is None or _begins_empty(guess, present):
        guess = dialect.scan(path, dtypes, infer_rows=None)
        present = _count_values(guess, untyped)
    schema = dict(guess.collect_schema())
    texts = [name for name in untyped if schema[name] == pl.String()]
    schema |= dialect.types_of_texts(guess, texts)
    dated = {name: schema[name] for name in untyped if schema[name] in (pl.Date, pl.Datetime)}
    schema |= _texts_of_short_years(dialect.scan(path, dated), list(dated))
    for name in untyped:
        if present is None and (schema[name].is_temporal() or schema[name] == pl.Int128):
            schema[name] = pl.String() if _count_values(guess, [name]) is None else schema[name]
        elif present is not None and not present[name]:
            schema[name] = pl.Null()
    return schema


def scan_ndjson(path: Path, dtypes: Mapping[str, pl.DataType]) -> pl.LazyFrame:
    """Return the rows of a file of JSON lines, lazily; times are texts there."""
    times = [name for name, dtype in dtypes.items() if dtype.is_temporal()]
    schema = dict(dtypes) | dict.fromkeys(times, pl.String())
    rows = pl.scan_ndjson(glob.escape(str(path)), schema=schema)
    return rows.with_columns(_read_time(exactly(name), dtypes[name]) for name in times)


def _read_time(text: pl.Expr, dtype: pl.DataType, *, strict: bool = True) -> pl.Expr:
    """Read texts as times; a blank one is missing."""
    stripped = text.str.strip_chars()
    return read_as(pl.when(stripped != "").then(stripped).name.keep(), dtype, strict=strict)


def types_in_ndjson(path: Path, dtypes: Mapping[str, pl.DataType]) -> dict[str, pl.DataType]:
    """Take types from all values; texts that all spell times are times, as in delimited files."""
    rows = pl.scan_ndjson(glob.escape(str(path)), infer_schema_length=None)
    schema = {name: dtypes.get(name, dtype) for name, dtype in rows.collect_schema().items()}
    texts = [name for name in schema if name not in dtypes and schema[name] == pl.String()]
    dated = types_of_texts(rows, texts, TIMES, partial(_read_time, strict=False))
    schema |= dated
    return schema | _texts_of_short_years(scan_ndjson(path, schema), list(dated))


def _texts_of_short_years(rows: pl.LazyFrame, dated: Sequence[str]) -> dict[str, pl.DataType]:
    """Return columns whose years have two digits: Polars takes 25 for the year 25."""
    if not dated:
        return {}
    try:
        first = rows.select(exactly(*dated)).head(GUESSED_ROWS).collect()
    except pl.exceptions.PolarsError:
        return {}
    last = {values.name: values.drop_nulls().max() for values in first}
    return {
        name: pl.String()
        for name, when in last.items()
        if isinstance(when, date) and when.year < 100
    }


def _count_values(rows: pl.LazyFrame, columns: Sequence[str]) -> dict[str, int] | None:
    """Count what each column holds besides missing values; None if one cannot be read."""
    if not columns:
        return {}
    try:
        counts = rows.select(exactly(*columns).count()).collect(engine="streaming")
    except pl.exceptions.PolarsError:
        return None
    return counts.row(0, named=True)


def _begins_empty(rows: pl.LazyFrame, present: Mapping[str, int]) -> bool:
    """Return whether a column with values has none in the first rows, those of the first guess."""
    columns = [name for name, count in present.items() if count]
    return 0 in (_count_values(rows.head(GUESSED_ROWS), columns) or {}).values()
