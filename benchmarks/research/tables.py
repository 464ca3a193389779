"""The tables of the trial, each split into training and test rows, as Polars frames."""

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from benchmarks.harness.data import data_folder, labelled_files, load_labelled, load_paper_set, scaled, shuffled_half

PLANTED = Path(os.environ.get("ADVAE_PLANTED", "/tmp/accuracy"))
"""Folder with what payments.py and flights.py wrote: pay7, payd7 (with fraud), fl0 and so on."""

MIXED = ("kdd-probe", "kdd-u2r", "sick", "adult", "bank", "german", "cmc")
PAPER = ("letter", "cardio", "satellite", "optdigits", "pendigits")


class Tables(NamedTuple):
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
        return _payments(PLANTED / f"{'pay' if name == 'payments' else 'payd'}{7 + seed}", seed, cap)
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


def _times(f: pl.DataFrame) -> pl.DataFrame:
    t = pl.col("timestamp").str.to_datetime()
    hour = t.dt.hour() + t.dt.minute() / 60 + t.dt.second() / 3600
    return f.with_columns(time_of_day=hour, weekday=t.dt.weekday().cast(pl.String)).drop("timestamp")


def _payments(folder: Path, seed: int, cap: int) -> Tables:
    drop = ["payment_id", "customer_id"]
    train = _times(pl.read_csv(folder / "train.csv").drop(drop))
    new = pl.read_csv(folder / "new.csv")
    test = _times(new.drop([*drop, "fraud", "kind"]))
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
