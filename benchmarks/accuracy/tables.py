"""The tables of the accuracy page, in Markdown. Figures are in per cent."""

from collections import Counter
from collections.abc import Iterable, Sequence
from statistics import median

import numpy as np

from benchmarks.accuracy.baselines import BASELINES, SCALINGS
from benchmarks.accuracy.comparison import Comparison, Grid
from benchmarks.accuracy.protocol import METRICS
from benchmarks.harness.runs import Row

HEADINGS = {"roc_auc": "ROC AUC", "average_precision": "AP"}


def markdown(header: Sequence[str], lines: Iterable[Sequence[str]], words: int = 1) -> str:
    """Return a table whose first ``words`` columns are text and whose others are figures."""
    marks = ["---"] * words + ["---:"] * (len(header) - words)
    return "\n".join(f"| {' | '.join(line)} |" for line in (header, marks, *lines)) + "\n"


def summary(results: dict[str, Grid], halves: dict[str, tuple[str, ...]], ours: str) -> str:
    """Return mean ROC AUC and AP over all sets and over parts of them, best AP first.

    Parameters
    ----------
    results
        A grid for each metric.
    halves
        Parts of the data sets by name; may be empty.
    ours
        The method to print in bold.
    """
    precision = results["average_precision"]
    header, columns = ["method", "seeds"], [[str(count) for count in precision.seeds]]
    for metric in reversed(METRICS):
        own, name = results[metric], HEADINGS[metric]
        header += [f"{name}, mean ± sd", *(f"{name}, {half}" for half in halves)]
        columns.append([_spread(seeds) for seeds in own.by_seed])
        columns += [
            [f"{100 * value:.2f}" for value in own.on(sets).means.mean(axis=1)]
            for sets in halves.values()
        ]
    parts = [precision, *(precision.on(sets) for sets in halves.values())]
    header += ["mean rank, AP", *(f"mean rank, AP, {half}" for half in halves)]
    header += ["mean rank, ROC AUC", "best AP on", "failed runs"]
    columns += [
        *([f"{rank:.2f}" for rank in part.ranks.mean(axis=1)] for part in parts),
        [f"{rank:.2f}" for rank in results["roc_auc"].ranks.mean(axis=1)],
        [str(count) for count in precision.wins],
        [str(count or "") for count in precision.failed.sum(axis=(1, 2))],
    ]
    order = np.argsort(-precision.means.mean(axis=1), kind="stable")
    names = [f"**{name}**" if name == ours else name for name in precision.methods]
    return markdown(
        header, [[names[index], *(column[index] for column in columns)] for index in order]
    )


def per_data_set(results: Grid, extra: dict[str, Sequence[float]] | None = None) -> str:
    """Return a line for each method, a column for each data set and one for their mean.

    The best on each set is bold, † marks failed runs.

    ``extra``: further lines, published figures in [0, 1] for each set.
    """
    means, lost = results.means, results.failed.any(axis=2)
    best = means == means.max(axis=0)
    lines = []
    for index, method in enumerate(results.methods):
        cells = [
            f"**{100 * value:.1f}**" if top else f"{100 * value:.1f}{'†' if bad else ''}"
            for value, top, bad in zip(means[index], best[index], lost[index], strict=True)
        ]
        lines.append([method, *cells, f"{100 * means[index].mean():.2f}"])
    for name, figures in (extra or {}).items():
        values = [f"{100 * figure:.1f}" for figure in figures]
        lines.append([name, *values, f"{100 * np.mean(figures):.2f}"])
    return markdown(["method", *results.data_sets, "mean"], lines)


def comparisons(found: Sequence[Comparison], method: str) -> str:
    """Return how a method compares with each other one."""
    lines = [
        [
            each.other,
            f"{100 * each.difference:+.2f}",
            f"{each.better} / {each.worse}",
            _probability(each.p),
            _probability(each.adjusted),
        ]
        for each in found
    ]
    return markdown(
        [f"{method} against", "difference", "sets better / worse", "p", "p, Holm"], lines
    )


def seconds(rows: Iterable[Row], methods: Sequence[str]) -> str:
    """Return seconds for a fit and for 1,000 scores, of the first seed."""
    lines = []
    kept = [row for row in rows if row["failure"] is None and row["seed"] == 0]
    for method in methods:
        own = [row for row in kept if row["method"] == method]
        if not own:
            continue
        slowest = max(own, key=lambda row: row["fit_seconds"])
        lines.append(
            [
                method,
                _figure(median(row["fit_seconds"] for row in own)),
                f"{_figure(slowest['fit_seconds'])} ({slowest['data_set']})",
                _figure(median(row["score_seconds_per_1000"] for row in own)),
            ]
        )
    return markdown(["method", "fit, median s", "fit, most s", "1,000 scores, median s"], lines)


def scalings(grids: dict[str, Grid]) -> str:
    """Return each baseline's mean AP with each scaling, the one it gets in bold.

    ``grids``: AP on the same data sets, by scaling.
    """
    lines = []
    for method, baseline in BASELINES.items():
        cells = []
        for scaling in SCALINGS:
            results = grids.get(scaling)
            known = results is not None and method in results.methods
            value = f"{100 * results.of(method).mean():.2f}" if results and known else "–"
            cells.append(f"**{value}**" if scaling == baseline.scaling else value)
        lines.append([method, baseline.scaling, *cells])
    return markdown(["method", "scaling", *SCALINGS], lines, words=2)


def failures(rows: Iterable[Row]) -> str:
    """Return which runs failed, and why; empty when none did."""
    counts = Counter(
        (row["protocol"], row["method"], row["data_set"], row["failure"])
        for row in rows
        if row["failure"] is not None
    )
    if not counts:
        return ""
    lines = [
        [method, data_set, protocol, reason.replace("|", "/").replace("\n", " "), str(count)]
        for (protocol, method, data_set, reason), count in counts.items()
    ]
    return markdown(["method", "data set", "protocol", "reason", "runs"], lines, words=4)


def _spread(values: np.ndarray) -> str:
    """Return mean and standard deviation over the seeds that have a value."""
    values = values[~np.isnan(values)]
    if len(values) == 1:
        return f"{100 * values[0]:.2f}"
    return f"{100 * values.mean():.2f} ± {100 * values.std(ddof=1):.2f}"


def _probability(p: float) -> str:
    return f"{p:.3f}" if p >= 0.001 else f"{p:.1g}"


def _figure(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.2g}"
