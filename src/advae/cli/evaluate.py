"""advae evaluate."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from advae.cli import console
from advae.cli.reading import reads
from advae.cli.shared import Data, Json, Model, Normal, load_model, score_labelled

if TYPE_CHECKING:
    from advae.files.options import ReadOptions


@reads
def evaluate(
    model: Model,
    data: Data,
    label: Annotated[
        str, typer.Option(metavar="COL", help="Label column: 0/1, true/false or normal/anomaly.")
    ],
    normal: Normal = None,
    as_json: Json = False,
    *,
    reading: "ReadOptions",
) -> None:
    """Measure the model on the labelled rows of DATA, with 95 % intervals."""
    from dataclasses import asdict

    from advae.core.evaluation import FEW
    from advae.core.evaluation import evaluate as measure
    from advae.tables.labels import LabelColumn

    known = LabelColumn(label, normal)
    detector = load_model(model)
    scores, anomalous = score_labelled(detector, data, known, reading)
    metrics = measure(scores, anomalous, detector.threshold.value)
    if as_json:
        print(json.dumps({name: asdict(estimate) for name, estimate in metrics.items()}, indent=2))  # noqa: T201
    else:
        console.show_metrics(metrics, len(scores), int(anomalous.sum()))
    if min(anomalous.sum(), (~anomalous).sum()) < FEW:
        console.remark(
            f"fewer than {FEW} rows of a kind: the intervals of recall and false alarm rate hold, "
            "the others, which are bootstrapped, are too narrow"
        )
