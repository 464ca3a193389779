"""Why a row scored as it did: observed against expected, column by column, in the user's units."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from jaxtyping import Float, Int

from advae.tables.values import shown_values

if TYPE_CHECKING:
    from advae.detector.detector import Detector

EXPECTED_DIGITS = 6
"""Significant digits of an expected number, if it has no more before the point."""


@dataclass(frozen=True, eq=False)
class Explanation:
    """What each original column adds to the score of each row.

    Parameters
    ----------
    score
        Anomaly scores, shape (rows,).
    contributions
        Each original column's part of the score, shape (rows, features), at least 0: in the paper
        its squared error; else see `advae.methods.advae.scoring`. A row's contributions add up to
        its score.
    expected
        What the model expects in the user's units, one column per original column: a number is an
        average, whole or not; a category, the likeliest; null, a missing value.
    kinds
        What each value is surprising by, most of all: ``"unusual value"``, by itself;
        ``"unusual for this row"``, given the rest of it; ``"far from all rows"``, the row as a
        whole. Texts, shape (rows, features); None where the score has one kind alone, the paper's.
    """

    score: Float[np.ndarray, "rows"]
    contributions: Float[np.ndarray, "rows features"]
    expected: pl.DataFrame
    kinds: np.ndarray | None = None


def top_reasons(explanation: Explanation, frame: pl.DataFrame, count: int) -> pl.DataFrame:
    """Return the columns that contributed most to each row, the largest first.

    Parameters
    ----------
    explanation
        Of the rows of ``frame``.
    frame
        The rows themselves, for the observed values.
    count
        How many columns to name, at least 1; there are never more than the table has.

    Returns
    -------
    For k from 1 to ``count``: ``reason_k``, the column; ``reason_k_contribution``, in the unit
    of the score; ``reason_k_observed``, as it is, and ``reason_k_expected``, as an estimate: as
    text, null where missing; ``reason_k_kind``, of `Explanation.kinds`, where there are any. Where
    the estimate is what was observed, its kind in brackets stands in its place.
    """
    names = np.array(explanation.expected.columns, object)
    contributions = explanation.contributions
    # Stable, so that ties have one order.
    order = np.argsort(-contributions, axis=1, kind="stable")[:, :count]
    observed = _shown_at(frame[explanation.expected.columns], order)
    expected = _shown_at(explanation.expected, order, EXPECTED_DIGITS)
    rows = np.arange(len(contributions))
    kinds = None
    if explanation.kinds is not None:
        kinds = np.take_along_axis(explanation.kinds, order, axis=1)
        rounded = _shown_at(frame[explanation.expected.columns], order, EXPECTED_DIGITS)
        expected = np.where(rounded == expected, "(" + kinds + ")", expected)
    columns: dict[str, np.ndarray | pl.Series] = {}
    for rank in range(order.shape[1]):
        chosen, reason = order[:, rank], f"reason_{rank + 1}"
        columns[reason] = pl.Series(names[chosen], dtype=pl.String)
        columns[f"{reason}_contribution"] = contributions[rows, chosen]
        columns[f"{reason}_observed"] = pl.Series(observed[:, rank].tolist(), dtype=pl.String)
        columns[f"{reason}_expected"] = pl.Series(expected[:, rank].tolist(), dtype=pl.String)
        if kinds is not None:
            columns[f"{reason}_kind"] = pl.Series(kinds[:, rank].tolist(), dtype=pl.String)
    return pl.DataFrame(columns)


def _shown_at(
    frame: pl.DataFrame, order: Int[np.ndarray, "rows ranks"], digits: int | None = None
) -> np.ndarray:
    """Return as people write it what each row has in the columns of its ranks, (rows, ranks).

    Texts are made of these values alone: they are slow and large, and in a wide table few of all.
    """
    shown = np.empty(order.size, object)
    cells = np.argsort(order, axis=None, kind="stable")
    numbers, starts = np.unique(order.ravel()[cells], return_index=True)
    for number, own in zip(numbers, np.split(cells, starts[1:]), strict=False):
        values = frame.to_series(int(number))[own // order.shape[1]]
        shown[own] = shown_values(values.to_frame(), digits)[:, 0]
    return shown.reshape(order.shape)


def example_rows(detector: "Detector") -> pl.DataFrame:
    """Return a row such as training's: what the model expects in the middle of its ranges."""
    middle = np.zeros((1, detector.table.width), np.float32)
    middle[:, : detector.table.network_width] = 0.5
    decoded = detector.table.decode(detector.score_encoded(middle).expected)
    return decoded.with_columns(
        pl.lit(feature.profile.quantiles[len(feature.profile.quantiles) // 2]).alias(feature.name)
        for feature in detector.table.features
        if feature.profile.quantiles and decoded[feature.name].dtype.is_float()
    )
