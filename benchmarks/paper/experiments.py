"""The paper's other experiments: ``python -m benchmarks.paper.experiments``.

The latent space (Figure 8), how far the generator follows noise in it (Figure 7), and robustness to
settings, network size and anomalies among the training rows (Figure 9), on shuffled halves of open
sets. The ablation of Tables 3 and 4 is part of ``benchmarks.accuracy``. Writes one picture for each
experiment, and a page with them.
"""

import json
import time
from collections.abc import Iterator
from operator import itemgetter
from pathlib import Path
from typing import Annotated, Any

import jax
import numpy as np
import typer
from rich.console import Console
from scipy.stats import wasserstein_distance
from sklearn.metrics import average_precision_score

from advae.config import Config, VariantName
from advae.detector.detector import Detector
from advae.detector.fitting import fit_detector
from advae.methods.advae.latent import encode_rows, transform_codes
from advae.tables.frames import as_frame
from benchmarks.harness.data import Split, load_adbench, missing_data, shuffled_half
from benchmarks.harness.digest import DETECTOR_MODULES, code_version
from benchmarks.harness.runs import Row, Task, run_campaign
from benchmarks.paper.page import write_page
from benchmarks.promises.contamination import SHARES, mixed

SETS = ("20_letter", "6_cardio", "38_thyroid")
QUICK_SETS = ("14_glass",)
VARIANTS: tuple[VariantName, ...] = ("adVAE", "VAE")
CONTAMINATION = "contamination"
FACTORS = (0.1, 0.3, 1.0, 3.0, 10.0)
SCALED_SETTINGS = (
    *("lambda_", "gamma", "margin_x", "margin_z"),
    *("relative_margin_x", "relative_margin_z"),
)
"""Settings that are multiplied by FACTORS, where the preset's value is not 0."""
LAMBDA = "lambda_"
QUICK_SWEEPS = (LAMBDA, CONTAMINATION)
SIZES = {"hidden": (16, 32, 64, 128, 256), "latent": (2, 4, 8, 16, 32)}
NOISE_SCALES = (0.0, 0.5, 1.0, 2.0, 3.0, 4.0)
SHOWN = 300
"""Most points of a kind in the picture of the latent space."""


def plan(sets: tuple[str, ...], seeds: int, iterations: int | None, quick: bool) -> list[Task]:
    """Return the tasks of all experiments; pictures of the latent space take the first seed."""
    shared = {"iterations": iterations, "code": code_version(DETECTOR_MODULES)}
    tasks = []
    for seed in range(seeds):
        for name in sets:
            for variant in VARIANTS:
                common = {"data_set": name, "seed": seed, "variant": variant} | shared
                if seed == 0:
                    tasks.append({"experiment": "space"} | common)
                tasks.append({"experiment": "noise"} | common)
                tasks += [
                    {"experiment": "robustness", "setting": setting, "value": value} | common
                    for setting, values in sweeps(variant)
                    if setting in QUICK_SWEEPS or not quick
                    for value in (values[::4] if quick else values)
                ]
    return tasks


def sweeps(variant: VariantName) -> Iterator[tuple[str, tuple[float, ...]]]:
    """Yield settings with the values that each takes while the others keep the preset's."""
    preset = Config.preset("default").to_json()
    for name in SCALED_SETTINGS:
        # The other weights and margins take no part in a VAE.
        if preset[name] and (name == LAMBDA or variant != "VAE"):
            yield name, tuple(preset[name] * factor for factor in FACTORS)
    yield from SIZES.items()
    yield CONTAMINATION, SHARES


def measure(task: Task) -> list[Row]:
    """Return the rows of one task."""
    experiment = {"space": _space, "noise": _noise, "robustness": _robustness}
    return experiment[task["experiment"]](task)


def _config(task: Task, **changes: Any) -> Config:
    return Config.preset(
        "default",
        threshold="kde",
        variant=task["variant"],
        seed=task["seed"],
        iterations=task["iterations"],
        **changes,
    )


def _split(task: Task) -> Split:
    return shuffled_half(*load_adbench(task["data_set"]), task["seed"])


def _encoded(detector: Detector, X: np.ndarray) -> np.ndarray:
    """Return what the networks see of rows."""
    return detector.table.transform(as_frame(X))[:, : detector.table.network_width]


