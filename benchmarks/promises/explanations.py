"""Do explanations name what was changed? ``python -m benchmarks.promises.explanations``.

Planted anomalies: in real normal rows that took no part in training and are not flagged, one to
three columns are changed. Numbers move by 3 to 6 standard deviations (``--change shift``), or half
to all of the way towards the farther end of their training range, and so stay inside it
(``--change inside``); other values become one of training's, all equally likely
(``--change category``); or a column of either sort takes the value of another training row, which
is odd for the rest of the row at most (``--change swap``). Of the planted rows that are flagged, in
how many are all changed columns among the first three that an explanation names: the columns that
contribute most, or those whose replacement helps most (``advae.counterfactual``)? SHAP's
KernelExplainer on the score is the peer on numbers, on a small sample of the same rows.
"""

import importlib.util
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import polars as pl
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from advae.config import Config
from advae.detector.counterfactual import counterfactuals
from advae.detector.detector import Detector
from advae.detector.fitting import fit_detector
from advae.detector.record import Threshold
from benchmarks.accuracy.mixed import load, numeric_names
from benchmarks.harness.data import Array, missing_data
from benchmarks.harness.disturbance import WORTH_A_WARNING, Watch
from benchmarks.harness.machine import machine_facts

TOP = 3
BACKGROUND = 20
"""Training rows that KernelExplainer takes absent columns from."""

WANTED = 0.8
"""Share of the flagged planted rows whose changed columns explanations should name."""

Change = Literal["category", "inside", "shift", "swap"]
Changed = NDArray[np.bool_]
Named = list[list[int]]
"""For each row the columns that an explanation names, best first."""


@dataclass(frozen=True)
class Found:
    """What explanations of planted anomalies found.

    Attributes
    ----------
    rows
        Flagged planted rows that were explained.
    named
        Share of them whose changed columns are all among the `TOP` largest contributors.
    some
        Share of them with at least one changed column among these.
    first
        Share of them whose largest contributor was changed.
    seconds
        Per row.
    """

    rows: int
    named: float
    some: float
    first: float
    seconds: float


@dataclass(frozen=True)
class Result:
    """One data set.

    Attributes
    ----------
    planted, flagged
        Planted rows, and how many of them are flagged.
    contributions, counterfactual
        What they found on all flagged rows; None without rows.
    contributions_there, counterfactual_there, peer
        The same and SHAP's, on the peer's rows.
    largest_gap
        Greatest relative difference of a score and the sum of its contributions.
    """

    data_set: str
    seed: int
    columns: int
    planted: int
    flagged: int
    contributions: Found | None
    counterfactual: Found | None
    contributions_there: Found | None
    counterfactual_there: Found | None
    peer: Found | None
    largest_gap: float


def plant(
    rows: pl.DataFrame, train: pl.DataFrame, change: Change, rng: np.random.Generator
) -> tuple[pl.DataFrame, Changed]:
    """Return rows with one to three columns changed each, and which ones; missing values stay."""
    columns = [
        place
        for place, column in enumerate(train)
        if column.drop_nulls().n_unique() > 1
        and (change == "swap" or column.dtype.is_numeric() == (change != "category"))
    ]
    changed = np.zeros(rows.shape, bool)
    for row in changed if columns else ():
        row[rng.choice(columns, min(int(rng.integers(1, 4)), len(columns)), replace=False)] = True
    planted = []
    for place, column in enumerate(rows):
        moved = _moved(column, train.to_series(place), change, rng) if place in columns else column
        changed[:, place] &= (moved != column).fill_null(value=False).to_numpy()
        planted.append(moved.zip_with(pl.Series(changed[:, place]), column))
    return pl.DataFrame(planted), changed


