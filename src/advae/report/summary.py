"""Everything that a report says, as plain data: a detector and a table of new rows, summed up."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from jaxtyping import Int

from advae.detector.detector import Detector
from advae.detector.groups import Group, Groups
from advae.errors import InputError
from advae.report.columns import ColumnView
from advae.report.gather import gather
from advae.report.history import HistoryView, view_history
from advae.report.kinds import Segments, view_segments
from advae.report.latent import LatentView, view_latent
from advae.report.remarks import find_remarks, on_times
from advae.report.rows import Listed, RowView, view_listed, view_rows
from advae.report.scores import LabelView, ScoreView, view_labels, view_scores
from advae.report.timeline import Timeline
from advae.report.training import TermView, view_training
from advae.tables.frames import as_batches, names_given
from advae.tables.labels import LabelColumn
from advae.watching.state import State

TOP = 50
"""Most anomalous rows that are explained."""

STORY_ROWS = 200
"""Rows that a story opens to."""


@dataclass(frozen=True)
class Story:
    """A group of flagged rows, and the positions of some, first those explained on the page."""

    group: Group
    rows: tuple[int, ...]


@dataclass(frozen=True)
class Report:
    """What the page shows; every field is made of plain values.

    Attributes
    ----------
    data, model
        What the table and the model are called, usually file names.
    made
        When, in UTC.
    rows, flagged
        Rows of the table, and those above the threshold.
    sampled
        Scores that histograms, slider and curves rest on; fewer than ``rows`` in a long table.
    facts
        Facts on the model, name and value.
    remarks
        Sentences that the reader should know first.
    stories
        The flagged rows in groups, by what drives their scores.
    scores, labels, top, columns, latent, training
        The sections of the page; ``labels`` is None without labels, and ``latent`` for a method
        whose latent space is not drawn.
    beyond
        How many rows of ``top`` do not score highest, but are of a group that had too few there.
    unused
        Columns of the table that training did not have.
    kept
        Names of the columns shown beside the most anomalous rows.
    feature_names
        The detector's columns, in the order that the cells of ``top`` refer to.
    listed
        The flagged rows that score highest, as one may take them along.
    timeline
        When rows came, and flagged ones; None without a column that tells.
    segments
        Rows and flagged ones by the values of columns.
    in_nats
        Whether scores are in nats; else they are the paper's.
    feature_bars
        For each of these, the share of training rows in each bar of its drawing.
    history
        The days of a watch; None without.

    Examples
    --------
    >>> import numpy as np
    >>> import advae
    >>> normal = np.random.default_rng(0).normal(size=(300, 2))
    >>> detector = advae.fit_detector(normal, advae.Config(iterations=50))
    >>> from advae.report.summary import summarise
    >>> report = summarise(detector, np.tile([[0.0, 9.0]], (5, 1)), model_name="sales model")
    >>> report.model, report.flagged
    ('sales model', 5)
    >>> report.stories[0].group.story
    '“column_1” higher (9)'
    """

    data: str
    model: str
    made: datetime
    rows: int
    flagged: int
    sampled: int
    facts: dict[str, str]
    remarks: tuple[str, ...]
    stories: tuple[Story, ...]
    scores: ScoreView
    labels: LabelView | None
    top: tuple[RowView, ...]
    beyond: int
    columns: tuple[ColumnView, ...]
    latent: LatentView | None
    training: tuple[TermView, ...]
    unused: tuple[str, ...]
    kept: tuple[str, ...]
    feature_names: tuple[str, ...]
    listed: Listed
    timeline: Timeline | None
    segments: tuple[Segments, ...]
    in_nats: bool
    feature_bars: tuple[tuple[float, ...], ...]
    history: HistoryView | None


def summarise(
    detector: Detector,
    data: Any,
    *,
    label: str | LabelColumn | None = None,
    keep: Sequence[str] = (),
    top: int = TOP,
    data_name: str = "the table",
    model_name: str = "the model",
    made: datetime | None = None,
    history: State | None = None,
) -> Report:
    """Score a table and sum up what there is to see, in one pass and bounded memory.

    Parameters
    ----------
    detector
        A fitted detector.
    data
        Rows with the training columns, at least one: a table, or its batches where it is larger
        than memory; see `as_batches`.
    label
        Column of known labels, see `LabelColumn`.
    keep
        Columns to show beside the most anomalous rows.
    top
        How many of them to explain, at least 1; beside them stand some rows of each group.
    data_name, model_name
        What to call the table and the model.
    made
        When; now if None.
    history
        What ``advae watch`` remembers.

    Raises
    ------
    InputError
        For a table without rows, a missing column, a value or label that cannot be read, or a
        normal label that does not occur; or a ``top`` below 1.

    Examples
    --------
    >>> import numpy as np
    >>> import advae
    >>> normal = np.random.default_rng(0).normal(size=(300, 2))
    >>> detector = advae.fit_detector(normal, advae.Config(iterations=50))
    >>> from advae.report.summary import summarise
    >>> report = summarise(detector, np.concatenate([normal, [[0.0, 9.0]]]), top=3)
    >>> report.rows, len(report.top) - report.beyond
    (301, 3)
    """
    if top < 1:
        raise InputError(f"top is {top}; expected at least 1")
    column = LabelColumn.of(label)
    found = gather(detector, as_batches(data), keep=keep, label=column, top=top, where=data_name)
    if not found.rows:
        raise InputError(f"{data_name} has no rows, so there is nothing to report on. Give rows.")
    scores = found.scores["score"]
    anomalous = found.scores["anomalous"] if column is not None else None
    columns = found.drivers.view(found.tallies)
    labels = None
    if column is not None and anomalous is not None:
        labels = view_labels(column.name, scores, anomalous, detector.threshold.value, found.counts)
    score_view = view_scores(detector, scores, anomalous, found.counts)
    anomalies, hits = found.counts.get("anomaly", (0, 0))
    groups = found.grouper.found()
    explained = found.explained(groups)
    latent = view_latent(detector, found.normal, found.alarms, anomalies - hits)
    return Report(
        data=data_name,
        model=model_name,
        made=(made or datetime.now(UTC)).astimezone(UTC),
        rows=found.rows,
        flagged=found.flagged,
        sampled=len(found.scores),
        facts=detector.facts | on_times(detector),
        remarks=find_remarks(detector, found, columns, labels),
        stories=_stories(groups, explained["row"]),
        scores=score_view,
        labels=labels,
        top=view_rows(detector, explained),
        beyond=len(explained) - len(found.highest),
        columns=columns,
        latent=latent,
        training=view_training(detector),
        unused=found.extra_columns,
        kept=tuple(names_given(keep)),
        feature_names=detector.table.feature_names,
        listed=view_listed(detector, found.listed),
        timeline=None if found.times is None else found.times.view(),
        segments=view_segments(found.segments),
        in_nats=detector.config.surprise,
        feature_bars=tuple(
            tuple(feature.distribution.bars.tolist()) for feature in detector.table.features
        ),
        history=None if history is None else view_history(history),
    )


def _stories(found: Groups, explained: Int[np.ndarray, "rows"]) -> tuple[Story, ...]:
    stories = []
    for group in found.groups:
        own = found.rows_of(group.number)
        shown = explained[np.isin(explained, own)]
        rows = [*shown.tolist(), *own[~np.isin(own, shown)].tolist()]
        stories.append(Story(group, tuple(rows[:STORY_ROWS])))
    return tuple(stories)
