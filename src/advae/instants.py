"""Times as microseconds, and back: since 1970, since midnight, or of duration."""

from datetime import timedelta

import numpy as np
import polars as pl

from advae.values import DAY, FloatArray, bad_cell, no_values, plain_texts


def to_instants(
    values: pl.Series, first_row: int = 0, *, like: str, zone: str | None = None
) -> FloatArray:
    """Read a column of times as microseconds: since 1970, since midnight, or of duration.

    Parameters
    ----------
    values
        Times, or texts that spell them, except for durations.
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
    times = _parse_times(values, first_row, like) if values.dtype == pl.String else values
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


def _parse_times(texts: pl.Series, first_row: int, like: str) -> pl.Series:
    trimmed = texts.str.strip_chars()
    if like == "duration":
        return no_values(texts, "durations, which cannot be read from texts")
    parse = trimmed.str.to_time if like == "time" else trimmed.str.to_datetime
    try:
        times = parse(strict=False)
    except pl.exceptions.PolarsError:  # not one value spells a time
        times = pl.Series(texts.name, [None] * len(texts), dtype=pl.Datetime("us"))
    misread = (times.is_null() & texts.is_not_null() & (trimmed != "")).to_numpy()
    if misread.any():
        raise bad_cell(texts, misread, first_row, f"a {like}, such as {_EXAMPLES[like]}")
    return times if times.is_not_null().any() else pl.Series(texts.name, times, dtype=pl.Null)


_EXAMPLES = {"date": "2024-12-31", "datetime": "2024-12-31 23:59:59", "time": "23:59:59"}


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
    # Clocks are put forward, too: the hour left out follows by a day that of the day before.
    there, before = (
        times.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
        for times in (clock, clock - day)
    )
    return there.zip_with(there.is_not_null(), before + day)


_CALENDAR = (-62_135_596_800_000_000, 253_402_214_400_000_000)  # the years 1 to 9999
