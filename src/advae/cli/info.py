"""advae info."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from rich.table import Table

from advae.cli import console
from advae.cli.bundle import show_bundle
from advae.cli.shared import Json, Model

if TYPE_CHECKING:
    from advae.detector.record import ModelRecord, Threshold


def info(model: Model, as_json: Json = False) -> None:
    """Show what a model file holds, without running anything of it."""
    from advae.detector import record
    from advae.detector.bundle import load_bundle
    from advae.tensorfile import is_bundle

    if is_bundle(model):
        bundle = load_bundle(model)
        if as_json:
            told = {"by": bundle.by, "segments": [asdict(each) for each in bundle.segments]}
            print(json.dumps(told, indent=2))  # noqa: T201
        else:
            show_bundle(bundle, model)
        return
    checked, stored, _ = record.read(model)
    if as_json:
        print(json.dumps(stored, indent=2))  # noqa: T201
    else:
        _show_info(checked)


def _show_info(record: "ModelRecord") -> None:
    """Print what a model file says about itself."""
    out, summary, escape = console.output(), record.summary, console.escape
    versions = ", ".join(f"{name} {number}" for name, number in summary.versions.items())
    facts = Table.grid(padding=(0, 2))
    facts.add_row("format", escape(f"{record.format_version} ({versions})"))
    held_out = f"{summary.calibration_rows:,} held out"
    rows = f"in {summary.folds} folds" if summary.folds else held_out
    facts.add_row("rows", f"{summary.rows:,} learned from, {rows}")
    facts.add_row("threshold", _threshold_in_words(record.threshold))
    for earlier in reversed(record.earlier_thresholds):
        facts.add_row("before", _threshold_in_words(earlier))
    for review in reversed(record.reviews):
        facts.add_row("review", escape(f"{review.made}: {review.told}"))
    if record.ignored:
        facts.add_row("ignored", escape(", ".join(record.ignored)))
    console.print_table(out, facts)
    settings = Table(title="settings", title_justify="left", show_header=False)
    hidden, latent = record.config.network_sizes(record.table.network_width)
    came = {"hidden": hidden, "latent": latent, "iterations": int(summary.history["iteration"][-1])}
    for name, value in record.config.to_json().items():
        shown = f"{came[name]} (by the table)" if value is None else str(value)
        settings.add_row(name, escape(shown))
    console.print_table(out, settings)
    columns = Table("name", "kind", title="columns", title_justify="left")
    for feature in record.table.features:
        columns.add_row(escape(feature.name), feature.kind)
    console.print_table(out, columns)
    headings = ("loss term, unweighted", console.right("first block"), console.right("last block"))
    terms = Table(*headings, title="training", title_justify="left")
    for name, values in summary.history.items():
        if name != "iteration":
            terms.add_row(escape(name), f"{values[0]:.4g}", f"{values[-1]:.4g}")
    console.print_table(out, terms)
    for note in summary.notes:
        out.print(f"[yellow]note[/] {escape(console.as_given(note))}")


def _threshold_in_words(threshold: "Threshold") -> str:
    alpha = "" if threshold.alpha is None else f", alpha {threshold.alpha:g}"
    why = console.escape(threshold.why)
    return f"{threshold.value:.6g} ({threshold.method}{alpha}): {why}"
