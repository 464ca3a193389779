"""The page that says how accurate the detectors are, ``docs/results.md``."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.accuracy import tables as show
from benchmarks.accuracy.baselines import BASELINES, SCALINGS
from benchmarks.accuracy.budgets import budget_section, budgets
from benchmarks.accuracy.comparison import Grid, compare, friedman, grid
from benchmarks.accuracy.protocol import (
    METHODS,
    METRICS,
    OURS,
    PRESETS,
    RIVALS,
    TRIAL_SEEDS,
    Protocol,
)
from benchmarks.accuracy.rank_diagram import draw
from benchmarks.harness.data import CONFIRMATION, SEEN, SELECTION
from benchmarks.harness.machine import installed
from benchmarks.harness.runs import Row
from benchmarks.paper.tables import PUBLISHED

HALVES = {"selection half": SELECTION, "confirmation half": CONFIRMATION}
LIBRARIES = ("scikit-learn", "pyod", "torch")
OWN_VARIANTS = tuple(name for name in PRESETS if PRESETS[name]["name"] == "default")[1:]


@dataclass(frozen=True)
class Measured:
    """What the page is made of.

    ``rows``: of all methods, under both protocols; ``trial``: of baselines with the scaling they
    do not get; ``other_budgets``: of our default preset with other iterations. ``data_sets``: those
    of each protocol. ``seeds``: how many each has. ``command``: what makes the page again.
    """

    rows: Sequence[Row]
    trial: Sequence[Row]
    other_budgets: Sequence[Row]
    data_sets: dict[Protocol, tuple[str, ...]]
    seeds: int
    command: str

    def results(self, protocol: Protocol) -> dict[str, Grid]:
        """Return a grid for each metric."""
        rows = [row for row in self.rows if row["protocol"] == protocol]
        sets = self.data_sets[protocol]
        return {metric: grid(rows, metric, METHODS, sets, self.seeds) for metric in METRICS}


def write_page(measured: Measured, page: Path) -> None:
    """Write the page, and the diagram of mean ranks beside it."""
    results = measured.results("shuffled")
    page.parent.mkdir(parents=True, exist_ok=True)
    diagram = _diagram(results["average_precision"].without(OWN_VARIANTS), page)
    parts = [
        _beginning(measured, results["average_precision"]),
        _shuffled(results, diagram),
        _tests(results["average_precision"]),
        _own_variants(results),
        _paper(measured.results("paper")),
        _each_data_set(results),
        _time([row for row in measured.rows if row["protocol"] == "shuffled"]),
        _budgets(measured, results["average_precision"], page),
        _methods(measured),
        _failures(measured.rows),
    ]
    page.write_text("\n".join(part for part in parts if part), encoding="utf-8")


def _beginning(measured: Measured, results: Grid) -> str:
    # The rivals have a page of their own.
    absent = [name for name in METHODS if name not in (*RIVALS, *results.methods)]
    note = f"\nNot measured, or not on every set yet: {', '.join(absent)}.\n" if absent else ""
    return f"""# Accuracy

How well detectors rank anomalies above normal rows they have not seen, having learned from normal
rows alone. Nothing is tuned for a data set. All figures are in per cent: average precision (AP) and
the area under the ROC curve, which judge the order of the scores and need no threshold. To make
this page again, with the data folder in `ADVAE_DATA` (see benchmarks/README.md):

```console
$ {measured.command}
```

**Failures.** A run that fails or takes too long counts in means as a random score would (ROC AUC
50, AP the share of anomalies), and a method that always fails on a set ranks last there. The last
table of this page names all of them.
{note}"""


def _shuffled(results: dict[str, Grid], diagram: Path | None) -> str:
    results = {metric: own.without(OWN_VARIANTS) for metric, own in results.items()}
    precision = results["average_precision"]
    if not precision.methods:
        return ""
    halves = _halves(precision)
    split = ""
    if halves:
        unseen = precision.on({*CONFIRMATION} - {SEEN})
        without = ", ".join(
            f"{method} {100 * mean:.2f}"
            for method, mean in zip(unseen.methods, unseen.means.mean(axis=1), strict=True)
            if method in (OURS, "1-NN", "LUNAR")
        )
        split = f"""
