"""What the command line shows people: progress, and short summaries that read well in plain text.

Progress and remarks go to standard error, results to standard output.
"""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple
from unicodedata import category

from rich.console import Console
from rich.markup import escape as without_markup
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Column, Table

if TYPE_CHECKING:
    import polars as pl

    from advae.core.training import Snapshot


def output() -> Console:
    """Return the console of results."""
    return Console(highlight=False, soft_wrap=not sys.stdout.isatty())


OPTIONS = (
    ("advae.tables.labels", "NAMING", "--normal VALUE"),
    ("advae.config", "TREND", "--time trend"),
)
"""What messages of the library name as Python does: module, constant, and the command's option."""

_live: list[Console] = []
"""The console that shows progress now, if one does: what others write would land in its line."""


def remarks() -> Console:
    """Return the console of progress and remarks."""
    if _live:
        return _live[0]
    return Console(stderr=True, highlight=False, soft_wrap=not sys.stderr.isatty())


def printable(text: str) -> str:
    """Return a text with control characters spelled out, line ends too; all spaces stay."""
    return "".join(c if c.isprintable() or category(c) == "Zs" else repr(c)[1:-1] for c in text)


def escape(text: str) -> str:
    """Return a text as Rich shows it, letter by letter."""
    return without_markup(printable(text))


def remark(text: str) -> None:
    """Say one sentence on standard error."""
    remarks().print(f"[yellow]note[/] {escape(as_given(text))}")


def as_given(text: str) -> str:
    """Return a message in the user's words: names of files as given, options of the command."""
    # Slow to import where nothing was read.
    paths = sys.modules.get("advae.files.paths")
    text = text if paths is None else str(paths.as_given(text))
    for module, name, option in OPTIONS:
        if module in sys.modules:
            text = text.replace(getattr(sys.modules[module], name), option)
    return text


def right(heading: str) -> Column:
    """Return a column whose cells end under each other, for numbers."""
    return Column(heading, justify="right")


def print_table(console: Console, table: Table) -> None:
    """Print a table whose long words are broken where it is narrow, not cut off."""
    for column in table.columns:
        column.overflow = "fold"
    console.print(table)


def counted(
    frames: "Iterable[pl.DataFrame]", tell: "Callable[[str], None]"
) -> "Iterator[pl.DataFrame]":
    """Pass on frames, telling how many rows have come so far."""
    rows = 0
    for frame in frames:
        rows += frame.height
        tell(f"{rows:,} rows")
        yield frame


@contextmanager
def row_progress(doing: str, quiet: bool = False) -> Iterator["Callable[[str], None]"]:
    """Show on a terminal what is done, and what is told of it meanwhile; elsewhere nothing."""
    console = remarks()
    if quiet or not console.is_terminal:
        yield lambda _: None
        return
    columns = SpinnerColumn("line"), TextColumn(doing), TextColumn("[dim]{task.fields[told]}")
    with _shown(Progress(*columns, console=console, transient=True)) as progress:
        task = progress.add_task(doing, total=None, told="")
        yield lambda told: progress.update(task, told=told)


class Training(NamedTuple):
    """What shows a fit: ``read`` is told of rows while they are read, ``show`` of iterations."""

    read: Callable[[str], None]
    show: "Callable[[Snapshot], None]"


@contextmanager
def training_progress(quiet: bool, verbose: bool = False) -> Iterator[Training]:
    """Show how much is done, and how well; without a terminal, a line every 10 %.

    Parameters
    ----------
    quiet
        Whether to show nothing.
    verbose
        Whether to show iterations and the terms of the loss.
    """
    console = remarks()
    told = _losses if verbose else _understood
    if quiet:
        yield Training(lambda _: None, lambda _: None)
        return
    if not console.is_terminal:
        yield Training(lambda _: None, _plain_progress(console, verbose))
        return
    columns = (
        TextColumn("learning"),
        BarColumn(bar_width=24),
        MofNCompleteColumn() if verbose else TaskProgressColumn(),
        TimeRemainingColumn(compact=True),
        TextColumn("[dim]{task.fields[told]}"),
    )
    with _shown(Progress(*columns, console=console, transient=True)) as progress:
        task = progress.add_task("learning", total=None, told="getting ready")

        def show(snapshot: "Snapshot") -> None:
            progress.update(
                task,
                total=snapshot.planned,
                completed=snapshot.iteration,
                told=told(snapshot.history),
            )

        yield Training(lambda rows: progress.update(task, told=f"{rows} read"), show)


@contextmanager
def _shown(progress: Progress) -> Iterator[Progress]:
    """Show progress; what is said meanwhile goes above it."""
    with progress:
        _live.append(progress.console)
        try:
            yield progress
        finally:
            _live.clear()


def _plain_progress(console: Console, verbose: bool) -> "Callable[[Snapshot], None]":
    shown = 0

    def show(snapshot: "Snapshot") -> None:
        nonlocal shown
        tenth = 10 * snapshot.iteration // snapshot.planned
        if tenth > shown:
            shown = tenth
            done, planned, history = snapshot.iteration, snapshot.planned, snapshot.history
            console.print(
                f"training {done}/{planned}  {_losses(history)}"
                if verbose
                else f"learning {100 * done // planned} %  {_understood(history)}".rstrip()
            )

    return show


def _understood(history: Mapping[str, list[float]]) -> str:
    """Say how far the error on normal rows has come down since the first iterations."""
    errors = history.get("encoder_reconstruction", [])
    if len(errors) < 2 or not errors[0]:
        return ""
    return f"error on normal rows {100 * errors[-1] / errors[0]:.0f} % of what it was at first"


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
