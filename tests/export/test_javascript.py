"""The client in deploy/, in JavaScript, scores rows of a CSV file as the model does."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from export.all_kinds import strange, table

import advae
from advae.export.onnx import write_onnx

CLIENT = Path(__file__).resolve().parents[2] / "deploy" / "score.mjs"
PACKAGES = os.environ.get("ADVAE_NODE_MODULES", "")
"""A folder called node_modules that holds onnxruntime-node."""


@pytest.mark.engines
@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
@pytest.mark.skipif(
    not (Path(PACKAGES) / "onnxruntime-node").is_dir() or not PACKAGES,
    reason="needs npm's onnxruntime-node in the folder that ADVAE_NODE_MODULES names",
)
def test_it_scores_rows_of_a_csv_file(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="needs the extra onnx")
    learned = table(400, 1).drop("clock", "lasted", "zoned", "blank")
    detector = advae.fit_detector(learned, advae.Config(iterations=60), hashed=["link", "account"])
    write_onnx(detector, tmp_path / "model.onnx")
    rows = pl.concat([table(40, 8), strange(60, 9)], how="vertical_relaxed")
    rows = rows.select(learned.columns).filter(
        pl.col("at").is_null() | (pl.col("at").dt.year() > 99),
        pl.col("day").is_null() | (pl.col("day").dt.year() > 99),
    )
    rows.write_csv(tmp_path / "rows.csv", datetime_format="%Y-%m-%d %H:%M:%S%.3f")
    shutil.copy(CLIENT, tmp_path)
    (tmp_path / "node_modules").symlink_to(Path(PACKAGES).resolve())
    done = subprocess.run(
        ["node", "score.mjs", "model.onnx", "rows.csv"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    read = rows.with_columns(at=pl.col("at").dt.truncate("1ms"))
    np.testing.assert_allclose(
        [row["anomaly_score"] for row in found], detector.anomaly_score(read), rtol=1e-5
    )
    assert [row["is_anomaly"] for row in found] == detector.is_anomaly(read).tolist()
