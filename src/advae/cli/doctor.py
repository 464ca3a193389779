"""advae doctor."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from advae.cli import console
from advae.cli.reading import reads
from advae.cli.shared import (
    Data,
    Ignore,
    Json,
    Label,
    Normal,
    Only,
    ignored_columns,
    label_column,
    load_model,
    open_rows,
    open_table,
)
from advae.display.text import count
from advae.errors import InputError

if TYPE_CHECKING:
    from advae.doctor import Diagnosis
    from advae.files.options import ReadOptions


PROBLEMS = 1
"""Exit code of --strict where there are problems."""


@reads
def doctor(
    data: Data,
    label: Label = None,
    normal: Normal = None,
    ignore: Ignore = None,
    only: Only = None,
    alpha: Annotated[
        float | None,
        typer.Option(help="Share of normal rows that may be flagged; 0.1 if not given."),
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(
            metavar="MODEL", help="Examine DATA as new rows for this model, not for training."
        ),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 1 if there are problems, for CI.")
    ] = False,
    as_json: Json = False,
    *,
    reading: "ReadOptions",
) -> None:
    """Examine DATA before fitting: what would be refused, and what would be mislearned.

    Exits with 0 whatever it finds (with --strict 1 on problems), and with 2 if
    DATA cannot be read. It cannot tell whether rows called normal are:
    anomalies that resemble them stay unseen.
    """
    from advae.config import Config
    from advae.doctor import Diagnosis, compare, examine

    known = label_column(label, normal)
    if model is not None:
        if label or ignore or only or alpha is not None:
            raise InputError(
                "--model compares rows with what the model learned. Leave out --label, --ignore, "
                "--only and --alpha."
            )
        detector = load_model(model)
        rows = open_rows(detector, data, [], reading)
        with rows.located(), console.row_progress("reading", as_json) as tell:
            counted, findings = compare(detector, console.counted(rows.batches(), tell))
        _end(Diagnosis(counted, counted, findings), as_json, strict)
        return
    source = open_table(data, known, reading)
    ignored = ignored_columns(source, ignore, only, known)
    with source.located(), console.row_progress("examining", as_json) as tell:
        batches = console.counted(source.batches(), tell)
        config = Config() if alpha is None else Config(alpha=alpha)
        diagnosis = examine(batches, config, label=known, ignored=ignored)
    _end(diagnosis, as_json, strict)


def _end(diagnosis: "Diagnosis", as_json: bool, strict: bool) -> None:
    """Print a diagnosis; end with 1 if it has problems and these are to count."""
    from dataclasses import asdict, replace

    worded = [replace(each, advice=console.as_given(each.advice)) for each in diagnosis.findings]
    diagnosis = replace(diagnosis, findings=tuple(worded))
    if as_json:
        print(json.dumps(asdict(diagnosis), indent=2))  # noqa: T201
    else:
        _show_diagnosis(diagnosis)
    if strict and any(finding.severity == "problem" for finding in diagnosis.findings):
        raise typer.Exit(PROBLEMS)


def _show_diagnosis(diagnosis: "Diagnosis") -> None:
    """Print what the examination of a table found."""
    out = console.output()
    anomalies = diagnosis.rows - diagnosis.normal_rows
    some = f"{anomalies:,} of them {'an anomaly' if anomalies == 1 else 'anomalies'}"
    labelled = f", {some} by {'its' if anomalies == 1 else 'their'} label" if anomalies else ""
    problems = sum(finding.severity == "problem" for finding in diagnosis.findings)
    hints = len(diagnosis.findings) - problems
    out.print(
        f"{count(diagnosis.rows, 'row')}{labelled}: [bold]{count(problems, 'problem')}[/], "
        f"{count(hints, 'hint')}"
    )
    if not diagnosis.findings:
        return
    table = Table("check", "column", "found", "what to do", show_lines=True)
    for finding in diagnosis.brief:
        style = "bold" if finding.severity == "problem" else "dim"
        names = console.escape(", ".join(finding.columns)) or "(the table)"
        check = f"[{style}]{finding.severity}[/]\n{finding.check}"
        table.add_row(check, names, console.escape(finding.message), console.escape(finding.advice))
    console.print_table(out, table)
