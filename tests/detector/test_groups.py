"""Flagged rows in groups: families of like anomalies, told in words, whatever passes by."""

import datetime as dt

import numpy as np
import polars as pl
import pytest

import advae
from advae.detector.groups import FEWEST_ROWS, MOST_GROUPS, SAMPLE, Grouper

ROWS = 400


def payments(rows: int, seed: int) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    start = dt.datetime(2024, 3, 1)
    return pl.DataFrame(
        {
            "amount": rng.lognormal(3, 0.4, rows),
            "age": rng.normal(40, 8, rows),
            "country": rng.choice(["DE", "FR", "NL"], rows, p=[0.5, 0.3, 0.2]),
            "at": [start + dt.timedelta(hours=float(h)) for h in rng.uniform(0, 900, rows)],
        }
    )


@pytest.fixture(scope="module")
def detector() -> advae.Detector:
    return advae.fit_detector(payments(600, 0), advae.Config(iterations=100))


def with_families(seed: int = 1, each: int = 30) -> tuple[pl.DataFrame, np.ndarray]:
    """Return normal rows and three families of anomalies, and the family of each."""
    rows = payments(ROWS + 3 * each, seed)
    family = np.repeat([0, 1, 2, 3], [ROWS, each, each, each])
    of = {number: pl.Series(family == number) for number in (1, 2, 3)}
    return (
        rows.with_columns(
            amount=pl.when(of[1]).then(pl.col("amount") + 900).otherwise("amount"),
            age=pl.when(of[2]).then(pl.col("age") - 90).otherwise("age"),
            country=pl.when(of[3]).then(pl.lit("XX")).otherwise("country"),
        ),
        family,
    )


def test_families_become_groups_that_say_what_is_odd(detector: advae.Detector) -> None:
    rows, family = with_families()
    found = detector.groups(rows)
    scores = detector.anomaly_score(rows)
    np.testing.assert_array_equal(found.rows, np.flatnonzero(scores > detector.threshold.value))
    words = {1: ("amount", "higher"), 2: ("age", "lower"), 3: ("country", "differs")}
    for number, (column, way) in words.items():
        own = found.numbers[family[found.rows] == number]
        group = next(each for each in found.groups if each.number == np.bincount(own).argmax())
        assert np.mean(own == group.number) > 0.9
        assert (group.drivers[0].column, group.drivers[0].way) == (column, way)
        assert f"“{column}” {way}" in group.story
    country = next(g for g in found.groups if "country" in g.story and "XX" in g.story)
    assert country.drivers[0].values.startswith("“XX”")


def test_a_group_counts_its_rows_and_knows_its_ends(detector: advae.Detector) -> None:
    rows, _ = with_families()
    found, scores = detector.groups(rows), detector.anomaly_score(rows)
    assert sum(group.rows for group in found.groups) == len(found.rows)
    assert len(found.groups) <= MOST_GROUPS + 1
    sizes = [group.rows for group in found.groups if group.number]
    assert sizes == sorted(sizes, reverse=True)
    for group in found.groups:
        own = found.rows_of(group.number)
        assert (len(own), own.min(), own.max()) == (group.rows, group.first, group.last)
        assert group.typical in own
        assert group.highest == scores[own].max()
        at = rows["at"][own]
        for shown, exact in ((group.since, at.min()), (group.until, at.max())):
            assert abs(dt.datetime.fromisoformat(shown) - exact) < dt.timedelta(seconds=1)
        if group.number:
            assert group.rows >= FEWEST_ROWS
            assert sum(driver.share for driver in group.drivers) <= 1 + 1e-6


def test_a_number_that_rows_are_in_the_order_of_tells_its_name() -> None:
    config = advae.Config(iterations=50)
    ordered = payments(600, 0).drop("at").with_columns(month=1 + pl.int_range(600) // 100)
    learned = advae.fit_detector(ordered, config)
    new = with_families()[0].drop("at").with_columns(month=pl.lit(7))
    assert {(group.since, group.until) for group in learned.groups(new).groups} == {
        ("month 7", "7")
    }


def test_groups_do_not_depend_on_how_rows_are_cut(detector: advae.Detector) -> None:
    rows, _ = with_families()
    whole = detector.groups(rows)
    parts = detector.groups(rows.iter_slices(37))
    np.testing.assert_array_equal(whole.rows, parts.rows)
    np.testing.assert_array_equal(whole.numbers, parts.numbers)
    assert whole.groups == parts.groups


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_flagged_rows_are_like_no_others(detector: advae.Detector, count: int) -> None:
    rows = payments(50, 3)
    normal = rows.filter(~pl.Series(detector.is_anomaly(rows)))
    odd = normal[:count].with_columns(pl.col("amount") + 900)
    found = detector.groups(pl.concat([normal, odd]))
    assert len(found.rows) == count
    assert [group.number for group in found.groups] == [0] * min(count, 1)
    if count:
        assert found.groups[0].story == "each for reasons of its own"


def test_equal_rows_are_one_group(detector: advae.Detector) -> None:
    row = payments(1, 4).with_columns(pl.col("amount") + 900, age=pl.lit(None, pl.Float64))
    found = detector.groups(pl.concat([row] * 40))
    assert [(group.number, group.rows) for group in found.groups] == [(1, 40)]
    amount = f"{row['amount'][0]:.4g}"
    assert found.groups[0].story == f"“amount” higher ({amount}); “age” missing"


def test_more_rows_than_the_sample_find_their_groups(detector: advae.Detector) -> None:
    rows, family = with_families(2, each=SAMPLE)
    found = detector.groups(rows)
    own = family[found.rows]
    assert len(own) > 2 * SAMPLE
    for number in (1, 2, 3):
        groups = found.numbers[own == number]
        assert np.bincount(groups).max() > 0.95 * len(groups)


def test_a_wide_table_and_the_score_of_the_paper_have_groups_too() -> None:
    rng = np.random.default_rng(0)
    names = [f"c{j}" for j in range(80)]
    config = advae.Config.preset("paper", iterations=50)
    detector = advae.fit_detector(pl.DataFrame(rng.normal(size=(300, 80)), names), config)
    rows = rng.normal(size=(120, 80))
    rows[40:80, 7] += 40
    rows[80:, 9] -= 40
    grouper = Grouper(detector)
    for _ in detector.score_batches(pl.DataFrame(rows, names), watch=grouper.update):
        pass
    groups = grouper.found().groups
    stories = {group.story.split(" (")[0] for group in groups}
    assert {driver.kind for group in groups for driver in group.drivers} == {""}
    assert {"“c7” higher", "“c9” lower"} <= stories