def _moved(
    column: pl.Series, train: pl.Series, change: Change, rng: np.random.Generator
) -> pl.Series:
    """Return what the values of a column are changed to."""
    there, count = train.drop_nulls(), len(column)
    if change == "swap":
        return there[rng.integers(len(there), size=count)]
    if change == "category":
        others = there.unique(maintain_order=True)
        return others[rng.integers(len(others), size=count)]
    low, high = there.min(), there.max()
    values = column.to_numpy()
    if change == "shift":
        signed = rng.choice([-1.0, 1.0], count) * rng.uniform(3.0, 6.0, count)
        moved = values + signed * there.std(ddof=0)
    else:
        farther = np.where(values - low > high - values, low, high)
        moved = values + rng.uniform(0.5, 1.0, count) * (farther - values)
    whole = column.dtype.is_integer()
    return pl.Series(column.name, np.rint(moved) if whole else moved, nan_to_null=True).cast(
        column.dtype
    )


def judge(named: Named, changed: Changed, seconds: float) -> Found | None:
    """Compare the columns that were named, best first, with those that were changed."""
    if not len(changed):
        return None
    top = np.zeros_like(changed)
    for row, columns in zip(top, named, strict=True):
        row[columns[:TOP]] = True
    hits = [row[columns[0]] for row, columns in zip(changed, named, strict=True)]
    return Found(
        rows=len(changed),
        named=float((top | ~changed).all(axis=1).mean()),
        some=float((top & changed).any(axis=1).mean()),
        first=float(np.mean(hits)),
        seconds=seconds / len(changed),
    )


def by_contribution(contributions: Array) -> Named:
    """Return the columns that contribute most, the largest first."""
    return np.argsort(-contributions, axis=1, kind="stable")[:, :TOP].tolist()


def by_counterfactual(detector: Detector, rows: pl.DataFrame) -> Named:
    """Return the columns whose replacement helps most, whether or not fewer would do."""
    insatiable = detector.with_threshold(Threshold("given", None, 0.0))
    found = counterfactuals(insatiable, detector.table.transform(rows), TOP)
    return [list(each.columns) for each in found]


def by_peer(detector: Detector, train: pl.DataFrame, rows: pl.DataFrame, seed: int) -> Named:
    """Return the columns with the largest Shapley values of the score, by KernelExplainer."""
    import shap

    background = train.sample(min(BACKGROUND, len(train)), seed=seed).to_numpy()

    def score(values: Array) -> Array:
        return np.asarray(detector.anomaly_score(pl.DataFrame(values, rows.schema)))

    explainer = shap.KernelExplainer(score, background)
    return by_contribution(np.asarray(explainer.shap_values(rows.to_numpy(), silent=True)))


def timed(name: Callable[[], Named], changed: Changed) -> Found | None:
    """Judge the columns that ``name`` names, with its seconds."""
    if not len(changed):
        return None
    started = time.perf_counter()
    named = name()
    return judge(named, changed, time.perf_counter() - started)


def measure(name: str, config: Config, change: Change, rows: int, peer_rows: int) -> Result:
    """Train on half of a set's normal rows, plant anomalies in the other half, and explain them."""
    tables = load(name, config.seed)
    detector = fit_detector(tables.train, config)
    rng = np.random.default_rng(config.seed)
    quiet = ~detector.is_anomaly(tables.test) & (tables.labels == 0)
    chosen = rng.permutation(np.flatnonzero(quiet))[:rows]
    planted, changed = plant(tables.test[chosen], tables.train, change, rng)
    flagged = detector.is_anomaly(planted) & changed.any(axis=1)
    suspects, changed = planted.filter(flagged), changed[flagged]
    explanation = detector.explain(suspects)
    sums = explanation.contributions.sum(axis=1)
    gap = float(np.max(np.abs(sums - explanation.score) / explanation.score, initial=0.0))

    numeric = all(dtype.is_numeric() for dtype in planted.dtypes)
    asked = peer_rows if numeric and importlib.util.find_spec("shap") else 0
    few = min(len(suspects), asked)
    found = [
        timed(way, changed[:count])
        for count in (len(suspects), few)
        for way in (
            lambda: by_contribution(detector.explain(suspects[:count]).contributions),  # noqa: B023
            lambda: by_counterfactual(detector, suspects[:count]),  # noqa: B023
        )
    ]
    peer = timed(
        lambda: by_peer(detector, tables.train, suspects[:few], config.seed), changed[:few]
    )
    return Result(
        name, config.seed, planted.shape[1], len(planted), len(suspects), *found, peer, gap
    )


