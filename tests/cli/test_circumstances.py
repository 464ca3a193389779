"""What is around a command and must not matter: kept programs, time zone, locale, limits."""

import os
import subprocess
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import advae


def _rows() -> pl.DataFrame:
    """Return rows of numbers and times, with a zone and without one."""
    amounts = np.random.default_rng(0).normal(size=120)
    times = [datetime(2024, 3, 30, 22) + timedelta(minutes=37) * place for place in range(120)]
    frame = pl.DataFrame({"amount": amounts, "at": times})
    return frame.with_columns(zoned=pl.col("at").dt.replace_time_zone("UTC"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a table and a model of it."""
    folder = tmp_path_factory.mktemp("circumstances")
    _rows().write_csv(folder / "t.csv")
    detector = advae.fit_detector(
        advae.read_table(folder / "t.csv"), advae.Config.preset("paper", iterations=20)
    )
    advae.save(detector, folder / "m.advae")
    return folder


def _score(folder: Path, **environment: str) -> tuple[bytes, str]:
    """Score the table by the command; return what it wrote and said."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith("JAX_")}
    done = subprocess.run(
        [sys.executable, "-m", "advae", "score", "m.advae", "t.csv", "-o", "s.csv", "--quiet"],
        cwd=folder,
        env=variables | environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return (folder / "s.csv").read_bytes(), done.stderr


def test_damaged_programs_are_made_anew_and_kept(folder: Path) -> None:
    settings = {
        "XDG_CACHE_HOME": str(folder),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "LC_ALL": "C",
        "PYTHONUTF8": "0",
    }
    usual = _score(folder, **settings)
    kept = {path: path.read_bytes() for path in (folder / "advae" / "compiled").iterdir()}
    assert kept
    for number, (path, content) in enumerate(kept.items()):
        damaged = content[: len(content) // 2], b"", os.urandom(999), bytes(len(content))
        path.write_bytes(damaged[number % len(damaged)])
    assert _score(folder, **settings) == usual
    assert all(len(path.read_bytes()) > 0.9 * len(content) for path, content in kept.items())


def test_the_time_zone_of_the_machine_changes_no_score(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    detector, found = advae.load(folder / "m.advae"), []
    for zone in ("UTC", "Asia/Tokyo", "America/New_York"):
        with monkeypatch.context() as place:
            place.setenv("TZ", zone)
            time.tzset()
            found.append(detector.anomaly_score(advae.read_table(folder / "t.csv")))
    time.tzset()
    assert np.array_equal(found[0], found[1])
    assert np.array_equal(found[0], found[2])


def test_too_small_an_address_space_is_refused_before_the_work(folder: Path) -> None:
    done = subprocess.run(
        ["sh", "-c", f"ulimit -v 1000000; {sys.executable} -m advae info m.advae"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: the address space of this process is limited to 977 MiB")
    assert done.stderr.count("\n") == 1
