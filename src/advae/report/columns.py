"""Per column of the table: what it adds to the alarms, and how far it has drifted from training."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Bool, Float

from advae.detector.explanation import shown_values
from advae.display.text import LONGEST, listed, shorten
from advae.report.distributions import Distribution, Part, distribution
from advae.tables.columns import Column, ScaledColumn
from advae.tables.values import is_missing, to_texts

SHIFTED, STRONGLY_SHIFTED = 0.1, 0.25
"""Customary limits of the population stability index."""

RANGE_DIGITS = 4
"""Significant digits of the ends of a range, if these are enough to tell them apart."""

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
        ``"none"``, ``"chance"`` (could be chance), ``"shifted"`` or ``"strong"``.
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
    """Counts the new values of one column against training's, in bounded memory."""

    def __init__(self, column: Column) -> None:
        self.column = column
        self.distribution: Distribution = distribution(column)
        self._groups = np.zeros(len(self.distribution.labels) + 1)
        self._bars = np.zeros(len(self.distribution.bars))
        self._strange = 0
        self._examples: Counter[str] = Counter()
        self._extremes: tuple[float, float] | None = None

    def update(self, part: Part, values: pl.Series) -> None:
        """Take in the next rows: their encoded columns, and the values themselves."""
        groups, strange = self.distribution.groups(part), self.column.strange(part)
        if not self.column.marks_missing:
            absent = is_missing(values).to_numpy()
            groups = np.where(absent, len(self.distribution.labels), groups)
            strange &= ~absent
            part = part[~absent]
        self._groups += np.bincount(groups, minlength=len(self._groups))
        self._bars += self.distribution.bar_counts(part)
        found = int(strange.sum())
        if not found:
            return
        self._strange += found
        chosen = values.filter(pl.Series(strange))
        if (scaled := self.column.scaled) is not None:
            # As they are: encoded, they are rounded and bounded.
            numbers = scaled.numbers(chosen)
            seen = [*(self._extremes or ()), float(numbers.min()), float(numbers.max())]
            self._extremes = min(seen), max(seen)
        else:
            self._count_examples(chosen)

    def _count_examples(self, values: pl.Series) -> None:
        heads = to_texts(values).drop_nulls().str.head(LONGEST + 1).alias("text")
        for text, rows in heads.value_counts(name="rows").iter_rows():
            shown = shorten(text)
            if shown in self._examples or len(self._examples) < MAX_EXAMPLES:
                self._examples[shown] += rows

    def view(self, alarm_share: float, leads: int) -> ColumnView:
        """Return what the report shows, given the column's part in the alarms."""
        rows = float(self._groups.sum())
        drift, chance = self.distribution.drift(self._groups)
        profile = self.column.profile
        present = max(float(self._bars.sum()), 1.0)
        return ColumnView(
            name=self.column.name,
            kind=self.column.kind,
            alarm_share=alarm_share,
            leads=leads,
            drift=drift,
            chance=chance,
            level=_level(drift, chance),
            missing=float(self._groups[-1]) / rows,
            missing_expected=(profile.missing + 1) / (profile.rows + 1),
            strange=self._strange / rows,
            strange_expected=self.column.strange_expected,
            remark=self._remark(),
            training=tuple(self.distribution.bars.tolist()),
            new=tuple((self._bars / present).tolist()),
        )

    def _remark(self) -> str:
        if (scaled := self.column.scaled) is None:
            known, before_others = self.column.known_values
            others = [text for text, _ in self._examples.most_common()]
            return f"{known}; {before_others}{listed(others)}" if known and others else known
        scale = scaled.scale
        least, most = self._extremes or (scale.low, scale.high)
        low, high, down, up = _in_units(scaled, [scale.low, scale.high, least, most])
        beyond = [f"down to {down}"] if least < scale.low else []
        beyond += [f"up to {up}"] if most > scale.high else []
        if not beyond:
            return f"{low} to {high} in training"
        return f"{low} to {high} in training; now {' and '.join(beyond)}"


def _in_units(column: ScaledColumn, numbers: list[float]) -> list[str]:
    """Show numbers, or instants in microseconds, as the user writes them."""
    array = np.array(numbers)
    whole = (array == np.rint(array)).all()
    # Whole numbers may be names or dates; and ends that differ are to look so.
    for digits in (None,) if whole else (RANGE_DIGITS, 2 * RANGE_DIGITS, None):
        texts = [
            shorten(text) for text in shown_values(column.show(array).to_frame(), digits)[:, 0]
        ]
        if len(set(texts)) == len(set(numbers)):
            break
    return texts


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


def _level(drift: float, chance: float) -> str:
    if drift < SHIFTED:
        return "none"
    if drift < chance:
        return "chance"
    return "strong" if drift >= STRONGLY_SHIFTED else "shifted"
