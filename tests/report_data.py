"""A table of every kind of column, hostile names and values included, and a model of it."""

import datetime as dt
from functools import cache

import numpy as np
import polars as pl

import advae

SCRIPT = "<script>alert('name')</script>"
IMAGE = '"><img src=x onerror=alert("category")>'
TEMPLATE = "{{ 7 * 7 }} {% raw %} ünïcödé 日本語 ‮reversed"
LONG = "a name that goes on " * 12
FLOOD = 10_000_000
"""Characters of the longest value."""


def mixed_table(rows: int, seed: int) -> pl.DataFrame:
    """Return normal rows: three related numbers, and a column of each other kind."""
    rng = np.random.default_rng(seed)
    size = rng.normal(size=rows)
    start = dt.datetime(2024, 1, 1)
    return pl.DataFrame(
        {
            SCRIPT: 10 + 2 * size,
            "twice": 20 + 4 * size + 0.1 * rng.normal(size=rows),
            LONG: rng.gamma(2.0, 3.0, rows),
            IMAGE: rng.choice(["</script><script>", "a & b", "日本語 ☃"], rows, p=[0.6, 0.3, 0.1]),
            TEMPLATE: rng.random(rows) < 0.3,
            "at": [start + dt.timedelta(hours=float(hour)) for hour in rng.uniform(0, 2000, rows)],
            "gaps": np.where(rng.random(rows) < 0.1, np.nan, rng.normal(size=rows)),
            "always": ["x"] * rows,
        }
    ).with_columns(pl.col("gaps").fill_nan(None))


def labelled_table(rows: int = 300, seed: int = 2) -> pl.DataFrame:
    """Return new rows with keys and labels, a tenth of them anomalous in one of several ways."""
    table = mixed_table(rows, seed)
    odd = np.arange(rows) % 10 == 3
    kind = np.arange(rows) // 10 % 4
    flags = {number: pl.Series(odd & (kind == number)) for number in range(4)}
    return table.with_columns(
        pl.when(flags[0]).then(pl.col(SCRIPT) * 4).otherwise(pl.col(SCRIPT)).alias(SCRIPT),
        pl.when(flags[1]).then(pl.lit("never <b>seen</b>")).otherwise(pl.col(IMAGE)).alias(IMAGE),
        pl.when(flags[2]).then(pl.col("twice") - 15).otherwise(pl.col("twice")).alias("twice"),
        pl.when(flags[3]).then(pl.lit("y")).otherwise(pl.col("always")).alias("always"),
        pl.Series("key", [f"<i>{row}</i>" for row in range(rows)]),
        pl.Series("label", odd),
    )


def flooded(table: pl.DataFrame) -> pl.DataFrame:
    """Put a value of 10 MB, a formula, and control characters into anomalous rows."""
    values = table[IMAGE].to_list()
    keys = table["key"].to_list()
    values[13], keys[13] = "q" * FLOOD, "\x00\x1b[31m\u2028\u202e" + "w" * FLOOD
    keys[3] = "=1+1"
    return table.with_columns(pl.Series(IMAGE, values), pl.Series("key", keys))


@cache
def mixed_detector() -> advae.Detector:
    """Return a model of the mixed table, trained shortly."""
    return advae.fit_detector(mixed_table(400, 1), advae.Config(iterations=800))
