"""Why a row scored as it did: observed against expected, column by column, in the user's units."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Float, Int

from advae.tables.values import to_texts

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
    """

    score: Float[np.ndarray, "rows"]
    contributions: Float[np.ndarray, "rows features"]
    expected: pl.DataFrame


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
    text, null where missing.
    """
    names = np.array(explanation.expected.columns, object)
    contributions = explanation.contributions
    # Stable, so that ties have one order.
    order = np.argsort(-contributions, axis=1, kind="stable")[:, :count]
    observed = _shown_at(frame[explanation.expected.columns], order)
    expected = _shown_at(explanation.expected, order, EXPECTED_DIGITS)
    rows = np.arange(len(contributions))
    columns: dict[str, np.ndarray | pl.Series] = {}
    for rank in range(order.shape[1]):
        chosen, reason = order[:, rank], f"reason_{rank + 1}"
        columns[reason] = pl.Series(names[chosen], dtype=pl.String)
        columns[f"{reason}_contribution"] = contributions[rows, chosen]
        columns[f"{reason}_observed"] = pl.Series(observed[:, rank].tolist(), dtype=pl.String)
        columns[f"{reason}_expected"] = pl.Series(expected[:, rank].tolist(), dtype=pl.String)
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


def shown_values(frame: pl.DataFrame, digits: int | None = None) -> np.ndarray:
    """Return every value as people write it, shape (rows, columns), object.

    Null and NaN, both missing, become None. Of floating-point numbers, fractions are
    rounded to so many significant digits, if any are given: a value that was observed is to be
    found again. Fractions of a second that are 0 are left out.
    """
    return np.stack([_shown(column, digits).to_numpy() for column in frame], axis=1)


def _shown(values: pl.Series, digits: int | None) -> pl.Series:
    if isinstance(values.dtype, pl.Datetime | pl.Time):
        return to_texts(values).str.replace(r"\.0+(\D|$)", "$1")
    if digits is not None and values.dtype.is_float():
        values = _rounded(values, digits)
    return to_texts(values)


def _rounded(values: pl.Series, digits: int) -> pl.Series:
    number = pl.lit(values)
    # Only fractions are rounded away: 20240615 is not 20240000, even if it is an estimate.
    whole = number.abs() >= 10.0 ** (digits - 1)
    shown = pl.when(whole).then(number.round()).otherwise(number.round_sig_figs(digits))
    rounded = pl.select(shown).to_series().alias(values.name)
    # Polars' powers of ten are inexact beyond the 22nd: of these few numbers texts are made.
    tiny = (number.abs() < 10.0 ** (digits - 22)) & (number != 0)
    few = pl.select(tiny).to_series().fill_null(value=False).arg_true()
    texts = (f"{value:.{digits}g}" for value in values[few])
    return rounded.scatter(few, list(map(float, texts))) if len(few) else rounded
