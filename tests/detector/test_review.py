"""Verdicts: rows like excused ones do not alarm, all others do as before, and it can be undone."""

import datetime as dt
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from report_data import IMAGE, SCRIPT, mixed_detector, mixed_table

import advae
from advae.detector.calibration import learned_threshold
from advae.detector.review import Reviewed, review, undone
from advae.errors import ConfigError, InputError, ModelFileError


def moved(rows: int, seed: int) -> pl.DataFrame:
    """Return rows of a known case: "twice" is always about the same odd value."""
    rng = np.random.default_rng(seed)
    values = 45 + 0.05 * rng.normal(size=rows)
    return mixed_table(rows, seed).with_columns(pl.Series("twice", values))


@pytest.fixture(scope="module")
def detector() -> advae.Detector:
    return mixed_detector()


@pytest.fixture(scope="module")
def done(detector: advae.Detector) -> Reviewed:
    rows = moved(20, 1)
    return review(detector, rows, np.ones(20, bool), made=dt.datetime(2024, 5, 1, tzinfo=dt.UTC))


def test_rows_like_excused_ones_alarm_no_more(detector: advae.Detector, done: Reviewed) -> None:
    fresh = moved(200, 2)
    assert detector.is_anomaly(fresh).mean() > 0.9
    assert done.detector.is_anomaly(fresh).mean() < 0.2 * detector.is_anomaly(fresh).mean()
    assert len(done.excused) >= 18
    assert all("“twice” 4" in what for _, what in done.excused)


def test_other_oddities_keep_alarming(detector: advae.Detector, done: Reviewed) -> None:
    known = moved(100, 3)
    others = [
        known.with_columns(pl.lit("y").alias("always")),  # something else is wrong, too
        known.with_columns(pl.lit("never seen").alias(IMAGE)),
        known.with_columns(pl.col("twice") - 60),  # odd in the other direction
        mixed_table(100, 4).with_columns(pl.col(SCRIPT) * 4),
    ]
    for rows in others:
        before = detector.is_anomaly(rows)
        assert before.mean() > 0.9
        assert done.detector.is_anomaly(rows)[before].mean() > 0.97


def test_a_review_only_takes_alarms_away(detector: advae.Detector, done: Reviewed) -> None:
    rows = pl.concat([mixed_table(1000, 5), moved(50, 6)])
    before, after = detector.anomaly_score(rows), done.detector.anomaly_score(rows)
    excused = before != after
    assert excused.any()
    assert (before[excused] > detector.threshold.value).all()
    assert (after[excused] == detector.threshold.value).all()
    explained = done.detector.explain(rows)
    np.testing.assert_array_equal(explained.score, after)
    np.testing.assert_allclose(explained.contributions.sum(axis=1), after, rtol=1e-6)


def test_reviews_are_kept_in_the_file_and_can_be_undone(
    detector: advae.Detector, done: Reviewed, tmp_path: Path
) -> None:
    advae.save(done.detector, tmp_path / "m.advae")
    loaded, rows = advae.load(tmp_path / "m.advae"), moved(50, 7)
    assert loaded.reviews == done.detector.reviews
    assert loaded.reviews[0].made == "2024-05-01T00:00:00+00:00"
    np.testing.assert_array_equal(loaded.anomaly_score(rows), done.detector.anomaly_score(rows))
    before = undone(loaded)
    assert before.reviews == ()
    np.testing.assert_array_equal(before.anomaly_score(rows), detector.anomaly_score(rows))
    with pytest.raises(InputError, match="never reviewed"):
        undone(before)


def test_a_damaged_verdict_is_a_damaged_model(done: Reviewed, tmp_path: Path) -> None:
    latest = done.detector.reviews[0]
    wrong = replace(latest.verdicts[0], columns=(99,))
    spoilt = replace(latest, verdicts=(wrong,))
    advae.save(replace(done.detector, reviews=(spoilt,)), tmp_path / "m.advae")
    with pytest.raises(ModelFileError, match="verdict"):
        advae.load(tmp_path / "m.advae")


def test_rows_like_anomalies_keep_alarming(detector: advae.Detector) -> None:
    rows = moved(12, 8)
    normal = np.arange(12) < 6
    done = review(detector, rows, normal, keys=[f"k{row}" for row in range(12)])
    assert any("contradict" in doubt for doubt in done.doubts)
    assert done.excused == ()
    fresh = moved(100, 9)
    before, after = detector.is_anomaly(fresh), done.detector.is_anomaly(fresh)
    assert after[before].mean() > 0.9
    # A later review cannot excuse them either.
    later = review(done.detector, rows[:6], np.ones(6, bool))
    assert any("contradict" in doubt for doubt in later.doubts)


