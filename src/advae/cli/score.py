"""advae score."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from advae.cli import console, outlets
from advae.cli.reading import reads
from advae.cli.shared import Data, Model, Quiet, check_output, load_model, open_rows

if TYPE_CHECKING:
    from advae.files.options import ReadOptions


@reads
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
    fdr: Annotated[
        float | None,
        typer.Option(
            metavar="RATE",
            help="Add is_discovery: on average at most this share of rows so marked is normal.",
        ),
    ] = None,
    on_error: Annotated[
        Literal["stop", "flag", "skip"],
        typer.Option(
            help="What a value that cannot be read does: stop; flag: it counts as missing, and "
            "'unreadable' names its column; skip: its row is left out."
        ),
    ] = "stop",
    quiet: Quiet = False,
    *,
    reading: "ReadOptions",
) -> None:
    """Score the rows of DATA, flag those above the threshold, and say why.

    A short version goes to standard error: a histogram, the threshold, the highest scores.
    """
    from advae.cli import interrupt
    from advae.cli.bad_cells import Places
    from advae.cli.brief import Brief
    from advae.cli.discovery import DiscoveryMarker
    from advae.files import sink

    if output is not None:
        check_output(output, data, str(model))
    marker = None if fdr is None else DiscoveryMarker(fdr)
    detector = load_model(model)
    source = open_rows(detector, data, keep or [], reading, as_texts=on_error != "stop")
    places = Places(detector.table, source, on_error)
    rows = places.before(source.batches())
    frames = places.after(detector.score_batches(rows, keep=keep or [], explain=explain))
    if marker is not None:
        frames = marker.mark(frames, None if output is None else output.parent)
    brief = Brief(keep or [])
    if output is None:
        outlets.write_utf8()
    with interrupt.handled(), source.located():
        sink.write_frames(brief.watch(frames), output)
    places.say()
    if not quiet:
        console.show_scores(brief, detector.threshold.value)
    if marker is not None:
        for doubt in marker.doubts(detector):
            console.remark(doubt)
