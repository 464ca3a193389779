"""The experiments of the paper run, and their page has their pictures."""

import json
import os
import subprocess
import sys
from pathlib import Path

from paper_data import require_data

from advae.config import Config
from benchmarks.paper import experiments

REPOSITORY = Path(__file__).resolve().parents[2]


def test_one_setting_changes_at_a_time() -> None:
    tasks = experiments.plan(("a", "b"), seeds=2, iterations=None, quick=False)
    assert len({json.dumps(task) for task in tasks}) == len(tasks)
    ours = {task["setting"] for task in tasks if "setting" in task and task["variant"] == "adVAE"}
    plain = {task["setting"] for task in tasks if "setting" in task and task["variant"] == "VAE"}
    assert {"gamma", "lambda_", "hidden", "latent", "contamination"} <= ours
    assert plain == {"lambda_", "hidden", "latent", "contamination"}
    preset = Config.preset("default")
    for name, values in experiments.sweeps("adVAE"):
        if name in experiments.SCALED_SETTINGS:
            assert getattr(preset, name) in values


def test_quick_run_draws_all_pictures(tmp_path: Path) -> None:
    require_data("adbench/14_glass.npz")
    out = tmp_path / "experiments.ndjson"
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.paper.experiments", "--quick", "--out", str(out)],
        cwd=REPOSITORY,
        env=os.environ | {"COLUMNS": "160"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    text = out.with_suffix(".md").read_text()
    for name in ("latent_space", "latent_noise", "robustness"):
        assert f"({name}.svg)" in text
        assert (tmp_path / f"{name}.svg").stat().st_size > 5000
    rows = [row for line in out.read_text().splitlines() for row in json.loads(line)["rows"]]
    at_rest = [row["distance"] for row in rows if row.get("scale") == 0.0]
    assert len(at_rest) == 2
    assert all(0 < distance < 1 for distance in at_rest)
