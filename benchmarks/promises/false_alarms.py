"""Share of new normal rows that are flagged, and false discoveries: the thresholds' promises.

``python -m benchmarks.promises.false_alarms``: the open sets with at least 500 normal rows. Half of
the normal rows, drawn at random, are given to ``fit_detector``, the other half are new rows. Beside
them the threshold that KDE takes from the training scores of the same networks. Then the false
discovery rate over files of new rows, 5 % of them anomalies.

``--few``: 40 and 150 rows of every open set, and few rows drawn from long and short tails. Where
too few can be held out, networks that share the rows calibrate.

The networks are the default preset's with fewer iterations, which are printed.
"""

import math
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from advae.config import Config
from advae.core.threshold import discoveries, kde_threshold, p_values
from advae.detector.calibration import learned_threshold
from advae.detector.detector import Detector
from advae.detector.fitting import fit_detector
from advae.detector.split import split_rows
from benchmarks.harness.data import adbench_names, load_adbench, missing_data
from benchmarks.harness.runs import Row, Task, mean, run_campaign

ALPHAS = (0.01, 0.05, 0.1)
FEWEST_NORMAL = 500
FEW = (40, 150)
"""Rows of the open sets to learn from."""
DRAWN = (
    ("lognormal", 40, 20),
    ("lognormal", 20, 6),
    ("lognormal", 12, 6),
    ("normal", 40, 20),
    ("uniform", 40, 20),
)
"""Tables to draw: the distribution of every value, rows to learn from, columns."""
DRAWN_SPLITS = 4
"""Tables drawn for each split of an open set."""
NEW_DRAWN = 2000
LOG_DEVIATION = 1.5
"""Standard deviation of the logarithms of lognormal values."""
DISCOVERY_RATE = 0.1
ANOMALIES = 0.05
"""Share of anomalies in the files in which discoveries are made."""


def plan(splits: int, iterations: int, quick: bool) -> list[Task]:
    """Return one task for each set and split."""
    names = adbench_names()
    large = [name for name in names if (load_adbench(name)[1] == 0).sum() >= FEWEST_NORMAL]
    return [
        {"data_set": name, "split": split, "iterations": iterations}
        for split in range(splits)
        for name in (large[:1] if quick else large)
    ]


def plan_few(splits: int, iterations: int, quick: bool) -> list[Task]:
    """Return one task for each set, split and number of rows, and for each table to draw."""
    names = adbench_names()
    open_sets = [
        {"data_set": name, "split": split, "iterations": iterations, "few": rows}
        for rows in FEW
        for split in range(splits)
        for name in (names[:1] if quick else names)
    ]
    drawn = [
        {"data_set": drawn, "split": split, "iterations": iterations, "few": rows, "columns": width}
        for split in range(splits * DRAWN_SPLITS)
        for drawn, rows, width in (DRAWN[:1] if quick else DRAWN)
    ]
    return open_sets + drawn


def measure(task: Task) -> list[Row]:
    """Return a row for each alpha, with the rates of the thresholds on new normal rows."""
    few = task.get("few")
    if "columns" in task:
        X = _drawn(task["data_set"], few + NEW_DRAWN, task["columns"], task["split"])
        y = np.zeros(len(X), int)
    else:
        X, y = load_adbench(task["data_set"])
    normal = np.random.default_rng(task["split"]).permutation(np.flatnonzero(y == 0))
    given = few or len(normal) // 2
    learned, new = X[normal[:given]], X[normal[given:]]
    fitted: dict[tuple[int, int], Detector] = {}
    rows = []
    for alpha in ALPHAS:
        config = Config.preset(
            "default", alpha=alpha, iterations=task["iterations"], seed=task["split"]
        )
        planned = split_rows(given, config)
        # The settings differ in alpha alone, so networks of one plan serve every alpha.
        key = len(planned.calibration), planned.folds
        if key not in fitted:
            fitted[key] = fit_detector(learned, config)
        detector = fitted[key]
        rows.append(_rates(detector, new, alpha))
    if not few:
        rows[-1] |= _false_discoveries(detector, new, X[y == 1], task["split"])
    return rows


def _drawn(distribution: str, rows: int, columns: int, seed: int) -> np.ndarray:
    """Return independent values of one distribution, shape (rows, columns)."""
    rng, shape = np.random.default_rng([seed, 2]), (rows, columns)
    if distribution == "uniform":
        return rng.uniform(size=shape)
    values = rng.normal(size=shape)
    return np.exp(LOG_DEVIATION * values) if distribution == "lognormal" else values


def _rates(detector: Detector, new: np.ndarray, alpha: float) -> Row:
    scores, in_use = detector.anomaly_score(new), learned_threshold(detector, alpha)
    return {
        "alpha": alpha,
        "new": len(new),
        "calibration": len(detector.calibration_scores),
        "conformal": in_use.method == "conformal",
        "in_use": float(np.mean(scores > in_use.value)),
        "kde": float(np.mean(scores > kde_threshold(detector.training_scores, alpha))),
    }


