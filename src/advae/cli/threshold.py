"""advae threshold."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.table import Table

from advae.cli import console
from advae.cli.evaluate import Labelled, score_labelled
from advae.cli.reading import reads
from advae.cli.shared import (
    Label,
    Model,
    Normal,
    check_output,
    interruptible,
    label_column,
    load_model,
)
from advae.display.text import count
from advae.errors import InputError

if TYPE_CHECKING:
    from advae.detector.detector import Detector
    from advae.files.options import ReadOptions


@reads
def threshold(
    model: Model,
    alpha: Annotated[
        float | None, typer.Option(help="Share of normal rows that may be flagged.")
    ] = None,
    reviewed: Annotated[
        str | None,
        typer.Option(
            metavar="DATA", help="New rows with known labels, picked whatever they score."
        ),
    ] = None,
    label: Label = None,
    normal: Normal = None,
    method: Annotated[
        Literal["conformal", "kde"] | None,
        typer.Option(help="Conformal where there are calibration rows, if not given."),
    ] = None,
    value: Annotated[
        float | None, typer.Option(min=0, metavar="SCORE", help="The threshold itself.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="OUT", help="Model to write; MODEL if not given."),
    ] = None,
    *,
    reading: "ReadOptions",
) -> None:
    """Set the threshold of MODEL anew, without training, or show it.

    The normal ones among reviewed rows join the calibration rows. The earlier
    thresholds stay in the file; 'advae info' shows them.
    """
    from advae.detector import model_file
    from advae.detector.calibration import learned_threshold, review_doubts, with_reviewed
    from advae.detector.record import Threshold

    if value is not None and (alpha, reviewed, method) != (None, None, None):
        raise InputError(
            "--value is the threshold itself. Leave out --alpha, --method, --reviewed."
        )
    nothing_to_set = (alpha, reviewed, method, value) == (None, None, None, None)
    known = label_column(label, normal)
    if (reviewed is None) != (known is None):
        raise InputError("--reviewed and --label go together: the rows, and their label column")
    if output is not None:
        if nothing_to_set:
            raise InputError(
                f"nothing would change in {output}. Add --alpha, --reviewed, --method or --value."
            )
        check_output(output, str(model), *([] if reviewed is None else [reviewed]))
    detector = load_model(model)
    share = detector.threshold.alpha or detector.config.alpha if alpha is None else alpha
    if nothing_to_set:
        show_thresholds(detector, share)
        return
    tuned, labelled = detector, None
    if reviewed is not None and known is not None:
        labelled = score_labelled(detector, reviewed, known, reading)
        tuned = with_reviewed(detector, labelled.scores[~labelled.anomalous])
    if value is not None:
        tuned = tuned.with_threshold(Threshold("given", None, value, "given after training"))
    else:
        tuned = tuned.with_threshold(learned_threshold(tuned, share, method))
    path = model if output is None else output
    with interruptible(path):
        model_file.save(tuned, path)
    show_thresholds(tuned, share)
    if labelled is not None:
        _show_review(labelled, tuned)
        for doubt in review_doubts(detector, labelled.scores[~labelled.anomalous]):
            console.remark(doubt)


def _show_review(labelled: Labelled, detector: "Detector") -> None:
    """Print how the threshold before and the one in use do on reviewed rows."""
    from advae.detector.calibration import review

    scores, anomalous = labelled
    normal, anomalies = int((~anomalous).sum()), int(anomalous.sum())
    headings = ("score", "normal rows flagged", "anomalies flagged", "precision", "recall")
    title = (
        f"{count(normal, 'reviewed normal row')}, which joined the calibration, and "
        f"{count(anomalies, 'anomaly', 'anomalies')}, which did not"
    )
    table = Table("threshold", *map(console.right, headings), title=title, title_justify="left")
    before = detector.earlier_thresholds[-1]
    for name, threshold in (("before", before), ("in use", detector.threshold)):
        found = review(scores, anomalous, threshold.value)
        shares = ("-" if math.isnan(x) else f"{x:.3f}" for x in (found.precision, found.recall))
        counts = (f"{found.flagged_normal:,}", f"{found.flagged_anomalies:,}")
        table.add_row(name, f"{threshold.value:.6g}", *counts, *shares)
    console.print_table(console.output(), table)


def show_thresholds(detector: "Detector", alpha: float) -> None:
    """Print the threshold in use and the others possible at ``alpha``, with their alarms."""
    from advae.detector.calibration import candidates

    alarms_heading = console.right("alarms in 10,000\nnormal rows")
    table = Table("threshold", console.right("score"), alarms_heading, "learned from")
    for threshold, alarms in candidates(detector, alpha):
        if alarms is not None:
            low, high = 10_000 * alarms.low, 10_000 * alarms.high
            expected = f"{10_000 * alarms.value:,.0f} ({low:,.0f} to {high:,.0f})"
        elif threshold.alpha is not None:
            expected = f"{10_000 * threshold.alpha:,.0f}, not measured"
        else:
            expected = "not measured"
        name, score = console.escape(threshold.method), f"{threshold.value:.6g}"
        if threshold == detector.threshold:
            name, score = f"[bold]{name}, in use[/]", f"[bold]{score}[/]"
        table.add_row(name, score, expected, console.escape(threshold.why))
    console.print_table(console.output(), table)
