"""Tables as people have them: categories, long tails, times, planted errors.

``python -m benchmarks.accuracy.mixed [--sets NAMES] [--seeds 0,1] [--quick]`` prints ROC AUC and
average precision of the default preset and of simple scores in the same splits, the share of normal
rows above the preset's threshold, and of every kind of planted error the share found at an equal
share of alarms (payments 1 %, flights 0.5 %).
"""

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import polars as pl
import polars.selectors as cs
import typer
from sklearn.metrics import average_precision_score, roc_auc_score

import advae
from benchmarks.accuracy.simple_scores import SCORES
from benchmarks.accuracy.tables import markdown
from benchmarks.harness.data import (
    data_folder,
    labelled_files,
    load_labelled,
    load_paper_set,
    scaled,
    shuffled_half,
)

PLANTED = Path(os.environ.get("ADVAE_PLANTED", "planted"))
"""Folder with what payments.py and flights.py wrote: pay7, payd7 (with fraud), fl0 and so on."""

ALARMS = {"payments": 0.01, "payments-dirt": 0.01, "flights": 0.005}

OURS = "advae default"

MIXED = ("kdd-probe", "kdd-u2r", "sick", "adult", "bank", "german", "cmc")
PAPER = ("letter", "cardio", "satellite", "optdigits", "pendigits")


class Tables(NamedTuple):
    """Normal training rows, and test rows with 1 for an anomaly and the kinds of planted ones."""

    train: pl.DataFrame
    test: pl.DataFrame
    labels: np.ndarray
    kinds: np.ndarray | None = None


def numeric_names() -> dict[str, Path]:
    return {p.stem.partition("_")[2]: p for p in labelled_files(data_folder() / "adbench")}


def _frame(x: np.ndarray) -> pl.DataFrame:
    return pl.DataFrame({f"c{j}": x[:, j] for j in range(x.shape[1])})


def load(name: str, seed: int, cap: int = 0) -> Tables:
    if name in MIXED:
        return _mixed(name, seed)
    if name in ("payments", "payments-dirt"):
        return _payments(
            PLANTED / f"{'pay' if name == 'payments' else 'payd'}{7 + seed}", seed, cap
        )
    if name == "flights":
        return _flights(PLANTED / f"fl{seed}", seed, cap)
    if name.startswith("paper-"):
        split = load_paper_set(name.removeprefix("paper-"))
    else:
        split = scaled(shuffled_half(*load_labelled(numeric_names()[name]), seed))
    return Tables(_frame(split.train), _frame(split.test), split.labels)


def _mixed(name: str, seed: int) -> Tables:
    f = pl.read_parquet(data_folder() / "mixed" / f"{name}.parquet")
    wrong = f["anomaly"].to_numpy()
    f = f.drop("anomaly")
    rng = np.random.default_rng(seed)
    normal = rng.permutation(np.flatnonzero(~wrong))
    half = len(normal) // 2
    train, held = normal[:half][:10_000], normal[half:][:4_000]
    bad = rng.permutation(np.flatnonzero(wrong))[:2_000]
    labels = np.repeat([0, 1], [len(held), len(bad)])
    return Tables(f[train], f[np.concatenate([held, bad])], labels)


def without_times(frame: pl.DataFrame) -> pl.DataFrame:
    """Return a table with hours and weekdays for moments, as scores want it that know no times."""
    found = frame
    for name in frame.select(cs.datetime()).columns:
        t = pl.col(name)
        hour = t.dt.hour() + t.dt.minute() / 60 + t.dt.second() / 3600
        found = found.with_columns(
            hour.alias(f"{name}: time of day"),
            t.dt.weekday().cast(pl.String).alias(f"{name}: weekday"),
        ).drop(name)
    return found


def _payments(folder: Path, seed: int, cap: int) -> Tables:
    drop = ["payment_id", "customer_id"]
    train = pl.read_csv(folder / "train.csv", try_parse_dates=True).drop(drop)
    new = pl.read_csv(folder / "new.csv", try_parse_dates=True)
    test = new.drop([*drop, "fraud", "kind"])
    if cap:
        train = train.sample(min(cap, len(train)), seed=seed)
    return Tables(train, test, new["fraud"].to_numpy(), new["kind"].fill_null("").to_numpy())


def _flights(folder: Path, seed: int, cap: int) -> Tables:
    drop = ["tailnum", "flight", "time_hour"]
    train = pl.read_csv(folder / "train.csv", null_values="NA", infer_schema_length=None).drop(drop)
    new = pl.read_csv(folder / "new.csv", null_values="NA", infer_schema_length=None)
    test = new.drop([*drop, "wrong", "kind"])
    numbers = [c for c in train.columns if train[c].dtype != pl.String]
    train = train.with_columns(pl.col(numbers).cast(pl.Float64))
    test = test.with_columns(pl.col(numbers).cast(pl.Float64))
    if cap:
        train = train.sample(min(cap, len(train)), seed=seed)
    return Tables(train, test, new["wrong"].to_numpy(), new["kind"].fill_null("").to_numpy())


