"""Explanations and reports show the values of every type that a table can have."""

import datetime as dt
import re
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest

import advae
from advae.detector.detector import Detector
from advae.report.summary import summarise
from advae.tables.frames import as_frame
from advae.tables.values import shown_values, to_instants, to_texts

ROWS = 120


def every_type(rows: int = ROWS) -> pl.DataFrame:
    """Return a column of each type, missing values included."""
    rng = np.random.default_rng(3)
    start = dt.datetime(2024, 1, 1, 5)
    steps = [dt.timedelta(hours=float(hours)) for hours in rng.uniform(0, 2000, rows)]
    words = rng.choice(["a", "b", "c"], rows).tolist()
    frame = pl.DataFrame(
        {
            "float": rng.normal(size=rows),
            "single": pl.Series(rng.normal(size=rows), dtype=pl.Float32),
            "whole": rng.integers(0, 9, rows),
            "tiny": pl.Series(rng.integers(0, 200, rows), dtype=pl.UInt8),
            "decimal": [Decimal(f"{amount:.2f}") for amount in rng.uniform(0, 50, rows)],
            "truth": rng.random(rows) < 0.4,
            "text": words,
            "categorical": pl.Series(words, dtype=pl.Categorical),
            "enum": pl.Series(words, dtype=pl.Enum(["a", "b", "c"])),
            "user": [f"user {row}" for row in range(rows)],
            "date": [(start + step).date() for step in steps],
            "moment": [start + step for step in steps],
            "zoned": pl.Series([start + step for step in steps]).dt.replace_time_zone(
                "Europe/Berlin", non_existent="null", ambiguous="earliest"
            ),
            "clock": [(start + step).time() for step in steps],
            "span": [step - dt.timedelta(hours=1000) for step in steps],
        }
    )
    holed = frame.with_columns(
        pl.when(pl.int_range(pl.len()) == 3 + number).then(None).otherwise(pl.col(name)).alias(name)
        for number, name in enumerate(frame.columns)
    )
    return holed.with_columns(
        pl.lit(dt.timedelta(hours=5)).alias("same span"),
        pl.lit("x").alias("same text"),
        pl.lit(None).alias("nothing"),
    )


@pytest.fixture(scope="module")
def detector() -> Detector:
    return advae.fit_detector(every_type(), advae.Config(iterations=50), hashed=["user"])


def changed(table: pl.DataFrame) -> pl.DataFrame:
    """Return the table with values that training never had."""
    odd = pl.int_range(pl.len()) % 5 == 0
    return table.with_columns(
        pl.when(odd).then(pl.lit(dt.timedelta(hours=7))).otherwise("same span").alias("same span"),
        pl.when(odd).then(pl.lit(dt.timedelta(days=900))).otherwise("span").alias("span"),
        pl.when(odd).then(pl.lit(1)).alias("nothing"),
    )


def test_every_type_is_explained(detector: Detector) -> None:
    table = changed(every_type())
    [scored] = detector.score_batches([table], explain=table.width)
    named = scored.select(r"^reason_\d+$").to_numpy()
    seen = scored.select(r"^reason_\d+_observed$").to_numpy()
    wanted = scored.select(r"^reason_\d+_expected$").to_numpy()
    for row, names in enumerate(named):
        assert sorted(names) == sorted(table.columns)
        for name, text in zip(names, seen[row], strict=True):
            assert (text is None) == (table[name][row] is None)
    spans = [text for text in wanted[named == "span"] if text is not None]
    assert all(re.fullmatch(r"-?(\d+d )?\d\d:\d\d:\d\d(\.\d+)?", text) for text in spans)
    # Never what was observed, in whose place its kind stands.
    assert not (wanted == seen)[wanted != None].any()  # noqa: E711
    unlike = seen[named == "same span"] != "05:00:00"
    assert set(wanted[named == "same span"][unlike]) == {"05:00:00"}
    assert set(seen[named == "same span"]) == {"05:00:00", "07:00:00"}


def test_a_category_that_training_never_had_is_unusual_by_itself(detector: Detector) -> None:
    names = list(detector.table.feature_names)
    unseen = {"text": pl.lit("z"), "same text": pl.lit("y")}
    explanation = detector.explain(every_type().with_columns(**unseen))
    assert explanation.kinds is not None
    for name in unseen:
        assert set(explanation.kinds[:, names.index(name)]) == {"unusual value"}
    assert set(explanation.kinds.ravel()) == set(detector.method.kinds)
    np.testing.assert_allclose(explanation.contributions.sum(axis=1), explanation.score, rtol=1e-6)


