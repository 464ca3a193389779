"""The rivals' benchmark: its protocols, its peers, and its quick mode."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from paper_data import require_data
from scipy.stats import invgamma

from benchmarks.accuracy import rivals
from benchmarks.accuracy.baselines import BASELINES
from benchmarks.accuracy.protocol import plan
from benchmarks.harness.data import first_half
from benchmarks.peers.diffusion_time import most_likely_variance

REPOSITORY = Path(__file__).resolve().parents[2]


def test_the_first_half_of_the_normal_rows_trains() -> None:
    X, y = np.arange(10.0)[:, None], np.array([1, 0, 0, 0, 1, 0, 0, 0, 1, 0])
    split = first_half(X, y)
    assert split.train.ravel().tolist() == [1, 2, 3]
    assert split.test.ravel().tolist() == [5, 6, 7, 9, 0, 4, 8]
    assert split.labels.tolist() == [0, 0, 0, 0, 1, 1, 1]


def test_file_order_has_one_run_of_what_does_not_draw() -> None:
    require_data("adbench")
    files = rivals.files_of("file-order", {"glass"})
    assert len(plan(files, ("1-NN", "DTE-NP", "INNE", "DAGMM"), seeds=3)) == 1 + 1 + 3 + 3
    with pytest.raises(ValueError, match="no set 'none'; known are: annthyroid, "):
        rivals.files_of("shuffled", {"none"})


def test_every_method_is_known() -> None:
    assert {*rivals.PEERS, *rivals.DEEP_PEERS} <= {*BASELINES}


def test_diffusion_variance_is_where_the_inverse_gamma_is_highest() -> None:
    columns, grid = 7, np.geomspace(1e-6, 1e2, 20_001)
    for square in (0.0001, 0.4, 5.0, 90.0):
        highest = grid[np.argmax(invgamma.logpdf(grid, columns / 2 - 1, scale=square / 2))]
        found = most_likely_variance(np.array([square]), columns)
        assert found == pytest.approx([highest], rel=0.002)


@pytest.mark.slow
def test_quick_run_measures_both_protocols(tmp_path: Path) -> None:
    require_data("adbench")
    for protocol in ("shuffled", "file-order"):
        words = ["--quick", "--protocol", protocol, "--out", str(tmp_path / "runs.parquet")]
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.accuracy.rivals", *words],
            cwd=REPOSITORY,
            env=os.environ | {"COLUMNS": "160"},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "| complementary VAE |" in done.stdout
        assert ("| kNN | 84.0 | 61.8 |" in done.stdout) == (protocol == "file-order")
    runs = pl.read_parquet(tmp_path / "runs.parquet")
    assert runs.height == 2 * len(rivals.QUICK_METHODS)
    assert runs["failure"].null_count() == runs.height
