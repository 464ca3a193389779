"""Why a row scored as it did: observed against expected, column by column, in the user's units."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Float

from advae.values import to_texts


@dataclass(frozen=True, eq=False)
class Explanation:
    """What each original column adds to the score of each row.

    Parameters
    ----------
    score
        Anomaly scores, shape (rows,).
    contributions
        Squared errors summed over the encoded columns of each original column, shape
        (rows, features), at least 0. A row's contributions add up to its score.
    expected
        What the model expects in the user's units, one column per original column.
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
    of the score; ``reason_k_observed`` and ``reason_k_expected``, as text, null where missing.
    """
    names = np.array(explanation.expected.columns, object)
    contributions = explanation.contributions
    # Stable, so that ties have one order.
    order = np.argsort(-contributions, axis=1, kind="stable")[:, :count]
    observed = shown_values(frame[explanation.expected.columns])
    expected = shown_values(explanation.expected)
    rows = np.arange(len(contributions))
    columns: dict[str, np.ndarray | pl.Series] = {}
    for rank in range(order.shape[1]):
        chosen, reason = order[:, rank], f"reason_{rank + 1}"
        columns[reason] = pl.Series(names[chosen], dtype=pl.String)
        columns[f"{reason}_contribution"] = contributions[rows, chosen]
        columns[f"{reason}_observed"] = pl.Series(observed[rows, chosen].tolist(), dtype=pl.String)
        columns[f"{reason}_expected"] = pl.Series(expected[rows, chosen].tolist(), dtype=pl.String)
    return pl.DataFrame(columns)


def shown_values(frame: pl.DataFrame, digits: int = 6) -> np.ndarray:
    """Return every value as people write it, shape (rows, columns), object.

    Null and NaN, both missing, become None. Floating-point numbers are rounded to so many
    significant digits.
    """
    rounded = frame.with_columns(pl.selectors.float().round_sig_figs(digits))
    return np.stack([to_texts(column).to_numpy() for column in rounded], axis=1)