def _false_discoveries(
    detector: Detector, new: np.ndarray, anomalies: np.ndarray, seed: int
) -> Row:
    """Make a file with a share of ANOMALIES, and count the discoveries in it."""
    rng = np.random.default_rng([seed, 1])
    wanted = round(len(new) * ANOMALIES / (1 - ANOMALIES))
    odd = anomalies[rng.permutation(len(anomalies))[:wanted]]
    sound = new[: round(len(odd) * (1 - ANOMALIES) / ANOMALIES)]
    scores = detector.anomaly_score(np.concatenate([sound, odd]))
    found = discoveries(p_values(detector.reference_scores, scores), DISCOVERY_RATE)
    false, true = int(found[: len(sound)].sum()), int(found[len(sound) :].sum())
    return {"false_share": false / max(false + true, 1), "found": true / len(odd)}


def allowed_error(rows: list[Row]) -> float:
    """Return how far the mean rate may be from alpha: 10 % of it, or twice its standard error.

    The standard error is binomial: of the calibration rows that set the threshold, and of the new
    rows that the rate is counted on.
    """
    alpha = float(rows[0]["alpha"])
    variance = sum(
        alpha * (1 - alpha) * (1 / (row["calibration"] + 2) + 1 / row["new"]) for row in rows
    )
    return max(0.1 * alpha, 2 * math.sqrt(variance) / len(rows))


def rate_table(rows: list[Row], title: str) -> Table:
    """Return mean rates in per cent, a line for each set, and the mean of the sets.

    Of the threshold in use, which is conformal, or a kernel density of out-of-fold scores (*); and
    of the one that KDE takes from the training scores.
    """
    table = Table(title=title, title_justify="left")
    table.add_column("data set")
    for alpha in ALPHAS:
        for heading in (f"in use\n{alpha:.0%}", "allowed", "KDE"):
            table.add_column(heading, justify="right")
    lines = {}
    for name in dict.fromkeys(row["data_set"] for row in rows):
        cells, numbers = [], []
        for alpha in ALPHAS:
            group = [r for r in rows if r["data_set"] == name and r["alpha"] == alpha]
            in_use, kde = mean(group, "in_use"), mean(group, "kde")
            numbers += [in_use, kde]
            allowed = allowed_error(group)
            mark = "" if abs(in_use - alpha) <= allowed else " !"
            if not all(row["conformal"] for row in group):
                mark = " *"
            cells += [f"{100 * in_use:.2f}{mark}", f"±{100 * allowed:.2f}", f"{100 * kde:.2f}"]
        table.add_row(name, *cells)
        lines[name] = numbers
    table.add_section()
    cells = []
    for in_use, kde in zip(*[iter(np.mean(list(lines.values()), axis=0))] * 2, strict=True):
        cells += [f"{100 * in_use:.2f}", "", f"{100 * kde:.2f}"]
    table.add_row("mean of the sets", *cells)
    return table


def discovery_table(rows: list[Row]) -> Table:
    """Return the realised share of false discoveries, and the share of anomalies discovered."""
    table = Table(
        title=f"discoveries at rate {DISCOVERY_RATE:g}, {ANOMALIES:.0%} anomalies, in per cent",
        title_justify="left",
    )
    for heading in ("data set", "false discoveries", "standard error", "anomalies discovered"):
        table.add_column(heading, justify="left" if heading == "data set" else "right")
    told = [row for row in rows if "false_share" in row]
    groups = {"all": told} | {
        name: [row for row in told if row["data_set"] == name]
        for name in dict.fromkeys(row["data_set"] for row in told)
    }
    for name, group in groups.items():
        shares = np.array([row["false_share"] for row in group])
        error = shares.std(ddof=1) / math.sqrt(len(shares)) if len(shares) > 1 else math.nan
        cells = (shares.mean(), error, mean(group, "found"))
        table.add_row(name, *(f"{100 * cell:.2f}" for cell in cells))
    return table


def main(
    quick: Annotated[bool, typer.Option(help="One set, 2 splits, 200 iterations.")] = False,
    few: Annotated[bool, typer.Option(help="40 and 150 rows of every set.")] = False,
    out: Annotated[Path, typer.Option(help="Where the measurements are kept.")] = Path(
        "results/false_alarms.ndjson"
    ),
    jobs: Annotated[int, typer.Option(min=1, help="Worker processes, one core each.")] = 2,
    splits: Annotated[int, typer.Option(min=2, help="Random splits of each set.")] = 20,
    iterations: Annotated[int, typer.Option(min=1, help="Of each training.")] = 1500,
) -> None:
    """Measure how well the thresholds keep their promises."""
    console = Console(width=max(120, Console().width))
    missing = missing_data("adbench")
    if missing:
        console.print(missing)
        raise typer.Exit(2)
    started = time.perf_counter()
    if quick:
        splits, iterations, jobs = 2, 200, 1
    tasks = (plan_few if few else plan)(splits, iterations, quick)
    rows = run_campaign(measure, tasks, out, jobs, console)
    what = f"flagged new normal rows in per cent, {splits} splits, {iterations} iterations"
    if few:
        for count in FEW:
            group = [row for row in rows if row["few"] == count and "columns" not in row]
            console.print(rate_table(group, f"{what}, {count} rows"))
        drawn = [
            row | {"data_set": "{data_set}, {few} x {columns}".format_map(row)}
            for row in rows
            if "columns" in row
        ]
        console.print(rate_table(drawn, f"{what}: drawn tables, {DRAWN_SPLITS} for each split"))
    else:
        console.print(rate_table(rows, what))
        console.print(discovery_table(rows))
    console.print(f"{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    typer.run(main)
