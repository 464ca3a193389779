"""What a watch has seen from day to day, for the page."""

from dataclasses import dataclass
from typing import Any

from advae.display.charts import Lines, Tick, lines
from advae.display.text import count, share
from advae.watching.drift import Drift, sentences
from advae.watching.state import State


@dataclass(frozen=True)
class HistoryView:
    """The days of a watch.

    Attributes
    ----------
    days, rows, flagged
        How many, without those that had no rows.
    since, until
        The first and the last one.
    expected
        The share of normal rows that was expected to be flagged on the last one; None if unknown.
    drawn
        The share flagged from day to day, and the share expected where there is one.
    highest
        The highest share, and its day.
    drifts
        What was found to have changed, in sentences, the latest first.
    """

    days: int
    rows: int
    flagged: int
    since: str
    until: str
    expected: float | None
    drawn: Lines
    highest: tuple[float, str]
    drifts: tuple[str, ...]


def view_history(state: State) -> HistoryView | None:
    """Return the days of a watch; None before the first."""
    days = state.days
    if not days:
        return None
    shares = [day.flagged / day.rows for day in days]
    expected = [day.expected for day in days if day.expected is not None]
    # One without an expected share, after a threshold was given, leaves no line to draw.
    known: list[Any] = [expected] if len(expected) == len(days) else []
    drawn = lines(list(range(len(days))), shares, *known)
    top = max(range(len(days)), key=shares.__getitem__)
    drifts = [Drift(**each) for each in reversed(state.drifts)]
    return HistoryView(
        days=len(days),
        rows=sum(day.rows for day in days),
        flagged=sum(day.flagged for day in days),
        since=days[0].day,
        until=days[-1].day,
        expected=days[-1].expected,
        drawn=Lines(
            drawn.paths,
            (Tick(0.0, days[0].day), Tick(1.0, days[-1].day)),
            _in_per_cent(drawn, shares, expected),
            drawn.logarithmic,
        ),
        highest=(shares[top], days[top].day),
        drifts=tuple(sentences(drifts)),
    )


def _in_per_cent(drawn: Lines, shares: list[float], expected: list[float]) -> tuple[Tick, ...]:
    values = [*shares, *expected]
    low = min(values) if drawn.logarithmic else 0.0
    return Tick(0.0, share(low)), Tick(1.0, share(max(values) or 1.0))


def caption(view: HistoryView) -> str:
    """Say in one sentence what was scored."""
    part = share(view.flagged / view.rows)
    if view.days == 1:
        expected = ""
        if view.expected is not None:
            expected = f"; of normal rows {share(view.expected)} are expected"
        rows = count(view.rows, "row")
        return f"On {view.since} {count(view.flagged)} of {rows} were flagged ({part}{expected})"
    return (
        f"{count(view.flagged)} of {count(view.rows, 'row')} on {count(view.days, 'day')} were "
        f"flagged ({part}); the most, {share(view.highest[0])}, on {view.highest[1]}"
    )
