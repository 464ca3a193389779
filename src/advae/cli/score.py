"""advae score."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.table import Table

from advae.cli import console, outlets
from advae.cli.reading import reads
from advae.cli.shared import (
    ADVANCED,
    ELSEWHERE,
    Data,
    Model,
    Query,
    Quiet,
    check_none,
    check_output,
    given_options,
    interruptible,
    load_model,
    open_database,
    open_rows,
)
from advae.display.text import count, number, share
from advae.errors import InputError, quoted

TOO_MANY_FLAGGED = 3
"""Exit code where more is flagged than --fail-above allows."""

if TYPE_CHECKING:
    from advae.cli.bad_cells import Places
    from advae.cli.brief import Brief
    from advae.cli.discovery import DiscoveryMarker
    from advae.detector.groups import Group, Groups
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
            help="Where to write: text (.csv, .tsv, .txt), JSON lines (.ndjson, .jsonl), .parquet, "
            "or Arrow (.arrow, .ipc, .feather); CSV on stdout if not given.",
        ),
    ] = None,
    engine: Annotated[
        Literal["ray", "spark"] | None,
        typer.Option(
            rich_help_panel=ELSEWHERE,
            help="Score files on this engine, each into a part in the folder OUT.",
        ),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=ELSEWHERE,
            metavar="ADDRESS",
            help="Cluster of the engine; this machine if not given.",
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            rich_help_panel=ELSEWHERE,
            metavar="N",
            min=1,
            help="Files to score at a time; one a core if not given.",
        ),
    ] = None,
    query: Query = None,
    into: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=ELSEWHERE,
            metavar="TABLE",
            help="Write into this table of the database, not to a file.",
        ),
    ] = None,
    key: Annotated[
        list[str] | None,
        typer.Option(
            rich_help_panel=ELSEWHERE,
            metavar="COL",
            help="Column that tells rows apart in the table of --into.",
        ),
    ] = None,
    keep: Annotated[
        list[str] | None, typer.Option(metavar="COL", help="Column of DATA to carry along.")
    ] = None,
    explain: Annotated[
        int,
        typer.Option(
            metavar="K",
            min=0,
            help="Name the K columns that contributed most, and what would clear a row.",
        ),
    ] = 0,
    fdr: Annotated[
        float | None,
        typer.Option(
            rich_help_panel=ADVANCED,
            metavar="RATE",
            help="Add is_discovery: on average at most this share of rows so marked is normal.",
        ),
    ] = None,
    groups: Annotated[
        bool,
        typer.Option(
            "--groups",
            rich_help_panel=ADVANCED,
            help="Add group: flagged rows that alarm for like reasons.",
        ),
    ] = False,
    summary: Annotated[
        Literal["text", "json"],
        typer.Option(
            rich_help_panel=ADVANCED, help="How to sum up: in words, or as JSON on standard output."
        ),
    ] = "text",
    fail_above: Annotated[
        float | None,
        typer.Option(
            rich_help_panel=ADVANCED,
            metavar="SHARE",
            help="End with exit code 3 if more than this share is flagged.",
        ),
    ] = None,
    on_error: Annotated[
        Literal["stop", "flag", "skip"],
        typer.Option(
            rich_help_panel=ADVANCED,
            help="What a value that cannot be read does: stop; flag: it counts as missing, and "
            "'unreadable' names its column; skip: its row is left out.",
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
    from advae.cli.bundle import score_bundle
    from advae.cli.discovery import DiscoveryMarker
    from advae.cli.waiting import GroupMarker
    from advae.detector.counterfactual import MOST_REMEDIES
    from advae.detector.groups import Grouper
    from advae.detector.tally import Tally
    from advae.files import sink
    from advae.tensorfile import fingerprint, is_bundle

    if output == Path("-"):
        raise InputError(
            "--output names a file, and - is none. Leave it out: CSV then goes to standard output."
        )
    in_one_pass = given_options(
        query=query,
        into=into,
        key=key,
        fdr=fdr,
        groups=groups,
        summary=None if summary == "text" else summary,
        fail_above=fail_above,
        on_error=None if on_error == "stop" else on_error,
    )
    if is_bundle(model):
        elsewhere = given_options(engine=engine, address=address, workers=workers)
        check_none([*in_one_pass, *elsewhere], f"{model} has a model for each segment")
        if output is not None:
            check_output(output, data, str(model))
        score_bundle(model, data, output, keep or [], explain, reading, quiet)
        return
    if engine is not None:
        into_parts = "--engine scores files, each by itself, into a folder of parts"
        check_none([*in_one_pass, *given_options(**asdict(reading))], into_parts)
        if output is None:
            raise InputError(f"{into_parts}. Add --output FOLDER.")
        _score_parts(model, data, output, engine, (address, workers), keep or [], explain, quiet)
        return
    if address is not None or workers is not None:
        raise InputError("--address and --workers say where an engine works. Add --engine.")
    if summary == "json" and output is None and into is None:
        raise InputError(
            "--summary json goes to standard output, as the scores do. Write these to a file: "
            "add -o OUT."
        )
    if fail_above is not None and not 0 <= fail_above < 1:
        raise InputError(f"--fail-above is {fail_above}; expected a share, at least 0 and below 1.")
    if output is not None:
        check_output(output, data, str(model))
    _check_table(data, into, key, query, output)
    marker = None if fdr is None else DiscoveryMarker(fdr)
    detector = load_model(model)
    carried = [*(key or []), *(keep or [])]
    database = open_database(data, query)
    queried = database.query(query or "") if database else None
    source = open_rows(
        *(detector, data, carried, reading, queried),
        as_texts=on_error != "stop",
        rowless=True,  # a day without rows is no fault
    )
    places = Places(detector.table, source, on_error, carried)
    grouper, tally = Grouper(detector), Tally(detector)

    def watch(*rows: Any) -> None:
        tally.update(*rows)
        if groups:
            grouper.update(*rows)

    grouped = GroupMarker(grouper)
    brief = Brief(carried)
    if output is None and into is None:
        outlets.write_utf8()
    # Rows on the terminal are progress enough.
    unseen = quiet or (output is None and into is None and sys.stdout.isatty())
    with (
        interruptible(output) as stop,
        source.located(),
        console.row_progress("scoring", unseen) as tell,
    ):
        if into is not None:  # in one transaction
            stop.outcome = "; nothing was written"
        rows = places.before(console.counted(source.batches(), tell))
        scored = detector.score_batches(rows, keep=carried, explain=explain, watch=watch)
        frames = places.after(scored)
        folder = None if output is None else output.parent
        if groups:
            frames = grouped.mark(frames, folder)
        if marker is not None:
            frames = marker.mark(frames, folder)
        shown = brief.watch(frames)
        if database is not None and into is not None:
            # The position of a row in what a query returned says nothing later.
            unnumbered = (frame.drop("row") for frame in shown)
            database.write(unnumbered, into, key or [], fingerprint(model.read_bytes()))
        else:
            sink.write_frames(shown, output)
    places.say()
    if summary == "json":
        told = tally.summary()
        if marker is not None:
            told["discoveries"] = marker.found
        if grouped.groups is not None:
            told["groups"] = [
                asdict(group) | {"story": group.story} | _places_in(group, places)
                for group in grouped.groups.groups
            ]
        print(json.dumps(told, indent=2))  # noqa: T201
    elif not quiet:
        _show_scores(brief, detector.threshold.value, marker)
        if grouped.groups is not None:
            _show_groups(grouped.groups, places)
    for doubt in [*tally.doubts(), *([] if marker is None else marker.doubts(detector))]:
        console.remark(doubt)
    if explain and tally.flagged > MOST_REMEDIES:
        console.remark(
            f"not_flagged_with is given for the first {MOST_REMEDIES:,} flagged rows of "
            f"{tally.flagged:,}"
        )
    if fail_above is not None and tally.share > fail_above:
        console.remark(
            f"{share(tally.share)} of the rows are flagged, more than --fail-above {fail_above:g}"
        )
        raise typer.Exit(TOO_MANY_FLAGGED)


def _score_parts(
    model: Path,
    data: str,
    folder: Path,
    engine: str,
    place: tuple[str | None, int | None],
    keep: list[str],
    explain: int,
    quiet: bool,
) -> None:
    """Score files on an engine, and say what the folder holds then."""
    from advae.engines.parts import Engine, score_files

    chosen: Engine
    if engine == "ray":
        from advae.engines.ray import RayEngine

        chosen = RayEngine(*place)
    else:
        from advae.engines.spark import SparkEngine

        chosen = SparkEngine(*place)
    with interruptible():
        totals = score_files(data, folder, model, chosen, keep=keep, explain=explain)
    if not quiet:
        before = totals.parts - totals.written
        console.remarks().print(
            f"{totals.flagged:,} of {count(totals.rows, 'row')} flagged; "
            f"{count(totals.parts, 'part')} in {console.escape(str(folder))}"
            + (f", {before:,} of them from before" if before else "")
        )


def _check_table(
    data: str, into: str | None, key: list[str] | None, query: str | None, output: Path | None
) -> None:
    """Refuse options of which one needs another, or rules it out."""
    from advae.files.sql import Address, is_address

    if into is None:
        if key:
            raise InputError("--key tells rows of a table apart. Add --into TABLE.")
        return
    if query is None:
        raise InputError("--into writes into the database that DATA names. Add --query SQL.")
    if not key:
        raise InputError(
            "--into needs to know which columns tell rows apart, so that a second run doubles "
            "none. Add --key COL."
        )
    if output is not None:
        raise InputError("--into writes a table, and --output a file. Leave out one of them.")
    if not all(part.strip() for part in into.split(".")):
        raise InputError(f"--into is {quoted(into)}, which names no table. Give it a name.")
    if is_address(data) and Address(data).in_memory:
        raise InputError(
            f"{Address(data)} is a database in memory, and a table of --into would be gone with "
            "it. Name a database that stays, such as duckdb:///FILE, or write a file with -o."
        )


def _show_scores(brief: "Brief", threshold: float, marker: "DiscoveryMarker | None") -> None:
    """Print what a scored table looks like in brief, on standard error: the rows are the output."""
    from advae.cli.histogram import score_histogram

    out, rows = console.remarks(), count(brief.rows, "row")
    if not brief.rows:
        out.print(rows)
        return
    out.print(score_histogram(out, {rows: brief.scores}, threshold), "\n", sep="")
    part = share(brief.flagged / max(brief.rows, 1))
    out.print(f"[bold]{brief.flagged:,}[/] of {rows} flagged ({part})")
    if marker is not None:
        found = count(marker.found, "discovery", "discoveries")
        out.print(f"{found}, of which on average at most {share(marker.rate)} are normal")
    table = Table(title="highest scores", title_justify="left")
    places, left_out = brief.fitting(out.width)
    for name in (brief.headings[place] for place in places):
        justify: Literal["left", "right"] = "right" if name in ("score", "p-value") else "left"
        table.add_column(console.escape(name), justify=justify)
    for row in brief.highest:
        table.add_row(*(console.escape(row[place]) for place in places))
    console.print_table(out, table)
    if left_out:
        out.print(f"[dim]beside them in the output: {console.escape(', '.join(left_out))}[/]")


def _places_in(group: "Group", places: "Places") -> dict[str, Any]:
    """Return the rows that stand for a group as the output numbers them, with their files."""
    found: dict[str, Any] = {}
    for name in ("first", "last", "typical"):
        path, found[name] = places.place(getattr(group, name))
        if places.several:
            found[f"{name}_file"] = str(path)
    return found


def _show_groups(found: "Groups", places: "Places") -> None:
    """Print what drives the alarms, group by group, on standard error."""

    def named(position: int) -> str:
        path, row = places.place(position)
        return f"{row:,} of {path}" if places.several else f"{row:,}"

    out = console.remarks()
    out.print("\n[italic]what drives the alarms[/]")
    for group in found.groups:
        rows = count(group.rows, "row")
        dates = f", {group.since} to {group.until}" if group.since else ""
        ends = f"from row {named(group.first)} to {named(group.last)}"
        place = f"{ends}{dates}, such as {named(group.typical)}"
        out.print(f"[bold]{group.number}[/]: {console.escape(group.story)}")
        out.print(console.escape(f"   {rows}, {place}; highest score {number(group.highest)}"))
