"""Speed beside other software on this machine: ``python -m benchmarks.speed``.

The sides of a comparison are measured in turn within one run, each in a process of its own, on one
core and on all cores; each side is represented by its faster thread count.
"""

import json
import os
import shutil
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from benchmarks.harness.disturbance import WORTH_A_WARNING
from benchmarks.harness.machine import installed, machine_facts
from benchmarks.harness.timing import Side, Task
from benchmarks.speed import contestants as work
from benchmarks.speed.cold_start import cold_rows, command_rows
from benchmarks.speed.history import record
from benchmarks.speed.rows import Effort, Row, compare, measure, speed_table

POINTS = ((32, "sobol"), (1000, "random"))
MEMBERS = 8


def why_no_compiled_peer(effort: Effort) -> str | None:
    """Return the reason why torch.compile is not measured, or None."""
    if effort.quick:
        return "quick"
    compilers = (os.environ.get("CXX"), "c++", "g++", "clang++")
    if not any(name and shutil.which(name) for name in compilers):
        return "there is no C++ compiler"
    return None


def training_rows(name: str, shape: work.Shape, effort: Effort) -> tuple[list[Row], list[str]]:
    """Compare training; also return who trained, in ``cold``'s words."""
    unit = work.BLOCK
    tasks = {
        "ours": Task("ours", work.ours_training, (shape,), unit),
        "matrix": Task("large float32 products", work.matrix_products, unit=work.MATRIX**3),
    }
    if installed("torch"):
        tasks["torch"] = Task("eager torch", work.torch_training, (shape,), unit)
        if why_no_compiled_peer(effort) is None:
            tasks["torch-compiled"] = Task(
                "torch.compile", work.torch_training, (shape, True), unit
            )
    winners = measure(tasks, effort)
    ours = winners["ours"]
    rows = [
        compare(f"training, {name}", "iterations/s", ours, winners[peer])
        for peer in ("torch", "torch-compiled")
        if peer in winners
    ]
    rows.append(floor_row(name, shape, ours, winners["matrix"]))
    return rows, [who for who in winners if who != "matrix"]


def floor_row(name: str, shape: work.Shape, ours: Side, products: Side) -> Row:
    """Compare training with its arithmetic at the speed of large matrix products."""
    needed = work.multiply_adds(*shape, work.BATCH)
    floor = Side(Task("arithmetic floor", products.task.build), products.cores)
    floor.rates, floor.others = [rate / needed for rate in products.rates], products.others
    note = f"{needed / 1e6:.1f} M multiply-adds each; {products.median / 1e9:.1f} G/s measured"
    return compare(f"training, {name}", "iterations/s", ours, floor, note)


def member_row(name: str, shape: work.Shape, effort: Effort) -> Row:
    """Compare an ensemble with one member, in iterations of one member.

    Long rounds, nearer to the 20,000 iterations of the preset: the first block of the first member
    trains alone.
    """
    winners = measure(
        {
            "all": Task(
                f"{MEMBERS} members",
                work.ours_training,
                (shape, "adVAE", MEMBERS),
                MEMBERS * work.BLOCK,
            ),
            "one": Task("1 member", work.ours_training, (shape,), work.BLOCK),
        },
        replace(effort, seconds=8 * effort.seconds),
    )
    cost = MEMBERS * winners["one"].median / winners["all"].median
    return compare(
        f"ensemble, {name}",
        "member iterations/s",
        winners["all"],
        winners["one"],
        f"{MEMBERS} members take {cost:.1f} times as long as one",
    )


def scoring_rows(effort: Effort) -> list[Row]:
    """Compare scoring with 32 points to the paper's 1000, to torch, and to an isolation forest."""
    shape = work.PAPER_LETTER
    rows = work.QUICK_SCORED_ROWS if effort.quick else work.SCORED_ROWS
    (few, sobol), (many, random) = POINTS
    tasks = {
        "few": Task(f"ours, {few} points", work.ours_scoring, (shape, sobol, few, rows), rows),
        "many": Task(f"ours, {many} points", work.ours_scoring, (shape, random, many, rows), rows),
        "forest": Task("isolation forest, 100 trees", work.forest_scoring, (shape[0], rows), rows),
    }
    if installed("torch"):
        tasks["torch"] = Task(f"torch, {few} points", work.torch_scoring, (shape, few, rows), rows)
    winners = measure(tasks, effort)
    return [
        compare("scoring, letter", "rows/s", winners["few"], side)
        for who, side in winners.items()
        if who != "few"
    ]


