"""advae evaluate."""

import json
from typing import Annotated

import typer

from advae import console
from advae.cli.shared import Data, Json, Model, load_model, open_rows


def evaluate(
    model: Model,
    data: Data,
    label: Annotated[
        str, typer.Option(metavar="COL", help="Label column: 0/1, true/false or normal/anomaly.")
    ],
    as_json: Json = False,
) -> None:
    """Measure the model on the labelled rows of DATA, with 95 % bootstrap intervals."""
    from dataclasses import asdict

    import numpy as np

    from advae.evaluation import evaluate as measure
    from advae.labels import parse_labels

    detector = load_model(model)
    source = open_rows(detector, data, [label])
    parts = []
    for batch in detector.score_batches(source.batches(), keep=[label]):
        labels = parse_labels(batch[label], where=data)
        parts.append((batch["anomaly_score"].to_numpy(), labels))
    scores, anomalous = (np.concatenate(column) for column in zip(*parts, strict=True))
    metrics = measure(scores, anomalous, detector.threshold.value)
    if as_json:
        print(json.dumps({name: asdict(estimate) for name, estimate in metrics.items()}, indent=2))  # noqa: T201
    else:
        console.show_metrics(metrics, len(scores), int(anomalous.sum()))
