"""Per column of the table: what it adds to the alarms, and how far it has drifted from training."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Bool, Float

from advae.detector.tally import drift_level
from advae.display.text import LONGEST, listed, shorten
from advae.tables.columns import Column
from advae.tables.values import is_missing, to_texts

MAX_EXAMPLES = 1000
"""Different unseen values counted per column; later ones are not named."""


@dataclass(frozen=True)
class ColumnView:
    """One column of the table as the report shows it.

    Attributes
    ----------
    name, kind
        The user's name, and the kind of column.
    alarm_share
        Mean share of a flagged row's score that is due to the column, in [0, 1].
    leads
        Flagged rows in which no column adds more.
    drift
        Population stability index against training, at least 0.
    chance
        Drift that chance alone exceeds once in 100 columns.
    level
        ``"none"``, ``"chance"`` (could be chance), ``"dated"`` (a date, which moves by
        nature), ``"shifted"`` or ``"strong"``.
    missing, missing_expected
        Share of rows with a missing value, and the share that rows like training's would have.
    strange, strange_expected
        The same for values outside the training range, rare ones, and ones never seen.
    remark
        The training range and how far values went beyond it; or examples of unseen values.
    training, new
        Share of the present values in each bar of the drawing.
    """

    name: str
    kind: str
    alarm_share: float
    leads: int
    drift: float
    chance: float
    level: str
    missing: float
    missing_expected: float
    strange: float
    strange_expected: float
    remark: str
    training: tuple[float, ...]
    new: tuple[float, ...]


class ColumnTally:
    """Counts the new values of one column against training's, in bounded memory.

    ``dated``: whether it tells when a row came and is not judged by it.
    """

    def __init__(self, column: Column, *, dated: bool) -> None:
        self.column = column
        self._dated = dated
        self._groups = np.zeros(column.distribution.missing + 1)
        self._bars = np.zeros(len(column.distribution.bars))
        self._strange = 0
        self._examples: Counter[str] = Counter()
        self._extent: tuple[float, float] | None = None

    def update(self, encoded: Float[np.ndarray, "rows encoded"], values: pl.Series) -> None:
        """Take in the next rows: their encoded columns, and the values themselves."""
        distribution = self.column.distribution
        # Encoded, a missing value in a constant column may be another value like any other.
        absent = is_missing(values).to_numpy()
        positions = np.where(absent, np.nan, self.column.positions(encoded))
        self._groups += np.bincount(distribution.groups(positions), minlength=len(self._groups))
        self._bars += distribution.bar_counts(positions)
        strange = values.filter(pl.Series(distribution.strange(positions)))
        if not len(strange):
            return
        self._strange += len(strange)
        extent = self.column.extent(strange)
        if extent is None:
            self._count_examples(strange)
        else:
            ends = (*extent, *(self._extent or extent))
            self._extent = min(ends), max(ends)

    def _count_examples(self, values: pl.Series) -> None:
        heads = to_texts(values).drop_nulls().str.head(LONGEST + 1).alias("text")
        counted = heads.to_frame().group_by("text", maintain_order=True).len()
        for text, rows in counted.iter_rows():
            shown = shorten(text)
            if shown in self._examples or len(self._examples) < MAX_EXAMPLES:
                self._examples[shown] += rows

    def view(self, alarm_share: float, leads: int) -> ColumnView:
        """Return what the report shows, given the column's part in the alarms."""
        rows = float(self._groups.sum())
        distribution = self.column.distribution
        drift, chance = distribution.drift(self._groups)
        profile = self.column.profile
        present = max(float(self._bars.sum()), 1.0)
        named = [text for text, _ in self._examples.most_common()]
        others = listed(named) if named else ""
        return ColumnView(
            name=self.column.name,
            kind=self.column.kind,
            alarm_share=alarm_share,
            leads=leads,
            drift=drift,
            chance=chance,
            level=drift_level(drift, chance, dated=self._dated),
            missing=float(self._groups[-1]) / rows,
            missing_expected=(profile.missing + 1) / (profile.rows + 1),
            strange=self._strange / rows,
            strange_expected=distribution.strange_expected,
            remark=self.column.describe(self._extent, others),
            training=tuple(distribution.bars.tolist()),
            new=tuple((self._bars / present).tolist()),
        )


class Drivers:
    """Adds up what each column contributes to the flagged rows, each row counting the same."""

    def __init__(self, features: int) -> None:
        self._shares = np.zeros(features)
        self._leads = np.zeros(features, np.int64)
        self.flagged = 0

    def update(
        self, contributions: Float[np.ndarray, "rows features"], flagged: Bool[np.ndarray, "rows"]
    ) -> None:
        """Take in the next rows."""
        chosen = contributions[flagged]
        if not len(chosen):
            return
        self.flagged += len(chosen)
        self._shares += (chosen / chosen.sum(axis=1, keepdims=True)).sum(axis=0)
        self._leads += np.bincount(chosen.argmax(axis=1), minlength=len(self._leads))

    @property
    def shares(self) -> Float[np.ndarray, "features"]:
        """Each column's mean share of a flagged row's score; 0 without flagged rows."""
        return self._shares / max(self.flagged, 1)

    def view(self, tallies: Sequence[ColumnTally]) -> tuple[ColumnView, ...]:
        """Return the columns, those that drive the alarms first, then those that drifted."""
        views = [
            tally.view(float(share), int(leads))
            for tally, share, leads in zip(tallies, self.shares, self._leads, strict=True)
        ]
        return tuple(sorted(views, key=lambda view: (-view.alarm_share, -view.drift)))
