"""One pass over scored rows in bounded memory, keeping what a report needs of them."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Bool
from numpy.typing import NDArray

from advae.core.arrays import HostMatrix
from advae.detector.detector import Detector, EncodedScores
from advae.detector.groups import Grouper, Groups
from advae.display.text import LONGEST, shorten
from advae.parallel import rows_at_once
from advae.report.columns import ColumnTally, Drivers
from advae.report.kinds import MOST_COLUMNS, SegmentTally
from advae.report.latent import SHOWN
from advae.report.timeline import TimeTally
from advae.tables.frames import names_given
from advae.tables.labels import LabelColumn, LabelReader
from advae.tables.sampling import Highest, Reservoir
from advae.tables.values import NAME_ANOTHER, check_columns

SEGMENTED = ("category", "boolean")
"""Kinds of columns whose values are kinds of rows."""

SCORES = 500_000
"""Scores kept for histograms, slider and curves: all of them up to this many rows."""

LISTED = 1000
"""Flagged rows that the page lists, those that score highest."""

OF_EACH_GROUP = 5
"""Rows of each group of flagged ones that are explained at least, those that score highest."""

MOST_ROWS = 16_384
"""Most rows encoded and scored at a time."""


class Gathered:
    """What is known of the rows seen so far.

    Parameters
    ----------
    detector
        Scores the rows.
    keep
        Columns to show beside the most anomalous rows.
    label
        Column of known labels; None without.
    top
        How many of the most anomalous rows to keep.
    where
        What the rows come from, to begin error messages with.
    """

    def __init__(
        self,
        detector: Detector,
        keep: Sequence[str],
        label: LabelColumn | None,
        top: int,
        where: str,
    ) -> None:
        self.rows = 0
        self.flagged = 0
        self.hits = 0
        self.scores = Reservoir(SCORES, np.random.default_rng(0))
        self.highest = Highest(top)
        self.listed = Highest(LISTED)
        self.normal, self.alarms = (
            Reservoir(SHOWN, np.random.default_rng(seed)) for seed in (1, 2)
        )
        self.tallies = [
            ColumnTally(column, dated=column.name in detector.dated)
            for column in detector.table.features
        ]
        self.drivers = Drivers(len(self.tallies))
        self.grouper = Grouper(detector)
        dates = detector.table.dates
        self.times = TimeTally(dates) if dates is not None and dates.caution == "dated" else None
        self.extra_columns: tuple[str, ...] = ()
        self.labels = None if label is None else LabelReader(label)
        self._detector, self._where = detector, where
        self._keep = names_given(keep)
        kinds = [each.name for each in detector.table.features if each.kind in SEGMENTED]
        named = list(dict.fromkeys([*self._keep, *kinds]))
        self.segments = [SegmentTally(name) for name in named[:MOST_COLUMNS]]

    @property
    def counts(self) -> dict[str, tuple[int, int]]:
        """Rows, and the flagged ones among them: "new", or with labels "normal" and "anomaly"."""
        if self.labels is None:
            return {"new": (self.rows, self.flagged)}
        normal = self.labels.normal_rows
        return {
            "normal": (normal, self.flagged - self.hits),
            "anomaly": (self.rows - normal, self.hits),
        }

    def update(self, frame: pl.DataFrame) -> None:
        """Take in the next rows.

        Raises
        ------
        InputError
            For a missing column, or a value or label that cannot be read.
        """
        named = [*self._keep, *([self.labels.column.name] if self.labels else [])]
        check_columns(named, frame.columns, self._where, advice=NAME_ANOTHER)
        used = {*named, *self._detector.ignored}
        extra = self._detector.table.extra_columns(frame)
        self.extra_columns = tuple(name for name in extra if name not in used)
        for block in frame.iter_slices(rows_at_once(self._detector.table.width, MOST_ROWS)):
            self._update(block)

    def _update(self, frame: pl.DataFrame) -> None:
        detector, table = self._detector, self._detector.table
        encoded = table.transform(frame, first_row=self.rows)
        scored = detector.score_encoded(encoded)
        scores, flagged = scored.score, scored.score > detector.threshold.value
        labels = self._labels(frame)
        self.scores.update({"score": scores} | labels)
        self.drivers.update(table.group(scored.contributions), flagged)
        beside = {"encoded": encoded[flagged], "kept": self._kept(frame.filter(flagged))}
        beside |= {name: values[flagged] for name, values in labels.items()}
        self.grouper.update(frame, encoded, scores, self.rows, beside)
        if self.times is not None:
            self.times.update(frame, flagged, scores)
        for segments in self.segments:
            segments.update(frame, flagged)
        for tally, places in zip(self.tallies, table.places, strict=True):
            tally.update(encoded[:, list(places)], frame[tally.column.name])

        rows = np.arange(self.rows, self.rows + frame.height)
        seen = encoded[:, : table.network_width]
        for sample, chosen in ((self.normal, ~flagged), (self.alarms, flagged)):
            if chosen.any():
                found = {"row": rows, "score": scores, "encoded": seen, **labels}
                sample.update({name: values[chosen] for name, values in found.items()})
        best = self.highest.candidates(scores)
        if len(best):
            taken: dict[str, NDArray[Any]] = {"row": rows, "encoded": encoded, **labels}
            shown = self._shown(frame[best])
            self.highest.update(
                scores[best], {name: values[best] for name, values in taken.items()} | shown
            )
        self._list(frame, encoded, scored, labels)
        self.rows += frame.height
        self.flagged += int(flagged.sum())
        if labels:
            self.hits += int((flagged & labels["anomalous"]).sum())

    def _labels(self, frame: pl.DataFrame) -> dict[str, Bool[np.ndarray, "rows"]]:
        return {} if self.labels is None else {"anomalous": self.labels.read(frame)}

    def _list(
        self,
        frame: pl.DataFrame,
        encoded: HostMatrix,
        scored: EncodedScores,
        labels: dict[str, Bool[np.ndarray, "rows"]],
    ) -> None:
        """Take note of flagged rows and of what speaks most against each."""
        alarms = np.flatnonzero(scored.score > self._detector.threshold.value)
        best = alarms[self.listed.candidates(scored.score[alarms])]
        if not len(best):
            return
        detector = self._detector
        by_kind = None if scored.by_kind is None else scored.by_kind[best]
        few = EncodedScores(
            scored.score[best], scored.contributions[best], scored.expected[best], by_kind
        )
        cut = frame[best].with_columns(pl.selectors.string().str.head(LONGEST + 1))
        reasons = detector.explained(few, cut).top(1)
        texts = {each.name: _texts(each) for each in reasons if each.dtype == pl.String}
        kept = {"kept": self._kept(frame[best])}
        taken = {"row": self.rows + best, "encoded": encoded[best]}
        taken |= {name: own[best] for name, own in labels.items()}
        self.listed.update(scored.score[best], taken | texts | kept)

    def explained(self, groups: Groups) -> Highest:
        """Return the rows that score highest, and beside them some of each group.

        These are the row that stands for the group, and the highest ones of the sample.
        """
        if not groups.groups:
            return self.highest
        sample = self.grouper.sample
        rows, best = sample["row"], np.argsort(-sample["score"], kind="stable")
        numbers = groups.numbers[np.searchsorted(groups.rows, rows)]
        wanted = [each.typical for each in groups.groups]
        for each in groups.groups:
            wanted += rows[best[numbers[best] == each.number][:OF_EACH_GROUP]].tolist()
        chosen = np.flatnonzero(np.isin(rows, wanted) & ~np.isin(rows, self.highest["row"]))
        if not len(chosen):
            return self.highest
        frame = sample["frame"][chosen]
        parts = {name: sample[name][chosen] for name in self.highest.names if name in sample}
        both = Highest(len(self.highest) + len(chosen))
        both.update(self.highest.scores, {name: self.highest[name] for name in self.highest.names})
        both.update(sample["score"][chosen], parts | {"observed": self._observed(frame)})
        return both

    def _kept(self, frame: pl.DataFrame) -> NDArray[Any]:
        """Return the columns to show of a few rows, as texts of bounded length."""
        kept = np.empty((frame.height, len(self._keep)), object)
        for number, name in enumerate(self._keep):
            kept[:, number] = _texts(frame[name])
        return kept

    def _shown(self, frame: pl.DataFrame) -> dict[str, NDArray[Any]]:
        """Return the values of a few rows as texts of bounded length."""
        frame = frame.with_columns(pl.selectors.string().str.head(LONGEST + 1))
        return {"observed": self._observed(frame), "kept": self._kept(frame)}

    def _observed(self, frame: pl.DataFrame) -> NDArray[Any]:
        features = self._detector.table.features
        observed = np.stack([each.in_texts(frame[each.name]) for each in features], axis=1)
        for place, text in np.ndenumerate(observed):
            if text is not None:
                observed[place] = shorten(text)
        return observed


def _texts(values: pl.Series) -> NDArray[Any]:
    """Return values as texts of bounded length, empty where missing."""
    texts = np.empty(len(values), object)
    texts[:] = ["" if value is None else shorten(value) for value in values.to_list()]
    return texts


def gather(
    detector: Detector,
    batches: Iterable[pl.DataFrame],
    *,
    keep: Sequence[str],
    label: LabelColumn | None,
    top: int,
    where: str,
) -> Gathered:
    """Score a stream of frames and keep what a report needs; see `Gathered`."""
    gathered = Gathered(detector, keep, label, top, where)
    for frame in batches:
        if frame.height:
            gathered.update(frame)
    if gathered.labels is not None:
        gathered.labels.check()
    return gathered