@pytest.mark.parametrize("digits", [4, 6])
def test_numbers_of_all_sizes_are_rounded_to_the_digits(digits: int) -> None:
    rng = np.random.default_rng(0)
    exponents = np.append(rng.uniform(-12, 20, 5000), rng.uniform(-320, 308, 5000))
    numbers = 10.0**exponents * rng.choice([-1, 1], 10_000)
    shown = shown_values(pl.DataFrame({"number": numbers}), digits)[:, 0]
    least = 10.0 ** (digits - 1)
    assert [float(text) for text in shown] == [
        float(f"{each:.0f}" if abs(each) >= least else f"{each:.{digits}g}") for each in numbers
    ]


def test_expected_whole_numbers_keep_their_digits() -> None:
    rng = np.random.default_rng(6)
    table = pl.DataFrame(
        {"day": rng.integers(20240101, 20241231, 200), "size": rng.normal(size=200)}
    )
    detector = advae.fit_detector(table, advae.Config(iterations=50))
    odd = pl.DataFrame({"day": [20260101], "size": [0.0]})
    low, high = table["day"].min(), table["day"].max()
    [scored] = detector.score_batches([odd], explain=1)
    assert scored["reason_1"][0] == "day"
    assert low <= int(scored["reason_1_expected"][0]) <= high  # type: ignore[operator]
    (row,) = summarise(detector, odd).top
    assert scored["reason_1_expected"][0] == row.cells[0].expected
    assert row.remedy
    ((_, value),) = row.remedy.changes
    again = detector.anomaly_score(odd.with_columns(day=pl.lit(int(value))))
    assert again[0] == pytest.approx(row.remedy.score)


def test_expected_numbers_have_the_digits_that_tell_them_apart() -> None:
    rng = np.random.default_rng(7)
    table = pl.DataFrame({"latitude": rng.uniform(52.501, 52.509, 200), "x": rng.normal(size=200)})
    detector = advae.fit_detector(table, advae.Config(iterations=50))
    odd = pl.DataFrame({"latitude": [52.6], "x": [0.0]})
    (row,) = summarise(detector, odd).top
    (cell,) = [cell for cell in row.cells if cell.column == 0]
    assert cell.expected
    assert re.fullmatch(r"52\.50\d{3,5}", cell.expected)
    assert row.remedy
    assert row.remedy.normal
    value = float(dict(row.remedy.changes)[0] or "")
    again = detector.anomaly_score(odd.with_columns(latitude=pl.lit(value)))
    assert again[0] == pytest.approx(row.remedy.score, rel=0.01, abs=1e-4)


def test_whole_seconds_are_shown_without_a_fraction() -> None:
    moments = [dt.datetime(2024, 1, 1, 5), dt.datetime(2024, 1, 1, 5, 0, 0, 500)]
    naive = pl.Series("at", moments)
    assert shown_values(naive.to_frame())[:, 0].tolist() == [
        "2024-01-01 05:00:00",
        "2024-01-01 05:00:00.000500",
    ]
    zoned = naive.dt.replace_time_zone("UTC")
    assert shown_values(zoned.to_frame())[0, 0] == "2024-01-01 05:00:00+00:00"


def test_a_column_that_stays_empty_has_not_drifted(detector: Detector) -> None:
    views = {view.name: view for view in summarise(detector, every_type()).columns}
    empty = views["nothing"]
    assert (empty.level, empty.missing, empty.strange) == ("none", 1.0, 0.0)
    assert empty.drift == pytest.approx(0, abs=1e-3)


def test_expected_times_are_whole_seconds_of_their_zone(detector: Detector) -> None:
    late = every_type().with_columns(pl.col("zoned") + dt.timedelta(days=900, milliseconds=5))
    found = summarise(detector, late)
    names = found.feature_names
    cells = [cell for row in found.top for cell in row.cells if names[cell.column] == "zoned"]
    changes = [change for row in found.top if row.remedy for change in row.remedy.changes]
    new = [text for column, text in changes if names[column] == "zoned"]
    texts = [text for text in [*(cell.expected for cell in cells), *new] if text is not None]
    assert new
    assert all(re.fullmatch(r"\S+ \d\d:\d\d:\d\d\+0[12]:00", text) for text in texts)


