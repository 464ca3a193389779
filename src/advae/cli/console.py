"""What the command line shows people: progress, and short summaries that read well in plain text.

Progress and remarks go to standard error, results to standard output.
"""

import math
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from unicodedata import category

from rich.console import Console
from rich.markup import escape as without_markup
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Column, Table
from rich.text import Text

from advae.display.text import count

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Bool, Float

    from advae.cli.brief import Brief
    from advae.core.evaluation import Estimate
    from advae.core.training import Snapshot
    from advae.detector.detector import Detector
    from advae.doctor.examination import Diagnosis
    from advae.report.summary import Report


def output() -> Console:
    """Return the console of results."""
    return Console(highlight=False, soft_wrap=not sys.stdout.isatty())


def remarks() -> Console:
    """Return the console of progress and remarks."""
    return Console(stderr=True, highlight=False, soft_wrap=not sys.stderr.isatty())


def printable(text: str) -> str:
    """Return a text on one line; what would steer the terminal is spelled out, not odd spaces."""
    return "".join(c if c.isprintable() or category(c) == "Zs" else repr(c)[1:-1] for c in text)


def escape(text: str) -> str:
    """Return a text as Rich shows it, letter by letter."""
    return without_markup(printable(text))


def remark(text: str) -> None:
    """Say one sentence on standard error."""
    remarks().print(f"[yellow]note[/] {escape(text)}")


def _right(heading: str) -> Column:
    return Column(heading, justify="right")


def _print(console: Console, table: Table) -> None:
    """Print a table whose long words are broken where it is narrow, not cut off."""
    for column in table.columns:
        column.overflow = "fold"
    console.print(table)


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:,.0f} it/s" if task.speed else "compiling", style="cyan")


