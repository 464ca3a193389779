"""advae review."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from advae.cli import console
from advae.cli.reading import reads
from advae.cli.shared import Model, check_output, interruptible, load_model, open_rows
from advae.display.text import count
from advae.errors import InputError

if TYPE_CHECKING:
    from advae.detector.review import Reviewed
    from advae.files.options import ReadOptions

SHOWN = 20
"""Excused rows that are shown."""


@reads
def review(
    model: Model,
    data: Annotated[
        str | None, typer.Option(metavar="DATA", help="Table with the rows that were reviewed.")
    ] = None,
    verdicts: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Table with the key and verdict, normal or anomaly."),
    ] = None,
    key: Annotated[
        str | None, typer.Option(metavar="COL", help="Column of both that names a row.")
    ] = None,
    radius: Annotated[
        float | None, typer.Option(help="How like an excused row others must be; 0.1 if not given.")
    ] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Take the last review back.")] = False,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="OUT", help="Model to write; MODEL if not given."),
    ] = None,
    *,
    reading: "ReadOptions",
) -> None:
    """Tell MODEL which alarms were false: rows like those alarm no more; or show what it was told.

    Verdicts stay in the model file, where 'advae info' shows them; --undo takes the last ones back.
    """
    from advae.detector import model_file
    from advae.detector.review import RADIUS, undone
    from advae.detector.review import review as reviewed

    given, nothing = (data, verdicts, key), (None, None, None)
    if undo and (*given, radius) != (*nothing, None):
        raise InputError(
            "--undo takes a review back. Leave out --data, --verdicts, --key and --radius."
        )
    if None in given and given != nothing:
        raise InputError("--data, --verdicts and --key go together: the rows, and what they are")
    if not undo and given == nothing and (radius, output) != (None, None):
        raise InputError(
            "nothing would be reviewed or written. Add --data, --verdicts and --key, or leave out "
            "--radius and --output."
        )
    inputs = [str(model), *(each for each in (data, verdicts) if each is not None)]
    if output is not None:
        check_output(output, *inputs)
    detector, path = load_model(model), model if output is None else output
    if data is None or verdicts is None or key is None:
        after = undone(detector) if undo else detector
        if undo:
            with interruptible(path):
                model_file.save(after, path)
        for each in after.reviews:
            console.output().print(console.escape(f"{each.made}: {each.told}"))
        if not after.reviews:
            console.output().print("no review")
        return
    import polars as pl

    from advae.detector.review import matched, read_verdicts
    from advae.files.source import open_source

    verdict_source = open_source(verdicts, dtypes={key: pl.String()})
    source = open_rows(detector, data, [key], reading)
    with interruptible(path):
        with verdict_source.located():
            told = read_verdicts(verdict_source.read(), key)
        with source.located():
            found = matched(source.batches(), told, key)
        done = reviewed(
            detector,
            found.rows,
            found.normal,
            keys=found.keys,
            notes=found.notes,
            radius=RADIUS if radius is None else radius,
        )
        model_file.save(done.detector, path)
    _show(done)


def _show(done: "Reviewed") -> None:
    """Print what came of the verdicts."""
    out = console.output()
    out.print(f"{count(done.normal, 'row')} called normal, {done.anomalies:,} called anomalous")
    out.print(f"[bold]{len(done.excused):,}[/] excused: rows like these alarm no more")
    for key, what in done.excused[:SHOWN]:
        out.print(console.escape(f"  {key}: {what}"))
    if len(done.excused) > SHOWN:
        out.print(f"  and {len(done.excused) - SHOWN:,} more")
    for key, why in done.refused[:SHOWN]:
        console.remark(f"{key} is not excused: {why}")
    for doubt in done.doubts:
        console.remark(doubt)
