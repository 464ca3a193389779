"""The ablation: what it changes, how it compares, and that the command works."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from paper_data import require_data
from rich.console import Console

from advae.config import Config
from benchmarks.accuracy import ablation
from benchmarks.accuracy.protocol import OURS, plan, shuffled_files
from benchmarks.harness.data import data_folder

REPOSITORY = Path(__file__).resolve().parents[2]


def test_every_change_changes_the_preset() -> None:
    preset = Config.preset("default")
    for changes in list(ablation.CHANGES.values())[1:]:
        assert Config.preset("default", **changes) != preset
        assert all(getattr(preset, name) != value for name, value in changes.items())


def test_a_changed_run_differs_by_its_settings_alone() -> None:
    require_data("adbench")
    files = [file for file in shuffled_files(data_folder() / "adbench") if file.name == "glass"]
    preset = plan(files, [OURS], seeds=2)
    assert ablation.changed(preset, ablation.UNCHANGED) == preset
    for before, after in zip(preset, ablation.changed(preset, "no kept rows"), strict=True):
        assert json.loads(after.settings) == json.loads(before.settings) | {"memory": 0}
        assert (after.data, after.method, after.seed) == (before.data, before.method, before.seed)


def _rows(precisions: dict[str, tuple[float | None, ...]]) -> list[dict[str, object]]:
    """Return a row for each set and seed."""
    return [
        {"data_set": name, "seed": seed, "average_precision": precision, "roc_auc": 0.5}
        for name, own in precisions.items()
        for seed, precision in enumerate(own)
    ]


def test_differences_are_paired_by_seed() -> None:
    base = _rows({"a": (0.1, 0.5), "b": (0.3, 0.7), ablation.SEEN: (0.9, 0.8)})
    other = _rows({"a": (0.2, 0.6), "b": (0.3, 0.9), ablation.SEEN: (0.9, None)})
    before = ablation.means(base, "average_precision", seen=False)
    after = ablation.means(other, "average_precision", seen=False)
    np.testing.assert_allclose(before, [20, 60])
    np.testing.assert_allclose(after, [25, 75])
    assert ablation.difference(after, before) == "+10.0 ± 5.0"
    assert ablation.difference(after[:1], before[:1]) == "+5.0"
    failed = ablation.means(other, "average_precision", seen=True)
    assert failed[0] == 90
    assert np.isnan(failed[1])
    console = Console(width=140, record=True, file=io.StringIO())
    console.print(ablation.comparison({ablation.UNCHANGED: base, "other": other}))
    line = next(line for line in console.export_text().splitlines() if "other" in line)
    assert [cell.strip() for cell in line.strip("│").split("│")] == [
        *("other", "50.0", "50.0", "+10.0 ± 5.0", "a run failed", "")
    ]


def test_the_quick_mode_keeps_its_runs(tmp_path: Path) -> None:
    require_data("adbench")
    command = [sys.executable, "-m", "benchmarks.accuracy.ablation", "--quick", "--jobs", "1"]
    command += ["--out", str(tmp_path / "runs.parquet")]
    environment = os.environ | {"ADVAE_DATA": str(data_folder())}
    for known in (0, 4):
        done = subprocess.run(
            command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr
        assert f"4 runs, {known} of them already" in done.stdout
        assert "the paper's score" in done.stdout
