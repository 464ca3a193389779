"""Tables to simulate alarms in: training rows, other normal rows, and models that are kept."""

import importlib.util
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from advae.config import Config
from advae.detector import model_file
from advae.detector.detector import Detector
from advae.detector.fitting import fit_detector
from benchmarks.accuracy.mixed import MIXED, numeric_names
from benchmarks.harness.data import data_folder, load_labelled

MOST_TRAINING, QUICK_TRAINING = 10_000, 1000
IDENTIFIERS = ("payment_id", "customer_id", "timestamp", "currency")


class Case(NamedTuple):
    """One table.

    ``train``: rows that the model learned. ``normal``: other normal rows. ``anomalies``: its own
    ones, and ``kinds`` of them, "" where there is one kind alone.
    """

    name: str
    train: pl.DataFrame
    normal: pl.DataFrame
    anomalies: pl.DataFrame
    kinds: np.ndarray


def load(name: str, seed: int) -> Case:
    """Return a table whose normal rows are halved at random."""
    if name == "payments":
        return _payments(seed)
    if name in MIXED:
        frame = pl.read_parquet(data_folder() / "mixed" / f"{name}.parquet")
        wrong = frame["anomaly"].to_numpy()
        frame = frame.drop("anomaly")
    else:
        x, y = load_labelled(numeric_names()[name])
        frame, wrong = pl.DataFrame({f"c{j}": x[:, j] for j in range(x.shape[1])}), y == 1
    # The same types wherever rows are changed.
    frame = frame.with_columns(pl.selectors.numeric().cast(pl.Float64))
    order = np.random.default_rng(seed).permutation(np.flatnonzero(~wrong))
    half = len(order) // 2
    anomalies = frame.filter(wrong)
    return Case(
        name,
        frame[order[:half][:MOST_TRAINING]],
        frame[order[half:]],
        anomalies,
        np.full(len(anomalies), ""),
    )


def payments(rows: int, seed: int) -> pl.DataFrame:
    """Return so many normal payments."""
    return _readable(_generator().frame(_generator().normal(np.random.default_rng(seed), rows), 0))


def _payments(seed: int) -> Case:
    made = _generator()
    rng = np.random.default_rng(seed)
    rows = made.normal(rng, 21_000)
    kinds = made.plant(rng, rows, 20_000 + rng.choice(1000, 600, replace=False))
    frame, planted = _readable(made.frame(rows, 0)), kinds != ""
    return Case(
        "payments", frame[:10_000], frame[10_000:20_000], frame.filter(planted), kinds[planted]
    )


def _generator():
    path = data_folder().parent / "cases" / "tables" / "payments.py"
    spec = importlib.util.spec_from_file_location("payments", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _readable(frame: pl.DataFrame) -> pl.DataFrame:
    """Return payments with the time of the day, without what is not to be learned."""
    t = pl.col("timestamp")
    hour = t.dt.hour() + t.dt.minute() / 60 + t.dt.second() / 3600
    return frame.with_columns(time_of_day=hour).drop(IDENTIFIERS)


def fitted(case: Case, seed: int, models: Path | None, iterations: int | None) -> Detector:
    """Return a model of the training rows, from a folder of models where it is there already.

    With a number of iterations, in quick modes, it learns few of the rows.
    """
    path = None if models is None else models / f"{case.name}-{seed}.advae"
    if path is not None and path.exists():
        return model_file.load(path)
    train = case.train if iterations is None else case.train[:QUICK_TRAINING]
    detector = fit_detector(train, Config.preset("default", seed=seed, iterations=iterations))
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        model_file.save(detector, path)
    return detector
