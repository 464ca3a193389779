"""A fitted detector of anomalous rows: table encoder, a method's scorer, and threshold."""

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
import polars as pl
from jaxtyping import Float

from advae.config import Config
from advae.core.arrays import HostMatrix
from advae.core.method import Method, Tree
from advae.core.scoring import anomaly_scores, score_rows
from advae.core.threshold import p_values
from advae.detector.explanation import Explanation
from advae.detector.groups import Grouper, Groups
from advae.detector.record import Threshold, TrainingSummary
from advae.detector.verdicts import Review, excused
from advae.display.card import card
from advae.errors import InputError
from advae.files.options import ReadOptions
from advae.methods import method_of
from advae.tables.encoder import TableEncoder
from advae.tables.frames import (
    as_frame,
    each_table,
    index_of,
    kept_columns,
    named_scores,
    with_index,
)
from advae.tables.values import check_columns

if TYPE_CHECKING:
    from advae.detector.counterfactual import Remedies

Watch: TypeAlias = Callable[[pl.DataFrame, HostMatrix, Float[np.ndarray, "rows"], int], None]
"""Takes note of rows that are scored: their frame, encoded, their scores, the first's position."""


class EncodedScores(NamedTuple):
    """Scores of encoded rows, column by column.

    ``score``: shape (rows,), at least 0. ``contributions``: what each encoded column adds, shape
    (rows, width). ``expected``: what the model expects of the row, shape (rows, width).
    ``by_kind``: the contributions by kind of surprise, shape (rows, width, kinds); or None.
    """

    score: Float[np.ndarray, "rows"]
    contributions: Float[np.ndarray, "rows width"]
    expected: HostMatrix
    by_kind: Float[np.ndarray, "rows width kinds"] | None


UNJUDGED = 0.5
"""What stands in all rows where a column is not judged: the middle of the training period."""


def unjudged(table: TableEncoder, config: Config) -> list[int]:
    """Return where the encoded columns are that tell when a row came, unless they are asked for."""
    return [] if config.time == "trend" else list(table.calendar)


def judged(encoded: HostMatrix, table: TableEncoder, config: Config) -> HostMatrix:
    """Return encoded rows as they are learned and scored: without dates, unless asked for.

    NOTE[DIFF]: new rows lie after the training period by nature. Were their dates judged, they
    would use up the promised share of alarms. So all dates are the middle of the period, while
    the time of day, the weekday and the day of the year have columns of their own. A number that
    the training rows are in the order of (a month, a running number) is such a date.
    """
    places = unjudged(table, config)
    if not places:
        return encoded
    encoded = encoded.copy()
    encoded[:, places] = UNJUDGED
    return encoded


