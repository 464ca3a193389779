"""Generated files, sound and damaged, against Python's own readers: the same, or refused."""

import os
from pathlib import Path

import pytest

from advae.files import blocks
from benchmarks.harness.generated_files import compare, compare_json


@pytest.mark.parametrize("block", [7, 30, 1 << 22])
def test_delimited_files_are_read_as_python_reads_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr(blocks, "BLOCK_BYTES", block)
    outcomes = compare(range(block * 1000, block * 1000 + 250), tmp_path / "a.csv")
    assert outcomes["same"] > 120
    assert outcomes["refused, though strict csv reads it"] < 10


def test_json_lines_are_read_as_python_reads_them(tmp_path: Path) -> None:
    outcomes = compare_json(range(300), tmp_path / "a.ndjson")
    assert outcomes["same"] > 120


@pytest.mark.slow
@pytest.mark.skipif("ADVAE_ALL" not in os.environ, reason="9,000 files: set ADVAE_ALL to read them")
def test_many_files_are_read_as_python_reads_them(tmp_path: Path) -> None:
    outcomes = compare(range(10_000_000, 10_006_000), tmp_path / "a.csv")
    assert outcomes["same"] > 3000
    assert compare_json(range(10_000, 13_000), tmp_path / "a.ndjson")["same"] > 1200
