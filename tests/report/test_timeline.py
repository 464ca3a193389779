"""When alarms came and where they are, counted in bounded memory however the rows are cut."""

import datetime as dt

import numpy as np
import polars as pl
import pytest

from advae.report.kinds import MISSING, MOST_VALUES, SegmentTally, view_segments
from advae.report.timeline import PARTS, Timeline, TimeTally
from advae.tables.encoder import ColumnFit
from advae.tables.times import TimeColumn

START = dt.datetime(2026, 1, 5, 8)


def tally(times: pl.Series) -> TimeTally:
    fit = ColumnFit("at", hashed=False)
    fit.update(times, 0)
    column = fit.build()
    assert isinstance(column, TimeColumn)
    return TimeTally(column)


def timeline(
    times: list[dt.datetime | None],
    flagged: list[bool],
    cut: int,
    scores: list[float] | None = None,
) -> Timeline | None:
    frame = pl.DataFrame({"at": times})
    scores = scores or [2.0 * alarm for alarm in flagged]
    counted = tally(pl.Series("at", [START, START + dt.timedelta(days=1)]))
    for first in range(0, frame.height, cut):
        own = slice(first, first + cut)
        counted.update(frame[own], np.array(flagged[own]), np.array(scores[own]))
    return counted.view()


@pytest.mark.parametrize("cut", [1, 7, 1000])
def test_an_episode_stands_out(cut: int) -> None:
    times: list[dt.datetime | None] = [START + dt.timedelta(minutes=10 * n) for n in range(200)]
    flagged = [90 <= n < 100 for n in range(200)]
    order = np.random.default_rng(0).permutation(200).tolist()
    found = timeline([times[n] for n in order] + [None], [flagged[n] for n in order] + [True], cut)
    assert found is not None
    assert len(found.rows) <= PARTS
    assert (sum(found.rows), sum(found.flagged)) == (200, 10)  # no time, no place
    alarmed = [part for part, alarms in enumerate(found.flagged) if alarms]
    assert alarmed[-1] - alarmed[0] < 6  # of some 34 hours
    assert found.ticks[0].label.startswith("2026-01-05 08:00")
    begin = dt.datetime.fromisoformat(found.busiest)
    assert START + dt.timedelta(minutes=899 - 60) <= begin <= START + dt.timedelta(minutes=999)


@pytest.mark.parametrize("cut", [1, 7, 1000])
def test_scores_show_an_episode_where_all_rows_are_flagged(cut: int) -> None:
    times: list[dt.datetime | None] = [START + dt.timedelta(minutes=10 * n) for n in range(200)]
    scores = [9.0 if 90 <= n < 100 else 5.0 for n in range(200)]
    found = timeline(times, [True] * 200, cut, scores)
    assert found is not None
    assert set(found.highest) == {5.0, 9.0}
    high = [part for part, score in enumerate(found.highest) if score == 9.0]
    assert high[-1] - high[0] < 6
    # Seconds that are 0 everywhere are not said, so that three labels fit a narrow page.
    assert [len(tick.label) for tick in found.ticks] == [len("2026-01-05 08:00")] * 3


def test_parts_grow_with_what_they_must_hold() -> None:
    spans = [dt.timedelta(seconds=1), dt.timedelta(days=1), dt.timedelta(days=20_000)]
    for span in spans:
        times: list[dt.datetime | None] = [START + span * (n / 50) for n in range(51)]
        found = timeline(times, [False] * 51, 10)
        assert found is not None
        assert 2 <= len(found.rows) <= PARTS
        assert sum(found.rows) == 51
        assert found.busiest == ""
    assert timeline([START, START], [True, False], 1) is None  # at one time


def segments(values: pl.Series, flagged: list[bool], cut: int = 1000) -> SegmentTally:
    counted = SegmentTally(values.name)
    for first in range(0, len(values), cut):
        part = values[first : first + cut].to_frame()
        counted.update(part, np.array(flagged[first : first + cut]))
    return counted


@pytest.mark.parametrize("cut", [1, 3, 1000])
def test_rows_are_counted_by_kind(cut: int) -> None:
    shop = pl.Series("shop", ["a", "b", "a", None, "a", "b"])
    found = segments(shop, [True, False, False, True, False, False], cut).view()
    assert found is not None
    counts = [(each.value, each.rows, each.flagged) for each in found.segments]
    assert counts == [("a", 3, 1), ("b", 2, 0), (MISSING, 1, 1)]


def test_a_column_that_names_rows_is_no_kind() -> None:
    many = pl.Series("id", [f"p-{n}" for n in range(MOST_VALUES + 1)])
    assert segments(many, [False] * len(many)).view() is None
    assert segments(many, [False] * len(many), cut=5).view() is None
    assert segments(pl.Series("one", ["x", "x"]), [True, False]).view() is None


def test_names_of_rows_are_kinds_only_where_nothing_else_is() -> None:
    flagged = [True] + [False] * 9
    names = segments(pl.Series("id", [*"abcdefghh"[:9], "i"]), flagged)
    kinds = segments(pl.Series("shop", [*"xyxyxyxyxy"]), flagged)
    assert [view.column for view in view_segments([names, kinds])] == ["shop"]
    assert [view.column for view in view_segments([names])] == ["id"]


def test_what_tells_most_comes_first() -> None:
    flagged = [True, True, False, False]
    dull = segments(pl.Series("dull", ["a", "b", "a", "b"]), flagged)
    telling = segments(pl.Series("telling", [1, 1, 2, 2]), flagged)
    assert [view.column for view in view_segments([dull, telling])] == ["telling", "dull"]
