"""advae score."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.table import Table

from advae.cli import console, outlets
from advae.cli.reading import reads
from advae.cli.shared import Data, Model, Quiet, check_output, interruptible, load_model, open_rows
from advae.display.text import count, share

if TYPE_CHECKING:
    from advae.cli.brief import Brief
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
    with interruptible(), source.located():
        sink.write_frames(brief.watch(frames), output)
    places.say()
    if not quiet:
        _show_scores(brief, detector.threshold.value)
    if marker is not None:
        for doubt in marker.doubts(detector):
            console.remark(doubt)


def _show_scores(brief: "Brief", threshold: float) -> None:
    """Print what a scored table looks like in brief, on standard error: the rows are the output."""
    from advae.cli.histogram import score_histogram

    out, rows = console.remarks(), count(brief.rows, "row")
    out.print(score_histogram(out, {rows: brief.scores}, threshold), "\n", sep="")
    part = share(brief.flagged / max(brief.rows, 1))
    out.print(f"[bold]{brief.flagged:,}[/] of {rows} flagged ({part})")
    table = Table(title="highest scores", title_justify="left")
    for name in brief.headings:
        justify: Literal["left", "right"] = "right" if name in ("score", "p-value") else "left"
        table.add_column(console.escape(name), justify=justify)
    for row in brief.highest:
        table.add_row(*map(console.escape, row))
    console.print_table(out, table)
