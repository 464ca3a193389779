"""advae doctor."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from advae.cli import console
from advae.cli.reading import reads
from advae.cli.shared import Data, Json, Label, Normal, label_column, open_table

if TYPE_CHECKING:
    from advae.files.options import ReadOptions


@reads
def doctor(
    data: Data,
    label: Label = None,
    normal: Normal = None,
    ignore: Annotated[
        list[str] | None, typer.Option(metavar="COL", help="Column that is not to be learned.")
    ] = None,
    alpha: Annotated[float, typer.Option(help="Share of normal rows that may be flagged.")] = 0.1,
    as_json: Json = False,
    *,
    reading: "ReadOptions",
) -> None:
    """Examine DATA before fitting: what would be refused, and what would be mislearned.

    Exits with 0 whatever it finds, and with 2 if DATA cannot be read. It cannot tell whether rows
    called normal are: anomalies that resemble normal rows stay unseen.
    """
    from dataclasses import asdict

    from advae.config import Config
    from advae.doctor.examination import examine

    known = label_column(label, normal)
    source = open_table(data, known, reading)
    config, batches = Config(alpha=alpha), source.batches()
    with source.located():
        diagnosis = examine(batches, config, label=known, ignored=ignore or [])
    if as_json:
        print(json.dumps(asdict(diagnosis), indent=2))  # noqa: T201
    else:
        console.show_diagnosis(diagnosis)
