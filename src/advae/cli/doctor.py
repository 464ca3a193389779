"""advae doctor."""

import json
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
    open_table,
)
from advae.display.text import count

if TYPE_CHECKING:
    from advae.doctor.examination import Diagnosis
    from advae.files.options import ReadOptions


@reads
def doctor(
    data: Data,
    label: Label = None,
    normal: Normal = None,
    ignore: Ignore = None,
    only: Only = None,
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
    ignored = ignored_columns(source, ignore, only, known)
    config, batches = Config(alpha=alpha), source.batches()
    with source.located():
        diagnosis = examine(batches, config, label=known, ignored=ignored)
    if as_json:
        print(json.dumps(asdict(diagnosis), indent=2))  # noqa: T201
    else:
        _show_diagnosis(diagnosis)


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