def show(results: list[Result], console: Console) -> None:
    """Print one line for each data set, and the means."""
    table = Table(title=f"Flagged planted rows whose changed columns are all in the top {TOP}")
    table.add_column("data set")
    for heading in ("columns", "planted", "flagged", "contributions", "some", "first", "ms/row",
                    "counterfactual", "ms/row", "SHAP rows", "contributions", "counterfactual",
                    "SHAP", "SHAP s/row"):  # fmt: skip
        table.add_column(heading, justify="right")

    def cell(found: Found | None, field: str, style: str, scale: float = 1.0) -> str:
        return "" if found is None else format(scale * getattr(found, field), style)

    for each in results:
        plain, replaced = each.contributions, each.counterfactual
        table.add_row(
            each.data_set, str(each.columns), str(each.planted), str(each.flagged),
            cell(plain, "named", ".1%"), cell(plain, "some", ".1%"), cell(plain, "first", ".1%"),
            cell(plain, "seconds", ".2f", 1000.0),
            cell(replaced, "named", ".1%"), cell(replaced, "seconds", ".2f", 1000.0),
            cell(each.peer, "rows", "d", 1), cell(each.contributions_there, "named", ".1%"),
            cell(each.counterfactual_there, "named", ".1%"), cell(each.peer, "named", ".1%"),
            cell(each.peer, "seconds", ".2f"),
        )  # fmt: skip
    console.print(table)
    for way in ("contributions", "counterfactual"):
        measured = [found.named for each in results if (found := getattr(each, way))]
        passed = sum(named >= WANTED for named in measured)
        console.print(
            f"{way}: mean {np.mean(measured):.1%}, at least {WANTED:.0%} in {passed} of "
            f"{len(measured)}"
        )
    gap = max(each.largest_gap for each in results)
    console.print(f"contributions add up to the score within {gap:.1e}")


def main(
    sets: Annotated[
        list[str] | None,
        typer.Argument(help="Sets, such as cardio or adult; all of ADBench if none."),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Splits and trainings of each set.")] = 1,
    change: Annotated[Change, typer.Option(help="How columns are changed.")] = "shift",
    rows: Annotated[int, typer.Option(min=1, help="Most planted rows of each set.")] = 1000,
    peer_rows: Annotated[int, typer.Option(min=0, help="Rows that SHAP explains too.")] = 20,
    iterations: Annotated[int | None, typer.Option(help="Training iterations.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="One small set, few rows.")] = False,
    output: Annotated[Path | None, typer.Option(help="JSON file for the results.")] = None,
) -> None:
    """Measure and print; without the data folder, say what is missing."""
    console = Console(width=max(180, Console().width))
    lacking = missing_data("adbench", "mixed")
    if lacking:
        console.print(lacking)
        raise typer.Exit(2)
    watch = Watch()
    if quick:
        sets, seeds, rows, peer_rows, iterations = ["vowels"], 1, 100, 2, 200
    results = []
    for name in sets or numeric_names():
        for seed in range(seeds):
            config = Config.preset("default", seed=seed, iterations=iterations)
            results.append(measure(name, config, change, rows, peer_rows))
            console.print(f"{name}, seed {seed}: {results[-1].contributions}", highlight=False)
    others = watch.others(time.process_time())
    if others > WORTH_A_WARNING:
        print(f"other processes used {others:.0%} of the cores: these seconds mean little")
    show(results, console)
    if output is not None:
        found = [asdict(result) for result in results]
        output.write_text(
            json.dumps(
                {"machine": machine_facts(), "others": others, "explanations": found}, indent=2
            )
        )


if __name__ == "__main__":
    typer.run(main)
