"""The quick mode of the service's benchmark runs."""

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="needs the extra serve")


@pytest.mark.slow
def test_the_quick_mode_runs_without_an_error() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.serving", "--quick"],
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = [line.split("|")[1:-1] for line in done.stdout.splitlines() if "rows" in line]
    measured = [line for line in lines if len(line) == 7 and line[1].strip().isdigit()]
    assert len(measured) >= 8
    assert all(line[6].strip() == "0" for line in measured), done.stdout
