"""The runs of the accuracy benchmark: which there are, and one of them."""

import json
import time
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
from sklearn.metrics import average_precision_score, roc_auc_score

from advae.config import Config
from advae.detector.fitting import fit_detector
from benchmarks.accuracy.baselines import BASELINES, SCALINGS, Scorer
from benchmarks.harness.data import (
    PAPER_SETS,
    SELECTION,
    Split,
    data_folder,
    first_half,
    labelled_files,
    load_labelled,
    load_paper_set,
    shuffled_half,
)
from benchmarks.harness.digest import DETECTOR_MODULES, code_version, file_version
from benchmarks.harness.runs import Row

Protocol = Literal["shuffled", "paper", "file-order"]

OURS = "advae default"
PRESETS: dict[str, dict[str, Any]] = {
    OURS: {"name": "default"},
    "advae paper": {"name": "paper"},
    **{
        f"advae {variant}": {"name": "default", "variant": variant}
        for variant in ("VAE", "adVAE", "G-adVAE", "AE")
    },
}
RIVALS: dict[str, dict[str, Any]] = {
    "complementary VAE": {"name": "default", "method": "complementary-vae"},
    "DAGMM": {"name": "default", "method": "dagmm"},
    "GAN": {"name": "default", "method": "gan"},
    "WGAN-GP": {"name": "default", "method": "wgan-gp"},
    "MO-GAAL": {"name": "default", "method": "mo-gaal"},
}
"""The methods that adVAE's paper argues with, of the same program."""
"""Our methods: a preset and the changes to it. All rows train: no threshold is needed here, so
none are held out for one."""
METHODS = (*PRESETS, *RIVALS, *BASELINES)
TRIAL_SEEDS = 2
BUDGETS = (300, 1000, 10_000)
"""Iterations to try our default preset with, beside its own."""

QUICK_SETS = ("14_glass", "18_Ionosphere")
QUICK_PAPER_SETS = ("letter",)
QUICK_METHODS = (OURS, "1-NN", "PCA", "IForest", "ECOD")
QUICK_ITERATIONS = 100

METRICS = ("roc_auc", "average_precision")
SCHEMA = {
    **dict.fromkeys(("protocol", "data_set", "content", "method", "settings", "code"), pl.String),
    "seed": pl.Int64,
    "anomaly_share": pl.Float64,
    **dict.fromkeys((*METRICS, "fit_seconds", "score_seconds_per_1000"), pl.Float64),
    "failure": pl.String,
}


@dataclass(frozen=True)
class DataFile:
    """A data set under a protocol; ``anomaly_share`` is that of its test rows."""

    protocol: Protocol
    name: str
    path: Path
    content: str
    anomaly_share: float

    def split(self, seed: int) -> Split:
        """Return training and test rows."""
        if self.protocol == "paper":
            return load_paper_set(self.name)
        if self.protocol == "file-order":
            return first_half(*load_labelled(self.path))
        return shuffled_half(*load_labelled(self.path), seed)


@dataclass(frozen=True)
class Run:
    """One method on one data set with one seed; ``settings`` is JSON, ``code`` ours or empty."""

    data: DataFile
    method: str
    settings: str
    code: str
    seed: int

    @property
    def identity(self) -> Row:
        """What makes two runs the same."""
        return {
            "protocol": self.data.protocol,
            "data_set": self.data.name,
            "content": self.data.content,
            "method": self.method,
            "settings": self.settings,
            "code": self.code,
            "seed": self.seed,
        }

    @property
    def known(self) -> Row:
        """What is known before the run."""
        return self.identity | {"anomaly_share": self.data.anomaly_share}


