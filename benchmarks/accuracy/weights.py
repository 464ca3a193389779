"""How much two of the three surprises count: ``python -m benchmarks.accuracy.weights``.

L (far from all rows) and R (unusual for this row) are weighed by how well each tells training rows
from rows whose values were drawn column by column (`advae.methods.advae.surprise.learn_weights`).
The command fits the default preset and prints its average precision with and without the weights,
and with those that other measures of the same rows give.
"""

import sys
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, NamedTuple
from unittest.mock import patch

import numpy as np
import typer
from sklearn.metrics import average_precision_score, roc_auc_score

import advae
from advae.core.scoring import score_rows
from advae.methods.advae import scoring, surprise
from benchmarks.accuracy.mixed import MIXED, load
from benchmarks.accuracy.tables import markdown
from benchmarks.harness.data import CONFIRMATION, SELECTION

SETS = (*SELECTION, *CONFIRMATION, *MIXED)

Nats = dict[str, np.ndarray]
"""Of L, M and R, all in full, each of shape (rows,)."""


class Measured(NamedTuple):
    """A fit's training rows that networks did not see, drawn rows, and labelled test rows."""

    clean: Nats
    odd: Nats
    test: Nats
    labels: np.ndarray


def in_full(shares: surprise.Shares, factors: np.ndarray) -> Nats:
    even = surprise.Shares(*map(np.asarray, shares))._replace(weights=np.ones(4, np.float32))
    far, near, value, fit = surprise.nats(even, factors.T, np)
    return {"L": far + 0.5 * near, "M": value, "R": fit}


def measured(name: str, seed: int, iterations: int | None) -> Measured:
    tables = load(name, seed)
    kept: dict[str, Any] = {}

    def learn_weights(shares: Any, clean: Any, odd: Any) -> Any:
        kept.update(clean=clean, odd=odd)
        return surprise.learn_weights(shares, clean, odd)

    with patch.object(scoring, "learn_weights", learn_weights):
        detector = advae.fit_detector(tables.train, advae.Config(seed=seed, iterations=iterations))
    rows = detector.table.transform(tables.test)
    varied, _ = detector._parted(rows)
    test = score_rows(detector.method, detector.scorer, varied).factors
    known = partial(in_full, detector.scorer.surprise.shares)
    return Measured(known(kept["clean"]), known(kept["odd"]), known(test), tables.labels)


def precision(clean: np.ndarray, odd: np.ndarray, share: float) -> float:
    """Return the average precision where such a share of the rows is odd."""
    labels = np.repeat([0, 1], [len(clean), len(odd)])
    weights = np.where(labels, share / len(odd), (1 - share) / len(clean))
    scores = np.concatenate([clean, odd])
    return float(average_precision_score(labels, scores, sample_weight=weights))


def gained(clean: np.ndarray, odd: np.ndarray) -> float:
    """Return how many nats more the odd rows have in the mean, 1 at least."""
    return max(1.0, float(odd.mean() - clean.mean()))


def area(clean: np.ndarray, odd: np.ndarray) -> float:
    """Return twice the area under the ROC curve beyond chance, in (0, 1]."""
    labels = np.repeat([0, 1], [len(clean), len(odd)])
    return max(0.05, 2 * float(roc_auc_score(labels, np.concatenate([clean, odd]))) - 1)


RULES: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "in full": lambda _clean, _odd: 1.0,
    "one in ten odd": partial(precision, share=0.1),
    "one in thirty odd": partial(precision, share=1 / 30),
    "area": area,
    "nats": gained,
}
"""What each of L and R is weighed in proportion to; the second is in use."""


def weights(rule: str, of: Measured) -> tuple[float, float]:
    """Return those of L and R."""
    whole, fit = (RULES[rule](of.clean[key], of.odd[key]) for key in ("L", "R"))
    best = max(whole, fit)
    return whole / best, fit / best


def joined(nats: Nats, of_whole: float, of_fit: float) -> np.ndarray:
    kinds = [of_whole * nats["L"], nats["M"], of_fit * nats["R"]]
    scores: np.ndarray = np.logaddexp.reduce(kinds)
    return scores


def main(
    sets: Annotated[str, typer.Option(help="Names, by commas.")] = ",".join(SETS),
    seeds: Annotated[str, typer.Option(help="By commas.")] = "0,1",
    *,
    quick: Annotated[bool, typer.Option("--quick", help="Hardly any training.")] = False,
) -> None:
    """Print average precision by rule, with the weights of L and R of the rule in use."""
    lines = []
    for name in sets.split(","):
        found: dict[str, list[float]] = {rule: [] for rule in RULES}
        both = []
        for seed in map(int, seeds.split(",")):
            own = measured(name, seed, 20 if quick else None)
            both.append(weights("one in ten odd", own))
            for rule in RULES:
                scores = joined(own.test, *weights(rule, own))
                found[rule].append(100 * float(average_precision_score(own.labels, scores)))
            print(name, seed, {k: round(v[-1], 1) for k, v in found.items()}, file=sys.stderr)
        cells = [f"{value:.2f}" for value in np.mean(both, axis=0)]
        lines.append([name, *cells, *(f"{np.mean(found[rule]):.1f}" for rule in RULES)])
    if len(lines) > 1:
        means = np.mean([[float(cell) for cell in line[3:]] for line in lines], axis=0)
        lines.append(["mean", "", "", *(f"{value:.1f}" for value in means)])
    print(markdown(["set", "w of L", "w of R", *RULES], lines))


if __name__ == "__main__":
    typer.run(main)
