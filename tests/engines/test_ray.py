"""Ray: the same scores, whichever worker or driver is killed in the middle."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from lake_data import (
    FILES,
    command,
    detector,
    end_group,
    finished,
    make_lake,
    offspring,
    scores,
    wait_for,
)

pytestmark = pytest.mark.engines
ray = pytest.importorskip("ray", reason="the extra ray is not installed")


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


def test_a_dataset_scores_as_a_table_does(cluster: None, tmp_path: Path) -> None:
    from advae.engines.ray import score

    wanted = make_lake(tmp_path, 500)
    dataset = ray.data.read_parquet(str(tmp_path / "lake"))
    found = score(dataset, tmp_path / "m.advae", keep=["id"], explain=1, workers=2)
    table = pl.concat(pl.DataFrame(ray.get(each)) for each in found.to_arrow_refs())
    assert table.sort("id").equals(wanted)
    everything = score(dataset, detector()).take(1)[0]
    assert {"amount", "kind", "anomaly_score", "p_value"} <= everything.keys()


def test_an_engine_uses_the_ray_that_is_there(cluster: None, tmp_path: Path) -> None:
    from advae.engines.parts import score_files
    from advae.engines.ray import RayEngine

    wanted = make_lake(tmp_path, 500)
    out, model = tmp_path / "out", tmp_path / "m.advae"
    lake = str(tmp_path / "lake/*.parquet")
    totals = score_files(lake, out, model, RayEngine(), keep=["id"], explain=1)
    assert totals.rows == FILES * 500
    assert ray.is_initialized()
    assert scores(tmp_path).equals(wanted)


def test_workers_and_driver_killed_in_the_middle(tmp_path: Path) -> None:
    wanted = make_lake(tmp_path, 15_000)
    process = command(tmp_path, "ray")
    try:
        wait_for(lambda: finished(tmp_path) or process.poll() is not None)
        assert process.poll() is None, process.communicate()
        for pid in offspring(process.pid, "ray::score_file")[:1]:
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda: finished(tmp_path) >= 2 or process.poll() is not None)
        assert process.poll() is None, process.communicate()
    finally:
        end_group(process)
    before = finished(tmp_path)
    assert 2 <= before < FILES + 1
    process = command(tmp_path, "ray")
    out, err = process.communicate(timeout=300)
    assert (process.returncode, out) == (0, ""), err
    assert f"{before} of them from before" in err
    assert scores(tmp_path).equals(wanted)
    assert not list((tmp_path / "out").glob(".*.unfinished"))


def test_no_cluster_at_an_address_is_one_error(tmp_path: Path) -> None:
    from advae.engines.parts import score_files
    from advae.engines.ray import RayEngine
    from advae.errors import InputError

    make_lake(tmp_path, 10)
    if ray.is_initialized():
        ray.shutdown()
    lake = str(tmp_path / "lake/*.parquet")
    with pytest.raises(InputError, match=r"no Ray at 127\.0\.0\.1:9"):
        score_files(lake, tmp_path / "out", tmp_path / "m.advae", RayEngine("127.0.0.1:9"))
