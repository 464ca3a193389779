"""From a report's plain data to one HTML page that needs nothing else."""

import base64
import json
import re
from collections.abc import Sequence
from functools import cache
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from advae.atomic import replacing
from advae.detector.detector import Detector
from advae.display import charts, text
from advae.errors import InputError
from advae.report.history import caption
from advae.report.latent import PointGroup
from advae.report.rows import CELLS, Cell, Remedy, RowView
from advae.report.scores import BINS, STEPS
from advae.report.summary import Report, summarise
from advae.tables.labels import LabelColumn
from advae.watching.state import State

MOST_COLUMNS = 250
"""Columns listed; in wider tables those that matter least are left out."""

FIRST_CELLS = 10
"""Columns of an opened row that are shown at once; a button shows the others."""

LARGEST_PAYLOAD = 900_000
"""Bytes of JSON, beside at most 1.1 MB of HTML: a page has at most 2 MB."""

GROUP_NAMES = {
    "training": "Training rows",
    "calibration": "Calibration rows",
    "new": "New rows",
    "normal": "New rows labelled normal",
    "anomaly": "New rows labelled anomalous",
}
POINT_NAMES = {
    "synthetic": "synthetic anomalies",
    "normal": "not flagged",
    "flagged": "flagged",
    "missed": "labelled anomalous, not flagged",
}
LEVELS = {
    "none": "steady",
    "chance": "may be chance",
    "dated": "moves by nature",
    "shifted": "shifted",
    "strong": "strongly shifted",
}
DIRECTIONS = {
    "higher": "higher than expected",
    "lower": "lower than expected",
    "later": "later than expected",
    "earlier": "earlier than expected",
    "differs": "another value than expected",
    "missing": "missing, a value was expected",
    "present": "present, none was expected",
    "same": "as expected",
}
PAGES = (".html", ".htm")
"""Endings of files that a page may be written to."""

# In JSON these characters occur inside strings only, where an escape means the same.
_RISKY = {ord(character): f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"}


def render_page(report: Report) -> str:
    """Return the page: no address in it is ever fetched, and nothing in the data can run.

    Its content security policy allows this very script and style sheet and nothing else; values
    are escaped, shortened, and isolated from the direction of the text around them.
    """
    script, style = _script(), asset("advae.report", "report.css")
    policy = f"{policy_of(script, style)}; img-src data:; base-uri 'none'; form-action 'none'"
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            report=report,
            policy=policy,
            script=Markup(script),  # ours, from the package
            style=Markup(style),
            payload=_embedded_payload(report),
            columns=report.columns[:MOST_COLUMNS],
            explained={row.row: row for row in report.top},
            highest_share=max((column.alarm_share for column in report.columns), default=0.0),
        )
    )


def embedded_json(value: Any) -> Markup:
    """Return JSON that can stand inside a script element, whatever texts it holds."""
    plain = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Markup(plain.translate(_RISKY))


def _unbroken(sentence: str) -> str:
    """Return a text whose shares stay on one line with their signs."""
    return sentence.replace(" %", "\u00a0%")


@cache
def _environment() -> Environment:
    environment = environment_of("advae.report")
    environment.filters.update(
        short=lambda value: Markup("<bdi>{}</bdi>").format(text.shorten(value)),
        plain=text.shorten,
        number=text.number,
        share=lambda value: _unbroken(text.share(value)),
        unbroken=_unbroken,
        formula=_formula,
        caption=caption,
        sentence=lambda value: f"{value[:1].upper()}{value[1:]}",
    )
    environment.globals.update(
        charts=charts,
        zip=zip,
        count=text.count,
        listed=text.listed,
        group_names=GROUP_NAMES,
        point_names=POINT_NAMES,
        levels=LEVELS,
        directions=DIRECTIONS,
    )
    return environment


