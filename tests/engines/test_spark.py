"""Spark: the same scores, at rest and streaming, whichever worker or driver is killed."""

import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from lake_data import FILES, command, end_group, finished, make_lake, offspring, scores, wait_for

from advae.errors import InputError

pytestmark = pytest.mark.engines
pytest.importorskip("pyspark", reason="the extra spark is not installed")
if shutil.which("java") is None:
    pytest.skip("Spark needs Java", allow_module_level=True)


@pytest.fixture(scope="module")
def session() -> Iterator[Any]:
    from pyspark.sql import SparkSession

    os.environ["PYSPARK_PYTHON"] = sys.executable
    settings = {
        "spark.ui.enabled": "false",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.log.level": "ERROR",
        "spark.sql.session.timeZone": "UTC",
    }
    session = SparkSession.builder.master("local[2]").config(map=settings).getOrCreate()
    yield session
    session.stop()


def test_a_frame_scores_as_a_table_does(session: Any, tmp_path: Path) -> None:
    from advae.engines.spark import score

    wanted = make_lake(tmp_path, 500)
    frame = session.read.parquet(str(tmp_path / "lake"))
    found = score(frame, tmp_path / "m.advae", keep=["id"], explain=1)
    assert pl.DataFrame(found.toArrow()).sort("id").equals(wanted)
    everything = score(frame, str(tmp_path / "m.advae"))
    assert everything.columns[: len(frame.columns)] == frame.columns
    assert everything.count() == FILES * 500
    with pytest.raises(InputError, match="missing column 'amount'"):
        score(frame.drop("amount"), tmp_path / "m.advae")
    with pytest.raises(InputError, match="'p_value' cannot be kept"):
        score(frame.withColumnRenamed("id", "p_value"), tmp_path / "m.advae")


def test_a_stream_scores_as_a_table_does(session: Any, tmp_path: Path) -> None:
    from advae.engines.spark import score

    wanted = make_lake(tmp_path, 200)
    (tmp_path / "coming").mkdir()
    schema = session.read.parquet(str(tmp_path / "lake")).schema
    frame = session.readStream.schema(schema).parquet(str(tmp_path / "coming"))
    scored = score(frame, tmp_path / "m.advae", keep=["id"], explain=1)
    kept = {"checkpointLocation": str(tmp_path / "kept"), "path": str(tmp_path / "out")}
    for number in range(FILES):
        name = f"day-{number}.parquet"
        shutil.copy(tmp_path / "lake" / name, tmp_path / "coming" / name)
        if number % 4 == 3:  # the stream ends, and goes on where it was
            writing = scored.writeStream.format("parquet").options(**kept)
            writing.trigger(availableNow=True).start().awaitTermination()
    found = pl.read_parquet(tmp_path / "out" / "*.parquet").sort("id")
    assert found.equals(wanted)


def test_workers_and_driver_killed_in_the_middle(tmp_path: Path) -> None:
    wanted = make_lake(tmp_path, 15_000)
    process = command(tmp_path, "spark")
    try:
        wait_for(lambda: finished(tmp_path) or process.poll() is not None)
        assert process.poll() is None, process.communicate()
        # The first is the one that begins the others.
        for pid in offspring(process.pid, "pyspark.daemon")[1:2]:
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda: finished(tmp_path) >= 2 or process.poll() is not None)
        assert process.poll() is None, process.communicate()
    finally:
        end_group(process)
    before = finished(tmp_path)
    assert 2 <= before < FILES + 1
    process = command(tmp_path, "spark")
    out, err = process.communicate(timeout=300)
    assert (process.returncode, out) == (0, ""), err
    assert f"{before} of them from before" in err
    assert scores(tmp_path).equals(wanted)


def test_no_cluster_at_an_address_is_one_error(tmp_path: Path) -> None:
    make_lake(tmp_path, 10)
    process = command(tmp_path, "spark", "--address", "nonsense://host")
    out, err = process.communicate(timeout=200)
    assert (process.returncode, out) == (2, "")
    assert "error: no Spark at nonsense://host" in err
    assert "Traceback" not in err
