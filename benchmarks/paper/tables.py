"""Figures published for the paper's five sets, and tables of ours beside them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from rich.table import Table

SETS = ("letter", "cardio", "satellite", "optdigits", "pendigits")

METRICS = {
    "average_precision": "Average precision",
    "roc_auc": "ROC AUC",
    "recall": "Recall at alpha = 0.1",
    "f1": "F1 at alpha = 0.1",
    "false_alarm_rate": "Share of normal test rows flagged at alpha = 0.1",
}

PUBLISHED: dict[str, dict[str, tuple[float, ...]]] = {
    "published adVAE": {
        "average_precision": (0.774, 0.951, 0.792, 0.957, 0.880),
        "roc_auc": (0.921, 0.967, 0.970, 0.996, 0.993),
        "recall": (0.790, 0.938, 0.867, 1.0, 1.0),
        "f1": (0.735, 0.805, 0.637, 0.718, 0.706),
        "false_alarm_rate": (0.12, 0.21, 0.06, 0.12, 0.10),
    },
    "first prototype, 2 seeds": {"average_precision": (0.67, 0.90, 0.74, 0.90, 0.76)},
}
"""Rankings by the weights the authors published, one chosen run for each set, recall and F1 from
their notebook; and a prototype of this project in the paper's setting."""

PUBLISHED_GAINS = {"average_precision": 0.113, "roc_auc": 0.036, "recall": 0.046, "f1": 0.049}
"""What the paper says that adVAE gains over its own VAE, on average."""

Measured = Mapping[str, Any]
"""One run: its ``data_set``, ``method``, ``seed``, the METRICS, and ``failure``, text or None."""


def metric_table(metric: str, methods: Sequence[str], runs: Sequence[Measured]) -> Table:
    """Return one metric of every method on every set: mean +- standard deviation over seeds."""
    table = Table(title=METRICS[metric])
    table.add_column("method")
    for name in (*SETS, "mean"):
        table.add_column(name, justify="right")
    for method in methods:
        own = [run for run in runs if run["method"] == method]
        cells = [_cell(run for run in own if run["data_set"] == name) for name in SETS]
        table.add_row(method, *(cell(metric) for cell in cells), _mean_cell(metric, own))
    table.add_section()
    for source, figures in PUBLISHED.items():
        if metric in figures:
            values = (*figures[metric], float(np.mean(figures[metric])))
            table.add_row(source, *(f"{value:.3f}" for value in values))
    return table


def gains_over_vae(runs: Sequence[Measured]) -> str:
    """Return what adVAE gains over VAE on average, beside what the paper says."""
    parts = []
    for metric, published in PUBLISHED_GAINS.items():
        ours, plain = (_means_by_seed(metric, runs, method) for method in ("adVAE", "VAE"))
        if len(ours) and len(plain):
            gain = float(ours.mean() - plain.mean())
            parts.append(f"{METRICS[metric]} {gain:+.3f} (paper {published:+.3f})")
    return "adVAE over VAE: " + (", ".join(parts) or "not measured")


def _cell(runs: Iterable[Measured]) -> Callable[[str], str]:
    """Return what shows one metric of the runs of one method on one set."""
    kept = list(runs)
    good = [run for run in kept if run["failure"] is None]
    failed = len(kept) - len(good)

    def show(metric: str) -> str:
        if not kept:
            return "-"
        if not good:
            return "failed"
        text = _spread(np.array([run[metric] for run in good]))
        return f"{text} ({failed} failed)" if failed else text

    return show


def _mean_cell(metric: str, runs: Sequence[Measured]) -> str:
    means = _means_by_seed(metric, runs, runs[0]["method"]) if runs else np.empty(0)
    return _spread(means) if len(means) else "-"


def _means_by_seed(metric: str, runs: Sequence[Measured], method: str) -> np.ndarray:
    """Return the mean over the sets for every seed that succeeded on all of them."""
    by_seed: dict[int, list[float]] = {}
    for run in runs:
        if run["method"] == method and run["failure"] is None:
            by_seed.setdefault(run["seed"], []).append(run[metric])
    return np.array([np.mean(values) for values in by_seed.values() if len(values) == len(SETS)])


def _spread(values: np.ndarray) -> str:
    if len(values) == 1:
        return f"{values[0]:.3f}"
    return f"{values.mean():.3f} ± {values.std(ddof=1):.3f}"
