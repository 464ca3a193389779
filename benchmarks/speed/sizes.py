"""Fits of tables of many sizes: ``python -m benchmarks.speed.sizes [--before FOLDER]``.

For each size a process of its own fits a table, then one with an eighth fewer rows, scores
100,000 rows and asks for a single one; IsolationForest (scikit-learn's defaults, one thread) fits
and scores the same. With ``--before``, the ``src`` folder of an earlier version, that version does
the same in turn. Then 100 small tables of different shapes in one process. All on one thread.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import numpy as np
import polars as pl
import typer
from rich.console import Console
from rich.table import Table
from sklearn.ensemble import IsolationForest

from benchmarks.harness.machine import machine_facts

SIZES = (
    *((rows, columns) for columns in (8, 32) for rows in (33, 300, 1_000, 10_000)),
    (1_000, 128),
    (800, 1_555),
)
QUICK_SIZES = ((33, 8),)
PAPER_TOO = ((10_000, 32),)
"""Sizes whose rows preset paper scores as well, at 1000 points each."""

SHAPES, QUICK_SHAPES = 100, 1
NEW_ROWS, QUICK_NEW_ROWS = 100_000, 300


def table(rows: int, columns: int, seed: int = 0) -> pl.DataFrame:
    """Return rows of dependent columns."""
    draws = np.random.default_rng((seed, rows, columns))
    hidden = draws.standard_normal((rows, 5))
    mixed = np.tanh(hidden @ draws.standard_normal((5, columns)))
    values = mixed + 0.1 * draws.standard_normal((rows, columns))
    return pl.DataFrame({f"c{number}": column for number, column in enumerate(values.T)})


def one_size(rows: int, columns: int, new: int, presets: dict[str, dict[str, Any]]) -> Any:
    """Return seconds of fits and of scores, and what IsolationForest takes."""
    import advae

    found: dict[str, float] = {}
    first, second = table(rows, columns), table(rows - rows // 8, columns, 1)
    fresh = table(new if columns < 1_000 else new // 20, columns, 2)

    def timed(name: str, work: Any, *given: Any) -> Any:
        started = time.perf_counter()
        made = work(*given)
        found[name] = time.perf_counter() - started
        return made

    for preset, settings in presets.items():
        config = advae.Config.preset(preset, **settings)
        detector = timed(f"{preset} first", advae.fit_detector, first, config)
        timed(f"{preset} later", advae.fit_detector, second, config)
        detector.anomaly_score(fresh[:1])
        timed(f"{preset} score", detector.anomaly_score, fresh)
        found[f"{preset} score"] /= len(fresh)
        times = []
        for row in range(30):
            timed("row", detector.anomaly_score, fresh[row : row + 1])
            times.append(found.pop("row"))
        found[f"{preset} row"] = median(times)
    forest = IsolationForest(random_state=0)
    timed("forest", forest.fit, first.to_numpy())
    timed("forest score", forest.score_samples, fresh.to_numpy())
    found["forest score"] /= len(fresh)
    return found


def many_shapes(shapes: int, settings: dict[str, Any]) -> Any:
    """Return the seconds that tables of different shapes take one after the other."""
    import advae

    config = advae.Config(**settings)
    draws = np.random.default_rng(0)
    tables = [
        table(int(draws.integers(20, 400)), int(draws.integers(3, 30)), number)
        for number in range(shapes)
    ]
    started = time.perf_counter()
    for each in tables:
        advae.fit_detector(each, config)
    return {"all": time.perf_counter() - started}


def ask(source: Path, *arguments: Any, warm: bool) -> Any:
    """Run one of the functions above with some version's source, in a process of its own.

    ``warm``: whether it may find compiled programs of other processes.
    """
    settings = {
        "PYTHONPATH": os.pathsep.join([str(source), str(Path(__file__).resolve().parents[2])]),
        "OMP_NUM_THREADS": "1",
        "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
    }
    inherited = {n: value for n, value in os.environ.items() if warm or not n.startswith("JAX_")}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.speed.sizes", "--only", json.dumps(arguments)],
        env=inherited | settings,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def main(
    *,
    before: Annotated[
        Path | None, typer.Option(help="The src folder of an earlier version.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="One small size, hardly trained.")] = False,
    only: Annotated[str, typer.Option(hidden=True)] = "",
) -> None:
    """Print seconds for each size."""
    if only:
        name, *given = json.loads(only)
        print(json.dumps({"one_size": one_size, "many_shapes": many_shapes}[name](*given)))
        return
    console = Console(width=130)
    sides = {"now": Path(__file__).resolve().parents[2] / "src"}
    if before is not None:
        sides["before"] = before.resolve()
    settings = {"iterations": 20, "surprise": False} if quick else {}
    shown = Table(title=f"One thread, {machine_facts()['processor']}")
    for heading in (
        *("rows x columns", "version", "first fit", "later fit", "later fit / IForest's"),
        *("score, us a row", "preset paper's", "IForest's", "one row, ms"),
    ):
        shown.add_column(heading, justify="right")
    for rows, columns in QUICK_SIZES if quick else SIZES:
        presets = {"default": settings}
        if (rows, columns) in PAPER_TOO:
            presets["paper"] = {"iterations": 1000}
        for name, source in sides.items():
            new = QUICK_NEW_ROWS if quick else NEW_ROWS
            found = ask(source, "one_size", rows, columns, new, presets, warm=quick)
            scores = [found.get(f"{each} score") for each in ("default", "paper", "forest")]
            shown.add_row(
                *(f"{rows:,} x {columns:,}", name),
                *(f"{found[f'default {each}']:.1f} s" for each in ("first", "later")),
                f"{found['default later'] / found['forest']:.0f}",
                *("" if each is None else f"{1e6 * each:.1f}" for each in scores),
                f"{1e3 * found['default row']:.2f}",
            )
            print(f"{rows} x {columns}, {name}: {found}", file=sys.stderr, flush=True)
    console.print(shown)
    for name, source in sides.items():
        shapes = QUICK_SHAPES if quick else SHAPES
        took = ask(source, "many_shapes", shapes, settings, warm=quick)["all"]
        console.print(f"{shapes} tables of different shapes, {name}: {took:.0f} s")


if __name__ == "__main__":
    typer.run(main)
