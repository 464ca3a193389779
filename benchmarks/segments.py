"""A model for each segment: ``python -m benchmarks.segments [--quick]``.

Makes a table of segments of eight columns, each with dependencies of its own, and fits a model for
each in one process; beside it, a few of the segments by themselves, each by ``advae fit`` in a
process of its own. Measures seconds, the peak of memory, the file, the rate of scoring rows whose
segments come in any order, and planted anomalies: rows of another segment.
"""

import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import polars as pl
import typer
from rich.console import Console
from rich.table import Table
from sklearn.metrics import average_precision_score, roc_auc_score

import advae
from advae.detector.segments import ITERATIONS
from benchmarks.harness.machine import machine_facts

COLUMNS = 8
PLANTED = 0.02


def segment_rows(number: int, rows: int, seed: int) -> np.ndarray:
    """Return rows of a segment: three hidden factors, mixed and moved in a way of its own."""
    own = np.random.default_rng([number, 0])
    mix, level = own.normal(size=(3, COLUMNS)), own.normal(scale=3, size=COLUMNS)
    draws = np.random.default_rng([number, 1, seed])
    noise = draws.normal(scale=0.2, size=(rows, COLUMNS))
    return level + np.tanh(draws.normal(size=(rows, 3))) @ mix + noise


def table(segments: int, rows: int, seed: int) -> pl.DataFrame:
    """Return a table of all segments, in no order."""
    values = np.concatenate([segment_rows(number, rows, seed) for number in range(segments)])
    frame = pl.DataFrame({f"c{place}": values[:, place] for place in range(COLUMNS)})
    keys = pl.Series("segment", np.repeat(np.arange(segments), rows).astype(str))
    return frame.with_columns(keys).sample(fraction=1, shuffle=True, seed=seed)


def planted(frame: pl.DataFrame, segments: int) -> tuple[pl.DataFrame, np.ndarray]:
    """Return rows of which some have the name of another segment, and which these are."""
    draws = np.random.default_rng(9)
    wrong = draws.random(frame.height) < PLANTED
    names = frame["segment"].cast(pl.Int64).to_numpy()
    moved = (names + draws.integers(1, segments, frame.height)) % segments
    return frame.with_columns(segment=pl.Series(np.where(wrong, moved, names).astype(str))), wrong


def alone(frame: pl.DataFrame, folder: Path) -> tuple[float, Path]:
    """Return the seconds that ``advae fit`` takes for one segment, and its model."""
    data, model = folder / "one.parquet", folder / "one.advae"
    frame.write_parquet(data)
    started = time.perf_counter()
    words = ["fit", data, "-o", model, "--ignore", "segment", "--quiet", "--iterations", ITERATIONS]
    subprocess.run([sys.executable, "-m", "advae", *map(str, words)], check=True)
    return time.perf_counter() - started, model


def main(
    quick: Annotated[bool, typer.Option("--quick", help="Two small segments, for CI.")] = False,
    segments: Annotated[int, typer.Option(min=2, help="Segments.")] = 1000,
    rows: Annotated[int, typer.Option(min=2, help="Rows of each.")] = 2000,
    beside: Annotated[int, typer.Option(min=1, help="Segments to fit by themselves.")] = 5,
    folder: Annotated[Path, typer.Option(help="Where files go.")] = Path("results/segments"),
    out: Annotated[Path, typer.Option(help="Figures as JSON.")] = Path("results/segments.json"),
) -> None:
    """Fit models by segment, and some of them one by one."""
    if quick:
        segments, rows, beside = 2, 120, 1
    folder.mkdir(parents=True, exist_ok=True)
    training, path = table(segments, rows, 0), folder / "bundle.advae"
    each = [alone(training.filter(segment=str(k)), folder) for k in range(beside)]
    peaks: list[float] = []

    def watch(done: int, of: int) -> None:
        if done % max(1, of // 10) == 0:
            peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)

    started = time.perf_counter()
    bundle = advae.fit_detectors(training, "segment", fewest=2, output=path, on_segment=watch)
    together = time.perf_counter() - started
    new, wrong = planted(table(segments, max(20, rows // 20), 1), segments)
    bundle.anomaly_score(new[:1000])
    started = time.perf_counter()
    scores = bundle.anomaly_score(new)
    rate = new.height / (time.perf_counter() - started)
    single = bundle.fallback.anomaly_score(new)
    one = advae.load(each[-1][1])
    own = new.filter(segment=str(beside - 1))
    same = bool(np.array_equal(one.anomaly_score(own), bundle.anomaly_score(own)))
    figures: dict[str, Any] = {
        "segments": segments,
        "rows": rows,
        "seconds": together,
        "seconds of one by itself": float(np.median([seconds for seconds, _ in each])),
        "one by itself scores the same": same,
        "times faster": segments * float(np.median([s for s, _ in each])) / together,
        "peak GB by tenths": peaks,
        "file MB": path.stat().st_size / 1e6,
        "rows a second, mixed": rate,
        "AP by segment": 100 * float(average_precision_score(wrong, scores)),
        "AP of one model": 100 * float(average_precision_score(wrong, single)),
        "ROC AUC by segment": 100 * float(roc_auc_score(wrong, scores)),
        "ROC AUC of one model": 100 * float(roc_auc_score(wrong, single)),
        "flagged of the normal rows": float(
            pl.concat(bundle.score_batches(new))["is_anomaly"].to_numpy()[~wrong].mean()
        ),
    }
    shown = Table("", "", title=f"{segments} segments of {rows} rows", title_justify="left")
    for name, value in figures.items():
        shown.add_row(name, f"{value:,.4g}" if isinstance(value, float) else str(value))
    Console().print(shown)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(figures | {"machine": machine_facts()}, indent=2))


if __name__ == "__main__":
    typer.run(main)
