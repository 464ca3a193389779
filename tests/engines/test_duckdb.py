"""Scores inside DuckDB's SQL are those of the library."""

from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pytest

import advae
from advae.detector.detector import Detector
from advae.sql import register

pytestmark = pytest.mark.engines


@pytest.fixture
def connection(table: pl.DataFrame) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    rows = pl.concat([table] * 20).with_row_index("number")  # more than DuckDB hands over at once
    connection.register("arrow", rows.to_arrow(compat_level=pl.CompatLevel.oldest()))
    connection.execute("create table t as select *, interval 1 day as unused from arrow")
    return connection


def test_a_row_scores_as_in_the_library(
    connection: duckdb.DuckDBPyConnection, table: pl.DataFrame, detector: Detector, tmp_path: Path
) -> None:
    wanted = detector.anomaly_score(pl.concat([table] * 20))
    advae.save(detector, tmp_path / "m.advae")
    register(connection, detector)
    register(connection, tmp_path / "m.advae", "from_file")
    query = "select advae_score(t), from_file(t) from t order by number"
    found = np.array(connection.execute(query).fetchall())
    np.testing.assert_array_equal(found, np.stack([wanted, wanted], axis=1))


def test_a_threshold_may_stand_in_where(
    connection: duckdb.DuckDBPyConnection, table: pl.DataFrame, detector: Detector
) -> None:
    register(connection, detector)
    query = f"select count(*) from t where advae_score(t) > {detector.threshold.value!r}"
    (count,) = connection.execute(query).fetchall()[0]
    assert count == 20 * detector.is_anomaly(table).sum() > 0


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("select advae_score(number) from t", "takes a row"),
        ("select advae_score(t, t) from t", "takes a row"),
        ("select advae_score(q) from (select twice from t) as q", "missing columns"),
        ("select advae_score(q) from (select * replace ('x' as twice) from t) as q", "'twice'"),
    ],
)
def test_what_is_no_row_of_the_model_is_an_error(
    connection: duckdb.DuckDBPyConnection, detector: Detector, query: str, said: str
) -> None:
    register(connection, detector)
    with pytest.raises(duckdb.Error, match=said):
        connection.execute(query).fetchall()