def test_an_anomaly_takes_back_what_was_excused(detector: advae.Detector, done: Reviewed) -> None:
    fresh = moved(50, 20)
    silent = detector.is_anomaly(fresh) & ~done.detector.is_anomaly(fresh)
    rows = fresh.filter(silent)[:6]
    later = review(done.detector, rows, np.zeros(6, bool), keys=list("abcdef"))
    assert [each.key for each in later.detector.reviews[-1].verdicts] == list("abcdef")
    assert any("excused by an earlier review" in doubt for doubt in later.doubts)
    assert not any("did not alarm" in doubt for doubt in later.doubts)
    assert later.detector.is_anomaly(rows).all()
    again = review(later.detector, rows, np.ones(6, bool), keys=list("uvwxyz"))
    assert again.excused == ()
    key, why = again.refused[0]
    assert (key, why.startswith("it is like “")) == ("u", True)
    assert "called an anomaly for “twice” 4" in why


def test_the_same_verdicts_twice_are_told_as_before(
    detector: advae.Detector, done: Reviewed
) -> None:
    rows = moved(20, 1)
    again = review(done.detector, rows, np.ones(20, bool))
    assert again.excused == done.excused
    assert [each.told for each in again.detector.reviews] == [
        f"{len(done.excused)} alarms called normal, 0 anomalous"
    ] * 2
    assert any("flagged rows only" in doubt for doubt in again.doubts)


def test_a_value_that_training_never_had_is_not_excused(detector: advae.Detector) -> None:
    rows = mixed_table(5, 10).with_columns(pl.lit("never seen").alias(IMAGE))
    done = review(detector, rows, np.ones(5, bool))
    assert done.excused == ()
    assert len(done.refused) == 5
    assert "training never had" in done.refused[0][1]


def test_what_verdicts_say_of_the_threshold(detector: advae.Detector, done: Reviewed) -> None:
    assert done.detector.threshold == detector.threshold
    assert any("flagged rows only" in doubt for doubt in done.doubts)
    few = review(detector, mixed_table(5, 11), np.ones(5, bool))
    assert any("too few" in doubt for doubt in few.doubts)
    many = mixed_table(100, 12)
    calibrated = review(detector, many, np.ones(100, bool))
    assert len(calibrated.detector.reviews[0].joined) == 100
    assert len(calibrated.detector.calibration_scores) == len(detector.calibration_scores) + 100
    assert undone(calibrated.detector).threshold.value == detector.threshold.value
    np.testing.assert_array_equal(
        undone(calibrated.detector).calibration_scores, detector.calibration_scores
    )
    picked = pl.concat([moved(30, 13), many[:30]])
    doubts = review(detector, picked, np.ones(60, bool)).doubts
    assert any("not picked" in doubt for doubt in doubts)
    missed = review(detector, many[:3], np.zeros(3, bool)).doubts
    assert any("did not alarm" in doubt for doubt in missed)


def pair(rows: int, seed: int) -> pl.DataFrame:
    """Return normal rows of two related numbers."""
    rng = np.random.default_rng(seed)
    first = rng.normal(size=rows)
    return pl.DataFrame({"a": first, "b": first + 0.1 * rng.normal(size=rows)})


def odd_pairs(rows: int) -> pl.DataFrame:
    """Return rows that are flagged, each odd in another way."""
    return pl.DataFrame({"a": [9.0 * (-2) ** row for row in range(rows)], "b": [0.0] * rows})


SMALL = advae.Config(iterations=60, hidden=8, batch_size=16, points=4)


def calibrating(detector: advae.Detector, seed: int) -> advae.Detector:
    """Return a detector after a review whose rows join its calibration."""
    reviewed = review(detector, pair(60, seed), np.ones(60, bool)).detector
    assert len(reviewed.reviews[-1].joined) == 60
    return reviewed


@pytest.fixture(scope="module")
def held_out() -> advae.Detector:
    return advae.fit_detector(pair(300, 0), SMALL)


def beginnings(held_out: advae.Detector) -> dict[str, advae.Detector]:
    """Return detectors whose thresholds come from each kind of rows."""
    folded = advae.fit_detector(pair(90, 0), replace(SMALL, members=4))
    chosen = learned_threshold(held_out, 0.1, "kde")
    return {
        "held out": held_out,
        "folds": folded,
        "few rows in folds": folded.with_threshold(learned_threshold(folded, 0.008)),
        "training rows": advae.fit_detector(pair(90, 0), replace(SMALL, threshold="kde")),
        "chosen training rows": held_out.with_threshold(chosen),
        "given": held_out.with_threshold(advae.Threshold("given", None, 5.0, "agreed")),
    }


