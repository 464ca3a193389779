"""Average precision against seconds: ``python -m benchmarks.speed.time_to_quality [--quick]``.

The same networks, losses and iterations with advae and with the eager PyTorch loop of
``torch_peer``, preset ``paper``, every training in a fresh process. Seconds count from the moment
when libraries and data are in memory, compilation included; those from the start of the process
are beside them. Scoring the test rows is outside the clock.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.harness.data import missing_data
from benchmarks.harness.machine import installed, machine_facts
from benchmarks.harness.pictures import save
from benchmarks.speed.cold_start import REPOSITORY
from benchmarks.speed.quality_run import GRID

SETS = ("letter", "cardio", "optdigits")
OURS, WARM, TORCH = "ours", "ours, warm cache", "eager torch"
NEAR = 0.98
"""Share to reach of the best average precision that everybody comes to on a set."""

Curve = list[dict[str, float]]


def run(who: str, name: str, seed: int, iterations: int, threads: int, cache: Path) -> Curve:
    """Train in a fresh process; return iterations, seconds, process seconds and precision."""
    environment = os.environ | {
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    trainer = "torch" if who == TORCH else "ours"
    words = (trainer, name, seed, iterations, threads, time.time())
    found = subprocess.run(
        [sys.executable, "-m", "benchmarks.speed.quality_run", *map(str, words)],
        env=environment,
        cwd=REPOSITORY,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    result: dict[str, Any] = json.loads(found.stdout)
    return [
        point | {"process_seconds": point["seconds"] + result["ready"]}
        for point in result["points"]
    ]


def medians(curves: list[Curve]) -> Curve:
    """Return the curve of the medians over the seeds."""
    return [
        {quantity: median(point[quantity] for point in points) for quantity in points[0]}
        for points in zip(*curves, strict=True)
    ]


def reached(curve: Curve, wanted: float) -> dict[str, float] | None:
    """Return the first point with the wanted precision; None if there is none."""
    return next((point for point in curve if point["ap"] >= wanted), None)


def quality_table(found: dict[str, dict[str, Curve]]) -> Table:
    """Return when everyone comes near the best precision, and what all iterations give."""
    table = Table(title=f"Seconds to {NEAR:.0%} of the best precision that all come to")
    for heading in ("set", "wanted AP", "who"):
        table.add_column(heading)
    for heading in (
        "iterations",
        "s",
        "s, from process start",
        "last AP",
        "s for all",
        "iterations",
    ):
        table.add_column(heading, justify="right")
    for name, curves in found.items():
        wanted = NEAR * min(max(point["ap"] for point in curve) for curve in curves.values())
        for who, curve in curves.items():
            point, last = reached(curve, wanted), curve[-1]
            near = ["never", "", ""]
            if point is not None:
                times = [f"{point[key]:.2f}" for key in ("seconds", "process_seconds")]
                near = [f"{point['iteration']:,.0f}", *times]
            end = [f"{last['ap']:.3f}", f"{last['seconds']:.2f}", f"{last['iteration']:,.0f}"]
            table.add_row(name, f"{wanted:.3f}", who, *near, *end)
    return table


def draw(found: dict[str, dict[str, Curve]], path: Path) -> None:
    """Write the curves as a picture; the ending of the path decides its kind."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.6 * len(found), 3.2), layout="constrained")
    panels = figure.subplots(1, len(found), squeeze=False)[0]
    for panel, (name, curves) in zip(panels, found.items(), strict=True):
        for who, curve in curves.items():
            seconds, precision = ([point[key] for point in curve] for key in ("seconds", "ap"))
            panel.plot(seconds, precision, marker=".", label=who)
        panel.set(title=name, xscale="log", xlabel="seconds of training, compilation included")
    panels[0].set_ylabel("average precision")
    panels[0].legend(frameon=False)
    save(figure, path)


def main(
    quick: Annotated[bool, typer.Option("--quick", help="One set, one seed, few steps.")] = False,
    seeds: Annotated[int, typer.Option(min=1, help="Trainings of each.")] = 3,
    threads: Annotated[int, typer.Option(min=1, help="Of both sides.")] = 1,
    out: Annotated[Path, typer.Option(help="Figures.")] = Path("results/time_to_quality.json"),
    picture: Annotated[Path, typer.Option(help="Curves.")] = Path("results/time_to_quality.svg"),
) -> None:
    """Train, print who reaches what when, and draw the curves."""
    console = Console(width=max(140, Console().width))
    names = SETS[:1] if quick else SETS
    reason = missing_data(*(f"advae-paper/{name}.mat" for name in names))
    if reason is not None:
        console.print(f"skipped: {reason}")
        return
    contestants = [OURS, *([] if quick else [WARM]), *([TORCH] if installed("torch") else [])]
    iterations = GRID[0] if quick else GRID[-1]
    found: dict[str, dict[str, Curve]] = {}
    for name in names:
        curves: dict[str, list[Curve]] = {who: [] for who in contestants}
        with tempfile.TemporaryDirectory() as warm:
            if WARM in contestants:
                run(OURS, name, 0, GRID[0], threads, Path(warm))
            for seed in range(1 if quick else seeds):
                for who in contestants:
                    with tempfile.TemporaryDirectory() as empty:
                        cache = Path(warm if who == WARM else empty)
                        curves[who].append(run(who, name, seed, iterations, threads, cache))
        found[name] = {who: medians(several) for who, several in curves.items()}
    console.print(quality_table(found))
    if TORCH not in contestants:
        console.print("skipped: eager torch: PyTorch is not installed (the bench extra)")
    out.parent.mkdir(parents=True, exist_ok=True)
    result = {"machine": machine_facts(), "quick": quick, "seeds": seeds, "threads": threads}
    out.write_text(json.dumps(result | {"medians": found}, indent=2) + "\n")
    if installed("matplotlib"):
        picture.parent.mkdir(parents=True, exist_ok=True)
        draw(found, picture)
        console.print(f"[bold]{picture}[/]")


if __name__ == "__main__":
    typer.run(main)
