"""What ``advae report --history`` draws of a watch."""

from dataclasses import asdict, replace
from pathlib import Path

from command_line import Run

from advae.report.history import view_history
from advae.report.page import render_page
from advae.report.summary import Report
from advae.watching.drift import Drift
from advae.watching.state import State


def watched(days: int, expected: float | None = 0.1) -> State:
    state = State("in")
    for day in range(days):
        state.count(f"2026-01-{day + 1:02}", 100, 10 + day, expected)
        state.count(f"2026-01-{day + 1:02}", 100, 10, expected)
    drift = Drift(
        *("column", "amount", "2026-01-09", "2026-01-08", "in/<b>8.csv, row 0", 300, 900),
        what="“amount”: 41.0 % of 300 rows are missing, where 0.0 % were",
    )
    state.drifts = [asdict(drift)]
    return state


def test_the_days_are_summed_up() -> None:
    view = view_history(watched(9))
    assert view is not None
    assert (view.days, view.rows, view.flagged) == (9, 1800, 216)
    assert (view.since, view.until) == ("2026-01-01", "2026-01-09")
    assert view.highest == (0.14, "2026-01-09")
    assert [tick.label for tick in view.drawn.y_ticks] == ["0.0 %", "14.0 %"]
    assert len(view.drawn.paths) == 2
    assert view_history(State("in")) is None
    unknown = view_history(watched(1, None))
    assert unknown is not None
    assert len(unknown.drawn.paths) == 1


def test_the_page_shows_days_and_drift(report: Report) -> None:
    page = render_page(replace(report, history=view_history(watched(9))))
    section = page.split('id="history"')[1].split("</section>")[0]
    assert "216 of 1,800 rows on 9 days were flagged" in section
    assert "in/&lt;b&gt;8.csv, row 0" in section
    assert 'href="#history"' in page
    assert 'id="history"' not in render_page(report)


def test_one_day_is_told_without_a_chart(report: Report) -> None:
    for expected, told in ((0.1, "; of normal rows 10.0 % are expected"), (None, "")):
        page = render_page(replace(report, history=view_history(watched(1, expected))))
        section = page.split('id="history"')[1].split("</section>")[0].replace("\u00a0", " ")
        assert f"On 2026-01-01 20 of 200 rows were flagged (10.0 %{told})." in section
        assert "from the second day on" in section
        assert "<path" not in section
        assert "Dashed" not in section
    several = render_page(replace(report, history=view_history(watched(2, None))))
    assert "Dashed" not in several.split('id="history"')[1].split("</section>")[0]


def test_a_state_that_is_not_there_is_one_error(run: Run, tmp_path: Path) -> None:
    done = run("report", "m.advae", "new.csv", "--history", tmp_path / "none.json")
    assert done.code == 2
    assert "--state FILE" in done.err