The sets are cut in two, once. The default preset was chosen, and the baselines' scalings tried, on
the **selection half** alone: {", ".join(SELECTION)}.
The **confirmation half**, with all sets of the paper, took no part but for {SEEN}: after a first
measurement had shown that set to suffer, parts of score and training were chosen with it in view;
benchmarks/notes.md says how. The half is: {", ".join(CONFIRMATION)}. AP on it
without {SEEN}: {without}.
Sets cut from one source (cardio and Cardiotocography, annthyroid and thyroid, satellite and
satimage-2) are on the same side; they overlap, so that a test which takes them for independent
promises a little too much.
"""
    text = f"""## Shuffled halves

{len(precision.data_sets)} open data sets. A random half of the normal rows trains; the other half
and all anomalies are tested. Up to {precision.values.shape[2]} seeds, each with its own split;
fewer for methods that take long. ± is the standard deviation of the mean over seeds.
{split}
{show.summary(results, halves, OURS)}"""
    if diagram is not None:
        p = friedman(precision.ranks)
        text += f"""
Mean ranks by AP; methods under one bar do not differ by more than Nemenyi's critical difference at
5 %. Friedman test that all rank alike: p = {p:.1g}.

![Mean ranks of all methods, with bars over those that do not differ]({diagram.name})
"""
    return text


def _tests(precision: Grid) -> str:
    if OURS not in precision.methods or len(precision.methods) < 2:
        return ""
    others = [name for name in precision.methods if name != OURS and name not in OWN_VARIANTS]
    text = f"""## Paired tests

{OURS} against each other method: AP, mean over seeds, paired by data set. Two-sided Wilcoxon
signed-rank test; Holm's correction over the methods of the table.

{show.comparisons(compare(precision, OURS, others), OURS)}"""
    for name, sets in _halves(precision).items():
        if sets is CONFIRMATION:
            found = compare(precision.on(sets), OURS, others)
            text += f"\nThe same on the {name}.\n\n{show.comparisons(found, OURS)}"
    return text


def _own_variants(results: dict[str, Grid]) -> str:
    precision = results["average_precision"]
    absent = [name for name in precision.methods if name not in (OURS, *OWN_VARIANTS)]
    halves = _halves(precision)
    own = [name for name in OWN_VARIANTS if name in precision.methods]
    if OURS not in precision.methods or not own:
        return ""
    return f"""## What self-adversarial training gains

The default preset keeps the encoder's self-adversarial terms (E-adVAE). The same preset, width,
iterations and members with neither (VAE), with the generator's too (adVAE), with the generator's
alone (G-adVAE), and without sampling (AE). Ranks are among these.

{show.summary({metric: each.without(absent) for metric, each in results.items()}, halves, OURS)}
AP over all sets, tested as above:

{show.comparisons(compare(precision, OURS, own), OURS)}"""


def _paper(results: dict[str, Grid]) -> str:
    if not results["roc_auc"].methods:
        return ""
    text = f"""## The paper's protocol

Five sets, split by row position as by the paper's authors, scaled to [0, 1] on the training rows.
Up to {results["roc_auc"].values.shape[2]} seeds; methods without randomness run once. The published
weights are one chosen run for each set.
"""
    for metric in reversed(METRICS):
        own = results[metric]
        published = PUBLISHED["published adVAE"][metric]
        extra = {"published adVAE": published} if len(own.data_sets) == len(published) else {}
        text += f"\n{show.HEADINGS[metric]}:\n\n{show.per_data_set(own, extra)}"
    return text


def _each_data_set(results: dict[str, Grid]) -> str:
    if not results["roc_auc"].methods:
        return ""
    text = """## Each data set

