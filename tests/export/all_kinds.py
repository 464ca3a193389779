"""A table of every kind of column, and rows that it never had."""

import datetime as dt
from functools import cache
from typing import Any

import numpy as np
import polars as pl

import advae

HASHED = ("link", "account")
ZONE = "Europe/Berlin"


def table(rows: int, seed: int) -> pl.DataFrame:
    """Return normal rows, some of them with missing values."""
    rng = np.random.default_rng(seed)
    start, size = dt.datetime(2023, 11, 1), rng.normal(size=rows)
    hours = rng.uniform(0, 4000, rows)
    moments = [start + dt.timedelta(hours=float(hour)) for hour in hours]
    frame = pl.DataFrame(
        {
            "size": 10 + 2 * size,
            "twice": 20 + 4 * size + 0.1 * rng.normal(size=rows),
            "whole": rng.poisson(3.0, rows),
            "huge": rng.normal(size=rows) * 1e307,
            "tiny": rng.random(rows) * 1e-40,
            "spike": np.where(rng.random(rows) < 0.7, 5.0, rng.gamma(2.0, 3.0, rows)),
            "kind": rng.choice(["a", 'b, "c"', "日本", "True"], rows, p=[0.5, 0.3, 0.1, 0.1]),
            "blank": rng.choice(["", "x"], rows),
            "flag": rng.random(rows) < 0.3,
            "link": [f"page {number}" for number in rng.integers(0, 4000, rows)],
            "account": rng.integers(0, 10**9, rows),
            "at": moments,
            "zoned": pl.Series(moments).dt.replace_time_zone("UTC").dt.convert_time_zone(ZONE),
            "day": [moment.date() for moment in moments],
            "clock": [moment.time() for moment in moments],
            "lasted": [dt.timedelta(seconds=float(s)) for s in rng.exponential(4000.0, rows)],
            "one": [7.0] * rows,
            "tenth": [0.1] * rows,
            "word": ["yes"] * rows,
            "true": [True] * rows,
            "nothing": [None] * rows,
            "once": [dt.date(2024, 1, 1)] * rows,
        }
    )
    gaps = pl.Series(rng.random(rows) < 0.1)
    holed = ("spike", "kind", "flag", "at", "tenth")
    return frame.with_columns(frame[name].set(gaps, None) for name in holed)


def strange(rows: int, seed: int) -> pl.DataFrame:
    """Return rows of which a quarter of the values are missing, unseen or extreme."""
    rng = np.random.default_rng(seed)
    frame = table(rows, seed)
    odd = {
        "size": [-1e300, 1e300, 0.0, 30.0],
        "whole": [-4, 10**6, 4, 1],
        "huge": [1.7e308, -1.7e308, 0.0, 1.0],
        "tiny": [1e300, -1.0, 5e-324, 0.0],
        "kind": ["unseen", "A", "true", "TRUE"],
        "word": ["no", "YES", "yes ", "y"],
        "one": [7.0000001, 8.0, -7.0, 7.0],
        "tenth": [float(np.float32(0.1)), 0.2, 0.1, -1.0],
        "true": [False, True, False, True],
        "nothing": ["something", "x", "y", "z"],
        "at": [dt.datetime(1, 1, 1), dt.datetime(1969, 12, 31), dt.datetime(9999, 12, 31)],
        "day": [dt.date(1, 1, 1), dt.date(2024, 2, 29), dt.date(9999, 12, 31)],
        "clock": [dt.time(0), dt.time(23, 59, 59, 999_999), dt.time(12)],
        "lasted": [dt.timedelta(-3), dt.timedelta(9999), dt.timedelta(0)],
        "once": [dt.date(2024, 1, 2), dt.date(1970, 1, 1), dt.date(2024, 1, 1)],
    }
    columns = []
    for values in frame:
        here = pl.Series(rng.random(rows) < 0.12)
        if values.name in odd:
            dtype = pl.String if values.dtype == pl.Null else values.dtype
            given = pl.Series(values.name, odd[values.name], dtype=dtype)
            drawn = given[rng.integers(0, len(given), rows)]
            values = drawn.zip_with(here, values.cast(dtype))
        missing = pl.Series(rng.random(rows) < 0.12)
        columns.append(values.set(missing, None) if values.dtype != pl.Null else values)
    return pl.DataFrame(columns)


@cache
def fitted(preset: Any = "default", **changes: Any) -> advae.Detector:
    """Return a model of it with two members, trained shortly."""
    settings = {"iterations": 60, "members": 2, "threshold": "kde"} | changes
    return advae.fit_detector(table(300, 1), advae.Config.preset(preset, **settings), hashed=HASHED)
