"""Verdicts on rows become part of a model: some are excused, the threshold is learned anew."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from jaxtyping import Bool, Int

from advae.core.arrays import HostMatrix
from advae.core.threshold import conformal_rows_needed
from advae.detector.calibration import UNLIKELY, learned_threshold, with_reviewed
from advae.detector.counterfactual import counterfactuals
from advae.detector.detector import Detector, judged
from advae.detector.record import Threshold
from advae.detector.verdicts import Review, Verdict
from advae.display.text import count, listed, quote, share, shorten
from advae.errors import ColumnError, InputError, quoted, quoted_list
from advae.tables.frames import as_frame, joined
from advae.tables.labels import parse_labels
from advae.tables.values import (
    NAME_ANOTHER,
    bad_cell,
    check_columns,
    shown_values,
    to_texts,
    to_truths,
)

RADIUS = 0.1
"""How like an excused row others must be, if not given."""

MOST_COLUMNS = 6
"""Columns that a verdict is about at most; where more are odd, about the whole row."""

CALM = 0.5
"""A verdict is about the columns without which the row would score no more than this share of
normal rows."""

FEW = 20
"""Verdicts below which nothing is said of the threshold."""

NAMED = 5
"""Rows that a sentence names."""


class Matched(NamedTuple):
    """Rows that there are verdicts on, as `review` takes them."""

    rows: pl.DataFrame
    normal: Bool[np.ndarray, "rows"]
    keys: list[str]
    notes: list[str]


def read_verdicts(verdicts: pl.DataFrame, key: str) -> pl.DataFrame:
    """Return verdicts as ``key``, ``anomalous`` and ``notes``, each of them once.

    Parameters
    ----------
    verdicts
        The key, and ``verdict``, a label as `advae.tables.labels.parse_labels` reads it; other
        columns are notes.
    key
        Column that names a row.

    Raises
    ------
    InputError
        For a missing column or key, another verdict, or two different ones on a row.
    """
    check_columns([key], verdicts.columns, "the table of verdicts", advice=NAME_ANOTHER)
    check_columns(["verdict"], verdicts.columns, "the table of verdicts")
    names = to_texts(verdicts[key]).alias("key")
    if names.null_count():
        raise ColumnError(quoted(key), int(names.is_null().arg_max() or 0), "has no key. Add it.")
    anomalous = parse_labels(verdicts["verdict"], wanted="a verdict, which is normal or anomaly")
    told = pl.DataFrame([names, pl.Series("anomalous", anomalous), _notes(verdicts, key)]).unique(
        ["key", "anomalous"], keep="first", maintain_order=True
    )
    twice = told.filter(told["key"].is_duplicated())["key"].unique(maintain_order=True)
    if len(twice):
        raise InputError(
            f"contradicting verdicts on {quoted_list(twice.to_list())}: both normal and anomalous. "
            "Give one for each row."
        )
    return told


def matched(batches: Iterable[pl.DataFrame], told: pl.DataFrame, key: str) -> Matched:
    """Find the rows that verdicts are about.

    Parameters
    ----------
    batches
        All rows, with the key.
    told
        What `read_verdicts` returns.
    key
        Column of the rows that names them.

    Raises
    ------
    InputError
        For a missing column, or a key that names no row or several.
    """
    found, found_keys = [], [pl.Series("key", [], pl.String)]
    for batch in batches:
        check_columns([key], batch.columns, "the table of rows", advice=NAME_ANOTHER)
        texts = to_texts(batch[key]).alias("key")
        chosen = texts.is_in(told["key"].implode())
        found.append(batch.filter(chosen))
        found_keys.append(texts.filter(chosen))
    keys = pl.concat(found_keys)
    lacking = told.filter(~told["key"].is_in(keys.implode()))["key"].to_list()
    if lacking:
        raise InputError(f"no row has the key {quoted_list(lacking)} of a verdict. Give its row.")
    several = keys.filter(keys.is_duplicated()).unique(maintain_order=True).to_list()
    if several:
        raise InputError(f"several rows have the key {quoted_list(several)}. Give a unique key.")
    of_row = keys.to_frame().join(told, "key", maintain_order="left")
    normal = ~of_row["anomalous"].to_numpy()
    return Matched(joined(found), normal, keys.to_list(), of_row["notes"].to_list())


def _notes(verdicts: pl.DataFrame, key: str) -> pl.Series:
    """Return what else stands in a table of verdicts, as one text for each row."""
    others = [name for name in verdicts.columns if name not in (key, "verdict")]
    texts = [to_texts(verdicts[name]).to_list() for name in others]
    said = [
        "; ".join(
            f"{name}: {text}" for name, text in zip(others, row, strict=True) if text is not None
        )
        for row in zip(*texts, strict=True)
    ]
    return pl.Series("notes", said or [""] * verdicts.height, pl.String)


@dataclass(frozen=True)
class Reviewed:
    """A detector after a review, and what came of the verdicts.

    Attributes
    ----------
    detector
        With the review as the last of its ``reviews``.
    normal, anomalies
        How many verdicts there were.
    excused
        Rows excused, and why they had alarmed: key and values in words.
    refused
        Flagged rows called normal that could not be excused, and why not.

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
    >>> reviewed.normal, reviewed.anomalies, reviewed.refused
    (1, 0, ())
    """

    detector: Detector
    normal: int
    anomalies: int
    excused: tuple[tuple[str, str], ...]
    refused: tuple[tuple[str, str], ...]

    @property
    def doubts(self) -> tuple[str, ...]:
        """What was strange about the verdicts."""
        return self.detector.reviews[-1].doubts


def review(
    detector: Detector,
    rows: Any,
    normal: Any,
    *,
    keys: Sequence[str] | None = None,
    notes: Sequence[str] | None = None,
    radius: float = RADIUS,
    made: datetime | None = None,
) -> Reviewed:
    """Give a model verdicts on rows.

    Parameters
    ----------
    detector
        The model.
    rows
        The rows, at least one, with the columns of training; see `advae.tables.frames.as_frame`.
    normal
        Whether each is normal, or else an anomaly: an array, a series or a list of True and False,
        or of 1 and 0, shape (rows,).
    keys, notes
        What names each row, its number if not given, and what else was said of it; kept.
    radius
        Above 0. A value may lie so far from an excused one, in units of the width that nine tenths
        of training's values span or of its distance from their median, whichever is greater.
        Categories, true and false, and missing values must be the same.
    made
        When; now if None.

    Raises
    ------
    InputError
        For a missing column, a value that cannot be read, no rows, not one verdict, key or note
        for each row, or another radius.

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
    >>> reviewed.excused
    (('order 7', '“column_1” 4'),)
    >>> detector.is_anomaly(row), reviewed.detector.is_anomaly(row)
    (array([ True]), array([False]))
    """
    rows = as_frame(rows)
    if not rows.height:
        raise InputError("there is no verdict. Give at least one.")
    if not 0 < radius < np.inf:
        raise InputError(f"the radius is {radius}; expected a number above 0")
    keys = [str(row) for row in range(rows.height)] if keys is None else list(map(str, keys))
    notes = [""] * rows.height if notes is None else list(map(str, notes))
    said = as_frame({"normal": normal})["normal"]
    for name, given in (("normal", said), ("keys", keys), ("notes", notes)):
        if len(given) != rows.height:
            raise InputError(
                f"{name} holds {count(len(given), 'value')} for {count(rows.height, 'row')}. Give "
                "one for each row."
            )
    truths = to_truths(said)
    if np.isnan(truths).any():
        raise bad_cell(said, np.isnan(truths), 0, "true or false (or 1 or 0)")
    normal = truths == 1
    encoded = detector.table.transform(rows)
    # As if nobody had said anything: a verdict can take back what an earlier one excused.
    unreviewed = detector.unreviewed
    scores = unreviewed.anomaly_score_encoded(encoded)
    flagged = np.flatnonzero(scores > detector.threshold.value)
    told: list[Verdict] = []
    told_rows: list[int] = []
    refused: list[tuple[str, str]] = []
    # Not until it is just not flagged: a single column would often do, of a row like many.
    calm = Threshold("given", None, float(np.quantile(detector.reference_scores, CALM)))
    found = counterfactuals(unreviewed.with_threshold(calm), encoded[flagged], MOST_COLUMNS)
    features = range(len(detector.table.features))
    for row, each in zip(flagged.tolist(), found, strict=True):
        columns = tuple(sorted(each.columns)) if each.normal else tuple(features)
        unseen = _unseen(detector, columns, encoded[row : row + 1])
        if normal[row] and unseen:
            refused.append((keys[row], f"training never had its value of {listed(unseen)}"))
            continue
        about = _About(detector, columns, rows[row], encoded[row : row + 1], radius)
        told.append(
            Verdict(
                key=shorten(keys[row]),
                normal=bool(normal[row]),
                score=float(scores[row]),
                columns=columns,
                values=about.values,
                reach=about.reach,
                most=float(scores[row]) * (1 + radius),
                what=about.what,
                notes=shorten(notes[row]),
            )
        )
        told_rows.append(row)
    against = _contradictions(detector, told, encoded[told_rows])
    contradicting = [each.key for each, odd in zip(told, against, strict=True) if odd]
    refused += [
        (each.key, f"it is like {quote(odd.key)}, called an anomaly for {odd.what}")
        for each, odd in zip(told, against, strict=True)
        if odd
    ]
    heeded = detector.anomaly_score_encoded(encoded)
    calibrating, doubts = _calibration(detector, heeded, normal, flagged)
    if contradicting:
        doubts.append(
            f"verdicts contradict each other: {listed(contradicting, NAMED)} "
            f"{'is' if len(contradicting) == 1 else 'are'} called normal, and like rows that are "
            "called anomalies; they keep alarming"
        )
    silent = heeded[told_rows] <= detector.threshold.value
    ended = [each.key for each, was in zip(told, silent, strict=True) if was and not each.normal]
    if ended:
        doubts.append(
            f"excused by an earlier review, and called anomalous now: {listed(ended, NAMED)}; rows "
            "like these alarm again"
        )
    unflagged = int((~normal).sum()) - sum(not each.normal for each in told)
    if unflagged:
        doubts.append(
            f"{count(unflagged, 'row')} called anomalous did not alarm, and rows like them will "
            "not: a lower threshold would find them"
        )
    when = (made or datetime.now(UTC)).astimezone(UTC).isoformat(timespec="seconds")
    latest = Review(when, radius, tuple(told), tuple(calibrating), tuple(doubts))
    after = replace(detector, reviews=(*detector.reviews, latest))
    if calibrating:
        after = _recalibrated(with_reviewed(after, np.array(calibrating)), detector)
    return Reviewed(
        after,
        int(normal.sum()),
        int((~normal).sum()),
        # Not by their keys: shortened, two can be the same.
        tuple(
            (each.key, each.what)
            for each, odd in zip(told, against, strict=True)
            if each.normal and odd is None
        ),
        tuple(refused),
    )


def undone(detector: Detector) -> Detector:
    """Return the detector as it was before its last review.

    A threshold that was set after the review stays as it was asked for: a given one, or one of that
    alpha, learned without the review's scores.

    Raises
    ------
    InputError
        If there was none.
    ConfigError
        If without the review's scores there are too few for the alpha in use.

    Examples
    --------
    >>> import polars as pl
    >>> from advae.detector.review import review, undone
    >>> import numpy as np
    >>> import advae
    >>> normal = np.random.default_rng(0).normal(size=(300, 2))
    >>> detector = advae.fit_detector(normal, advae.Config(iterations=50))
    >>> row = pl.DataFrame({"column_0": [0.0], "column_1": [4.0]})
    >>> reviewed = review(detector, row, np.array([True]), keys=["order 7"])
    >>> undone(reviewed.detector).is_anomaly(row)
    array([ True])
    """
    if not detector.reviews:
        raise InputError("this model was never reviewed, so there is nothing to undo.")
    latest = detector.reviews[-1]
    before = replace(detector, reviews=detector.reviews[:-1])
    if latest.joined:
        scores = detector.calibration_scores.tolist()
        for score in latest.joined:
            scores.remove(score)
        before = _recalibrated(replace(before, calibration_scores=np.array(scores)), detector)
    return before


def _recalibrated(changed: Detector, detector: Detector) -> Detector:
    """Learn the threshold anew in a detector whose calibration scores have changed.

    A given one stays. So does one of the density of training rows, which do not change: where
    ``detector``, as it was, has calibration rows, a person chose it.
    """
    alpha = detector.threshold.alpha
    if alpha is None:
        return changed
    of_training = learned_threshold(detector, alpha, "kde").why
    if len(detector.calibration_scores) and detector.threshold.why == of_training:
        return changed
    return changed.with_threshold(learned_threshold(changed, alpha))


def _unseen(detector: Detector, columns: Sequence[int], encoded: HostMatrix) -> list[str]:
    """Return the columns whose values a model cannot tell from others that it never saw."""
    table = detector.table
    return [
        table.features[number].name
        for number in columns
        if table.features[number].unseen(encoded[:, list(table.places[number])])[0]
    ]


class _About:
    """What a verdict is about: the values of some columns, how far others may lie, and words."""

    def __init__(
        self,
        detector: Detector,
        columns: Sequence[int],
        row: pl.DataFrame,
        encoded: HostMatrix,
        radius: float,
    ) -> None:
        table = detector.table
        there = judged(encoded, table, detector.config)[0]
        parts = [there[list(table.places[number])] for number in columns]
        # Where all is as it was, float32 may round.
        reach = [
            radius * table.features[number].breadth(part) + 1e-6
            for number, part in zip(columns, parts, strict=True)
        ]
        self.values = tuple(np.concatenate(parts).astype(float).tolist())
        self.reach = tuple(np.concatenate(reach).astype(float).tolist())
        names = [table.features[number].name for number in columns]
        words = [
            f"{quote(name)} {'missing' if text is None else shorten(text, 40)}"
            for name, text in zip(names, shown_values(row[names])[0], strict=True)
        ]
        self.what = ", ".join(words[:MOST_COLUMNS])
        others = len(words) - MOST_COLUMNS
        if others > 0:
            self.what += f" and {count(others, 'other column')}"


def _contradictions(
    detector: Detector, told: Sequence[Verdict], encoded: HostMatrix
) -> list[Verdict | None]:
    """Return for each verdict that calls a row normal one that calls a row like it an anomaly.

    None where there is no such verdict. ``encoded`` are the rows of the verdicts told now.
    """
    anomalies = [each for past in detector.reviews for each in past.verdicts if not each.normal]
    anomalies += [each for each in told if not each.normal]
    rows = judged(encoded, detector.table, detector.config)
    found: list[Verdict | None] = [None] * len(told)
    for anomaly in anomalies:
        for row in np.flatnonzero(anomaly.like(detector.table, rows)).tolist():
            if told[row].normal:
                found[row] = anomaly
    return found


def _calibration(
    detector: Detector,
    scores: np.ndarray,
    normal: Bool[np.ndarray, "rows"],
    flagged: Int[np.ndarray, "flagged"],
) -> tuple[list[float], list[str]]:
    """Return the scores that join the calibration, and what the verdicts say of the threshold.

    Scores of normal rows join where these may have been picked whatever they score. ``flagged`` are
    those that alarm, or did before a review excused them.
    """
    from scipy.stats import binomtest  # slow to import

    alpha, rows = detector.threshold.alpha, int(normal.sum())
    promise = "the threshold stays"
    if alpha is not None:
        promise += (
            f": of normal rows unlike the excused ones, up to {share(alpha)} are flagged, as before"
        )
    if len(flagged) == len(scores):
        return [], [f"verdicts were given for flagged rows only, and cannot calibrate: {promise}"]
    if rows < FEW:
        return [], [f"only {count(rows, 'row is', 'rows are')} called normal, too few: {promise}"]
    above = int(np.sum(scores[normal] > detector.threshold.value))
    expected = min(1.0, 2 * (alpha or detector.config.alpha))
    if binomtest(above, rows, expected, alternative="greater").pvalue < UNLIKELY:
        return [], [
            f"{above:,} of {rows:,} rows called normal were flagged, so that these were not picked "
            f"whatever they score, and cannot calibrate: {promise}"
        ]
    together = len(detector.calibration_scores) + rows
    if alpha is not None and together < conformal_rows_needed(alpha):
        return [], [f"{rows:,} normal rows are too few to calibrate: {promise}"]
    return scores[normal].tolist(), []
