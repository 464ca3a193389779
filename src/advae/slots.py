"""Algorithm R: which rows of a stream enter a uniform sample of bounded size, and where."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


class Slots:
    """The places of a uniform sample without replacement, as they fill and are filled again.

    One random number is drawn per row, so the sample does not depend on the batches.

    Parameters
    ----------
    size
        How many rows the sample has at most.
    draws
        Where the random numbers come from.
    """

    def __init__(self, size: int, draws: np.random.Generator) -> None:
        self._size = size
        self._seen = 0
        self._draws = draws

    def place(self, rows: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the slots that the next ``rows`` rows fill, in order, and those rows' numbers.

        A slot may occur twice: the later row replaces the earlier one.
        """
        ordinal = np.arange(self._seen, self._seen + rows)
        self._seen += rows
        drawn = (self._draws.random(rows) * (ordinal + 1)).astype(np.int64)
        slots = np.where(ordinal < self._size, ordinal, drawn)
        entering = np.flatnonzero(slots < self._size)
        return slots[entering], entering


def placed(kept: NDArray[Any], slots: NDArray[np.int64], entering: NDArray[Any]) -> NDArray[Any]:
    """Return an array [kept, ...] with entries in these slots of it, or next after its last one.

    It may be ``kept`` itself, written over.
    """
    grown = int(slots.max(initial=-1)) + 1 - len(kept)
    if grown > 0:
        kept = np.concatenate([kept, np.empty((grown, *kept.shape[1:]), kept.dtype)])
    kept[slots] = entering
    return kept