def test_reviews_undone_one_after_the_other_give_the_old_threshold(
    held_out: advae.Detector,
) -> None:
    for name, detector in beginnings(held_out).items():
        once = calibrating(detector, 1)
        twice = calibrating(once, 2)
        changes = name not in ("given", "chosen training rows")
        assert (once.threshold != detector.threshold) == changes, name
        assert undone(twice).threshold == once.threshold, name
        first = undone(undone(twice))
        assert first.threshold == detector.threshold, name
        np.testing.assert_array_equal(first.calibration_scores, detector.calibration_scores)
        assert first.reviews == ()


def test_a_threshold_set_after_a_review_keeps_its_alpha_when_that_is_undone(
    held_out: advae.Detector,
) -> None:
    once = calibrating(held_out, 1)
    strict = once.with_threshold(learned_threshold(once, 0.02))
    assert undone(strict).threshold == learned_threshold(held_out, 0.02)
    density = learned_threshold(once, 0.05, "kde")
    assert undone(once.with_threshold(density)).threshold == density
    given = advae.Threshold("given", None, 4.0)
    assert undone(once.with_threshold(given)).threshold == given
    impossible = once.with_threshold(learned_threshold(once, 0.01))  # 59 rows are too few for it
    with pytest.raises(ConfigError, match=r"alpha = 0\.01 needs at least 99 .* Raise alpha"):
        undone(impossible)


@pytest.mark.parametrize("radius", [0.0, -1.0, float("nan"), float("inf")])
def test_a_radius_is_above_zero(detector: advae.Detector, radius: float) -> None:
    with pytest.raises(InputError, match="radius"):
        review(detector, moved(1, 1), np.ones(1, bool), radius=radius)


def test_no_verdict_is_refused(detector: advae.Detector) -> None:
    with pytest.raises(InputError, match="no verdict"):
        review(detector, moved(1, 1)[:0], np.ones(0, bool))


@pytest.mark.parametrize(
    "normal",
    [
        [1, 0, 1],
        [True, False, True],
        np.array([1.0, 0.0, 1.0]),
        pl.Series([1, 0, 1]),
        pd.Series([True, False, True], index=[7, 8, 9]),
    ],
)
def test_verdicts_come_in_many_forms(held_out: advae.Detector, normal: object) -> None:
    rows = odd_pairs(3)
    wanted = review(held_out, rows, np.array([True, False, True]))
    assert (wanted.normal, wanted.anomalies) == (2, 1)
    pandas = pd.DataFrame(rows.to_dict(as_series=False), index=["x", "y", "z"])
    for table in (rows, pandas):
        done = review(held_out, table, normal, keys=pd.Series(["0", "1", "2"], index=[5, 6, 7]))
        assert (done.normal, done.anomalies) == (2, 1)
        assert (done.excused, done.refused) == (wanted.excused, wanted.refused)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"normal": [1, 1]}, "normal holds 2 values for 3 rows"),
        ({"normal": np.ones(4, bool)}, "normal holds 4 values for 3 rows"),
        ({"normal": [1, 2, 1]}, "column 'normal', row 1 .*'2' is not true or false"),
        ({"normal": ["normal"] * 3}, "column 'normal', row 0 .*'normal' is not true or false"),
        ({"normal": [True, None, True]}, "column 'normal', row 1 .*a missing value"),
        ({"normal": np.ones((3, 2), bool)}, "column 'normal' .*expected true or false"),
        ({"keys": ["a"]}, "keys holds 1 value for 3 rows"),
        ({"notes": ["a"] * 5}, "notes holds 5 values for 3 rows"),
        ({"rows": 3}, "cannot read a table from int"),
    ],
)
def test_a_wrong_argument_is_one_error(
    held_out: advae.Detector, arguments: dict[str, object], message: str
) -> None:
    given: dict[str, object] = {"rows": odd_pairs(3), "normal": np.ones(3, bool)}
    with pytest.raises(InputError, match=message):
        review(held_out, **given | arguments)  # type: ignore[arg-type]


def test_keys_that_are_alike_when_shortened_are_told_apart(held_out: advae.Detector) -> None:
    rows = pl.DataFrame({"a": [9.0, 9.0, -9.0], "b": [0.0, 0.0, 0.0]})
    keys = ["k" * 200 + end for end in "123"]
    done = review(held_out, rows, np.array([True, False, True]), keys=keys)
    np.testing.assert_array_equal(done.detector.is_anomaly(rows), [True, True, False])
    assert [key[:9] for key, _ in done.excused] == ["k" * 9]
    ((_, why),) = done.refused
    assert why.startswith("it is like “kkk")
