"""A logarithmic axis for scores: one range, one set of bins for terminal, notebook and page."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

DECADES = 4
"""Scores so many powers of ten beyond threshold and medians stand at the ends of the axis."""

TICKS = 7

_STEPS = ((1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8), (1, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,))


@dataclass(frozen=True)
class ScoreAxis:
    """The scores from ``low`` to ``high``, both above 0, spaced by their logarithms."""

    low: float
    high: float

    @classmethod
    def around(cls, threshold: float, groups: Iterable[Float[np.ndarray, "rows"]]) -> "ScoreAxis":
        """Return an axis that shows a threshold and nearly all scores.

        Parameters
        ----------
        threshold
            The score to have well inside the axis.
        groups
            Scores, each finite and at least 0; a thousandth of a group may lie below the axis.
        """
        samples = [group[group > 0] for group in groups]
        samples = [group for group in samples if len(group)]
        middles = [float(np.median(sample)) for sample in samples]
        middles += [threshold] if threshold > 0 or not middles else []
        low, high = min(middles) or 1.0, max(middles) or 1.0
        least = min((float(np.quantile(sample, 0.001)) for sample in samples), default=low)
        most = max((float(sample.max()) for sample in samples), default=high)
        reach = 10.0**DECADES
        return cls(
            min(max(least, low / reach), low / 2) / 1.1,
            max(min(most, high * reach), high * 2) * 1.1,
        )

    def place(self, scores: Float[np.ndarray, "*rows"] | float) -> Float[np.ndarray, "*rows"]:
        """Return where scores stand, 0 at the low end and 1 at the high end, never beyond."""
        clipped = np.clip(scores, self.low, self.high)
        return np.asarray(np.log(clipped / self.low) / math.log(self.high / self.low))

    def cut(self, threshold: float, share_above: float, bins: int) -> float:
        """Return where among ``bins`` equal parts, 0 to 1, those above a threshold begin.

        Whatever lies below the axis, a score of 0 for one, stands in its first part: that one is
        above a threshold down there only if all scores are, a share of 1.
        """
        place = float(self.place(np.array([threshold]))[0])
        return 1 / bins if place == 0 and share_above < 1 else place

    def at(self, places: Float[np.ndarray, "points"]) -> Float[np.ndarray, "points"]:
        """Return the scores that stand at ``places`` in [0, 1]; undoes ``place``."""
        return np.asarray(self.low * np.power(self.high / self.low, places))

    def shares(self, scores: Float[np.ndarray, "rows"], bins: int) -> Float[np.ndarray, "bins"]:
        """Return the share of the scores in each of ``bins`` equal parts of the axis.

        Scores beyond an end count in the last part there; without scores all shares are 0.
        """
        part = np.minimum((self.place(scores) * bins).astype(int), bins - 1)
        return np.asarray(np.bincount(part, minlength=bins) / max(len(scores), 1))

    def ticks(self) -> list[float]:
        """Return round scores inside the axis, at most `TICKS`: 1, 2, 5, or powers of ten."""
        first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
        for steps in _STEPS:
            found = [step * 10.0**power for power in range(first, last + 1) for step in steps]
            inside = [score for score in found if self.low <= score <= self.high]
            if len(inside) <= TICKS:
                return inside
        return inside[:: -(-len(inside) // TICKS)]
