"""Scores that take few lines, for tables with categories: what a detector has to be better than.

Numbers become min-max scaled columns, with the median for missing values and a column that marks
them; other values become a column for each text that training has.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
import polars as pl
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor

from benchmarks.accuracy.baselines import BASELINES

Array = np.ndarray
Score = Callable[[pl.DataFrame, pl.DataFrame, int], Array]
"""Of training rows, new rows and a seed: the score of each new row."""

TREES = 50
TREE_ROWS = 5_000
"""Training rows that the trees of a column learn from, at most."""


def _is_number(values: pl.Series) -> bool:
    return values.dtype.is_numeric()


def encoded(train: pl.DataFrame, new: pl.DataFrame) -> tuple[Array, Array]:
    """Return both tables as numbers from 0 to 1, as far as training's range goes."""
    sides: list[list[Array]] = [[], []]
    for name in train.columns:
        known = train[name]
        if _is_number(known):
            numbers = [side[name].cast(pl.Float64).to_numpy() for side in (train, new)]
            present = numbers[0][np.isfinite(numbers[0])]
            low, high = (present.min(), present.max()) if len(present) else (0.0, 1.0)
            middle = float(np.median(present)) if len(present) else 0.0
            for side, values in zip(sides, numbers, strict=True):
                there = np.isfinite(values)
                scaled = (np.where(there, values, middle) - low) / ((high - low) or 1.0)
                side += [scaled, (~there).astype(float)]
        else:
            texts = known.cast(pl.String).unique(maintain_order=True).to_list()
            for side, values in zip(sides, (train[name], new[name]), strict=True):
                own = values.cast(pl.String)
                side += [own.eq_missing(text).to_numpy().astype(float) for text in texts]
    return np.column_stack(sides[0]), np.column_stack(sides[1])


def baseline(name: str, train: pl.DataFrame, new: pl.DataFrame, seed: int) -> Array:
    """Return what a baseline for numbers says of encoded rows."""
    known, asked = encoded(train, new)
    chosen = BASELINES[name]
    return chosen.scorer(known, seed, chosen.parameters)(asked)


def marginal(train: pl.DataFrame, new: pl.DataFrame, seed: int) -> Array:
    """Return the sum over columns of -log of the two-sided tail share, or of the frequency."""
    del seed
    total = np.zeros(new.height)
    rows = train.height
    for name in train.columns:
        if _is_number(train[name]):
            known = np.sort(train[name].cast(pl.Float64).drop_nulls().drop_nans().to_numpy())
            values = new[name].cast(pl.Float64).to_numpy()
            below = np.searchsorted(known, values, side="right")
            above = len(known) - np.searchsorted(known, values, side="left")
            share = np.minimum(1.0, 2 * (np.minimum(below, above) + 1) / (len(known) + 1))
            gone = (rows - len(known) + 1) / (rows + 1)
            total -= np.log(np.where(np.isfinite(values), share, gone))
        else:
            counts = dict(train[name].cast(pl.String).value_counts().iter_rows())
            seen = [counts.get(text, 0) for text in new[name].cast(pl.String)]
            total -= np.log((np.array(seen) + 1) / (rows + 1))
    return total


def conditional_trees(train: pl.DataFrame, new: pl.DataFrame, seed: int) -> Array:
    """Return the sum over columns of -log p of the value given all others, by extra trees.

    Of a number p is a normal density about the prediction, with the standard deviation of its error
    on training rows that no tree of the prediction has seen.
    """
    if train.height > TREE_ROWS:
        train = train.sample(TREE_ROWS, seed=seed)
    total = np.zeros(new.height)
    settings = {"n_estimators": TREES, "bootstrap": True, "random_state": seed}
    for name in train.columns:
        known, asked = encoded(train.drop(name), new.drop(name))
        if _is_number(train[name]):
            values = train[name].cast(pl.Float64).to_numpy()
            there = np.isfinite(values)
            if there.sum() < 10 or np.ptp(values[there]) == 0:
                continue
            trees = ExtraTreesRegressor(oob_score=True, min_samples_leaf=3, **settings)
            trees.fit(known[there], values[there])
            error = values[there] - trees.oob_prediction_
            spread = max(float(np.nanstd(error)), 1e-6 * float(np.ptp(values[there])))
            given = new[name].cast(pl.Float64).to_numpy()
            off = (
                np.where(np.isfinite(given), given, trees.predict(asked)) - trees.predict(asked)
            ) / spread
            total += 0.5 * off**2
        else:
            texts = train[name].cast(pl.String).fill_null("")
            if texts.n_unique() < 2:
                continue
            trees = ExtraTreesClassifier(min_samples_leaf=3, **settings)
            trees.fit(known, texts.to_numpy())
            places = {text: place for place, text in enumerate(trees.classes_)}
            chances = trees.predict_proba(asked)
            given = [places.get(text, -1) for text in new[name].cast(pl.String).fill_null("")]
            own = chances[np.arange(len(given)), given]
            own = np.where(np.array(given) < 0, 0.0, own)
            total -= np.log((own * train.height + 0.5) / (train.height + 1))
    return total


SCORES: dict[str, Score] = {
    "1-NN": partial(baseline, "1-NN"),
    "IForest": partial(baseline, "IForest"),
    "marginal": marginal,
    "conditional trees": conditional_trees,
}
