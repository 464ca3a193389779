"""Expected values as texts, with the digits that an estimate deserves."""

import numpy as np
from jaxtyping import Float

from advae.columns import Column, NumberColumn
from advae.explain import shown_values
from advae.table import TableEncoder

DIGITS = 4
"""Significant digits, if more do not stand before the point, and if these tell the numbers of
training apart."""


def shown_estimates(table: TableEncoder, encoded: Float[np.ndarray, "rows width"]) -> np.ndarray:
    """Return decoded values as texts, shape (rows, features), None where missing."""
    decoded = table.decode(encoded)
    shown = [
        shown_values(decoded[:, [number]], digits_of(column))
        for number, column in enumerate(table.features)
    ]
    return np.concatenate(shown, axis=1)


def digits_of(column: Column) -> int:
    """Return the digits that an estimate takes: of latitudes in one town, more than four."""
    if not isinstance(column, NumberColumn):
        return DIGITS
    low, high = column.scale.low, column.scale.high
    same = np.log10(max(abs(low), abs(high))) - np.log10(high - low)
    return DIGITS + int(max(same, 0.0))