Shuffled halves, mean over seeds; bold the best, † some or all runs failed.
"""
    for metric in reversed(METRICS):
        own = results[metric]
        for name, sets in (_halves(own) or {"all sets": own.data_sets}).items():
            heading = f"{show.HEADINGS[metric]}, {name}:"
            text += f"\n{heading}\n\n{show.per_data_set(own.on(sets))}"
    return text


def _time(rows: Sequence[Row]) -> str:
    if not rows:
        return ""
    return f"""## Time

One core for each run, shuffled halves, first seed. PyOD's and our fits also score the training
rows; ours include compilation where the compiled program was not on disk, and the first fit of a
process the imports.

{show.seconds(rows, METHODS)}"""


def _budgets(measured: Measured, precision: Grid, page: Path) -> str:
    rows = [row for row in measured.rows if row["protocol"] == "shuffled"]
    preset = [row for row in rows if row["method"] == OURS and row["seed"] < TRIAL_SEEDS]
    found = budgets([*preset, *measured.other_budgets])
    picture = page.with_name("precision_seconds.svg")
    return (
        budget_section(found, precision.without(OWN_VARIANTS), rows, picture, OURS)
        if len(found) > 1
        else ""
    )


def _methods(measured: Measured) -> str:
    both = [*measured.rows, *measured.trial]
    sets = [name for name in measured.data_sets["shuffled"] if name in SELECTION]
    seeds = min(measured.seeds, TRIAL_SEEDS)
    grids = {
        scaling: grid(
            [row for row in both if _has_scaling(row, scaling)],
            "average_precision",
            METHODS,
            sets,
            seeds,
        )
        for scaling in SCALINGS
    }
    versions = [f"{name} {installed(name)}" for name in LIBRARIES if installed(name)]
    return f"""## Methods

Ours take the table as it is and scale it themselves; all training rows train (`threshold="kde"`).
Settings of the others are their library's ({", ".join(versions)}), one thread, except:

- k-NN: the distance to the k-th nearest training row, scaled as our method scales.
- PCA: scikit-learn's, the components that explain 90 % of the variance; squared reconstruction
  error.
- VAE, PyOD: `capacity` without bound and `beta = 2 / columns`. By default its KLD is clipped to
  [0, 0], so that it is none; its reconstruction error is a mean over columns, so that this beta
  gives the evidence lower bound of a Gaussian of variance 1.
- ABOD: PyOD's fast one. A row that coincides with its neighbours spans no angle with them, and gets
  NaN or an infinity; it is taken for the most normal one.
- SOD: PyOD compares rows only with those they are scored with; it gets training and test rows.
- MO_GAAL: PyOD returns what the discriminator gives, which is high for real rows; the score is its
  negative, as in its paper.
- DTE-NP, DTE-C, ICL, NeuTraL, DDAE and K-DSM: written from their papers or their
  authors' programs, with the settings of these; benchmarks/peers names each departure.

Scaling, fixed for each method: mean AP over the selection half with both, where both were tried,
up to {seeds} seeds. LUNAR, VAE and DeepSVDD have what PyOD does by itself, MO_GAAL what suits its
noise, which is uniform in [0, 1].

{show.scalings(grids)}"""


def _has_scaling(row: Row, scaling: str) -> bool:
    return (
        row["method"] in BASELINES
        and row["protocol"] == "shuffled"
        and row["data_set"] in SELECTION
        and f'"scaling": "{scaling}"' in row["settings"]
    )


def _failures(rows: Sequence[Row]) -> str:
    table = show.failures(rows)
    return f"## Failed runs\n\n{table or 'None.'}"


def _diagram(precision: Grid, page: Path) -> Path | None:
    """Draw the mean ranks beside the page, where there are enough to compare."""
    if len(precision.methods) < 3 or len(precision.data_sets) < 2:
        return None
    path = page.with_name("critical_difference.svg")
    draw(precision, path, frozenset(PRESETS))
    return path


def _halves(results: Grid) -> dict[str, tuple[str, ...]]:
    """Return the halves of the open sets; none where the sets are others or just some."""
    if set(results.data_sets) != {*SELECTION, *CONFIRMATION}:
        return {}
    return HALVES
