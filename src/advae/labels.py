"""Read a column of known labels, for evaluation."""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from advae.values import bad_cell, to_truths

ANOMALY = ("1", "1.0", "true", "yes", "anomaly", "anomalous")
NORMAL = ("0", "0.0", "false", "no", "normal")
ACCEPTED = f"{', '.join(NORMAL)} for a normal row; {', '.join(ANOMALY)} for an anomaly"


def parse_labels(values: pl.Series, first_row: int = 0) -> NDArray[np.bool_]:
    """Read labels: True for an anomaly, False for a normal row.

    Parameters
    ----------
    values
        One label per row [n]: booleans, the numbers 0 and 1, or texts among `ANOMALY` and
        `NORMAL` in any case.
    first_row
        The row number of ``values[0]``, for errors.

    Returns
    -------
        bool [n].

    Raises
    ------
    ColumnError
        For a missing label or any other value; names the column, row, value and accepted forms.
    """
    wanted = f"a label. Labels are {ACCEPTED}"
    if isinstance(values.dtype, (pl.Categorical, pl.Enum)):
        values = values.cast(pl.String)
    truths = to_truths(values, first_row, true=ANOMALY, false=NORMAL, wanted=wanted)
    missing = np.isnan(truths)
    if missing.any():
        raise bad_cell(values, missing, first_row, wanted)
    labels: NDArray[np.bool_] = truths == 1
    return labels
