"""advae report."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from advae.cli import console
from advae.cli.bundle import rows_of_segment, segment_of, segments_table
from advae.cli.reading import reads
from advae.cli.shared import (
    Data,
    Label,
    Model,
    Normal,
    Quiet,
    check_output,
    given_options,
    interruptible,
    label_column,
    load_model,
    open_labelled,
)
from advae.display.text import count, share
from advae.errors import InputError, quoted_list

if TYPE_CHECKING:
    from advae.files.options import ReadOptions
    from advae.report.summary import Report


@reads
def report(
    model: Model,
    data: Data,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="HTML",
            help="Page to write; report.html if not given.",
        ),
    ] = None,
    label: Label = None,
    normal: Normal = None,
    keep: Annotated[
        list[str] | None,
        typer.Option(metavar="COL", help="Column of DATA to show beside the anomalous rows."),
    ] = None,
    history: Annotated[
        Path | None,
        typer.Option(metavar="STATE", help="State of a watch, whose days are drawn."),
    ] = None,
    segment: Annotated[
        list[str] | None,
        typer.Option(metavar="VALUE", help="Segment that the page is on, if MODEL has several."),
    ] = None,
    quiet: Quiet = False,
    *,
    reading: "ReadOptions",
) -> None:
    """Write a page on the rows of DATA: what is normal, which rows stand out, and why.

    One HTML file that opens anywhere, without network. With --label it also measures the model.
    """
    from advae.cli.places import FILE, ROW, placed
    from advae.detector.bundle import load_bundle
    from advae.report.page import check_page, write_report
    from advae.tensorfile import is_bundle
    from advae.watching.state import load

    page = Path("report.html") if output is None else output
    check_page(page)
    days = None if history is None else load(history)
    if history is not None and days is None:
        raise InputError(f"{history}: no such file. Give the --state FILE of advae watch.")
    known = label_column(label, normal)
    bundle = load_bundle(model) if is_bundle(model) else None
    if segment and bundle is None:
        load_model(model)  # or else what is wrong with it
        raise InputError(f"{model} has a single model. Leave out --segment.")
    if bundle is not None and not segment:
        of_page = given_options(output=output, label=label, history=history, keep=keep)
        if of_page:
            raise InputError(
                f"{model} has a model for each segment, and a page is on one of them. Add "
                f"--segment VALUE, once for each of {quoted_list(bundle.by)}; or leave out "
                f"{', '.join(of_page)} for a table of all segments."
            )
        segments_table(bundle, data, reading)
        return
    check_output(page, data, str(model))
    values, by = segment or [], () if bundle is None else bundle.by
    detector = load_model(model) if bundle is None else segment_of(bundle, values)
    source = open_labelled(detector, data, known, [*by, *(keep or [])], reading)
    with interruptible(page), source.located(), console.row_progress("scoring", quiet) as tell:
        rows = console.counted(source.batches(), tell)
        # The page numbers the rows that it is given.
        several = len(source.paths) > 1
        places = [FILE] * several + [ROW] * (several or bundle is not None)
        if places:
            rows = placed(rows, source)
        written = write_report(
            detector,
            rows if bundle is None else rows_of_segment(rows, by, values),
            page,
            label=known,
            keep=[*places, *(keep or [])],
            data_name=Path(data).name,
            model_name=model.name,
            history=days,
        )
    if not quiet:
        _show_report(written, str(page))


def _show_report(report: "Report", path: str) -> None:
    """Print where a report is, and what it says first."""
    rows, part = count(report.rows, "row"), share(report.flagged / report.rows)
    said = f"{report.flagged:,} of {rows} flagged ({part})"
    console.output().print(f"[bold]{console.escape(path)}[/]: {said}")
    for sentence in report.remarks:
        console.remark(sentence)