@dataclass(frozen=True, eq=False, repr=False)
class Detector:
    """A model of normal rows that scores, flags and explains new ones.

    Made by ``fit_detector`` or ``load``. What it says of a pandas frame comes in pandas, with the
    index of that frame. Scores are at least 0, higher = more anomalous: in nats,
    see `advae.methods.advae.surprise`, or as the paper's in squared units of the training ranges.
    They depend on the row and the model alone.

    Parameters
    ----------
    config
        The settings it was fitted with.
    table
        Turns the user's columns into encoded ones and back.
    scorer
        All that its method computes scores from, see ``Method.learn``. That of adVAE has
        ``model``, the networks, whose arrays lead with a member axis; ``latent_noise``, shared by
        all rows, shape (points, latent); ``reference``, what is known of the training rows.
    training_scores
        Scores of the training rows (a sample of them in a large table), ascending.
    calibration_scores
        Scores of normal rows by networks that never saw them, ascending; may be empty.
    threshold
        The threshold in use.
    summary
        What is worth keeping of the training.
    ignored
        Columns of the training table that were not learned; new rows may have them too.
    earlier_thresholds
        The thresholds that were in use before, the oldest first.
    reviews
        What people said of flagged rows, the oldest review first. A row that they excuse scores
        no more than the threshold.
    reading
        What the user said of how files are written, for those of new rows.

    Examples
    --------
    >>> import numpy as np
    >>> import advae
    >>> normal = np.random.default_rng(0).normal(size=(300, 2))
    >>> detector = advae.fit_detector(normal, advae.Config(iterations=50))
    >>> new = np.array([[0.1, -0.2], [0.0, 9.0]])
    >>> detector.is_anomaly(new)
    array([False,  True])
    >>> scores = detector.anomaly_score(new)
    >>> bool(scores[0] < detector.threshold.value < scores[1])
    True
    >>> detector.p_value(new)[1] == 1 / 60  # above all 59 rows that were held out
    np.True_
    """

    config: Config
    table: TableEncoder
    scorer: Tree
    training_scores: Float[np.ndarray, "training_rows"]
    calibration_scores: Float[np.ndarray, "calibration_rows"]
    threshold: Threshold
    summary: TrainingSummary
    ignored: tuple[str, ...] = ()
    earlier_thresholds: tuple[Threshold, ...] = ()
    reviews: tuple[Review, ...] = ()
    reading: ReadOptions = field(default_factory=ReadOptions)

    @cached_property
    def method(self) -> Method:
        """What scores encoded rows."""
        return method_of(self.config, self.table.network_width)

    @cached_property
    def prepared(self) -> Tree:
        """The scorer as `Method.score` is given it."""
        return self.method.prepared(self.scorer)

    @cached_property
    def dated(self) -> frozenset[str]:
        """The columns that tell when a row came and are not judged by it: dates, running numbers.

        New rows lie beyond their training range by nature.
        """
        places = set(unjudged(self.table, self.config))
        features = zip(self.table.features, self.table.places, strict=True)
        return frozenset(feature.name for feature, own in features if places & set(own))

    def check_columns(self, names: Collection[str], where: str) -> None:
        """Refuse a table or file, called ``where``, whose columns lack some that were learned.

        Raises
        ------
        InputError
            Names them, and what they may be called; that is none of `ignored`.
        """
        check_columns(self.table.feature_names, names, where, self.ignored)

    def _frame(self, data: Any) -> pl.DataFrame:
        frame = as_frame(data)
        self.check_columns(frame.columns, "the table")
        return frame

    @cached_property
    def unreviewed(self) -> "Detector":
        """The same detector without its reviews."""
        return replace(self, reviews=())

    @property
    def reference_scores(self) -> Float[np.ndarray, "reference_rows"]:
        """The normal scores that p-values compare with: calibration rows where there are any."""
        return self.calibration_scores if len(self.calibration_scores) else self.training_scores

    @property
    def facts(self) -> dict[str, str]:
        """What the detector is, in words: name and value."""
        summary, config, columns = self.summary, self.config, self.table.network_width
        held_out = f", {summary.calibration_rows:,} held out" if summary.calibration_rows else ""
        in_folds = f", in {summary.folds} folds" if summary.folds else ""
        kept_rows = self.method.kept_rows(self.scorer)
        kept = f", {kept_rows:,} kept to compare with" if kept_rows else ""
        members = f", {config.members} members" if config.members > 1 else ""
        return {
            "rows": f"{summary.rows:,} learned from{held_out}{in_folds}{kept}",
            "columns": f"{len(self.table.features)}, encoded as {columns} "
            f"number{'s' * (columns != 1)}",
            "networks": self.method.summary(config) + members,
            "training": f"{int(summary.history['iteration'][-1]):,} iterations, seed {config.seed}",
            "made with": ", ".join(f"{name} {number}" for name, number in summary.versions.items()),
        }

    def with_threshold(self, threshold: Threshold) -> "Detector":
        """Return the same detector with another threshold, the present one kept as history.

        Raises
        ------
        InputError
            If it is no `Threshold`, or its value not a number, or below 0, where no score is.

        Examples
        --------
        >>> import numpy as np
        >>> import advae
        >>> normal = np.random.default_rng(0).normal(size=(300, 2))
        >>> detector = advae.fit_detector(normal, advae.Config(iterations=50))
        >>> stricter = detector.with_threshold(advae.Threshold("given", None, 5.0))
        >>> stricter.threshold.value
        5.0
        >>> [earlier.method for earlier in stricter.earlier_thresholds]
        ['conformal']
        """
        if not isinstance(threshold, Threshold):
            raise InputError(
                f"the threshold is of type {type(threshold).__name__}; expected a Threshold, such "
                'as Threshold("given", None, 5.0)'
            )
        if not (math.isfinite(threshold.value) and threshold.value >= 0):
            raise InputError(f"threshold is {threshold.value}; expected a finite score, at least 0")
        threshold = replace(threshold, value=float(threshold.value))  # NumPy's numbers, too
        earlier = (*self.earlier_thresholds, self.threshold)
        return replace(self, threshold=threshold, earlier_thresholds=earlier)

    def __repr__(self) -> str:
        facts = self.facts | {"threshold": self._threshold_in_words}
        return "\n".join(["Detector", *(f"  {name:9}  {said}" for name, said in facts.items())])

    @property
    def _threshold_in_words(self) -> str:
        return f"{self.threshold.value:.4g} ({self.threshold.method}): {self.threshold.why}"

    def _repr_html_(self) -> str:
        groups = {
            "training rows": self.training_scores,
            "calibration rows": self.calibration_scores,
        }
        facts = self.facts | {"threshold": self._threshold_in_words}
        return card("advae Detector", facts, groups, self.threshold.value, self.summary.notes)

    def anomaly_score(self, data: Any) -> Any:
        """Return the score of each row, float64, shape (rows,), at least 0; equation (12).

        Parameters
        ----------
        data
            A table with the training columns, in any order; see `advae.tables.frames.as_frame`.

        Returns
        -------
            An array; of a pandas frame a series with its index.

        Raises
        ------
        InputError
            For a missing column or a value that cannot be read.
        """
        return named_scores("anomaly_score", self._scores(data), index_of(data))

    def is_anomaly(self, data: Any) -> Any:
        """Return whether each row's score is strictly above the threshold, shape (rows,)."""
        flags = self._scores(data) > self.threshold.value
        return named_scores("is_anomaly", flags, index_of(data))

    def p_value(self, data: Any) -> Any:
        """Return for each row the share of normal rows that score at least as high, in (0, 1]."""
        values = p_values(self.reference_scores, self._scores(data))
        return named_scores("p_value", values, index_of(data))

    def _scores(self, data: Any) -> Float[np.ndarray, "rows"]:
        parts = self.table.transform_parts(self._frame(data))
        return np.concatenate([self.anomaly_score_encoded(encoded) for _, encoded in parts])

    def explain(self, data: Any) -> Explanation:
        """Return what each original column adds to each row's score, and the value expected.

        Raises
        ------
        InputError
            For a missing column or a value that cannot be read.

        Examples
        --------
        >>> import numpy as np
        >>> import advae
        >>> normal = np.random.default_rng(0).normal(size=(300, 2))
        >>> detector = advae.fit_detector(normal, advae.Config(iterations=50))
        >>> explanation = detector.explain({"column_0": [0.0], "column_1": [9.0]})
        >>> explanation.top(1)["reason_1"].item()
        'column_1'
        """
        frame = self._frame(data)
        return self._explain(self.table.transform(frame), frame, index_of(data))

    def groups(self, data: Any) -> Groups:
        """Return the flagged rows of a table in groups, by what drives their scores.

        Parameters
        ----------
        data
            A table with the training columns, in any order, or its batches; see
            `advae.tables.frames.as_batches`.

        Raises
        ------
        InputError
            For a missing column or a value that cannot be read.

        Examples
        --------
        >>> import numpy as np
        >>> import advae
        >>> normal = np.random.default_rng(0).normal(size=(300, 2))
        >>> detector = advae.fit_detector(normal, advae.Config(iterations=50))
        >>> detector.groups(np.tile([[0.0, 9.0]], (5, 1))).groups[0].story
        '“column_1” higher (9)'
        """
        grouper = Grouper(self)
        for _ in self.score_batches(data, watch=grouper.update):
            pass
        return grouper.found()

    def score_batches(
        self,
        batches: Any,
        *,
        keep: Sequence[str] = (),
        explain: int = 0,
        watch: Watch | None = None,
    ) -> Iterator[Any]:
        """Score a table batch by batch.

        Parameters
        ----------
        batches
            The training columns, in any order; see `advae.tables.frames.as_batches`.
        keep
            Columns to carry along.
        explain
            How many of the columns that contributed most to name, with their contribution, the
            observed and the expected value; 0 names none.
        watch
            Called with some rows at a time: the frame of them, the same encoded, their scores, and
            the position of the first; such as `Grouper.update`.

        Yields
        ------
        polars.DataFrame or pandas.DataFrame
            Of a pandas frame with its index. ``row`` from 0, kept columns, ``anomaly_score``,
            ``is_anomaly``, ``p_value``. With reasons, ``not_flagged_with``: the values with which a
            flagged row would not be flagged, null where three columns are not enough, see
            `advae.detector.counterfactual`; and for each k ``reason_k``, ``reason_k_contribution``,
            ``reason_k_observed``, ``reason_k_expected``, and ``reason_k_kind`` where the score has
            kinds, see `Explanation.top`.

        Raises
        ------
        InputError
            For a missing or clashing column, or a value that cannot be read.

        Examples
        --------
        >>> import numpy as np
        >>> import advae
        >>> normal = np.random.default_rng(0).normal(size=(300, 2))
        >>> detector = advae.fit_detector(normal, advae.Config(iterations=50))
        >>> batches = (normal[first : first + 100] for first in range(0, 300, 100))
        >>> scored = list(detector.score_batches(batches, explain=1))
        >>> [frame.height for frame in scored]
        [100, 100, 100]
        >>> scored[1]["row"][0]
        100
        >>> scored[0].columns[:6]
        ['row', 'anomaly_score', 'is_anomaly', 'p_value', 'not_flagged_with', 'reason_1']
        """
        if explain < 0:
            raise InputError(f"explain is {explain}; expected a number of columns, 0 for none")
        from advae.detector.counterfactual import Remedies  # which needs the detector

        remedies = Remedies(self)
        first = 0
        for table in each_table(batches):
            frame = self._frame(table)
            scores, reasons = self._with_reasons(frame, first, explain, remedies, watch)
            scored = pl.DataFrame(
                {
                    "anomaly_score": scores,
                    "is_anomaly": scores > self.threshold.value,
                    "p_value": p_values(self.reference_scores, scores),
                }
            )
            kept = kept_columns(frame, keep, ("row", *scored.columns, *reasons.columns))
            row = pl.Series("row", first + np.arange(frame.height))
            found = pl.DataFrame({each.name: each for each in (row, *kept, *scored, *reasons)})
            yield with_index(found, index_of(table))
            first += frame.height

    def _with_reasons(
        self,
        frame: pl.DataFrame,
        first_row: int,
        count: int,
        remedies: "Remedies",
        watch: Watch | None,
    ) -> tuple[Float[np.ndarray, "rows"], pl.DataFrame]:
        """Return scores of rows, and columns on their reasons; no columns for a count of 0."""
        scores, reasons = [], [pl.DataFrame()]
        for part, encoded in self.table.transform_parts(frame, first_row=first_row):
            if count:
                explanation = self._explain(encoded, part)
                scores.append(explanation.score)
                cleared = remedies.of(encoded, explanation.score)
                reasons.append(explanation.top(count).insert_column(0, cleared))
            else:
                scores.append(self.anomaly_score_encoded(encoded))
            if watch is not None:
                watch(part, encoded, scores[-1], first_row)
            first_row += part.height
        return np.concatenate(scores), pl.concat(reasons[1:] or reasons)

    def score_encoded(self, encoded: HostMatrix) -> EncodedScores:
        """Score rows that ``table.transform`` encoded, float32, shape (rows, width)."""
        varied, fixed = self._parted(encoded)
        scored = score_rows(self.method, self.scorer, varied, known=self.prepared)
        contributions = np.concatenate([scored.contributions.astype(np.float64), fixed], axis=1)
        expected = np.concatenate([scored.expected, np.zeros_like(fixed, np.float32)], axis=1)
        places = unjudged(self.table, self.config)
        expected[:, places] = encoded[:, places]  # the same day, moved to what is expected of it
        by_kind = self._of_unseen(encoded, scored.by_kind)
        score = scored.score + fixed.sum(axis=1)  # in float64, as its parts
        heeded = self._heeded(encoded, score)
        if heeded is score:
            return EncodedScores(score, contributions, expected, by_kind)
        parts = (heeded / np.maximum(score, 1e-300))[:, None]
        by_kind = None if by_kind is None else by_kind * parts[..., None]
        return EncodedScores(heeded, contributions * parts, expected, by_kind)

    def _of_unseen(
        self, encoded: HostMatrix, by_kind: Float[np.ndarray, "rows width kinds"] | None
    ) -> Float[np.ndarray, "rows width kinds"] | None:
        """Return contributions by kind where all of an unseen category's are of one kind.

        It is also far from all rows, and improbable beside any others: both follow.
        """
        if by_kind is None:
            return None
        kind = self.method.unseen_kind
        for feature, places in zip(self.table.features, self.table.places, strict=True):
            found = feature.unseen(encoded[:, list(places)])
            for place in places if found.any() else ():
                whole = by_kind[found, place].sum(axis=1)
                by_kind[found, place] = 0.0
                by_kind[found, place, kind] = whole
        return by_kind

    def anomaly_score_encoded(
        self, encoded: HostMatrix, units: Float[np.ndarray, "rows varied"] | None = None
    ) -> Float[np.ndarray, "rows"]:
        """Return the scores of `score_encoded` alone, which is faster.

        ``units`` are those of the columns in each row that the method is given, see
        `advae.core.scoring.score_rows`.
        """
        varied, fixed = self._parted(encoded)
        scores = anomaly_scores(self.method, self.scorer, varied, units, self.prepared)
        return self._heeded(encoded, np.asarray(scores + fixed.sum(axis=1)))

    def _heeded(
        self, encoded: HostMatrix, scores: Float[np.ndarray, "rows"]
    ) -> Float[np.ndarray, "rows"]:
        """Return scores that heed the reviews: excused rows have no more than the threshold."""
        if not self.reviews:
            return scores
        rows = judged(encoded, self.table, self.config)
        free = excused(self.unreviewed, self.reviews, rows, scores)
        return np.where(free, self.threshold.value, scores)

    def _parted(
        self, encoded: HostMatrix
    ) -> tuple[Float[np.ndarray, "rows varied"], Float[np.ndarray, "rows fixed"]]:
        """Return what the networks see of encoded rows, and what the other columns contribute.

        NOTE[DIFF]: columns that never varied in training are 0 for a row like training's and 1
        otherwise. They bypass the networks, which could learn nothing of them, and add their
        square: on rows like training's the score is the paper's. A method that is given the whole
        row accounts for them itself.
        """
        encoded = judged(encoded, self.table, self.config)
        varied = self.table.width if self.method.whole else self.table.network_width
        return encoded[:, :varied], np.square(encoded[:, varied:], dtype=np.float64)

    def _explain(self, encoded: HostMatrix, frame: pl.DataFrame, index: Any = None) -> Explanation:
        return self.explained(self.score_encoded(encoded), frame, index)

    def explained(
        self, scored: EncodedScores, frame: pl.DataFrame, index: Any = None
    ) -> Explanation:
        """Return the explanation of rows whose encoded ones are scored."""
        contributions = self.table.group(scored.contributions)
        decoded = self.table.decode(scored.expected)
        columns = zip(self.table.features, decoded, strict=True)
        expected = pl.DataFrame({each.name: each.rounded(values) for each, values in columns})
        observed = frame[expected.columns]
        kinds = self.kinds_of(scored)
        return Explanation(scored.score, contributions, expected, observed, kinds, index)

    def kinds_of(self, scored: EncodedScores) -> np.ndarray | None:
        """Return `Explanation.kinds` of encoded rows."""
        if scored.by_kind is None:
            return None
        kinds = range(scored.by_kind.shape[2])
        grouped = np.stack([self.table.group(scored.by_kind[..., kind]) for kind in kinds])
        found: np.ndarray = np.array(self.method.kinds, object)[grouped.argmax(axis=0)]
        return found
