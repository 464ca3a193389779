"""advae evaluate."""

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer
from rich.table import Table

from advae.cli import console
from advae.cli.reading import reads
from advae.cli.shared import Data, Json, Model, Normal, load_model, open_labelled
from advae.display.text import count

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from jaxtyping import Bool, Float

    from advae.core.evaluation import Estimate
    from advae.detector.detector import Detector
    from advae.files.options import ReadOptions
    from advae.tables.labels import LabelColumn


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
        _show_metrics(metrics, len(scores), int(anomalous.sum()))
    if min(anomalous.sum(), (~anomalous).sum()) < FEW:
        console.remark(
            f"fewer than {FEW} rows of a kind: the intervals of recall and false alarm rate hold, "
            "the others, which are bootstrapped, are too narrow"
        )


class Labelled(NamedTuple):
    """The scores of rows, shape (rows,), and whether each is an anomaly by its label."""

    scores: "Float[np.ndarray, 'rows']"
    anomalous: "Bool[np.ndarray, 'rows']"


def score_labelled(
    detector: "Detector", data: str, label: "LabelColumn", reading: "ReadOptions"
) -> Labelled:
    """Score DATA, and read the labels of its rows."""
    import numpy as np

    from advae.tables.labels import LabelReader
    from advae.tables.values import NAME_ANOTHER, check_columns

    labels = LabelReader(label)
    source = open_labelled(detector, data, label, [], reading)
    check_columns([label.name], source.columns, data, advice=NAME_ANOTHER)
    anomalous = []

    def read() -> Iterator["pl.DataFrame"]:
        # Not kept beside the scores, so that it may be called as they are, such as is_anomaly.
        for batch in source.batches():
            anomalous.append(labels.read(batch))
            yield batch

    with source.located():
        scores = [batch["anomaly_score"].to_numpy() for batch in detector.score_batches(read())]
        labels.check()
    return Labelled(np.concatenate(scores), np.concatenate(anomalous))


def _show_metrics(metrics: "Mapping[str, Estimate]", rows: int, anomalies: int) -> None:
    """Print measures with their intervals."""
    title = f"{count(rows, 'row')}, {count(anomalies, 'anomaly', 'anomalies')}"
    headings = ("measure", console.right("value"), console.right("95 % interval"))
    table = Table(*headings, title=title, title_justify="left")
    for name, estimate in metrics.items():
        table.add_row(
            name.replace("_", " "),
            f"{estimate.value:.3f}",
            f"{estimate.low:.3f} to {estimate.high:.3f}",
        )
    console.print_table(console.output(), table)
