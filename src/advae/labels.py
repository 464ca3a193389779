"""Read a column of known labels, for evaluation."""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from advae.errors import InputError
from advae.values import bad_cell, to_truths

ANOMALY = ("1", "1.0", "true", "yes", "anomaly", "anomalous")
NORMAL = ("0", "0.0", "false", "no", "normal")
ACCEPTED = f"{', '.join(NORMAL)} for a normal row; {', '.join(ANOMALY)} for an anomaly"


def parse_labels(values: pl.Series, *, where: str) -> NDArray[np.bool_]:
    """Read labels: True for an anomaly, False for a normal row.

    Parameters
    ----------
    values
        One label per row [n]: booleans, the numbers 0 and 1, or texts among `ANOMALY` and
        `NORMAL` in any case.
    where
        Where the column comes from, usually a file name, to begin an error message with.

    Returns
    -------
        bool [n].

    Raises
    ------
    InputError
        For a missing label or any other value; names the column, row, value and accepted forms.
    """
    wanted = f"a label. Labels are {ACCEPTED}"
    try:
        truths = to_truths(
            values.cast(pl.String)
            if isinstance(values.dtype, (pl.Categorical, pl.Enum))
            else values,
            true=ANOMALY,
            false=NORMAL,
            wanted=wanted,
        )
        missing = np.isnan(truths)
        if missing.any():
            raise bad_cell(values, missing, 0, wanted)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    labels: NDArray[np.bool_] = truths == 1
    return labels
