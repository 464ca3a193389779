"""advae threshold."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from advae.cli import console
from advae.cli.reading import reads
from advae.cli.shared import (
    Label,
    Model,
    Normal,
    check_output,
    label_column,
    load_model,
    score_labelled,
)
from advae.errors import InputError

if TYPE_CHECKING:
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

    The normal ones among reviewed rows join the calibration rows. The earlier thresholds stay in
    the file; 'advae info' shows them.
    """
    from advae.cli import interrupt
    from advae.detector import model_file
    from advae.detector.calibration import learned_threshold, review_doubts, with_reviewed
    from advae.detector.detector import Threshold

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
        console.show_thresholds(detector, share)
        return
    tuned, labelled = detector, None
    if reviewed is not None and known is not None:
        labelled = score_labelled(detector, reviewed, known, reading)
        tuned = with_reviewed(detector, labelled.scores[~labelled.anomalous])
    if value is not None:
        tuned = tuned.with_threshold(Threshold("given", None, value, "given after training"))
    else:
        tuned = tuned.with_threshold(learned_threshold(tuned, share, method))
    with interrupt.handled():
        model_file.save(tuned, model if output is None else output)
    console.show_thresholds(tuned, share)
    if labelled is not None:
        console.show_review(*labelled, tuned)
        for doubt in review_doubts(detector, labelled.scores[~labelled.anomalous]):
            console.remark(doubt)
