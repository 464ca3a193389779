"""Accuracy on the paper's five sets in the paper's setting: ``python -m benchmarks.paper``.

Every run is one row of a Parquet file, kept as soon as it ends. Runs that the file already holds,
with the same settings and the same numerical code, are not done again.
"""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, get_args

import numpy as np
import polars as pl
import typer
from rich.console import Console
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score
from sklearn.neighbors import NearestNeighbors

from advae.config import Config, VariantName
from advae.core import training
from advae.core.scoring import anomaly_scores
from advae.core.threshold import kde_threshold
from advae.errors import TrainingError
from advae.methods import method_of
from benchmarks.harness.data import PAPER_SETS, Split, load_paper_set, missing_data
from benchmarks.harness.digest import CORE_MODULES, code_version
from benchmarks.harness.runs import Row, run_all
from benchmarks.paper.tables import METRICS, SETS, gains_over_vae, metric_table

ALPHA = 0.1
NEIGHBOUR = "1-NN"
METHODS: tuple[str, ...] = (*get_args(VariantName), NEIGHBOUR)
SCHEMA = {
    **dict.fromkeys(("data_set", "method", "settings", "code", "failure"), pl.String),
    "seed": pl.Int64,
    **dict.fromkeys((*METRICS, "threshold", "seconds"), pl.Float64),
}


@dataclass(frozen=True)
class Run:
    """One training: a data set, and settings that include variant and seed."""

    data_set: str
    config: Config
    code: str

    @property
    def identity(self) -> Row:
        """What makes two runs the same."""
        settings = json.dumps(self.config.to_json(), sort_keys=True)
        return {"data_set": self.data_set, "settings": settings, "code": self.code}

    @property
    def known(self) -> Row:
        """What is known before the training."""
        return self.identity | {"method": self.config.variant, "seed": self.config.seed}


def plan(seeds: int, quick: bool, lambda_: float | None) -> list[Run]:
    """Return the runs, the first seed of everything first."""
    short = {"iterations": 300, "points": 32} if quick else {}
    code = code_version(CORE_MODULES)
    return [
        Run(
            name,
            Config.preset(
                "paper",
                variant=variant,
                seed=seed,
                latent=PAPER_SETS[name].latent_size,
                lambda_=lambda_,
                alpha=ALPHA,
                **short,
            ),
            code,
        )
        for seed in range(seeds)
        for name in (SETS[:1] if quick else SETS)
        for variant in get_args(VariantName)
    ]


def judge(split: Split, train_scores: np.ndarray, test_scores: np.ndarray) -> dict[str, float]:
    """Return the METRICS of the test scores, and the threshold that the training scores give."""
    threshold = kde_threshold(train_scores, ALPHA)
    flagged = test_scores > threshold
    return {
        "average_precision": float(average_precision_score(split.labels, test_scores)),
        "roc_auc": float(roc_auc_score(split.labels, test_scores)),
        "recall": float(flagged[split.labels == 1].mean()),
        "f1": float(f1_score(split.labels, flagged)),
        "false_alarm_rate": float(flagged[split.labels == 0].mean()),
        "threshold": threshold,
    }


def measure(run: Run) -> Row:
    """Train, score and judge; a training that diverges gives a row that says so."""
    started = time.perf_counter()
    if code_version(CORE_MODULES) != run.code:
        raise RuntimeError("the numerical core was edited during the measurement: start it again")
    split = load_paper_set(run.data_set)
    train, test = split.train.astype(np.float32), split.test.astype(np.float32)
    row = run.known
    try:
        method = method_of(run.config, train.shape[1])
        scorer, _ = method.learn(training.fit(method, train, run.config).model, train, run.config)
    except TrainingError as error:
        row["failure"] = str(error)
    else:
        scores = [anomaly_scores(method, scorer, rows) for rows in (train, test)]
        if all(np.isfinite(part).all() for part in scores):
            row |= judge(split, *scores)
        else:
            row["failure"] = "a score is not finite"
    return row | {"seconds": time.perf_counter() - started}


def nearest_neighbour(name: str) -> Row:
    """Return the row of the distance to the nearest training row, with the same scaling."""
    split = load_paper_set(name)
    neighbours = NearestNeighbors(n_neighbors=1).fit(split.train)
    others = neighbours.kneighbors()[0][:, 0]  # of a training row: the nearest other one
    row = judge(split, others, neighbours.kneighbors(split.test)[0][:, 0])
    return {"data_set": name, "method": NEIGHBOUR, "seed": 0, "failure": None} | row


def main(
    quick: Annotated[bool, typer.Option(help="One set, one seed, 300 iterations.")] = False,
    out: Annotated[Path, typer.Option(help="Where the runs are kept.")] = Path(
        "results/paper.parquet"
    ),
    jobs: Annotated[int, typer.Option(min=1, help="Worker processes, one core each.")] = 2,
    seeds: Annotated[int, typer.Option(min=1, help="Trainings of each variant.")] = 5,
    lambda_: Annotated[
        float | None, typer.Option("--lambda", help="Instead of the preset's.")
    ] = None,
) -> None:
    """Measure the variants and the nearest neighbour on the paper's five sets."""
    console = Console(width=max(140, Console().width))
    missing = missing_data(*(f"advae-paper/{name}.mat" for name in SETS))
    if missing:
        console.print(missing)
        raise typer.Exit(2)
    started = time.perf_counter()
    if quick:
        seeds, jobs = 1, 1
    runs = plan(seeds, quick, lambda_)
    rows = run_all(measure, runs, out, SCHEMA, jobs, console)
    rows += [nearest_neighbour(name) for name in SETS]
    for metric in METRICS:
        console.print(metric_table(metric, METHODS, rows))
    console.print(gains_over_vae(rows))
    config = runs[0].config
    console.print(
        f"{config.iterations} iterations, {config.points} {config.sampling} points, lambda = "
        f"{config.lambda_}, gamma = {config.gamma}, m_x = {config.margin_x}, m_z = "
        f"{config.margin_z}; {seeds} seeds, mean ± standard deviation; "
        f"{time.perf_counter() - started:.0f} s with {jobs} workers"
    )
    for row in rows:
        if row["failure"] is not None:
            console.print(
                f"{row['method']} on {row['data_set']}, seed {row['seed']}: failed, "
                f"{row['failure']}"
            )


if __name__ == "__main__":
    # By its own name, under which worker processes find what they are sent.
    from benchmarks.paper import __main__ as paper

    typer.run(paper.main)