@cache
def environment_of(package: str) -> Environment:
    """Return what renders the templates of a package, with all values escaped."""
    return Environment(
        loader=PackageLoader(package),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@cache
def asset(package: str, name: str) -> str:
    """Return a file among the templates of a package."""
    return (files(package) / "templates" / name).read_text(encoding="utf-8")


def policy_of(script: str, style: str) -> str:
    """Return a content security policy that allows this script and this style sheet, no others."""
    digests = (
        base64.b64encode(sha256(each.encode()).digest()).decode() for each in (script, style)
    )
    return "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'".format(*digests)


@cache
def _script() -> str:
    """Return the scripts as one, in the order of their names and in a scope of their own."""
    folder = files("advae.report") / "templates" / "scripts"
    parts = sorted(folder.iterdir(), key=lambda part: part.name)
    joined = "\n".join(part.read_text(encoding="utf-8") for part in parts)
    return f'"use strict";\n{{\n{joined}}}\n'


def _formula(source: str) -> Markup:
    """Set the subscripts of a formula: x_r becomes x with a small r below."""
    return Markup(re.sub(r"_(\w+)", r"<sub>\1</sub>", str(escape(source))))


def _embedded_payload(report: Report) -> Markup:
    """Return the payload with as many columns of each row as its bytes allow."""
    for cells in (CELLS, CELLS // 2, CELLS // 4, FIRST_CELLS):
        payload = embedded_json(_payload(report, cells))
        if len(payload.encode()) <= LARGEST_PAYLOAD:
            break
    return payload


def _payload(report: Report, cells: int) -> dict[str, Any]:
    """Return what the script needs: thresholds, row details, and the points of the latent space."""
    scores = report.scores
    rows = [_row(row, cells) for row in report.top]
    used = {cell[0] for row in rows for cell in row["cells"]}
    used |= {column for row in report.top if row.remedy for column, _ in row.remedy.changes}
    return {
        "axis": {"low": scores.axis.low, "high": scores.axis.high, "steps": STEPS, "bins": BINS},
        "threshold": scores.threshold.value,
        "groups": [
            {"key": g.key, "total": g.total, "above": g.above, "flagged": g.flagged}
            for g in scores.groups
        ],
        "columns": {
            column: {
                "name": text.shorten(report.feature_names[column]),
                "bars": _heights(report.feature_bars[column]),
            }
            for column in sorted(used)
        },
        "directions": DIRECTIONS,
        "first": FIRST_CELLS,
        "rows": rows,
        "listed": {
            "file": f"{Path(report.data).stem or 'table'}-flagged.csv",
            "headings": ["row", *report.kept, *report.listed.headings],
            "rows": report.listed.rows,
        },
        "latent": [_points(group) for group in report.latent.groups] if report.latent else [],
    }


def _row(row: RowView, cells: int) -> dict[str, Any]:
    dropped = row.cells[cells:]
    return {
        "cells": [_cell(cell) for cell in row.cells[:cells]],
        "others": row.others + len(dropped),
        "rest": _significant(row.rest + sum(cell.contribution for cell in dropped)),
        "remedy": None if row.remedy is None else _remedy(row.remedy),
        "score": _significant(row.score),
        "flagged": row.flagged,
    }


def _heights(shares: tuple[float, ...]) -> list[int]:
    top = max(shares, default=0.0)
    return [round(100 * share / top) if top else 0 for share in shares]


def _cell(cell: Cell) -> list[Any]:
    return [
        cell.column,
        cell.observed,
        cell.expected,
        _significant(cell.contribution),
        None if cell.observed_at is None else round(cell.observed_at, 3),
        None if cell.expected_at is None else round(cell.expected_at, 3),
        cell.direction,
        "; ".join(filter(None, (cell.kind, cell.remark))),
    ]


def _remedy(remedy: Remedy) -> dict[str, Any]:
    return {
        "changes": remedy.changes,
        "score": _significant(remedy.score),
        "normal": remedy.normal,
    }


def _points(group: PointGroup) -> dict[str, Any]:
    return {
        "key": group.key,
        "x": group.x,
        "y": group.y,
        "rows": group.rows,
        "scores": [_significant(score) for score in group.scores],
    }


def _significant(value: float) -> float:
    # All that float32 tells: the script rounds for itself, and a number rounded twice can differ.
    return float(f"{value:.9g}")


def check_page(path: str | Path) -> None:
    """Refuse to write a page under the name of something else."""
    suffix = Path(path).suffix
    if suffix.lower() in PAGES or Path(path).is_dir():  # which is refused as a folder
        return
    named = f"{suffix} names another kind of file" if suffix else "its name must end in .html"
    printed = "; a browser prints it as PDF" if suffix.lower() == ".pdf" else ""
    raise InputError(
        f"{path}: a report is an HTML page, and {named}. Write to "
        f"{Path(path).with_suffix('.html')}{printed}."
    )


def write_report(
    detector: Detector,
    data: Any,
    path: str | Path,
    *,
    label: str | LabelColumn | None = None,
    keep: Sequence[str] = (),
    data_name: str = "the table",
    model_name: str = "the model",
    history: State | None = None,
) -> Report:
    """Score a table and write a page on it: one HTML file that needs nothing else.

    Parameters
    ----------
    detector
        A fitted detector.
    data
        Rows with the training columns: a table, or batches of it; see `as_batches`.
    path
        Where to write. The file appears when it is complete; an error leaves an older one as is.
    label
        Column of known labels to measure the model against, see `LabelColumn`.
    keep
        Columns to show beside the most anomalous rows.
    data_name, model_name
        What to call the table and the model on the page.
    history
        What ``advae watch`` remembers, see `advae.watching.state.load`, to be drawn.

    Returns
    -------
    report : Report
        What the page shows, as plain data.

    Raises
    ------
    InputError
        For a table without rows, a missing column, a value or label that cannot be read, a normal
        label that does not occur, or a file that cannot be written, or is named as another kind.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> import advae
    >>> normal = np.random.default_rng(0).normal(size=(300, 2))
    >>> detector = advae.fit_detector(normal, advae.Config(iterations=50))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     page = Path(folder) / "report.html"
    ...     report = advae.write_report(detector, normal, page, data_name="sales")
    ...     page.read_text().startswith("<!doctype html>")
    True
    >>> report.data, report.rows
    ('sales', 300)
    """
    check_page(path)
    report = summarise(
        detector,
        data,
        label=label,
        keep=keep,
        data_name=data_name,
        model_name=model_name,
        history=history,
    )
    # The name of a model file need not be text.
    page = render_page(report).encode(errors="replace")
    with replacing(Path(path)) as stream:
        stream.write(page)
    return report