def _space(task: Task) -> list[Row]:
    """Latent means in the plane that shows most of the normal test rows and the anomalies."""
    split = _split(task)
    detector = fit_detector(split.train, _config(task))
    codes = encode_rows(detector.scorer.model, _encoded(detector, split.test))
    odd = split.labels == 1
    groups = {"normal": codes.mean[~odd], "anomalous": codes.mean[odd]}
    if detector.config.variant == "adVAE":
        groups["transformed normal"] = transform_codes(detector.scorer.model, codes).mean[~odd]
    centre = codes.mean.mean(axis=0)
    axes = np.linalg.svd(codes.mean - centre, full_matrices=False)[2][:2]
    rng = np.random.default_rng(task["seed"])
    return [
        {
            "group": name,
            "points": ((points - centre) @ axes.T)[rng.permutation(len(points))[:SHOWN]].tolist(),
        }
        for name, points in groups.items()
    ]


def _noise(task: Task) -> list[Row]:
    """How far the columns move from the normal test rows' when the latent noise is scaled.

    G(mu + s sigma eps) against x: the 1-Wasserstein distance of each column's values, in encoded
    units, averaged over the columns. At s = 1 the noise is that of training.
    """
    split = _split(task)
    detector = fit_detector(split.train, _config(task))
    rows = _encoded(detector, split.test[split.labels == 0])
    member = jax.tree.map(itemgetter(0), detector.scorer.model)
    codes = encode_rows(detector.scorer.model, rows)
    noise = np.random.default_rng(task["seed"]).standard_normal(codes.mean.shape, np.float32)
    deviation = np.exp(codes.log_variance / 2)
    result = []
    for scale in NOISE_SCALES:
        made = np.asarray(member.generator((codes.mean + scale * deviation * noise).T)).T
        columns = zip(rows.T, made.T, strict=True)
        distance = float(np.mean([wasserstein_distance(a, b) for a, b in columns]))
        result.append({"scale": scale, "distance": distance})
    return result


def _robustness(task: Task) -> list[Row]:
    """Average precision with one setting changed, or with anomalies among the training rows."""
    if task["setting"] == CONTAMINATION:
        split, config = mixed(task["data_set"], task["value"], task["seed"]), _config(task)
    else:
        split, config = _split(task), _config(task, **{task["setting"]: task["value"]})
    scores = fit_detector(split.train, config).anomaly_score(split.test)
    precision = float(average_precision_score(split.labels, scores))
    return [{"average_precision": precision, "preset": _preset(task, len(split.train[0]))}]


def _preset(task: Task, columns: int) -> float:
    """Return the preset's value of the setting, on a table of so many columns."""
    config = _config(task)
    if task["setting"] in SIZES:
        return config.network_sizes(columns)[tuple(SIZES).index(task["setting"])]
    return getattr(config, task["setting"], 0.0)


def main(
    quick: Annotated[bool, typer.Option(help="One set, one seed, 50 iterations.")] = False,
    out: Annotated[Path, typer.Option(help="Where the measurements are kept.")] = Path(
        "results/experiments.ndjson"
    ),
    page: Annotated[Path | None, typer.Option(help="The page, with pictures beside it.")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Worker processes, one core each.")] = 2,
    seeds: Annotated[int, typer.Option(min=1, help="Splits and trainings of each set.")] = 3,
    iterations: Annotated[int | None, typer.Option(min=1, help="Instead of the preset's.")] = None,
) -> None:
    """Repeat the paper's experiments on latent space, noise and robustness."""
    console = Console(width=max(140, Console().width))
    sets = QUICK_SETS if quick else SETS
    missing = missing_data(*(f"adbench/{name}.npz" for name in sets))
    if missing:
        console.print(missing)
        raise typer.Exit(2)
    started = time.perf_counter()
    if quick:
        seeds, iterations, jobs = 1, 50, 1
    rows = run_campaign(measure, plan(sets, seeds, iterations, quick), out, jobs, console)
    if page is None:
        page = out.with_suffix(".md") if quick else Path("docs/experiments.md")
    settings = Config.preset("default", threshold="kde", iterations=iterations).to_json()
    write_page(rows, page, seeds, json.dumps(settings))
    console.print(f"{page}; {time.perf_counter() - started:.0f} s with {jobs} workers")


if __name__ == "__main__":
    typer.run(main)
