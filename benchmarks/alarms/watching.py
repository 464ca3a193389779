"""Does a watch keep what it promises: alarms once, no false cries, drift named soon.

- Kills: files of 20 rows, a tenth of which alarm, are watched by runs that are killed (SIGKILL) at
  random moments after they began to work. Every alarm must be in the folder once and only once.
- Clean days: training rows and every day's rows come from one distribution: 30 columns, correlated
  numbers, two categories, one number in five missing in one column. Each of ten runs has a table
  of its own, of 3,000 training rows, and a year of days of 200 rows. Scores are drawn, as those of
  500 calibration rows are. How many runs raise an alarm of drift?
- Shift: after 100 clean days one of the numbers moves by half a standard deviation. After how many
  rows is that column named?
"""

import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
import polars as pl
from rich.console import Console
from rich.table import Table

from advae.config import Config
from advae.core.threshold import conformal_threshold
from advae.detector import model_file
from advae.detector.detector import Detector, Threshold
from advae.detector.fitting import fit_detector
from advae.tables.encoder import TableEncoder
from advae.watching.drift import Evidence, Follower

COLUMNS, CATEGORIES, DAY = 30, 2, 200
TRAINING, CALIBRATION = 3000, 500


class Simulated(NamedTuple):
    """What a follower asks of a detector; scores are drawn, so that nothing need be trained."""

    config: Config
    table: TableEncoder
    calibration_scores: np.ndarray
    threshold: Threshold
    rows: int
    dated: frozenset[str] = frozenset()

    @property
    def summary(self) -> "Simulated":
        return self


def run(runs: int, days: int, files: int, training: int = TRAINING) -> list[dict]:
    """Measure and print."""
    results: list[dict] = []
    table = Table("run", "clean days", "drift alarms", "shift named after", "other columns named")
    for seed in range(runs):
        found = follow(seed, days, training)
        results.append({"run": seed, **found})
        print(results[-1], flush=True)
        table.add_row(*(str(found[key]) for key in ("seed", "days", "alarms", "rows", "others")))
    Console().print(table)
    results.append(kills(files))
    print(results[-1])
    return results


def rows(rng: np.random.Generator, mixing: np.ndarray, count: int) -> pl.DataFrame:
    """Return rows of 28 correlated numbers and two categories."""
    latent = rng.normal(size=(count, mixing.shape[0]))
    noise = rng.normal(size=(count, mixing.shape[1]))
    x = (latent @ mixing + noise) / np.sqrt((mixing**2).sum(axis=0) + 1)
    frame = pl.DataFrame({f"c{j}": x[:, j] for j in range(mixing.shape[1])})
    gaps = pl.when(pl.Series(rng.random(count) < 0.2)).then(None).otherwise(pl.col("c0"))
    texts = {
        f"t{j}": rng.choice(["a", "b", "c", "d"], count, p=[0.6, 0.3, 0.08, 0.02])
        for j in range(CATEGORIES)
    }
    return frame.with_columns(gaps.alias("c0"), *(pl.Series(n, v) for n, v in texts.items()))


def follow(seed: int, days: int, training: int) -> dict:
    """Return the drift alarms of clean days, and after how many rows a shift is named."""
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(5, COLUMNS - CATEGORIES))
    calibration = np.sort(rng.exponential(size=CALIBRATION))
    detector = Simulated(
        Config.preset("default"),
        TableEncoder.fit(rows(rng, mixing, training)),
        calibration,
        Threshold("conformal", 0.1, conformal_threshold(calibration, 0.1)),
        training,
    )
    follower = Follower(cast(Detector, detector))
    clean, shifted = Evidence(follower), Evidence(follower)
    moved = f"c{1 + seed % (COLUMNS - CATEGORIES - 1)}"
    named: int | None = None
    others: list[str] = []
    for day in range(days):
        clean.update(*counted(detector, follower, rows(rng, mixing, DAY), rng), str(day), str(day))
    for day in range(min(100, days) + 40):
        fresh = rows(rng, mixing, DAY)
        past = day - min(100, days)
        if past >= 0:
            fresh = fresh.with_columns(pl.col(moved) + 0.5)
        news = shifted.update(*counted(detector, follower, fresh, rng), str(day), str(day))
        columns = [drift.column or drift.about for drift in news]
        others += [column for column in columns if column != moved]
        if moved in columns:
            named = (past + 1) * DAY
            break
    return {
        "seed": seed,
        "days": days,
        "alarms": len(clean.drifts),
        "what": [drift.what for drift in clean.drifts],
        "rows": named,
        "others": others,
    }


def counted(
    detector: Simulated, follower: Follower, frame: pl.DataFrame, rng: np.random.Generator
) -> tuple[np.ndarray, int]:
    """Return what a follower counts in rows, and their number."""
    scores = rng.exponential(size=frame.height)
    return follower.count(detector.table.transform(frame), scores), frame.height


def kills(files: int) -> dict:
    """Watch files by runs that are killed, and count how often each alarm was told."""
    rng, choice = np.random.default_rng(0), random.Random(0)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        x = rng.normal(size=(500, 3))
        detector = fit_detector(
            pl.DataFrame(x, ["a", "b", "c"], orient="row"),
            Config.preset("default", iterations=100),
        )
        model_file.save(detector.with_threshold(Threshold("given", None, 15.0)), place / "m.advae")
        (place / "in").mkdir()
        expected = set()
        for number in range(files):
            x = rng.normal(size=(20, 3))
            x[::10, 1] = 50
            pl.DataFrame(x, ["a", "b", "c"], orient="row").write_csv(
                place / "in" / f"{number:05}.csv"
            )
            expected |= {(f"{number:05}.csv", 0), (f"{number:05}.csv", 10)}
        command = (
            *(sys.executable, "-m", "advae", "watch", "m.advae", "in", "--state", "state.json"),
            *("--to", "out", "--quiet"),
        )
        killed = runs = 0
        while runs < 1000:
            runs += 1
            state, out = place / "state.json", place / "out"
            before = _stamp(state), len(list(out.glob("*")))
            process = subprocess.Popen(command, cwd=place, stderr=subprocess.DEVNULL)
            start = time.monotonic()
            while process.poll() is None:
                if (_stamp(state), len(list(out.glob("*")))) != before:
                    break
                time.sleep(0.001)
            # Up to half as long as a run took to begin, on whatever machine: some files later.
            with suppress(subprocess.TimeoutExpired):
                process.wait(choice.uniform(0, (time.monotonic() - start) / 2))
            if process.poll() is not None:
                break
            process.send_signal(signal.SIGKILL)
            process.wait()
            killed += 1
        told = Counter(
            (Path(alarm["source"]).name, alarm["row"])
            for path in (place / "out").glob("*.ndjson")
            for alarm in map(json.loads, path.read_text().splitlines())
        )
        return {
            "files": files,
            "kills": killed,
            "expected": len(expected),
            "missing": len(expected - set(told)),
            "doubled": sum(count > 1 for count in told.values()),
            "others": len(set(told) - expected),
        }


def _stamp(path: Path) -> int | None:
    return path.stat().st_mtime_ns if path.exists() else None
