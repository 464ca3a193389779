"""What the reader should know before anything else, in plain sentences."""

from collections.abc import Callable, Iterable

from scipy.stats import hypergeom

from advae.core.evaluation import FEW
from advae.detector.calibration import UNLIKELY
from advae.detector.detector import Detector
from advae.detector.tally import alarm_doubts
from advae.display.text import count, quote, share
from advae.errors import quoted_list
from advae.report.columns import ColumnView
from advae.report.gather import Gathered
from advae.report.scores import LabelView
from advae.report.training import training_warnings
from advae.tables.encoder import TIMELESS, TREND

ON_TIMES = (*TIMELESS.values(), *TREND.values())
"""How notes on times begin: they tell the model's nature, and are no finding."""

NAMED = 3
"""Columns that one sentence names."""


def find_remarks(
    detector: Detector,
    gathered: Gathered,
    columns: tuple[ColumnView, ...],
    labels: LabelView | None,
) -> tuple[str, ...]:
    """Return the sentences, on the rows first, then on the columns, then on the model."""
    drifts = [(each.name, each.drift, each.level) for each in columns]
    doubts = alarm_doubts(detector, gathered.flagged, gathered.rows, drifts)
    return (
        *(f"{doubt}." for doubt in doubts),
        *_on_labels(labels),
        *on_columns(
            columns, detector.table.features[0].profile.rows, gathered.rows, detector.dated
        ),
        *training_warnings(detector),
        *(note for note in detector.summary.notes if not note.startswith(ON_TIMES)),
    )


def on_times(detector: Detector) -> dict[str, str]:
    """Return how times were learned as a fact on the model, name and value; empty without times."""
    told = [
        f"{sentence.partition(';')[0]}: {quoted_list(names)}"
        for caution, sentence in (TREND if detector.config.time == "trend" else TIMELESS).items()
        if (names := detector.table.cautioned(caution))
    ]
    return {"times": ". ".join(told)} if told else {}


def _on_labels(labels: LabelView | None) -> Iterable[str]:
    if labels is None:
        return
    if not labels.measures and labels.anomalies and labels.normal:
        kind = "anomalous" if labels.anomalies < labels.normal else "normal"
        yield (
            f"The few rows labelled {kind} in {quote(labels.column)} are not in the sample of "
            "scores, so precision, recall and the curves cannot be measured."
        )
    elif not labels.measures:
        kind = "an anomaly" if labels.anomalies else "normal"
        yield (
            f"Every row is labelled {kind} in {quote(labels.column)}, so precision, recall and the "
            "curves cannot be measured."
        )
    elif min(labels.anomalies, labels.normal) < FEW:
        found = count(labels.anomalies, "anomaly", "anomalies")
        yield (
            f"Only {found} and {count(labels.normal, 'normal row')} are labelled: the intervals of "
            "recall and false alarm rate say how little that tells, the other ones are too narrow."
        )


def on_columns(
    columns: tuple[ColumnView, ...],
    training: int,
    rows: int,
    dated: frozenset[str] = frozenset(),
) -> Iterable[str]:
    """Say which columns have more strange or missing values than training and chance explain.

    Parameters
    ----------
    columns
        As the report shows them.
    training, rows
        Training rows, and new rows.
    dated
        Names of columns that new rows are beyond the range of by nature.
    """

    def unlikely(observed: float, expected: float) -> bool:
        # The expected share is itself an estimate, from the training rows. So the question is
        # whether the new rows could be any of all these rows, drawn at random.
        known = round(expected * (training + 1))
        among = round(observed * rows) + known - 1
        return bool(hypergeom.cdf(known - 1, training + rows, training, among) < UNLIKELY)

    strange = [each for each in columns if unlikely(each.strange, each.strange_expected)]
    ranged = [
        each for each in strange if each.kind in ("number", "time") and each.name not in dated
    ]
    yield from _sentence(ranged, "values outside the training range", lambda each: each.strange)
    grouped = [each for each in strange if each.kind not in ("number", "time")]
    what = "values that training never, or hardly ever, had"
    yield from _sentence(grouped, what, lambda each: each.strange)
    missing = [each for each in columns if unlikely(each.missing, each.missing_expected)]
    what = "more missing values than in training"
    yield from _sentence(missing, what, lambda each: each.missing)


def _sentence(
    columns: list[ColumnView], what: str, part: Callable[[ColumnView], float]
) -> Iterable[str]:
    """Say what is strange about some columns, the worst of them first."""
    if not columns:
        return
    worst = sorted(columns, key=part, reverse=True)
    shares = [f"{quote(each.name)} ({share(part(each))} of rows)" for each in worst[:NAMED]]
    if len(worst) > NAMED:
        shares.append(count(len(worst) - NAMED, "other"))
    verb = "has" if len(worst) == 1 else "have"
    named = ", ".join(shares[:-1]) + " and " + shares[-1] if len(shares) > 1 else shares[0]
    yield f"{count(len(worst), 'column')} {verb} {what}: {named}."
