"""A scored table in brief, gathered while it streams by: for a few lines in the terminal."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float

from advae.display.text import number, shorten
from advae.tables.sampling import Highest, Reservoir
from advae.tables.values import unspeakable

SCORES = 100_000
"""Scores kept for the histogram; of more rows, a uniform sample."""

TOP = 5

REMEDY = "would not be flagged with"
"""Heading of the values with which a row would pass."""


class Brief:
    """What passed: how many rows, how many of them flagged, their scores, the highest ones.

    Parameters
    ----------
    keep
        Columns to show beside the highest rows.
    """

    def __init__(self, keep: Sequence[str] = ()) -> None:
        self.rows = 0
        self.flagged = 0
        self.headings: tuple[str, ...] = ()
        self._keep = tuple(dict.fromkeys(keep))
        self._scores = Reservoir(SCORES, np.random.default_rng(0))
        self._highest = Highest(TOP)

    def watch(self, frames: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
        """Pass on frames that ``Detector.score_batches`` yields, taking note of them."""
        for frame in frames:
            self._note(frame)
            yield frame

    @property
    def scores(self) -> Float[np.ndarray, "rows"]:
        """A uniform sample of the scores."""
        return self._scores["score"] if len(self._scores) else np.empty(0)

    @property
    def highest(self) -> list[list[str]]:
        """The rows that score highest, as texts under ``headings``."""
        return self._highest["texts"].tolist() if len(self._highest) else []

    def fitting(self, width: int) -> tuple[list[int], list[str]]:
        """Return which columns of ``highest`` fit in a line, and the names of those left out."""
        # A cell has a blank on both sides and a line beside it.
        widths = [
            3 + max(map(len, each)) for each in zip(self.headings, *self.highest, strict=True)
        ]
        kept = dict(enumerate(self._keep, self.headings.index("row") + 1))
        if self.headings[-1] == REMEDY:
            kept[len(widths) - 1] = "not_flagged_with"
        places = [place for place in range(len(widths)) if place not in kept]
        left_out = []
        for place, name in kept.items():
            if sum(widths[each] for each in [*places, place]) < width:
                places.append(place)
            else:
                left_out.append(name)
        return sorted(places), left_out

    def _note(self, frame: pl.DataFrame) -> None:
        scores = frame["anomaly_score"].to_numpy()
        self.rows += frame.height
        self.flagged += int(frame["is_anomaly"].sum())
        self._scores.update({"score": scores})
        best = self._highest.candidates(scores)
        shown = frame[best]
        # By name alone: to Polars' expressions "*" is a pattern.
        columns = {"row": shown["row"]} | {name: shown[name] for name in self._keep}
        cells = [(shorten(name, 30), _spoken(values)) for name, values in columns.items()]
        if "file" in shown.columns and "file" not in self._keep:
            cells.insert(0, ("file", [Path(path).name for path in shown["file"]]))
        cells.append(("score", [number(score) for score in shown["anomaly_score"]]))
        cells.append(("p-value", [number(chance, 2) for chance in shown["p_value"]]))
        if "reason_1" in shown.columns and "reason_1" not in self._keep:
            reasons = shown["reason_1"].to_list()
            if "reason_1_kind" in shown.columns and "reason_1_kind" not in self._keep:
                kinds = shown["reason_1_kind"].to_list()
                reasons = [f"{name}: {kind}" for name, kind in zip(reasons, kinds, strict=True)]
            cells.append(("first reason", reasons))
        if "not_flagged_with" in shown.columns and "not_flagged_with" not in self._keep:
            cells.append((REMEDY, shown["not_flagged_with"].to_list()))
        self.headings = tuple(heading for heading, _ in cells)
        texts = np.empty((shown.height, len(cells)), object)
        for place, (_, values) in enumerate(cells):
            texts[:, place] = ["" if value is None else shorten(value, 40) for value in values]
        self._highest.update(scores[best], {"texts": texts})


def _spoken(values: pl.Series) -> list[Any]:
    """Return values, None for times that Python does not have."""
    return values.set(pl.Series(unspeakable(values)), None).to_list()