def test_every_type_has_a_report(detector: Detector, tmp_path: Path) -> None:
    table = changed(every_type())
    found = summarise(detector, table)
    views = {view.name: view for view in found.columns}
    assert set(views) == set(table.columns)
    assert "now also “07:00:00”" in views["same span"].remark
    assert re.search(r"\d in training; now up to 900d 00:00:00$", views["span"].remark)
    spans = {
        cell.direction
        for row in found.top
        for cell in row.cells
        if found.feature_names[cell.column] == "span"
    }
    assert "higher" in spans
    assert not {"later", "earlier"} & spans
    advae.write_report(detector, table, tmp_path / "report.html")
    assert "900d 00:00:00" in (tmp_path / "report.html").read_text()


def test_expected_times_lie_in_the_cycles_of_training() -> None:
    rng = np.random.default_rng(4)
    days = [
        day for day in range(250) if (dt.date(2024, 1, 1) + dt.timedelta(days=day)).weekday() < 5
    ]
    hours = rng.normal(13, 1.0, 400)
    offices = [
        dt.datetime(2024, 1, 1) + dt.timedelta(days=int(day), hours=float(hour))
        for day, hour in zip(rng.choice(days, 400), hours, strict=True)
    ]
    # Around midnight, where the mean of the numbers is noon.
    nights = [(moment + dt.timedelta(hours=11)).time() for moment in offices]
    table = pl.DataFrame({"at": offices, "night": nights, "size": rng.normal(size=400)})
    detector = advae.fit_detector(table, advae.Config(iterations=300, surprise=False, time="trend"))
    odd = table.head(20).with_columns(pl.col("at") - dt.timedelta(hours=9))
    expected = detector.explain(odd).expected
    assert expected["at"].dt.weekday().max() <= 5
    assert expected["at"].dt.hour().is_between(9, 17).all()
    assert not expected["night"].dt.hour().is_between(6, 18).any()
    found = summarise(detector, odd).top
    changed = [change for row in found if row.remedy for change in row.remedy.changes[:1]]
    assert {row.cells[0].remark for row in found} == {"the time of day counts most"}
    # Of a clock nothing else could count.
    clocks = [cell for row in found for cell in row.cells if cell.column == 1]
    assert not any("counts most" in cell.remark for cell in clocks)
    assert len(changed) > 10
    assert all(column == 0 and "09" <= text[11:13] <= "17" for column, text in changed)


def test_fractions_of_a_second_are_shown_where_they_tell_something() -> None:
    rng = np.random.default_rng(5)
    start, spans = dt.datetime(2024, 1, 1, 12), rng.uniform(0.1, 0.3, 200)
    table = pl.DataFrame(
        {
            "span": [dt.timedelta(seconds=float(span)) for span in spans],
            "at": [start + dt.timedelta(seconds=float(at)) for at in rng.uniform(0, 2, 200)],
        }
    )
    detector = advae.fit_detector(table, advae.Config(iterations=50, surprise=False, time="trend"))
    (note,) = [each for each in detector.summary.notes if "'at'" in each]
    assert "rows before or after it score higher" in note  # nothing of an option that is set
    assert "'time'" not in note
    found = summarise(detector, table)
    (scored,) = detector.score_batches([table], explain=2)
    for row in found.top:
        told = scored.row(row.row, named=True)
        told = {told[f"reason_{k}"]: told[f"reason_{k}_expected"] for k in (1, 2)}
        assert told == {found.feature_names[cell.column]: cell.expected for cell in row.cells}
        assert all("." in text for text in told.values())
    assert all(view.remark.count(".") >= 2 for view in found.columns)


def test_durations_of_pandas_are_explained() -> None:
    rng = np.random.default_rng(0)
    spans = pd.to_timedelta(rng.uniform(0, 9, 60), unit="h")
    table = as_frame(pd.DataFrame({"size": rng.normal(size=60), "span": spans}))
    detector = advae.fit_detector(table, advae.Config(iterations=30, surprise=False))
    [scored] = detector.score_batches([table], explain=2)
    texts = scored.select("^reason_._observed$").to_numpy()[
        scored.select("^reason_.$").to_numpy() == "span"
    ]
    assert sorted(texts) == sorted(to_texts(table["span"]))


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_durations_are_spelled(unit: str) -> None:
    spans = [
        dt.timedelta(days=3, hours=4, minutes=5, seconds=6, milliseconds=250),
        dt.timedelta(seconds=-90),
        dt.timedelta(days=-2),
        dt.timedelta(0),
        None,
    ]
    texts = to_texts(pl.Series("span", spans, dtype=pl.Duration(unit)))  # type: ignore[arg-type]
    assert texts.name == "span"
    assert texts.to_list() == ["3d 04:05:06.250", "-00:01:30", "-2d 00:00:00", "00:00:00", None]
    assert to_texts(pl.Series([], dtype=pl.Duration(unit))).to_list() == []  # type: ignore[arg-type]
    read = to_instants(texts, like="duration") / 1e6
    assert read[:4].tolist() == [273906.25, -90, -172800, 0]
    assert np.isnan(read[4])


