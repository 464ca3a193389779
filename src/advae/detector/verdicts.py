"""What people said of flagged rows, and how a model heeds it: rows like excused ones do not alarm.

A verdict is about a few columns, those whose replacement by what is expected makes the row normal
(`advae.detector.counterfactual`), and the values that stood there. A row is like it if its values
in these columns lie within the verdict's reach. It is excused if it is like a verdict that says
"normal" and scores hardly more, if it would not be flagged with these columns replaced, and if it
is like no verdict that says "anomaly". So a row that is odd in other columns, too, keeps alarming.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float

from advae.display.text import count
from advae.errors import InputError
from advae.tables.encoder import TableEncoder

if TYPE_CHECKING:
    from advae.detector.detector import Detector


@dataclass(frozen=True)
class Verdict:
    """What was said of one flagged row.

    Attributes
    ----------
    key
        What names the row, as text.
    normal
        Whether it is normal; otherwise it is an anomaly.
    score
        Its score before the review.
    columns
        Positions of the columns that the verdict is about.
    values
        What the encoded columns of these held.
    reach
        How far a row's may lie from each of them.
    most
        The highest score that is excused.
    what
        The values in words.
    notes
        What else was said.

    Examples
    --------
    >>> import polars as pl
    >>> from advae.detector.review import review
    >>> import numpy as np
    >>> import advae
    >>> normal = np.random.default_rng(0).normal(size=(300, 2))
    >>> detector = advae.fit_detector(normal, advae.Config(iterations=50))
    >>> row = pl.DataFrame({"column_0": [0.0], "column_1": [4.0]})
    >>> reviewed = review(detector, row, np.array([True]), keys=["order 7"])
    >>> (verdict,) = reviewed.detector.reviews[-1].verdicts
    >>> verdict.normal, verdict.columns, verdict.what
    (True, (1,), '“column_1” 4')
    """

    key: str
    normal: bool
    score: float
    columns: tuple[int, ...]
    values: tuple[float, ...]
    reach: tuple[float, ...]
    most: float
    what: str
    notes: str

    def like(
        self, table: TableEncoder, encoded: Float[np.ndarray, "rows columns"]
    ) -> Bool[np.ndarray, "rows"]:
        """Return which encoded rows are like the row of the verdict."""
        places = [place for column in self.columns for place in table.places[column]]
        apart = np.abs(encoded[:, places].astype(np.float64) - np.array(self.values))
        return np.asarray((apart <= np.array(self.reach)).all(axis=1))


@dataclass(frozen=True)
class Review:
    """The verdicts that a model was given at a time.

    Attributes
    ----------
    made
        When, in UTC, as ISO 8601 text.
    radius
        How like an excused row others must be, see `advae.detector.review.review`.
    verdicts
        Of the rows that were flagged.
    joined
        Scores that joined the calibration; they are there, too.
    doubts
        What was strange about the verdicts.

    Examples
    --------
    >>> import polars as pl
    >>> from advae.detector.review import review
    >>> import numpy as np
    >>> import advae
    >>> normal = np.random.default_rng(0).normal(size=(300, 2))
    >>> detector = advae.fit_detector(normal, advae.Config(iterations=50))
    >>> row = pl.DataFrame({"column_0": [0.0], "column_1": [4.0]})
    >>> reviewed = review(detector, row, np.array([True]), keys=["order 7"])
    >>> latest = reviewed.detector.reviews[-1]
    >>> latest.radius, [verdict.key for verdict in latest.verdicts]
    (0.1, ['order 7'])
    """

    made: str
    radius: float
    verdicts: tuple[Verdict, ...]
    joined: tuple[float, ...]
    doubts: tuple[str, ...]

    @property
    def told(self) -> str:
        """How many alarms were called what, in words."""
        normal = sum(verdict.normal for verdict in self.verdicts)
        return f"{count(normal, 'alarm')} called normal, {len(self.verdicts) - normal:,} anomalous"

    def check(self, table: TableEncoder) -> None:
        """Refuse verdicts that cannot be of this table.

        Raises
        ------
        InputError
            If there is one.
        """
        for verdict in self.verdicts:
            known = all(0 <= column < len(table.features) for column in verdict.columns)
            size = sum(len(table.places[column]) for column in verdict.columns) if known else -1
            if not (len(verdict.values) == len(verdict.reach) == size):
                raise InputError("a stored verdict is not of this table")


def excused(
    detector: "Detector",
    reviews: Sequence[Review],
    encoded: Float[np.ndarray, "rows columns"],
    scores: Float[np.ndarray, "rows"],
) -> Bool[np.ndarray, "rows"]:
    """Return which rows the verdicts of some reviews excuse from alarming.

    Parameters
    ----------
    detector
        What scored the rows, without reviews.
    reviews
        The reviews.
    encoded
        Rows, without dates unless these are judged, shape (rows, width).
    scores
        Of these rows, shape (rows,).
    """
    from advae.detector.counterfactual import replaced  # which needs the detector

    table, threshold = detector.table, detector.threshold.value
    found = np.zeros(len(scores), bool)
    verdicts = [verdict for review in reviews for verdict in review.verdicts]
    rows = np.flatnonzero(scores > threshold)
    for verdict in verdicts:
        if not verdict.normal and len(rows):
            rows = rows[~verdict.like(table, encoded[rows])]
    normal = sorted((each for each in verdicts if each.normal), key=lambda each: each.columns)
    for columns, alike in groupby(normal, lambda each: each.columns):
        near = [each.like(table, encoded[rows]) & (scores[rows] <= each.most) for each in alike]
        candidates = rows[np.any(near, axis=0)] if len(rows) else rows
        if not len(candidates):
            continue
        if len(columns) < len(table.features):
            changed = np.zeros((len(candidates), len(table.features)), bool)
            changed[:, list(columns)] = True
            without = replaced(detector, encoded[candidates], changed)
            candidates = candidates[detector.anomaly_score_encoded(without) <= threshold]
        found[candidates] = True
        rows = rows[~found[rows]]
    return found
