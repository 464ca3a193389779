"""Whether onnxruntime gives the scores of the model, how large a file is, and how fast.

``python -m benchmarks.onnx`` prints a table. 10,000 rows of each set are drawn from its test rows,
with missing, unseen and extreme values among them. Rows/s are those of both on one core, measured
in turn; the library's include reading the table, onnxruntime's do not. ``--quick`` takes a small
table of its own, and proves that it runs.
"""

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import polars as pl
import typer

import advae
from advae.export.onnx import TOLERANCE, feeds, write_onnx
from benchmarks.accuracy.mixed import PLANTED, load
from benchmarks.harness.timing import Side, Task, alternate, ratio
from benchmarks.harness.workers import available_cores
from benchmarks.onnx.sides import by_library, by_runtime, session
from benchmarks.serving.__main__ import table

ROWS = 10_000
SHARE = 0.02
"""Of the values of a column, for each way to be strange."""

EXTREME = (-1e300, -1e6, 0.0, 1e-300, 1e9, 1e300)


class Rows(NamedTuple):
    """Rows to learn from, and others to score."""

    train: pl.DataFrame
    test: pl.DataFrame


def rows_of(name: str) -> Rows:
    """Return the rows of a set; payments with their times."""
    if name == "synthetic":
        return Rows(table(3000, 0), table(1500, 1))
    if name != "payments":
        return Rows(*load(name, 0)[:2])
    folder = PLANTED / "pay7"
    parts = [pl.read_csv(folder / f"{part}.csv", try_parse_dates=True) for part in ("train", "new")]
    train = parts[0].drop("payment_id", "customer_id")
    return Rows(train.sample(10_000, seed=0), parts[1].select(train.columns))


def dirtied(frame: pl.DataFrame, rows: int) -> pl.DataFrame:
    """Return rows drawn from a table, with missing, unseen and extreme values among them."""
    rng = np.random.default_rng(0)
    columns = []
    for values in frame.sample(rows, with_replacement=True, seed=0):
        drawn = rng.random(rows)
        odd, missing = pl.Series(drawn < SHARE), pl.Series(drawn > 1 - SHARE)
        if values.dtype.is_numeric():
            values = values.cast(pl.Float64)
            values = values.zip_with(~odd, pl.Series(rng.choice(EXTREME, rows)))
        elif values.dtype == pl.String:
            values = values.set(odd, "never seen")
        elif values.dtype.is_temporal():
            values = values.zip_with(~odd, values.dt.offset_by("30y"))
        columns.append(values.set(missing, None))
    return pl.DataFrame(columns)


def agreement(detector: advae.Detector, path: Path, frame: pl.DataFrame) -> str:
    """Return the cells of a line that say how far the two agree."""
    names = ["anomaly_score", "is_anomaly", "contributions"]
    score, flag, contributions = session(path).run(names, feeds(detector, frame))
    wanted, threshold = detector.explain(frame), detector.threshold.value
    off = np.abs(score - wanted.score) / wanted.score
    clear = np.abs(wanted.score - threshold) > TOLERANCE * threshold
    wrong = int(((flag != (wanted.score > threshold)) & clear).sum())
    apart = np.abs(contributions - wanted.contributions).max(axis=1) > 1e-4 * wanted.score
    return f"{np.median(off):.0e} | {off.max():.1e} | {wrong} | {100 * apart.mean():.2f} %"


def main(
    sets: Annotated[str, typer.Option(help="Names, by commas.")] = "adult,bank,sick",
    presets: Annotated[str, typer.Option(help="By commas.")] = "default,paper",
    rounds: Annotated[int, typer.Option(help="Measurements of each side.")] = 5,
    seconds: Annotated[float, typer.Option(help="Of each measurement.")] = 3.0,
    *,
    quick: Annotated[bool, typer.Option("--quick", help="Hardly any training or time.")] = False,
) -> None:
    """Print the table."""
    if quick:
        sets, presets, rounds, seconds = "synthetic", "default", 1, 0.1
    print(
        "| rows of | preset | median difference | largest | flags | other contributions | ONNX MB "
        "| model MB | ONNX rows/s | library rows/s | ratio |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    one = frozenset(available_cores()[:1])
    for name in sets.split(","):
        rows = rows_of(name)
        frame = dirtied(rows.test, 500 if quick else ROWS)
        for preset in presets.split(","):
            config = advae.Config.preset(preset, iterations=20 if quick else None)
            detector = advae.fit_detector(rows.train, config)
            with tempfile.TemporaryDirectory() as folder, ExitStack() as running:
                path, model = Path(folder) / "model.onnx", Path(folder) / "model.advae"
                advae.save(detector, model)
                write_onnx(detector, path)
                part = frame[:1000]
                tasks = (
                    Task("onnxruntime", by_runtime, (path, model, part), part.height),
                    Task("library", by_library, (model, part), part.height),
                )
                sides = [running.enter_context(Side(task, one)) for task in tasks]
                alternate(sides, rounds, seconds)
                fast = ratio(sides[0].rates, sides[1].rates)
                print(
                    f"| {name} | {preset} | {agreement(detector, path, frame)} | "
                    f"{path.stat().st_size / 1e6:.1f} | {model.stat().st_size / 1e6:.1f} | "
                    f"{sides[0].median:,.0f} | {sides[1].median:,.0f} | "
                    f"{fast.median:.2f} ({fast.low:.2f} to {fast.high:.2f}) |",
                    flush=True,
                )


if __name__ == "__main__":
    typer.run(main)