def test_numbers_are_rounded_and_missing_ones_none() -> None:
    frame = pl.DataFrame({"x": [1.23456789, 2.0, float("nan"), None]})
    assert shown_values(frame, 3)[:, 0].tolist() == ["1.23", "2", None, None]


def test_observed_numbers_are_shown_as_they_are() -> None:
    rng = np.random.default_rng(2)
    # As floats, which whole numbers of text files are read as.
    accounts, size = 4.1e15 + rng.integers(0, 9, 80), rng.uniform(0, 9, 80).round(2)
    table = pl.DataFrame({"account": accounts, "size": size})
    config = advae.Config(iterations=30, surprise=False)
    detector = advae.fit_detector(table, config, hashed=["account"])
    odd = pl.DataFrame({"account": [4111111111111111.0], "size": [1234567.89]})
    [scored] = detector.score_batches([odd], explain=2)
    told = scored.row(0, named=True)
    observed = {told[f"reason_{k}"]: told[f"reason_{k}_observed"] for k in (1, 2)}
    assert observed == {"account": "4111111111111111", "size": "1234567.89"}
    found = summarise(detector, odd)
    cells = {found.feature_names[cell.column]: cell.observed for cell in found.top[0].cells}
    assert cells == observed


def test_a_nan_of_numpy_is_missing_in_explanations_and_reports() -> None:
    rows = np.random.default_rng(1).normal(size=(100, 3))
    detector = advae.fit_detector(rows, advae.Config(iterations=30, surprise=False))
    rows[0, 1] = np.nan
    table = as_frame(rows)
    [scored] = detector.score_batches([table], explain=3)
    named = scored.select(r"^reason_\d$").row(0)
    shown = scored.select("^reason_._observed$").row(0)
    assert shown[named.index("column_1")] is None
    assert shown.count(None) == 1
    [view] = [row for row in summarise(detector, table).top if row.row == 0]
    [cell] = [cell for cell in view.cells if cell.column == 1]
    assert (cell.observed, cell.direction) == (None, "missing")
    assert cell.remark == "never missing in training"


def test_moments_have_one_spelling_without_clocks_that_tell_nothing(tmp_path: Path) -> None:
    rng = np.random.default_rng(61)
    hours = pl.Series(rng.integers(0, 2000, 400)).sort()
    start = dt.datetime(2024, 3, 1, tzinfo=dt.UTC)
    hourly = pl.DataFrame({"at": [start + dt.timedelta(hours=hour) for hour in hours]})
    x = np.sin(hourly["at"].dt.hour().to_numpy() / 4) + 0.1 * rng.normal(size=400)
    config = advae.Config(iterations=100)
    detector = advae.fit_detector(hourly.with_columns(x=pl.Series(x)), config)
    texts = hourly["at"].dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    odd = np.where(np.arange(400) % 20 == 0, 9.0, x)
    new = pl.DataFrame({"at": texts, "x": odd})
    found = summarise(detector, new)
    spelling = r"\d{4}-\d\d-\d\d \d\d:\d\dZ"
    cells = [cell for row in found.top for cell in row.cells if cell.column == 0]
    shown = [text for cell in cells for text in (cell.observed, cell.expected) if text]
    shown += [end for story in found.stories for end in (story.group.since, story.group.until)]
    assert len(shown) > 100
    assert all(re.fullmatch(spelling, text) for text in shown), shown
    assert found.timeline is not None
    assert {len(tick.label) for tick in found.timeline.ticks} <= {10, 17}
    (remark,) = [view.remark for view in found.columns if view.name == "at"]
    assert re.match(rf"{spelling} to {spelling} in training", remark)
    expected = detector.explain(new).expected["at"]
    assert (expected.dt.second() == 0).all()
    # What no training value had is shown as it is.
    (row,) = summarise(detector, pl.DataFrame({"at": ["2024-03-02T05:06:07Z"], "x": [9.0]})).top
    assert "2024-03-02 05:06:07Z" in {cell.observed for cell in row.cells}
    daily = pl.DataFrame(
        {"at": [start + dt.timedelta(days=day) for day in range(300)], "x": x[:300]}
    )
    found = summarise(advae.fit_detector(daily, config), daily.with_columns(x=pl.lit(9.0)))
    assert {len(story.group.since) for story in found.stories} == {len("2024-03-01")}
