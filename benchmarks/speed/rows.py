"""What the speed benchmark reports: rows of two rates and their ratio."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median

from rich.table import Table

from benchmarks.harness.timing import Ratio, Side, Task, alternate, best, ratio
from benchmarks.harness.workers import available_cores


@dataclass(frozen=True)
class Effort:
    """How long to measure: rounds, seconds of each measurement, and whether only to try it out."""

    repeats: int
    seconds: float
    quick: bool


@dataclass(frozen=True)
class Row:
    """One comparison: two medians in ``unit``, and a ratio above 1 where the first is faster.

    ``others`` is the share of the cores that other processes used, the median of the rounds.
    """

    measurement: str
    unit: str
    first: str
    first_value: float
    second: str
    second_value: float
    ratio: Ratio
    others: float
    note: str = ""


def measure(tasks: Mapping[str, Task], effort: Effort) -> dict[str, Side]:
    """Measure all tasks in turn; return the faster side of each.

    They run on one core and on all; in quick mode only on one, where a busy machine does least.
    """
    cores = available_cores()
    counts = {1} if effort.quick else {1, len(cores)}
    sides = {
        who: [Side(task, frozenset(cores[:count])) for count in sorted(counts)]
        for who, task in tasks.items()
    }
    with ExitStack() as running:
        entered = [running.enter_context(side) for group in sides.values() for side in group]
        alternate(entered, effort.repeats, effort.seconds)
    return {who: best(group) for who, group in sides.items()}


def compare(measurement: str, unit: str, first: Side, second: Side, note: str = "") -> Row:
    """Return the row of two sides that were measured in turn."""
    return Row(
        measurement,
        unit,
        described(first.task.name, len(first.cores)),
        first.median,
        described(second.task.name, len(second.cores)),
        second.median,
        ratio(first.rates, second.rates),
        median([*first.others, *second.others]),
        note or f"set-up {first.setup_seconds:.1f} s and {second.setup_seconds:.1f} s",
    )


def described(name: str, threads: int) -> str:
    """Return the name and the thread count of a side."""
    return f"{name}, {threads} thread{'s' if threads > 1 else ''}"


def speed_table(rows: Sequence[Row]) -> Table:
    """Return the rows as one table."""
    table = Table(title="Speed: the ratio is above 1 where the first side is faster")
    for name in ("measurement", "first", "second"):
        table.add_column(name)
    for name in ("first", "second", "ratio", "lowest to highest"):
        table.add_column(name, justify="right")
    table.add_column("others", justify="right")
    table.add_column("note")
    for row in rows:
        table.add_row(
            f"{row.measurement} [{row.unit}]".replace("[", r"\["),
            row.first,
            row.second,
            _figure(row.first_value),
            _figure(row.second_value),
            f"{row.ratio.median:.2f}",
            f"{row.ratio.low:.2f} to {row.ratio.high:.2f}",
            f"{row.others:.0%}",
            row.note,
        )
    return table


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
