"""What the command line shows people: progress, and short summaries that read well in plain text.

Progress and remarks go to standard error, results to standard output.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING
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

if TYPE_CHECKING:
    from advae.core.training import Snapshot


def output() -> Console:
    """Return the console of results."""
    return Console(highlight=False, soft_wrap=not sys.stdout.isatty())


def remarks() -> Console:
    """Return the console of progress and remarks."""
    return Console(stderr=True, highlight=False, soft_wrap=not sys.stderr.isatty())


def printable(text: str) -> str:
    """Return a text with control characters spelled out, line ends too; all spaces stay."""
    return "".join(c if c.isprintable() or category(c) == "Zs" else repr(c)[1:-1] for c in text)


def escape(text: str) -> str:
    """Return a text as Rich shows it, letter by letter."""
    return without_markup(printable(text))


def remark(text: str) -> None:
    """Say one sentence on standard error."""
    remarks().print(f"[yellow]note[/] {escape(text)}")


def right(heading: str) -> Column:
    """Return a column whose cells end under each other, for numbers."""
    return Column(heading, justify="right")


def print_table(console: Console, table: Table) -> None:
    """Print a table whose long words are broken where it is narrow, not cut off."""
    for column in table.columns:
        column.overflow = "fold"
    console.print(table)


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:,.0f} it/s" if task.speed else "compiling", style="cyan")


@contextmanager
def training_progress(quiet: bool) -> Iterator["Callable[[Snapshot], None]"]:
    """Show iterations, rate, time left and losses; without a terminal, a line every 10 %."""
    console = remarks()
    if quiet:
        yield lambda _: None
        return
    if not console.is_terminal:
        yield _plain_progress(console)
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
        task = progress.add_task("training", total=None, losses="")

        def show(snapshot: "Snapshot") -> None:
            progress.update(
                task,
                total=snapshot.planned,
                completed=snapshot.iteration,
                losses=_losses(snapshot.history),
            )

        yield show


def _plain_progress(console: Console) -> "Callable[[Snapshot], None]":
    shown = 0

    def show(snapshot: "Snapshot") -> None:
        nonlocal shown
        tenth = 10 * snapshot.iteration // snapshot.planned
        if tenth > shown:
            shown = tenth
            console.print(
                f"training {snapshot.iteration}/{snapshot.planned}  {_losses(snapshot.history)}"
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
