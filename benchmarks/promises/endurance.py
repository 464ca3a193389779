"""What many models, fits and loads leave behind, and the same scores from threads and processes.

``python -m benchmarks.promises.endurance [--quick]`` (Linux, which tells memory and open files):

- **loads** of one model file, one after the other; **detectors** of several shapes, all held and
  asked in turn; **fits** of tables of ever other widths. Resident memory and open files by tenths
  of the way, each in a process of its own.
- **threads** that score with one detector, and threads that fit at once: are the bits those of one?
- **processes** by spawn, forkserver, fork and joblib's loky: are the scores the same? After a
  process has computed, its forks must refuse to, with ForkError.
"""

import json
import multiprocessing
import os
import tempfile
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

import advae
from advae.core.compilation import KEPT
from benchmarks.harness.machine import machine_facts

SHAPES = 8
"""Widths of the detectors that are held: each scores by a program of its own."""
WIDTHS = 3 * KEPT
"""Widths of the tables that are fitted: programs of all would not be kept."""
FEWEST, ROWS = 2, 300
"""Columns of the narrowest table, and rows of each."""
SMALL = advae.Config(iterations=20, hidden=8, batch_size=16, points=4)


@dataclass(frozen=True)
class Tenths:
    """What a process held at first and after each tenth of the work, and how long it took."""

    megabytes: list[float]
    files: list[int]
    seconds: float


def in_a_fresh_process(part: Callable[[int, Path], Any], count: int, folder: Path) -> Any:
    """Return what a part of the measurement finds in a process that has computed nothing."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as executor:
        return executor.submit(_quietly, part, count, folder).result()


def by_tenths(count: int, work: Callable[[int], object]) -> Tenths:
    """Do the work so many times, with its number, and see by tenths what the process holds."""
    work(0)  # imports, threads and a first program are no growth
    megabytes, files, started = [resident()], [open_files()], time.perf_counter()
    for tenth in range(10):
        for number in range(1 + count * tenth // 10, 1 + count * (tenth + 1) // 10):
            work(number)
        megabytes.append(resident())
        files.append(open_files())
    return Tenths(megabytes, files, time.perf_counter() - started)


def resident() -> float:
    """Return the memory of this process, in MB."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def open_files() -> int:
    """Return how many files this process has open."""
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - of names that are gone when asked


def table(columns: int, rows: int = ROWS) -> np.ndarray:
    """Return rows of dependent numbers, the same for the same width."""
    draws = np.random.default_rng(columns)
    return draws.normal(size=(rows, 2)) @ draws.normal(size=(2, columns))


def fitted(columns: int) -> advae.Detector:
    """Return a model of a table of so many columns."""
    return advae.fit_detector(table(columns), SMALL)


def save_models(shapes: int, folder: Path) -> None:
    """Save models of tables that differ in width, and their scores."""
    for columns in range(FEWEST, FEWEST + shapes):
        detector = fitted(columns)
        advae.save(detector, folder / f"{columns}.advae")
        np.save(folder / f"{columns}.npy", detector.anomaly_score(table(columns)))


def loads(count: int, folder: Path) -> Tenths:
    """Load one model file again and again."""
    return by_tenths(count, lambda _: advae.load(folder / f"{FEWEST}.advae"))


def detectors(count: int, folder: Path) -> Tenths:
    """Load models of several shapes, hold them all, and score with each."""
    held, shapes = [], len(list(folder.glob("*.advae")))

    def work(number: int) -> None:
        columns = FEWEST + number % shapes
        held.append(advae.load(folder / f"{columns}.advae"))
        held[-1].anomaly_score(table(columns))

    return by_tenths(count, work)


def fits(count: int, _folder: Path) -> Tenths:
    """Fit tables of so many widths in turn that each fit has to make its programs anew."""
    return by_tenths(count, lambda number: fitted(FEWEST + number % WIDTHS))


