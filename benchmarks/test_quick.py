"""Every benchmark that no other test runs: its quick mode ends well. Its figures mean nothing."""

import subprocess
import sys
from pathlib import Path

import pytest
from paper_data import require_data

REPOSITORY = Path(__file__).resolve().parents[1]
WITHOUT_DATA = (
    *(
        "engines",
        "reading",
        "speed",
        "speed.scale",
        "speed.report",
        "speed.sizes",
        "onnx",
        "segments",
        "promises.endurance",
    ),
    "alarms watching",
)
WITH_DATA = (
    "speed.time_to_quality",
    "promises.explanations",
    "promises.contamination",
    "promises.false_alarms",
    "alarms groups",
    "alarms verdicts",
)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*WITHOUT_DATA, *WITH_DATA])
def test_the_quick_mode_runs(name: str) -> None:
    if name in WITH_DATA:
        require_data("adbench", "advae-paper")
    if name.startswith("speed"):
        pytest.importorskip("torch", reason="the bench extra is not installed")
    done = subprocess.run(
        [sys.executable, "-m", *f"benchmarks.{name}".split(), "--quick"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.strip()