@contextmanager
def training_progress(iterations: int, quiet: bool) -> Iterator["Callable[[Snapshot], None]"]:
    """Show iterations, rate, time left and losses; without a terminal, a line every 10 %."""
    console = remarks()
    if quiet:
        yield lambda _: None
        return
    if not console.is_terminal:
        yield _plain_progress(console, iterations)
        return
    columns = (
        TextColumn("training"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(compact=True),
        TextColumn("[dim]{task.fields[losses]}"),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("training", total=iterations, losses="")

        def show(snapshot: "Snapshot") -> None:
            progress.update(task, completed=snapshot.iteration, losses=_losses(snapshot.history))

        yield show


def _plain_progress(console: Console, iterations: int) -> "Callable[[Snapshot], None]":
    shown = 0

    def show(snapshot: "Snapshot") -> None:
        nonlocal shown
        tenth = 10 * snapshot.iteration // iterations
        if tenth > shown:
            shown = tenth
            console.print(
                f"training {snapshot.iteration}/{iterations}  {_losses(snapshot.history)}"
            )

    return show


def _losses(history: Mapping[str, list[float]]) -> str:
    short = {
        "generator_reconstruction": "error",
        "encoder_kld": "KLD",
        "generator_margin_x": "margin x",
        "encoder_margin_z_Tr": "margin z",
    }
    return "  ".join(
        f"{label} {history[name][-1]:.3g}" for name, label in short.items() if name in history
    )


def show_fit(detector: "Detector", path: str) -> None:
    """Print what was learned, and the thresholds side by side."""
    from advae.cli.histogram import score_histogram

    facts = Table.grid(padding=(0, 2))
    facts.add_row("model", f"[bold]{escape(path)}[/]")
    for name in ("rows", "columns"):
        facts.add_row(name, detector.facts[name])
    console = output()
    _print(console, facts)
    groups = {
        "training rows": detector.training_scores,
        "calibration rows": detector.calibration_scores,
    }
    console.print("\n", score_histogram(console, groups, detector.threshold.value), "\n", sep="")
    show_thresholds(detector, detector.config.alpha)
    for note in detector.summary.notes:
        remark(note)


def show_scores(brief: "Brief", threshold: float) -> None:
    """Print what a scored table looks like in brief, on standard error: the rows are the output."""
    from advae.cli.histogram import percent, score_histogram

    console, rows = remarks(), count(brief.rows, "row")
    console.print(score_histogram(console, {rows: brief.scores}, threshold), "\n", sep="")
    share = percent(brief.flagged / max(brief.rows, 1))
    console.print(f"[bold]{brief.flagged:,}[/] of {rows} flagged ({share})")
    table = Table(title="highest scores", title_justify="left")
    for name in brief.headings:
        table.add_column(escape(name), justify="right" if name in ("score", "p-value") else "left")
    for row in brief.highest:
        table.add_row(*map(escape, row))
    _print(console, table)


def show_report(report: "Report", path: str) -> None:
    """Print where a report is, and what it says first."""
    from advae.cli.histogram import percent

    rows, share = count(report.rows, "row"), percent(report.flagged / report.rows)
    output().print(f"[bold]{escape(path)}[/]: {report.flagged:,} of {rows} flagged ({share})")
    for sentence in report.remarks:
        remark(sentence)


def show_thresholds(detector: "Detector", alpha: float) -> None:
    """Print the threshold in use and the others possible at ``alpha``, with their alarms."""
    from advae.detector.calibration import candidates

    alarms_heading = _right("alarms in 10,000\nnormal rows")
    table = Table("threshold", _right("score"), alarms_heading, "learned from")
    for threshold, alarms in candidates(detector, alpha):
        if alarms is not None:
            low, high = 10_000 * alarms.low, 10_000 * alarms.high
            expected = f"{10_000 * alarms.value:,.0f} ({low:,.0f} to {high:,.0f})"
        elif threshold.alpha is not None:
            expected = f"{10_000 * threshold.alpha:,.0f}, not measured"
        else:
            expected = "not measured"
        name, score = escape(threshold.method), f"{threshold.value:.6g}"
        if threshold == detector.threshold:
            name, score = f"[bold]{name}, in use[/]", f"[bold]{score}[/]"
        table.add_row(name, score, expected, escape(threshold.why))
    _print(output(), table)


def show_review(
    scores: "Float[np.ndarray, 'rows']",
    anomalous: "Bool[np.ndarray, 'rows']",
    detector: "Detector",
) -> None:
    """Print how the threshold before and the one in use do on reviewed rows."""
    from advae.detector.calibration import review

    normal, anomalies = int((~anomalous).sum()), int(anomalous.sum())
    headings = ("score", "normal rows flagged", "anomalies flagged", "precision", "recall")
    title = (
        f"{count(normal, 'reviewed normal row')}, which joined the calibration, and "
        f"{count(anomalies, 'anomaly', 'anomalies')}, which did not"
    )
    table = Table("threshold", *map(_right, headings), title=title, title_justify="left")
    before = detector.earlier_thresholds[-1]
    for name, threshold in (("before", before), ("in use", detector.threshold)):
        found = review(scores, anomalous, threshold.value)
        shares = ("-" if math.isnan(x) else f"{x:.3f}" for x in (found.precision, found.recall))
        counts = (f"{found.flagged_normal:,}", f"{found.flagged_anomalies:,}")
        table.add_row(name, f"{threshold.value:.6g}", *counts, *shares)
    _print(output(), table)


def show_diagnosis(diagnosis: "Diagnosis") -> None:
    """Print what the examination of a table found."""
    console = output()
    anomalies = diagnosis.rows - diagnosis.normal_rows
    some = f"{anomalies:,} of them {'an anomaly' if anomalies == 1 else 'anomalies'}"
    labelled = f", {some} by {'its' if anomalies == 1 else 'their'} label" if anomalies else ""
    problems = sum(finding.severity == "problem" for finding in diagnosis.findings)
    hints = len(diagnosis.findings) - problems
    console.print(
        f"{count(diagnosis.rows, 'row')}{labelled}: [bold]{problems}[/] "
        f"problem{'s' * (problems != 1)}, {count(hints, 'hint')}"
    )
    if not diagnosis.findings:
        return
    table = Table("check", "column", "found", "what to do", show_lines=True)
    for finding in diagnosis.brief:
        style = "bold" if finding.severity == "problem" else "dim"
        names = escape(", ".join(finding.columns)) or "(the table)"
        check = f"[{style}]{finding.severity}[/]\n{finding.check}"
        table.add_row(check, names, escape(finding.message), escape(finding.advice))
    _print(console, table)


def show_metrics(metrics: "Mapping[str, Estimate]", rows: int, anomalies: int) -> None:
    """Print measures with their intervals."""
    title = f"{count(rows, 'row')}, {count(anomalies, 'anomaly', 'anomalies')}"
    headings = ("measure", _right("value"), _right("95 % interval"))
    table = Table(*headings, title=title, title_justify="left")
    for name, estimate in metrics.items():
        table.add_row(
            name.replace("_", " "),
            f"{estimate.value:.3f}",
            f"{estimate.low:.3f} to {estimate.high:.3f}",
        )
    _print(output(), table)


def _threshold_in_words(threshold: Mapping[str, Any]) -> str:
    alpha = "" if threshold["alpha"] is None else f", alpha {threshold['alpha']:g}"
    return f"{threshold['value']:.6g} ({threshold['method']}{alpha}): {escape(threshold['why'])}"


def show_info(record: Mapping[str, Any]) -> None:
    """Print what a model file says about itself."""
    console, summary, threshold = output(), record["summary"], record["threshold"]
    versions = ", ".join(f"{name} {number}" for name, number in summary["versions"].items())
    facts = Table.grid(padding=(0, 2))
    facts.add_row("format", f"{record['format_version']} ({versions})")
    held_out = f"{summary['calibration_rows']:,} held out"
    rows = f"in {summary['folds']} folds" if summary["folds"] else held_out
    facts.add_row("rows", f"{summary['rows']:,} learned from, {rows}")
    facts.add_row("threshold", _threshold_in_words(threshold))
    for earlier in reversed(record["earlier_thresholds"]):
        facts.add_row("before", _threshold_in_words(earlier))
    if record["ignored"]:
        facts.add_row("ignored", escape(", ".join(record["ignored"])))
    _print(console, facts)
    settings = Table(title="settings", title_justify="left", show_header=False)
    for name, value in record["config"].items():
        settings.add_row(name, str(value))
    _print(console, settings)
    columns = Table("name", "kind", title="columns", title_justify="left")
    for feature in record["table"]["features"]:
        columns.add_row(escape(feature["name"]), feature["kind"])
    _print(console, columns)
    headings = ("loss term, unweighted", _right("first block"), _right("last block"))
    terms = Table(*headings, title="training", title_justify="left")
    for name, values in summary["history"].items():
        if name != "iteration":
            terms.add_row(name, f"{values[0]:.4g}", f"{values[-1]:.4g}")
    _print(console, terms)
    for note in summary["notes"]:
        console.print(f"[yellow]note[/] {escape(note)}")