def pyod_row(effort: Effort) -> Row:
    """Compare our VAE with PyOD's, in gradient steps of all weights."""
    shape, steps = work.PAPER_LETTER, work.EPOCH_STEPS
    winners = measure(
        {
            "ours": Task("ours, VAE", work.ours_training, (shape, "VAE"), work.BLOCK),
            "pyod": Task("PyOD VAE", work.pyod_training, (shape,), steps),
        },
        effort,
    )
    ours, pyod = winners["ours"], winners["pyod"]
    epochs = [1e3 * steps / side.median for side in (ours, pyod)]
    note = f"an epoch of {steps} steps: {epochs[0]:.2f} ms and {epochs[1]:.2f} ms"
    return compare("training a plain VAE, letter", "steps/s", ours, pyod, note)


def main(
    quick: Annotated[
        bool, typer.Option(help="One short round on one core, of the narrow networks only.")
    ] = False,
    repeats: Annotated[int, typer.Option(min=1, help="Rounds of every comparison.")] = 5,
    out: Annotated[Path, typer.Option(help="Where the figures go.")] = Path("results/speed.json"),
    recorded: Annotated[
        bool, typer.Option("--record", help="Add the ratios to benchmarks/ratios.ndjson.")
    ] = False,
) -> None:
    """Measure, print one table of ratios, and keep the figures."""
    console = Console(width=max(140, Console().width))
    effort = Effort(1 if quick else repeats, 0.05 if quick else 1.0, quick)
    facts = machine_facts()
    for name, fact in facts.items():
        console.print(f"{name}: {fact}")
    started = time.perf_counter()
    skipped = []
    rows, trainers = training_rows("letter (d=32, h=16, k=11)", work.PAPER_LETTER, effort)
    if not quick:
        rows += training_rows("wide (d=32, h=256, k=22)", work.WIDE, effort)[0]
        rows.append(member_row("letter", work.PAPER_LETTER, effort))
        rows.append(member_row("wide", work.WIDE, effort))
    rows += cold_rows(trainers, effort)
    rows += command_rows(effort)
    rows += scoring_rows(effort)
    if not installed("torch"):
        skipped.append("torch and PyOD: PyTorch is not installed (the bench extra)")
    else:
        reason = why_no_compiled_peer(effort)
        if reason is not None:
            skipped.append(f"torch.compile: {reason}")
        absent = [name for name in ("pyod", "tqdm") if not installed(name)]
        if absent:
            skipped.append(f"PyOD's VAE: {' and '.join(absent)} not installed (the bench extra)")
        elif not quick:
            rows.append(pyod_row(effort))
    if quick:
        skipped.append("wide networks, ensembles, warm caches and PyOD's VAE: quick")
    console.print(speed_table(rows))
    disturbed = [row for row in rows if row.others > WORTH_A_WARNING]
    if disturbed:
        console.print(
            f"[bold red]Do not quote {len(disturbed)} of these {len(rows)} rows:[/] other "
            f"processes used up to {max(row.others for row in disturbed):.0%} of the cores. Run "
            "this again on a quiet machine."
        )
    for line in skipped:
        console.print(f"skipped: {line}")
    if quick:
        console.print("One short round on one core: a trial, not a measurement")
    console.print(
        f"Medians of {effort.repeats} rounds; {time.perf_counter() - started:.0f} s; others: share "
        "of the cores that other processes used meanwhile"
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    result = {"machine": facts, "quick": quick, "repeats": effort.repeats, "skipped": skipped}
    out.write_text(json.dumps(result | {"rows": [asdict(row) for row in rows]}, indent=2) + "\n")
    if recorded:
        record(rows)


if __name__ == "__main__":
    typer.run(main)