class Found(NamedTuple):
    """What one method did with one table."""

    table: str
    method: str
    roc_auc: float
    precision: float
    flagged: float
    seconds: float
    kinds: dict[str, float]


def measured(name: str, seed: int, *, quick: bool) -> Iterator[Found]:
    """Yield what the default preset, and the scores beside it, do with a table."""
    tables = load(name, seed)
    config = advae.Config(seed=seed, **({"iterations": 20} if quick else {}))

    def ours(train: pl.DataFrame, new: pl.DataFrame, _: int) -> np.ndarray:
        nonlocal limit
        detector = advae.fit_detector(train, config)
        limit = detector.threshold.value
        return detector.anomaly_score(new)

    flat = without_times(tables.train), without_times(tables.test)
    for method, score in {OURS: ours, **SCORES}.items():
        limit = np.inf
        started = time.perf_counter()
        frames = (tables.train, tables.test) if method == OURS else flat
        scores, y = score(*frames, seed), tables.labels
        took = time.perf_counter() - started
        normal, kinds = scores[y == 0], dict[str, float]()
        if tables.kinds is not None:
            above = scores > np.quantile(normal, 1 - ALARMS[name])
            for kind in sorted(set(tables.kinds) - {""}):
                kinds[kind] = float(np.mean(above[tables.kinds == kind]))
        yield Found(
            *(name, method, 100 * roc_auc_score(y, scores)),
            *(100 * average_precision_score(y, scores), float(np.mean(normal > limit)), took),
            kinds,
        )


def pages(found: Sequence[Found], seeds: int) -> str:
    """Return the tables of the page, in Markdown."""

    def mean(of: Callable[[Found], float], **named: str) -> float:
        own = [of(f) for f in found if all(getattr(f, k) == v for k, v in named.items())]
        return float(np.mean(own)) if own else np.nan

    names = list(dict.fromkeys(each.table for each in found))
    methods = list(dict.fromkeys(each.method for each in found))
    plain = [name for name in names if name not in ALARMS]
    lines = []

    def both(method: str, tables: Sequence[str]) -> str:
        sides = (lambda f: f.roc_auc), (lambda f: f.precision)
        each = [[mean(of, table=name, method=method) for name in tables] for of in sides]
        return " / ".join(f"{np.mean(values):.1f}" for values in each)

    for name in names:
        cells = [both(method, [name]) for method in methods]
        share = mean(lambda f: f.flagged, table=name, method=OURS)
        lines.append([name, *cells, f"{100 * share:.1f} %"])
    if len(plain) > 1:
        cells = [both(method, plain) for method in methods]
        lines.append([f"mean of {', '.join(plain)}", *cells, ""])
    text = f"ROC AUC / average precision x 100, mean of {seeds} splits.\n\n"
    text += markdown(["table", *methods, "flagged by ours, alpha 10 %"], lines)
    for name in [name for name in names if name in ALARMS]:
        kinds = list(next(each.kinds for each in found if each.table == name))
        limit = f"{100 * ALARMS[name]:g} %"
        lines = [
            [method]
            + [
                f"{100 * mean(lambda f, kind=kind: f.kinds[kind], table=name, method=method):.0f}"
                for kind in kinds
            ]
            for method in methods
        ]
        text += f"\nPlanted errors found, {name}, at {limit} false alarms, per cent.\n\n"
        text += markdown(["", *kinds], lines)
    return text


def main(
    sets: Annotated[str, typer.Option(help="Names, by commas.")] = ",".join(MIXED),
    seeds: Annotated[str, typer.Option(help="By commas.")] = "0",
    *,
    quick: Annotated[bool, typer.Option("--quick", help="Hardly any training.")] = False,
) -> None:
    """Print how the default preset does, beside scores of few lines."""
    found = []
    for name in sets.split(","):
        for seed in map(int, seeds.split(",")):
            for each in measured(name, seed, quick=quick):
                found.append(each)
                print(
                    f"{name} seed {seed} {each.method}: ROC AUC {each.roc_auc:.1f}, "
                    f"AP {each.precision:.1f}, {each.seconds:.1f} s",
                    file=sys.stderr,
                    flush=True,
                )
    print(pages(found, len(seeds.split(","))))


if __name__ == "__main__":
    typer.run(main)