def shuffled_files(folder: Path) -> list[DataFile]:
    """Return the data sets of a folder.

    Raises
    ------
    ValueError
        If there is none, or one cannot be used; the message names it.
    """
    files = []
    for path in labelled_files(folder):
        try:
            X, y = load_labelled(path)
        except (KeyError, ValueError, OSError) as error:
            raise ValueError(f"{path} has no arrays X and y that can be read: {error}") from error
        normal, anomalous = int(np.sum(y == 0)), int(np.sum(y == 1))
        if X.ndim != 2 or len(X) != len(y) or normal + anomalous != len(y):
            raise ValueError(f"{path}: X must be (rows, columns), and y 0 or 1 for each row")
        if normal < 4 or anomalous < 1:
            raise ValueError(f"{path} has {normal} normal rows and {anomalous} anomalies")
        name = path.stem.partition("_")[2] if path.stem[0].isdigit() else path.stem
        share = anomalous / (anomalous + normal - normal // 2)
        files.append(DataFile("shuffled", name or path.stem, path, file_version(path), share))
    if not files:
        raise ValueError(f"no .npz file in {folder}: name a folder of them with --folder")
    return files


def paper_files() -> list[DataFile]:
    """Return the paper's data sets."""
    folder = data_folder() / "advae-paper"
    paths = {name: folder / f"{name}.mat" for name in PAPER_SETS}
    return [
        DataFile("paper", name, path, file_version(path), float(load_paper_set(name).labels.mean()))
        for name, path in paths.items()
    ]


def plan(
    files: Iterable[DataFile], methods: Sequence[str], seeds: int, iterations: int | None = None
) -> list[Run]:
    """Return the runs, the first seed of everything first.

    A method without randomness of its own gives the same scores for every seed where the split is
    fixed, as in the paper's protocol and in file order: it runs once there.
    """
    code = code_version(DETECTOR_MODULES)
    files = list(files)
    return [
        _run(file, method, seed, code, iterations)
        for seed in range(seeds)
        for method in methods
        for file in files
        if seed == 0 or file.protocol == "shuffled" or is_seeded(method)
    ]


def other_scalings(runs: Iterable[Run]) -> list[Run]:
    """Return what tries the scaling that a baseline does not get: on SELECTION, first seeds."""
    others = []
    for run in runs:
        if run.method in BASELINES and run.data.name in SELECTION and run.seed < TRIAL_SEEDS:
            settings = json.loads(run.settings)
            settings["scaling"] = next(name for name in SCALINGS if name != settings["scaling"])
            others.append(replace(run, settings=settings_text(settings)))
    return others


def other_budgets(runs: Iterable[Run]) -> list[Run]:
    """Return what tries our default preset with fewer and more iterations: first seeds."""
    return [
        replace(run, settings=settings_text(json.loads(run.settings) | {"iterations": iterations}))
        for run in runs
        if run.method == OURS and run.data.protocol == "shuffled" and run.seed < TRIAL_SEEDS
        for iterations in BUDGETS
    ]


def is_seeded(method: str) -> bool:
    """Return whether a method has randomness of its own."""
    return method not in BASELINES or BASELINES[method].seeded


def measure(run: Run) -> Row:
    """Fit, score and judge; a method that fails gives a row that says why."""
    if run.code and code_version(DETECTOR_MODULES) != run.code:
        raise RuntimeError("advae was edited during the measurement: start it again")
    settings, split = json.loads(run.settings), run.data.split(run.seed)
    if run.method in BASELINES:
        split = SCALINGS[settings["scaling"]](split)
    started = time.perf_counter()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            score = _fit(run, settings, split)
            fitted = time.perf_counter()
            scores = np.asarray(score(split.test), np.float64)
    except Exception as error:
        return {"failure": f"{type(error).__name__}: {error}"[:300]}
    scored = time.perf_counter()
    if not np.isfinite(scores).all():
        count = int((~np.isfinite(scores)).sum())
        return {"failure": f"{count} of {len(scores)} scores are not finite"}
    return {
        "average_precision": float(average_precision_score(split.labels, scores)),
        "roc_auc": float(roc_auc_score(split.labels, scores)),
        "fit_seconds": fitted - started,
        "score_seconds_per_1000": 1000 * (scored - fitted) / len(scores),
    }


def _fit(run: Run, settings: dict[str, Any], split: Split) -> Scorer:
    if run.method not in BASELINES:
        return fit_detector(split.train, Config.from_json(settings)).anomaly_score
    return BASELINES[run.method].scorer(split.train, run.seed, settings["parameters"])


def _run(file: DataFile, method: str, seed: int, code: str, iterations: int | None) -> Run:
    if method in BASELINES:
        return Run(file, method, settings_text(BASELINES[method].settings), "", seed)
    config = Config.preset(
        **(PRESETS | RIVALS)[method],  # type: ignore[arg-type]
        threshold="kde",
        seed=seed,
        iterations=iterations,
    )
    return Run(file, method, settings_text(config.to_json()), code, seed)


def settings_text(settings: dict[str, Any]) -> str:
    return json.dumps(settings, sort_keys=True)
