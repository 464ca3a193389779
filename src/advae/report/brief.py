"""A scored table in brief, gathered while it streams by: for a few lines in the terminal."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import polars as pl
from jaxtyping import Float

from advae.report.sampling import Highest, Reservoir
from advae.text import number, shorten

SCORES = 100_000
"""Scores kept for the histogram; of more rows, a uniform sample."""

TOP = 5


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
        self._scores = Reservoir(SCORES, seed=0)
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

    def _note(self, frame: pl.DataFrame) -> None:
        scores = frame["anomaly_score"].to_numpy()
        self.rows += frame.height
        self.flagged += int(frame["is_anomaly"].sum())
        self._scores.update({"score": scores})
        best = self._highest.candidates(scores)
        shown = frame[best].select(
            "row",
            *self._keep,
            pl.col("anomaly_score").map_elements(number, pl.String),
            pl.col("p_value").map_elements(_chance, pl.String),
            *(name for name in ("reason_1",) if name in frame.columns),
        )
        names = {"anomaly_score": "score", "p_value": "p-value", "reason_1": "first reason"}
        self.headings = tuple(names.get(name, shorten(name, 30)) for name in shown.columns)
        texts = np.empty(shown.shape, object)
        for place, column in enumerate(shown):
            texts[:, place] = ["" if v is None else shorten(v, 30) for v in column.to_list()]
        self._highest.update(scores[best], {"texts": texts})


def _chance(p_value: float) -> str:
    return number(p_value, 2)
