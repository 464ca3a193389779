"""advae score."""

from pathlib import Path
from typing import Annotated

import typer

from advae.cli.shared import Data, Model, check_output, load_model, open_rows


def score(
    model: Model,
    data: Data,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="OUT",
            help="Where to write: .csv, .parquet, .ndjson or .arrow; CSV on stdout if not given.",
        ),
    ] = None,
    keep: Annotated[
        list[str] | None, typer.Option(metavar="COL", help="Column of DATA to carry along.")
    ] = None,
    explain: Annotated[
        int, typer.Option(metavar="K", min=0, help="Name the K columns that contributed most.")
    ] = 0,
) -> None:
    """Score the rows of DATA, flag those above the threshold, and say why."""
    from advae import writers

    if output is not None:
        check_output(output, data, str(model))
    detector = load_model(model)
    source = open_rows(detector, data, keep or [])
    frames = detector.score_batches(source.batches(), keep=keep or [], explain=explain)
    writers.write_frames(frames, output)
