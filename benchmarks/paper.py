"""Accuracy on the paper's five sets in the paper's setting: ``python -m benchmarks.paper``.

Every run is one row of a Parquet file, kept as soon as it ends. Runs that the file already holds,
with the same settings and the same numerical code, are not done again.
"""

import ast
import hashlib
import importlib.util
import json
import os
import time
from concurrent.futures import as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, get_args

import numpy as np
import polars as pl
import typer
from rich.console import Console
from rich.progress import track
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score
from sklearn.neighbors import NearestNeighbors

from advae import scoring, training
from advae.config import Config, VariantName
from advae.errors import TrainingError
from advae.threshold import kde_threshold
from benchmarks.data import PAPER_SETS, Split, load_paper_set, missing_data
from benchmarks.paper_tables import METRICS, SETS, gains_over_vae, metric_table
from benchmarks.workers import available_cores, pool

ALPHA = 0.1
NEIGHBOUR = "1-NN"
METHODS: tuple[str, ...] = (*get_args(VariantName), NEIGHBOUR)
CORE_MODULES = (
    *("config", "gaussian", "held_out", "losses", "networks"),
    *("scoring", "steps", "streams", "threshold", "training"),
)
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
    def identity(self) -> dict[str, str]:
        """What makes two runs the same."""
        settings = json.dumps(self.config.to_json(), sort_keys=True)
        return {"data_set": self.data_set, "settings": settings, "code": self.code}


def code_version() -> str:
    """Return a digest of the numerical core's source without its comments and layout."""
    digest = hashlib.sha256()
    for name in CORE_MODULES:
        spec = importlib.util.find_spec(f"advae.{name}")
        if spec is not None and spec.origin is not None:
            digest.update(ast.dump(ast.parse(Path(spec.origin).read_bytes())).encode())
    return digest.hexdigest()[:12]


def plan(seeds: int, quick: bool, lambda_: float | None) -> list[Run]:
    """Return the runs, the first seed of everything first."""
    short = {"iterations": 300, "points": 32} if quick else {}
    code = code_version()
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


def measure(run: Run) -> dict[str, Any]:
    """Train, score and judge; a training that diverges gives a row that says so."""
    started = time.perf_counter()
    if code_version() != run.code:
        raise RuntimeError("the numerical core was edited during the measurement: start it again")
    split = load_paper_set(run.data_set)
    train, test = split.train.astype(np.float32), split.test.astype(np.float32)
    row: dict[str, Any] = dict.fromkeys(SCHEMA) | run.identity
    row |= {"method": run.config.variant, "seed": run.config.seed}
    try:
        model = training.fit(train, run.config).state.model
    except TrainingError as error:
        row["failure"] = str(error)
    else:
        noise = scoring.latent_noise(run.config, model.sizes.latent)
        scores = [scoring.score_rows(model, noise, rows).score for rows in (train, test)]
        if all(np.isfinite(part).all() for part in scores):
            row |= judge(split, *scores)
        else:
            row["failure"] = "a score is not finite"
    return row | {"seconds": time.perf_counter() - started}


def nearest_neighbour(name: str) -> dict[str, Any]:
    """Return the row of the distance to the nearest training row, with the same scaling."""
    split = load_paper_set(name)
    neighbours = NearestNeighbors(n_neighbors=1).fit(split.train)
    others = neighbours.kneighbors()[0][:, 0]  # of a training row: the nearest other one
    row = judge(split, others, neighbours.kneighbors(split.test)[0][:, 0])
    return {"data_set": name, "method": NEIGHBOUR, "seed": 0, "failure": None} | row


def run_all(runs: list[Run], out: Path, jobs: int, console: Console) -> list[dict[str, Any]]:
    """Return the rows of all runs, of which those that ``out`` lacks are done and added to it."""
    kept = pl.read_parquet(out).to_dicts() if out.exists() else []
    known = {_key(row): row for row in kept}
    todo = [run for run in runs if _key(run.identity) not in known]
    console.print(f"{len(runs)} runs, {len(runs) - len(todo)} of them already in {out}")
    if todo:
        out.parent.mkdir(parents=True, exist_ok=True)
        # Every program is compiled by one worker, and loaded by the others.
        os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(out.parent / "jax-cache"))
        cores = available_cores()
        with pool([frozenset({cores[job % len(cores)]}) for job in range(jobs)]) as workers:
            futures = [workers.submit(measure, run) for run in todo]
            ended = as_completed(futures)
            try:
                for future in track(ended, "Training", len(futures), console=console):
                    row = future.result()
                    known[_key(row)] = row
                    _save(list(known.values()), out)
            except BaseException:
                workers.shutdown(cancel_futures=True)  # the others need not be waited for
                raise
    return [known[_key(run.identity)] for run in runs]


def _key(row: dict[str, Any]) -> tuple[str, ...]:
    return tuple(row[name] for name in ("data_set", "settings", "code"))


def _save(rows: list[dict[str, Any]], out: Path) -> None:
    partial = out.with_suffix(".partial")
    pl.DataFrame(rows, schema=SCHEMA).write_parquet(partial)
    partial.replace(out)


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
    console = Console()
    missing = missing_data(*(f"advae-paper/{name}.mat" for name in SETS))
    if missing:
        console.print(missing)
        raise typer.Exit(2)
    started = time.perf_counter()
    runs = plan(1 if quick else seeds, quick, lambda_)
    rows = run_all(runs, out, jobs, console)
    rows += [nearest_neighbour(name) for name in SETS]
    for metric in METRICS:
        console.print(metric_table(metric, METHODS, rows))
    console.print(gains_over_vae(rows))
    config = runs[0].config
    console.print(
        f"{config.iterations} iterations, {config.points} {config.sampling} points, lambda = "
        f"{config.lambda_}, gamma = {config.gamma}, m_x = {config.margin_x}, m_z = "
        f"{config.margin_z}; {1 if quick else seeds} seeds, mean ± standard deviation; "
        f"{time.perf_counter() - started:.0f} s with {jobs} workers"
    )
    for row in rows:
        if row["failure"] is not None:
            console.print(
                f"{row['method']} on {row['data_set']}, seed {row['seed']}: failed, "
                f"{row['failure']}"
            )


if __name__ == "__main__":
    typer.run(main)
