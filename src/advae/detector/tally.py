"""What a scored table looks like against training: rows, flagged rows, and each column's drift."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import polars as pl
from jaxtyping import Float

from advae.core.arrays import HostMatrix
from advae.detector.calibration import expected_alarms, too_many_alarms
from advae.detector.detector import Detector
from advae.display.text import count, number, quote, share
from advae.tables.columns import Column
from advae.tables.encoder import TableEncoder

SHIFTED, STRONGLY_SHIFTED = 0.1, 0.25
"""Customary limits of the population stability index."""

NAMED = 3
"""Columns that a sentence names."""

Level = Literal["none", "chance", "dated", "shifted", "strong"]


def drift_level(drift: float, chance: float, *, dated: bool) -> Level:
    """Say how far a column has drifted, given what chance alone exceeds once in 100 columns.

    ``dated``: whether it tells when a row came, so that it moves by nature.
    """
    if drift < SHIFTED:
        return "none"
    if drift < chance:
        return "chance"
    if dated:
        return "dated"
    return "strong" if drift >= STRONGLY_SHIFTED else "shifted"


@dataclass(frozen=True)
class Drift:
    """How far the new values of a column are from those of training.

    Attributes
    ----------
    column
        Its name.
    index
        Population stability index against training, at least 0.
    chance
        The index that chance alone exceeds once in 100 columns.
    level
        ``"none"``, ``"chance"`` (could be chance), ``"dated"`` (a date, which moves by
        nature), ``"shifted"`` or ``"strong"``.
    missing, missing_in_training
        Shares of missing values, in [0, 1].

    Examples
    --------
    >>> import numpy as np
    >>> import advae
    >>> normal = np.random.default_rng(0).normal(size=(300, 2))
    >>> detector = advae.fit_detector(normal, advae.Config(iterations=50))
    >>> from advae.detector.tally import Tally
    >>> tally = Tally(detector)
    >>> for _ in detector.score_batches([normal + [0, 3]], watch=tally.update):
    ...     pass
    >>> drift = tally.drifts[0]
    >>> drift.column, drift.level, drift.missing
    ('column_1', 'strong', 0.0)
    >>> drift.index > drift.chance
    True
    """

    column: str
    index: float
    chance: float
    level: Level
    missing: float
    missing_in_training: float

    @classmethod
    def of(cls, column: Column, counts: Float[np.ndarray, "groups"], *, dated: bool) -> "Drift":
        """Measure rows counted by the groups of ``column.distribution``."""
        index, chance = column.distribution.drift(counts)
        profile = column.profile
        return cls(
            column.name,
            index,
            chance,
            drift_level(index, chance, dated=dated),
            float(counts[-1] / max(counts.sum(), 1)),
            profile.missing / profile.rows,
        )


def group_counts(table: TableEncoder, encoded: HostMatrix) -> list[Float[np.ndarray, "groups"]]:
    """Count encoded rows by the groups of each column's distribution, missing values last."""
    counted = []
    for column, places in zip(table.features, table.places, strict=True):
        groups = column.distribution.groups(column.positions(encoded[:, list(places)]))
        size = column.distribution.missing + 1
        counted.append(np.bincount(groups, minlength=size).astype(float))
    return counted


def alarm_doubts(
    detector: Detector, flagged: int, rows: int, drifts: Iterable[tuple[str, float, str]]
) -> list[str]:
    """Say so if far more rows are flagged than if all were normal, and what that comes from.

    ``drifts``: the name of each column, its index and its level, see `Drift`.
    """
    expected = expected_alarms(detector)
    if expected is None or not too_many_alarms(detector, flagged, rows):
        return []
    moved = [(name, index) for name, index, level in drifts if level in ("shifted", "strong")]
    if moved:
        moved.sort(key=lambda each: -each[1])
        names = [f"{quote(name)} ({number(index, 2)})" for name, index in moved[:NAMED]]
        more = len(moved) - len(names)
        others = f" and {count(more, 'other')}" if more else ""
        columns = count(len(moved), "column has", "columns have")
        said = f"{columns} moved away from training (drift): {', '.join(names)}{others}"
    else:
        said = "no column by itself has moved far: many rows may be anomalous"
        if not len(detector.calibration_scores):
            said += (
                ", or the networks know the training rows, whose scores alone set this threshold, "
                "better than any new ones: setting the threshold by reviewed normal rows would tell"
            )
    return [
        f"{share(flagged / rows)} of the rows are flagged, where {share(expected)} would be if all "
        f"were normal; {said}"
    ]


class Tally:
    """Counts rows while they are scored.

    Parameters
    ----------
    detector
        What scores them.

    Attributes
    ----------
    rows, flagged
        The rows so far, and those above the threshold.

    Examples
    --------
    >>> import numpy as np
    >>> import advae
    >>> normal = np.random.default_rng(0).normal(size=(300, 2))
    >>> detector = advae.fit_detector(normal, advae.Config(iterations=50))
    >>> from advae.detector.tally import Tally
    >>> tally = Tally(detector)
    >>> for _ in detector.score_batches([normal + [0, 3]], watch=tally.update):
    ...     pass
    >>> tally.rows, tally.too_many
    (300, True)
    >>> [drift.column for drift in tally.drifts if drift.level == "strong"]
    ['column_1']
    """

    def __init__(self, detector: Detector) -> None:
        self.rows = 0
        self.flagged = 0
        self._detector = detector
        self._counts = [np.zeros(f.distribution.missing + 1) for f in detector.table.features]

    def update(
        self, frame: pl.DataFrame, encoded: HostMatrix, scores: np.ndarray, first_row: int
    ) -> None:
        """Take in the next rows, as ``Detector.score_batches`` shows them to its ``watch``."""
        del frame, first_row
        self.rows += len(scores)
        self.flagged += int((scores > self._detector.threshold.value).sum())
        for total, counts in zip(
            self._counts, group_counts(self._detector.table, encoded), strict=True
        ):
            total += counts

    @property
    def share(self) -> float:
        """Share of the rows that are flagged; 0 without rows."""
        return self.flagged / max(self.rows, 1)

    @property
    def drifts(self) -> tuple[Drift, ...]:
        """The columns, those that drifted most first; none before there are rows."""
        if not self.rows:
            return ()
        dated = self._detector.dated
        found = [
            Drift.of(column, counts, dated=column.name in dated)
            for column, counts in zip(self._detector.table.features, self._counts, strict=True)
        ]
        return tuple(sorted(found, key=lambda each: -each.index))

    @property
    def too_many(self) -> bool:
        """Whether far more rows are flagged than normal rows and chance explain."""
        return too_many_alarms(self._detector, self.flagged, self.rows)

    def doubts(self) -> list[str]:
        """Return what the reader of the scores should know first."""
        drifts = [(each.column, each.index, each.level) for each in self.drifts]
        return alarm_doubts(self._detector, self.flagged, self.rows, drifts)

    def summary(self) -> dict[str, Any]:
        """Return all that was counted, made of plain values."""
        threshold = self._detector.threshold
        return {
            "rows": self.rows,
            "flagged": self.flagged,
            "share": self.share,
            "expected_share": expected_alarms(self._detector),
            "too_many": self.too_many,
            "threshold": threshold.value,
            "alpha": threshold.alpha,
            "columns": [
                {
                    "column": each.column,
                    "drift": each.index,
                    "chance": each.chance,
                    "level": each.level,
                    "missing": each.missing,
                    "missing_in_training": each.missing_in_training,
                }
                for each in self.drifts
            ],
        }
