"""advae score."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.table import Table

from advae.cli import console, outlets
from advae.cli.reading import reads
from advae.cli.shared import Data, Model, Quiet, check_output, interruptible, load_model, open_rows
from advae.display.text import count, number, share
from advae.errors import InputError

TOO_MANY_FLAGGED = 3
"""Exit code where more is flagged than --fail-above allows."""

if TYPE_CHECKING:
    from advae.cli.brief import Brief
    from advae.detector.groups import Groups
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
    groups: Annotated[
        bool,
        typer.Option("--groups", help="Add group: flagged rows that alarm for like reasons."),
    ] = False,
    summary: Annotated[
        Literal["text", "json"],
        typer.Option(help="How to sum up: in words, or as JSON on standard output."),
    ] = "text",
    fail_above: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE", help="End with exit code 3 if more than this share is flagged."
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
    from advae.cli.waiting import GroupMarker
    from advae.detector.groups import Grouper
    from advae.detector.tally import Tally
    from advae.files import sink

    if summary == "json" and output is None:
        raise InputError(
            "--summary json goes to standard output, as the scores do. Write these to a file: "
            "add -o OUT."
        )
    if fail_above is not None and not 0 <= fail_above < 1:
        raise InputError(f"--fail-above is {fail_above}; expected a share, at least 0 and below 1.")
    if output is not None:
        check_output(output, data, str(model))
    marker = None if fdr is None else DiscoveryMarker(fdr)
    detector = load_model(model)
    source = open_rows(detector, data, keep or [], reading, as_texts=on_error != "stop")
    places = Places(detector.table, source, on_error)
    grouper, tally = Grouper(detector), Tally(detector)

    def watch(*rows: Any) -> None:
        tally.update(*rows)
        if groups:
            grouper.update(*rows)

    rows = places.before(source.batches())
    scored = detector.score_batches(rows, keep=keep or [], explain=explain, watch=watch)
    frames = places.after(scored)
    folder = None if output is None else output.parent
    grouped = GroupMarker(grouper)
    if groups:
        frames = grouped.mark(frames, folder)
    if marker is not None:
        frames = marker.mark(frames, folder)
    brief = Brief(keep or [])
    if output is None:
        outlets.write_utf8()
    with interruptible(), source.located():
        sink.write_frames(brief.watch(frames), output)
    places.say()
    if summary == "json":
        told = tally.summary()
        if grouped.groups is not None:
            told["groups"] = [
                asdict(group) | {"story": group.story} for group in grouped.groups.groups
            ]
        print(json.dumps(told, indent=2))  # noqa: T201
    elif not quiet:
        _show_scores(brief, detector.threshold.value)
        if grouped.groups is not None:
            _show_groups(grouped.groups)
    for doubt in [*tally.doubts(), *([] if marker is None else marker.doubts(detector))]:
        console.remark(doubt)
    if fail_above is not None and tally.share > fail_above:
        console.remark(
            f"{share(tally.share)} of the rows are flagged, more than --fail-above {fail_above:g}"
        )
        raise typer.Exit(TOO_MANY_FLAGGED)


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


def _show_groups(found: "Groups") -> None:
    """Print what drives the alarms, group by group, on standard error."""
    out = console.remarks()
    out.print("\n[italic]what drives the alarms[/]")
    for group in found.groups:
        rows = count(group.rows, "row")
        dates = f", {group.since} to {group.until}" if group.since else ""
        place = f"from row {group.first:,} to {group.last:,}{dates}, such as {group.typical:,}"
        out.print(f"[bold]{group.number}[/]: {console.escape(group.story)}")
        out.print(console.escape(f"   {rows}, {place}; highest score {number(group.highest)}"))