def threads(count: int, folder: Path) -> dict[str, bool]:
    """Score in eight threads and fit in four, and compare with one thread."""
    detector, rows = advae.load(folder / f"{FEWEST}.advae"), table(FEWEST, 3000)
    wanted = detector.anomaly_score(rows)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(detector.anomaly_score, [rows] * 8 * count))
    widths = [FEWEST + number // 2 for number in range(4 * count)]  # two threads compile the same
    with ThreadPoolExecutor(4) as pool:
        together = pool.map(_fitted_scores, widths)
    alone = {columns: _fitted_scores(columns) for columns in {*widths}}
    return {
        f"{8 * count} times by 8 threads": all(np.array_equal(each, wanted) for each in found),
        f"{4 * count} fits by 4 threads": all(
            np.array_equal(each, alone[columns])
            for each, columns in zip(together, widths, strict=True)
        ),
    }


def processes(count: int, folder: Path) -> dict[str, bool]:
    """Score in so many other processes, started before this one has computed and after."""
    import joblib
    from joblib.externals.loky import get_reusable_executor

    path, rows = folder / f"{FEWEST}.advae", table(FEWEST)
    wanted = np.load(path.with_suffix(".npy"))

    def same(method: str) -> bool:
        with ProcessPoolExecutor(count, multiprocessing.get_context(method)) as executor:
            found = list(executor.map(_loaded_scores, [path] * 2 * count, [rows] * 2 * count))
        return all(np.array_equal(each, wanted) for each in found)

    seen = {"fork before computing": same("fork")}
    detector = advae.load(path)
    seen["this process"] = np.array_equal(detector.anomaly_score(rows), wanted)
    with ProcessPoolExecutor(1, multiprocessing.get_context("fork")) as executor:
        refused = executor.submit(_loaded_scores, path, rows).exception()
    seen["fork after computing: ForkError"] = isinstance(refused, advae.ForkError)
    for method in ("spawn", "forkserver"):
        seen[f"{method} after computing"] = same(method)
    asked = [joblib.delayed(detector.anomaly_score)(rows)] * 4  # the detector is sent along
    found = joblib.Parallel(n_jobs=2)(asked)
    get_reusable_executor().shutdown()  # or this process waits for its idle workers at its end
    seen["loky after computing"] = all(np.array_equal(each, wanted) for each in found)
    return seen


def _fitted_scores(columns: int) -> np.ndarray:
    scores: np.ndarray = fitted(columns).anomaly_score(table(columns))
    return scores


def _loaded_scores(path: Path, rows: np.ndarray) -> np.ndarray:
    scores: np.ndarray = advae.load(path).anomaly_score(rows)
    return scores


def _quietly(part: Callable[[int, Path], Any], count: int, folder: Path) -> Any:
    warnings.filterwarnings("ignore", "os.fork", RuntimeWarning)  # JAX's; what comes of it is told
    warnings.filterwarnings("ignore", ".*use of fork", DeprecationWarning)
    return part(count, folder)


def main(
    quick: Annotated[bool, typer.Option("--quick", help="A few of each, for CI.")] = False,
    only: Annotated[
        list[str] | None, typer.Option(help="Part to measure, such as loads; all if not given.")
    ] = None,
    load_count: Annotated[int, typer.Option("--loads", min=1, help="Loads of a file.")] = 2000,
    held: Annotated[int, typer.Option("--detectors", min=1, help="Detectors held.")] = 200,
    fit_count: Annotated[int, typer.Option("--fits", min=1, help="Fits of other shapes.")] = 500,
    rounds: Annotated[int, typer.Option(min=1, help="How often each thread works.")] = 4,
    out: Annotated[Path, typer.Option(help="Figures as JSON.")] = Path("results/endurance.json"),
) -> None:
    """Measure what is left behind, and whether threads and processes score alike."""
    shapes = SHAPES
    if quick:
        load_count, held, fit_count, shapes, rounds = 10, 2, 1, 1, 1
    parts: list[tuple[Callable[[int, Path], Any], int]] = [
        (loads, load_count),
        (detectors, held),
        (fits, fit_count),
        (threads, rounds),
        (processes, 1 if quick else 2),
    ]
    found = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        in_a_fresh_process(save_models, shapes, folder)
        for part, count in parts:
            if not only or part.__name__ in only:
                found[part.__name__] = (count, in_a_fresh_process(part, count, folder))
    growth = Table("", "MB at first, then by tenths", "open files", "s", title="growth")
    same = Table("", "", title="the same bits")
    for name, (count, seen) in found.items():
        if isinstance(seen, Tenths):
            megabytes = " ".join(f"{each:.0f}" for each in seen.megabytes)
            files = " ".join(map(str, seen.files))
            growth.add_row(f"{count:,} {name}", megabytes, files, f"{seen.seconds:.0f}")
        else:
            for what, holds in seen.items():
                same.add_row(what, "yes" if holds else "NO")
    console = Console(width=max(140, Console().width))
    for shown in (growth, same):
        if shown.row_count:
            console.print(shown)
    out.parent.mkdir(parents=True, exist_ok=True)
    figures = {
        name: asdict(seen) | {"count": count} if isinstance(seen, Tenths) else seen
        for name, (count, seen) in found.items()
    }
    out.write_text(json.dumps(figures | {"machine": machine_facts()}, indent=2))


if __name__ == "__main__":
    typer.run(main)
