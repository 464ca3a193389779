"""Calibration, thresholds, their promise on new rows, discoveries, and re-tuning a saved model."""

import contextlib
import datetime as dt
import itertools
import json
import math
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import polars as pl
import pytest
from command_line import Run
from hypothesis import given
from hypothesis import strategies as st
from our_networks import score_rows

import advae
from advae import Config, Detector, Threshold
from advae.cli.discovery import DiscoveryMarker
from advae.core import training
from advae.core.randomness import choice
from advae.core.threshold import (
    alarm_rate,
    conformal_threshold,
    discoveries,
    kde_threshold,
)
from advae.detector import out_of_fold
from advae.detector.calibration import (
    candidates,
    learned_threshold,
    review,
    review_doubts,
    with_reviewed,
)
from advae.detector.detector import Detector as DetectorClass
from advae.detector.out_of_fold import out_of_fold_scores
from advae.detector.split import Split, split_rows
from advae.errors import ConfigError, InputError
from advae.methods import method_of
from advae.methods.advae.reference import Memory, Reference, recall, tiles_of
from advae.tables.encoder import TableEncoder

# One shape of networks, batches and rows for all tests, so that little is compiled.
SMALL = Config(iterations=60, hidden=8, batch_size=16, points=4)


def small(**changes: object) -> Config:
    return Config.from_json(SMALL.to_json() | changes)


def clouds(rows: int, seed: int = 0) -> np.ndarray:
    """Return rows around two centres."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(rows, 3)) + 4 * rng.integers(0, 2, (rows, 1))


@pytest.fixture(scope="module")
def held_out() -> Detector:
    """Return a detector whose threshold comes from rows held out of training."""
    return advae.fit_detector(clouds(2000), SMALL)


@pytest.fixture(scope="module")
def folded() -> Detector:
    """Return a detector whose threshold comes from folds of its training rows."""
    return advae.fit_detector(clouds(90), small(members=4))


@pytest.fixture(scope="module")
def uncalibrated() -> Detector:
    return advae.fit_detector(clouds(40), small(threshold="kde"))


# --- which rows calibrate ---


def test_plan_holds_rows_out_where_there_are_enough() -> None:
    plan = split_rows(1000, small(alpha=0.05))
    assert (len(plan.training), len(plan.calibration), plan.folds) == (801, 199, 0)
    assert sorted([*plan.training, *plan.calibration]) == list(range(1000))
    assert (plan.member_rows(), plan.note) == (None, "")
    other = split_rows(1000, small(alpha=0.05, seed=1))
    assert (other.calibration != plan.calibration).any()


def test_plan_of_few_rows_takes_an_ensemble() -> None:
    lone = split_rows(42, SMALL)
    assert (len(lone.training), len(lone.calibration), lone.folds, lone.members) == (42, 0, 4, 4)
    assert "which takes 43: 4 networks share the rows" in lone.note
    enough = split_rows(43, SMALL)
    assert (len(enough.calibration), enough.folds, enough.members) == (9, 0, 1)
    together = split_rows(60, small(members=5))
    assert (len(together.training), len(together.calibration), together.folds) == (60, 0, 5)
    assert (together.note, together.members) == ("", 5)
    none = split_rows(7, SMALL)
    assert (none.folds, none.members) == (0, 1)
    assert "Too few rows for a conformal threshold at alpha = 0.1, which takes 9." in none.note
    assert split_rows(7, small(members=4)).folds == 0
    fewer = split_rows(42, small(alpha=0.01))
    assert (fewer.folds, fewer.members) == (4, 4)
    assert "which takes 99: 4 networks share the rows" in fewer.note
    assert "kernel density" in fewer.note
    assert split_rows(60, small(members=40)).folds == 10
    assert split_rows(9, small(members=4)).note == ""  # just enough
    assert split_rows(60, small(members=4, threshold=0.3)).folds == 4  # for the p-values


def test_folds_are_drawn_for_the_seed() -> None:
    first, second = (split_rows(40, small(members=4, seed=seed)).fold for seed in (0, 1))
    assert len({tuple(fold) for fold in (first, second, np.arange(40) % 4)}) == 3
    assert np.bincount(first).tolist() == np.bincount(second).tolist() == [10] * 4


def test_an_ensemble_holds_rows_out_from_five_alarms_on() -> None:
    folds, held = (split_rows(rows, small(members=4)) for rows in (242, 243))
    assert (folds.folds, len(folds.calibration)) == (4, 0)
    assert (held.folds, len(held.calibration)) == (0, 49)


def test_the_smallest_table_in_folds_has_two_rows_in_each() -> None:
    plan = split_rows(8, SMALL)
    assert (plan.members, np.bincount(plan.fold).tolist()) == (4, [2] * 4)


@given(
    st.integers(0, 60),
    st.floats(0.01, 0.99),
    st.floats(0.01, 0.99),
    st.sampled_from(["conformal", "kde", 0.3]),
)
def test_two_rows_train_at_least(
    rows: int, alpha: float, calibration: float, threshold: str | float
) -> None:
    plan = split_rows(rows, small(alpha=alpha, calibration=calibration, threshold=threshold))
    assert len(plan.training) >= min(2, rows)
    np.testing.assert_array_equal(np.sort([*plan.training, *plan.calibration]), np.arange(rows))


def test_too_few_rows_for_alpha_get_the_density_of_scores_by_strangers() -> None:
    detector = advae.fit_detector(clouds(40), small(alpha=0.01))
    scores = detector.calibration_scores
    assert (len(scores), detector.config.members) == (40, 4)
    assert detector.threshold.method == "kde"
    assert detector.threshold.value == kde_threshold(scores, 0.01) > scores[-1]
    why = "kernel density of 40 training rows, by members that never saw them"
    assert detector.threshold.why == why
    assert learned_threshold(detector, 0.1).method == "conformal"
    with pytest.raises(ConfigError, match="needs at least 99 calibration rows, there are 40"):
        learned_threshold(detector, 0.01, "conformal")
    with pytest.raises(ConfigError, match="method is 'KDE'; expected 'conformal', 'kde' or None"):
        learned_threshold(detector, 0.1, "KDE")  # type: ignore[arg-type]


def test_a_smaller_alpha_never_has_a_lower_threshold() -> None:
    detector = advae.fit_detector(clouds(40), small(alpha=0.01))
    # Of the mass of 1 / 40 that a far row has in the density, half lies below it.
    scores = np.append(np.linspace(0.1, 1.0, 39), 9.0)
    detector = replace(detector, calibration_scores=scores)
    alphas = [0.3, 0.1, 1 / 41, 1 / 45, 0.02, 0.01, 0.001]
    found = [learned_threshold(detector, alpha) for alpha in alphas]
    assert [each.method for each in found] == ["conformal"] * 3 + ["kde"] * 4
    assert kde_threshold(scores, 1 / 45) < 9.0
    values = [each.value for each in found]
    assert values == sorted(values)
    assert values[3] == 9.0 < values[-1]


@pytest.mark.parametrize("threshold", ["kde", 0.3])
def test_plan_of_other_thresholds(threshold: str | float) -> None:
    plan = split_rows(1000, small(threshold=threshold))
    assert len(plan.calibration) == (0 if threshold == "kde" else 199)
    few = split_rows(20, small(threshold=threshold))
    assert (few.note, few.folds, few.members) == ("", 0, 1)


@given(st.integers(40, 200), st.integers(4, 25))
def test_every_row_has_members_that_never_see_it(rows: int, members: int) -> None:
    plan = split_rows(rows, small(members=members, calibration=0.01))
    seen = plan.member_rows()
    assert seen is not None
    assert seen.shape[0] == members
    for row in range(rows):
        blind = {member for member in range(members) if row not in seen[member]}
        assert blind == {m for m in range(members) if m % plan.folds == plan.fold[row]} != set()


def test_a_member_learns_nothing_from_its_fold() -> None:
    config, rows = small(members=4), clouds(40).astype(np.float32) % 1
    plan = split_rows(40, config)
    changed = rows.copy()
    changed[plan.fold == 2] = 0.5
    first, second = (
        training.fit(
            method_of(config, 3), data, config, member_rows=plan.member_rows()
        ).state.model.encoder
        for data in (rows, changed)
    )
    same = (first.layers[0].weight == second.layers[0].weight).all(axis=(1, 2))
    assert same.tolist() == [False, False, True, False]


def test_out_of_fold_scores_are_those_of_the_members_that_never_saw_the_row(
    folded: Detector,
) -> None:
    frame = pl.DataFrame(clouds(90), schema=[f"column_{i}" for i in range(3)], orient="row")
    plan = split_rows(90, folded.config)
    encoded = folded.table.transform(frame)
    scores = out_of_fold_scores(folded, encoded, plan.fold, np.arange(90))
    np.testing.assert_array_equal(np.sort(scores), folded.calibration_scores)
    assert folded.summary.folds == 4
    assert folded.summary.rows == 90
    # They do not know these rows, so they score them higher than the ensemble, which does.
    assert scores.mean() > folded.anomaly_score(frame).mean()


def test_out_of_fold_scores_weigh_what_strangers_leave_of_a_row(folded: Detector) -> None:
    """Without a memory, and with two members for each of two folds: as written down."""
    numbers = pl.DataFrame(clouds(90), schema=[f"column_{i}" for i in range(3)], orient="row")
    words = numbers[:, :1].with_columns(x=pl.Series(["a", "b"] * 45))
    lone = words.with_columns(x=pl.Series(["b" if row == 7 else "a" for row in range(90)]))
    matrices, fold = np.asarray(folded.scorer.reference.whitening), np.arange(90) % 2
    for fitted, frame, alone, whitening in (
        (numbers, numbers, [], matrices),
        (words, lone, [7], matrices),
        (numbers, numbers, [], None),
    ):
        scorer = folded.scorer._replace(reference=Reference(whitening), surprise=None)
        config = replace(folded.config, surprise=False)
        bare = replace(folded, config=config, scorer=scorer)
        table = TableEncoder.fit(fitted)
        encoded = table.transform(frame)
        scores = out_of_fold_scores(replace(bare, table=table), encoded, fold, np.empty(0, int))
        varied = encoded[:, :3]
        units = out_of_fold._units(varied)
        assert 2 <= (units != 1).any(axis=1).sum() <= 6
        parts = []
        for number in range(4):
            member = jax.tree.map(lambda leaf, n=number: leaf[n : n + 1], folded.scorer.model)
            left = varied - score_rows(member, folded.scorer.latent_noise, varied).expected
            matrix = np.eye(3) if whitening is None else whitening[number]
            parts.append(np.square((left * units) @ matrix).sum(axis=1))
        wanted = np.where(fold == 0, parts[0] + parts[2], parts[1] + parts[3]) / 2
        wanted[alone] += 1  # an encoder of the others would know one category only
        np.testing.assert_allclose(scores, wanted, rtol=1e-4)


def test_a_row_counts_in_units_of_the_other_rows() -> None:
    rows = np.random.default_rng(0).lognormal(0, 2, (12, 3)).astype(np.float32)
    rows[:, 2] = 0
    rows[4, 2] = 1  # alone with it: an encoder of the others would know one value only
    rows = (rows - rows.min(0)) / np.ptp(rows, axis=0)
    rows[[1, 2], 0] = 1  # two are the highest: without one, the others span as much
    found = out_of_fold._units(rows)
    for row in range(12):
        span = np.ptp(np.delete(rows, row, axis=0), axis=0)
        wanted = [1 / each if each > 0 else 0 for each in span]
        np.testing.assert_allclose(found[row], wanted, rtol=1e-6)


def test_the_nearest_row_is_that_in_the_units_of_the_row() -> None:
    rng = np.random.default_rng(0)
    kept, row = rng.random((9, 3)).astype(np.float32), rng.random((1, 3)).astype(np.float32)
    units = np.array([[1, 3, 0]], np.float32)
    squares = np.square(kept - row)
    assert (squares @ units[0] ** 2).argmin() != squares.sum(axis=1).argmin()
    wanted = kept[[(squares @ units[0] ** 2).argmin()]]
    holes = np.insert(kept, 4, np.nan, axis=0)
    memory = Memory(holes, np.where(np.isnan(holes), 0, holes), np.ones(1, np.float32))
    found = recall(tiles_of(memory), row, units)
    np.testing.assert_allclose(found.nearest, wanted, rtol=1e-5)
    # The error expected does not depend on them.
    np.testing.assert_array_equal(found.error, recall(tiles_of(memory), row).error)
    # A kept row that equals it, but for rounding, is left out once.
    for equal in (row, row + np.float32(1e-5)):
        twin = Memory(*(np.vstack([part, equal]) for part in memory[:2]), memory.bandwidth)
        np.testing.assert_allclose(recall(tiles_of(twin), row, units).nearest, wanted, rtol=1e-5)
    twins = Memory(*(np.vstack([part, row, row]) for part in memory[:2]), memory.bandwidth)
    np.testing.assert_allclose(recall(tiles_of(twins), row, units).nearest, row, rtol=1e-5)


def test_a_column_without_another_value_makes_no_row_a_stranger() -> None:
    """Neither the cosine of 6 and 18 o'clock, nor a category that a sample misses."""
    hours = pl.DataFrame({"shift": [dt.time(6 + 12 * (row % 2)) for row in range(20)]})
    rare = pl.DataFrame({"kind": ["rare"] * 2 + ["usual"] * 1500})
    for frame in (hours, rare):
        frame = frame.with_columns(a=pl.Series(clouds(frame.height)[:, 0]))
        detector = advae.fit_detector(frame, small(surprise=False), sample=20)
        assert detector.summary.folds
        assert detector.calibration_scores[0] < 0.5


def test_an_hour_counts_the_same_however_close_the_others_are() -> None:
    nights = [dt.datetime(2024, 1, 1 + row, 2, row % 5) for row in range(20)]
    nights[7] += dt.timedelta(hours=12)
    frame = pl.DataFrame({"at": nights, "a": clouds(20)[:, 0]})
    others = advae.fit_detector(frame.filter(pl.int_range(20) != 7), SMALL)
    new = others.anomaly_score(frame[[7]])[0]
    assert advae.fit_detector(frame, SMALL).calibration_scores[-1] == pytest.approx(new, rel=0.5)


@pytest.mark.parametrize("value", [1e15, 1e25, 1e45])
def test_a_row_counts_as_far_out_as_a_new_one_can(value: float) -> None:
    rows = clouds(12)
    rows[3, 1] = value
    squares = advae.fit_detector(rows, small(surprise=False)).calibration_scores
    assert 1e17 < squares[-1] < 1e19
    # Twelve rows say little of how rare that is, but nothing is rarer.
    nats = advae.fit_detector(rows, SMALL).calibration_scores
    assert np.isfinite(nats).all()
    assert nats[-1] > nats[-2] + 1


@pytest.mark.parametrize("value", [math.inf, math.nan, -1.0])
def test_a_threshold_is_a_number_from_0_on(uncalibrated: Detector, value: float) -> None:
    with pytest.raises(InputError, match="expected a finite score, at least 0"):
        uncalibrated.with_threshold(Threshold("given", None, value, "given"))


def test_thresholds_of_numpys_numbers_can_be_saved(held_out: Detector, tmp_path: Path) -> None:
    given = held_out.with_threshold(Threshold("given", None, np.float32(0.5)))  # type: ignore[arg-type]
    learned = given.with_threshold(learned_threshold(held_out, np.float32(0.25)))  # type: ignore[arg-type]
    advae.save(learned, tmp_path / "m.advae")
    loaded = advae.load(tmp_path / "m.advae")
    assert loaded.threshold == learned_threshold(held_out, 0.25)
    assert loaded.earlier_thresholds[-1].value == 0.5


def test_no_kernel_density_gives_a_threshold_below_0(uncalibrated: Detector) -> None:
    assert learned_threshold(uncalibrated, 0.99, "kde").value >= 0


def test_a_memory_of_one_fold_is_refused() -> None:
    # Of ten rows up to six alone are the highest or the lowest of a column.
    alike = []
    for seed in range(20):
        kept = np.sort(choice(seed, "kept rows").permutation(10)[:2])
        alike.append(bool(np.ptp(split_rows(10, small(seed=seed)).fold[kept]) == 0))
        refused = pytest.raises(ConfigError, match="memory = 2 keeps too few rows")
        with refused if alike[-1] else contextlib.nullcontext():
            advae.fit_detector(clouds(10), small(memory=2, seed=seed, iterations=2))
    assert 0 < sum(alike) < 20


# --- the promise on new rows ---


def test_folds_keep_the_promise_on_long_tails() -> None:
    # New rows lie beyond the range of 40 training rows in some column, more often than not.
    rates = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        train, new = rng.lognormal(0, 1.5, (40, 20)), rng.lognormal(0, 1.5, (1000, 20))
        detector = advae.fit_detector(train, Config(iterations=100, seed=seed, alpha=0.1))
        assert detector.summary.folds == 4
        rates.append(detector.is_anomaly(new).mean())
    # Measured 0.08; 0.22 where the encoder knew the rows that it scored.
    assert np.mean(rates) < 0.15


def test_held_out_rows_keep_the_promise(held_out: Detector) -> None:
    assert held_out.threshold.method == "conformal"
    assert held_out.threshold.why == "399 rows held out of training"
    promised = alarm_rate(held_out.calibration_scores, held_out.threshold.value)
    assert promised.value == 0.1
    rate = held_out.is_anomaly(clouds(20_000, seed=1)).mean()
    assert promised.low < rate < promised.high
    p = held_out.p_value(clouds(20_000, seed=1))
    assert np.mean(p <= 0.1) == rate
    assert np.quantile(p, [0.25, 0.5, 0.75]) == pytest.approx([0.25, 0.5, 0.75], abs=0.08)


def test_folds_keep_the_promise(folded: Detector) -> None:
    assert folded.threshold.why == "90 training rows, by members that never saw them"
    promised = alarm_rate(folded.calibration_scores, folded.threshold.value)
    rate = folded.is_anomaly(clouds(20_000, seed=1)).mean()
    # Small members disagree, and their mean varies less than each: fewer alarms than promised.
    assert 0 < rate < promised.high


def test_candidates_stand_side_by_side(held_out: Detector, uncalibrated: Detector) -> None:
    found = candidates(held_out, 0.1)
    assert [each.threshold.method for each in found] == ["conformal", "kde"]
    assert all(each.alarms is not None for each in found)
    given_threshold = held_out.with_threshold(Threshold("given", None, 0.5, "given"))
    found = candidates(given_threshold, 0.1)
    assert [each.threshold.method for each in found] == ["given", "conformal", "kde"]
    found = candidates(held_out, 0.2)
    assert [each.threshold.alpha for each in found] == [0.1, 0.2, 0.2]
    just_enough = with_reviewed(uncalibrated, np.arange(9.0))
    found = candidates(just_enough, 0.1)  # the one in use comes first, whatever its method
    assert [each.threshold.method for each in found] == ["kde", "conformal"]
    assert found[0].threshold == just_enough.threshold
    (alone,) = candidates(uncalibrated, 0.1)
    assert (alone.threshold.method, alone.alarms) == ("kde", None)


def test_learned_thresholds(held_out: Detector, uncalibrated: Detector) -> None:
    assert learned_threshold(held_out, 0.1) == held_out.threshold
    assert learned_threshold(held_out, 0.01).value > held_out.threshold.value
    density = learned_threshold(held_out, 0.1, "kde")
    assert (density.method, density.why) == ("kde", "kernel density of 1,601 training rows")
    assert density.value == kde_threshold(held_out.training_scores, 0.1)
    with pytest.raises(ConfigError, match="needs at least 999 calibration rows, there are 399"):
        learned_threshold(held_out, 0.001)
    with pytest.raises(ConfigError, match="needs at least 9 calibration rows, there are 0"):
        learned_threshold(uncalibrated, 0.1, "conformal")
    for alpha in (0.0, 1.0, -0.1, math.nan):
        with pytest.raises(ConfigError, match="alpha is"):
            learned_threshold(held_out, alpha)


# --- reviewed rows ---


def test_reviewed_rows_join_the_calibration(uncalibrated: Detector, held_out: Detector) -> None:
    scores = uncalibrated.anomaly_score(clouds(30, seed=3))
    tuned = with_reviewed(uncalibrated, scores)
    learned = learned_threshold(tuned, 0.1)
    assert learned.why == "30 reviewed normal rows"
    assert learned.value == conformal_threshold(scores, 0.1)
    one = learned_threshold(with_reviewed(uncalibrated, scores[:1]), 0.5)
    assert one.why == "1 reviewed normal row"
    both = with_reviewed(held_out, scores)
    assert learned_threshold(both, 0.1).why == (
        "399 rows held out of training, and 30 reviewed normal rows"
    )
    assert (np.diff(both.calibration_scores) >= 0).all()


def test_review_counts() -> None:
    scores, anomalous = np.array([1.0, 2.0, 3.0, 4.0]), np.array([False, True, False, True])
    assert review(scores, anomalous, 2.0) == (1, 1, 0.5, 0.5)
    assert review(scores, anomalous, 0.5) == (2, 2, 0.5, 1.0)
    assert review(scores, anomalous, 3.0) == (0, 1, 1.0, 0.5)
    none = review(scores, np.zeros(4, bool), 9.0)
    assert math.isnan(none.precision)
    assert math.isnan(none.recall)


def test_strange_reviews_are_doubted(held_out: Detector) -> None:
    fresh = held_out.anomaly_score(clouds(50, seed=4))
    assert review_doubts(held_out, fresh) == []
    (again,) = review_doubts(held_out, held_out.calibration_scores[::8])
    assert "50 of the 50 reviewed normal rows score exactly like rows" in again
    half = np.concatenate([fresh[:8], held_out.training_scores[::200][:8]])
    assert len(review_doubts(held_out, half)) == 1
    assert review_doubts(held_out, half[:-1]) == []
    flagged = fresh + held_out.threshold.value
    (picked,) = review_doubts(held_out, flagged)
    assert "50 of the 50 reviewed normal rows lie above the threshold before" in picked
    # Twice alpha of 50 rows are 10 above the threshold; 20 would be one case in 1,000.
    for above, doubts in ((19, 0), (20, 1)):
        apart = np.linspace(0.1, 0.2, 50) * np.where(np.arange(50) < above, 1, -1)
        assert len(review_doubts(held_out, held_out.threshold.value + apart)) == doubts
    lax = held_out.with_threshold(learned_threshold(held_out, 0.6))
    assert review_doubts(lax, fresh) == []
    # A threshold that was given promises nothing.
    assert review_doubts(held_out.with_threshold(Threshold("given", None, 0.0)), fresh) == []
    (nothing,) = review_doubts(held_out, fresh[:0])
    assert "no reviewed row is normal" in nothing


def test_new_rows_of_few_categories_are_not_taken_for_known_ones() -> None:
    rng = np.random.default_rng(0)

    def draw(rows: int) -> np.ndarray:
        return rng.poisson(1.5, (rows, 3))

    detector = advae.fit_detector(draw(300), SMALL)
    scores = detector.anomaly_score(draw(60))
    known = np.concatenate([detector.training_scores, detector.calibration_scores])
    assert np.isin(scores, known).mean() > 0.5
    assert review_doubts(detector, scores) == []


def test_history_is_kept_in_the_file(held_out: Detector, tmp_path: Path) -> None:
    first, second = held_out.threshold, learned_threshold(held_out, 0.01)
    path = tmp_path / "m.advae"
    advae.save(held_out.with_threshold(second).with_threshold(first), path)
    loaded = advae.load(path)
    assert isinstance(loaded, DetectorClass)
    assert loaded.threshold == first
    assert loaded.earlier_thresholds == (first, second)


# --- the command line ---


@pytest.fixture
def model(held_out: Detector, tmp_path: Path) -> Path:
    path = tmp_path / "m.advae"
    advae.save(held_out, path)
    return path


def write_rows(path: Path, normal: np.ndarray, odd: np.ndarray) -> Path:
    rows = pl.DataFrame(
        np.concatenate([normal, odd]), schema=[f"column_{i}" for i in range(3)], orient="row"
    )
    labels = pl.Series("label", [0] * len(normal) + [1] * len(odd))
    rows.with_columns(labels).write_csv(path)
    return path


def test_threshold_shows_without_changing(run: Run, model: Path) -> None:
    before = model.read_bytes()
    shown = run("threshold", model)
    assert shown.code == 0, shown.err
    assert "conformal, in use" in shown.out
    assert "kde" in shown.out
    assert model.read_bytes() == before


def test_of_two_thresholds_of_one_value_one_is_in_use(
    run: Run, tmp_path: Path, held_out: Detector
) -> None:
    chosen = Threshold("given", None, held_out.threshold.value)
    advae.save(held_out.with_threshold(chosen), tmp_path / "m.advae")
    shown = run("threshold", tmp_path / "m.advae")
    assert "given, in use" in shown.out
    assert shown.out.count("in use") == 1


def test_threshold_alpha_in_place(run: Run, model: Path, held_out: Detector) -> None:
    done = run("threshold", model, "--alpha", 0.05)
    assert done.code == 0, done.err
    tuned = advae.load(model)
    assert tuned.threshold == learned_threshold(held_out, 0.05)
    assert tuned.earlier_thresholds == (held_out.threshold,)
    rows = clouds(50, seed=5)
    np.testing.assert_array_equal(tuned.anomaly_score(rows), held_out.anomaly_score(rows))
    run("threshold", model, "--value", 2.5)
    run("threshold", model, "--method", "kde", "--alpha", 0.2)
    record = json.loads(run("info", model, "--json").out)
    assert record["threshold"]["method"] == "kde"
    assert [(each["method"], each["alpha"]) for each in record["earlier_thresholds"]] == [
        ("conformal", 0.1),
        ("conformal", 0.05),
        ("given", None),
    ]
    assert run("info", model).out.count("before") == 3


def test_threshold_reviewed(run: Run, model: Path, held_out: Detector, tmp_path: Path) -> None:
    normal, odd = clouds(40, seed=6), clouds(10, seed=7) + 40
    reviewed, tuned_model = write_rows(tmp_path / "r.csv", normal, odd), tmp_path / "tuned.advae"
    arguments = ("--reviewed", reviewed, "--label", "label", "--alpha", 0.2)
    done = run("threshold", model, *arguments, "-o", tuned_model)
    assert done.code == 0, done.err
    assert "40 reviewed normal rows, which joined the calibration, and 10 anomalies" in done.out
    assert "1.000" in done.out  # recall: the anomalies are far off
    tuned = advae.load(tuned_model)
    wanted = with_reviewed(held_out, held_out.anomaly_score(normal))
    assert tuned.threshold == learned_threshold(wanted, 0.2)
    assert "40 reviewed normal rows" in tuned.threshold.why
    np.testing.assert_array_equal(tuned.calibration_scores, wanted.calibration_scores)
    assert advae.load(model).threshold == held_out.threshold
    again = run("threshold", tuned_model, *arguments)
    assert again.code == 0
    assert "40 of the 40 reviewed normal rows score exactly like rows" in again.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--value", 1, "--alpha", 0.1], "Leave out --alpha"),
        (["--reviewed", "r.csv"], "--reviewed and --label go together"),
        (["--label", "y"], "--reviewed and --label go together"),
        (["--alpha", 2], "alpha is 2.0; expected a share"),
        (["--alpha", 0], "alpha is 0.0; expected a share"),
        (["--alpha", 0.0001], "needs at least 9999 calibration rows, there are 399"),
        (["--value", -1], "--value"),
        (["--alpha", 0.1, "-o", "/nowhere/m.advae"], "/nowhere"),
        (["-o", "other.advae"], "nothing would change in other.advae. Add --alpha"),
    ],
)
def test_threshold_misuse(run: Run, model: Path, arguments: list[object], message: str) -> None:
    before = model.read_bytes()
    failed = run("threshold", model, *arguments)
    assert failed.code == 2
    assert message in failed.err
    assert model.read_bytes() == before


def test_fit_prints_the_thresholds_side_by_side(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "150")
    path = write_rows(tmp_path / "n.csv", clouds(300), clouds(0))
    done = run("fit", path, "--label", "label", "-o", tmp_path / "m.advae", "--iterations", 20)
    assert done.code == 0, done.err
    assert "59 rows held out of training" in done.out
    assert "kernel density of 241 training rows" in done.out
    assert "1,000 (" in done.out


# --- discoveries over a file ---


def test_discoveries_are_decided_over_the_whole_table(
    run: Run, model: Path, held_out: Detector, tmp_path: Path
) -> None:
    parts = [tmp_path / f"part-{number}.csv" for number in (1, 2)]
    write_rows(parts[0], clouds(150, seed=8), clouds(5, seed=9) + 30)
    write_rows(parts[1], clouds(140, seed=10), clouds(25, seed=11) + 30)
    output = tmp_path / "out.parquet"
    done = run(
        "score", model, tmp_path / "part-*.csv", "--keep", "label", "--fdr", 0.1, "-o", output,
        "--explain", 1, "--quiet",
    )  # fmt: skip
    assert (done.code, done.err) == (0, "")
    scored = pl.read_parquet(output)
    assert scored.columns[:7] == [
        "file", "row", "label", "anomaly_score", "is_anomaly", "p_value", "is_discovery",
    ]  # fmt: skip
    assert scored["file"].to_list() == [str(parts[0])] * 155 + [str(parts[1])] * 165
    assert scored["row"].to_list() == [*range(155), *range(165)]
    np.testing.assert_array_equal(
        scored["is_discovery"], discoveries(scored["p_value"].to_numpy(), 0.1)
    )
    assert scored.filter(pl.col("label") == "1")["is_discovery"].all()
    plain = pl.concat(
        held_out.score_batches([pl.read_csv(part) for part in parts], keep=["label"], explain=1)
    )
    rest = plain.drop("row").with_columns(pl.col("label").cast(pl.String))
    assert scored.drop("is_discovery", "file", "row").equals(rest)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "m.advae", "out.parquet", "part-1.csv", "part-2.csv",
    ]  # fmt: skip


def test_discoveries_do_not_depend_on_the_batches(held_out: Detector, tmp_path: Path) -> None:
    frame = pl.DataFrame(clouds(100), schema=[f"column_{i}" for i in range(3)], orient="row")
    found = []
    for size in (7, 100):
        marker = DiscoveryMarker(0.3)
        batches = (frame[start : start + size] for start in itertools.count(0, size))
        filled = itertools.takewhile(lambda batch: batch.height, batches)
        found.append(pl.concat(marker.mark(held_out.score_batches(filled), tmp_path)))
        assert (marker.rows, marker.found) == (100, found[-1]["is_discovery"].sum())
    assert found[0].equals(found[1])
    assert not list(tmp_path.iterdir())


def test_an_error_leaves_no_waiting_rows(held_out: Detector, tmp_path: Path) -> None:
    frame = pl.DataFrame(clouds(9), schema=[f"column_{i}" for i in range(3)], orient="row")
    with_clash = frame.with_columns(is_discovery=True)
    scored = held_out.score_batches([with_clash], keep=["is_discovery"])
    with pytest.raises(InputError, match="'is_discovery' cannot be kept"):
        list(DiscoveryMarker(0.1).mark(scored, tmp_path))
    assert not list(tmp_path.iterdir())


def test_doubts_about_discoveries(uncalibrated: Detector, held_out: Detector) -> None:
    marker = DiscoveryMarker(0.01)
    frame = pl.DataFrame(clouds(90), schema=[f"column_{i}" for i in range(3)], orient="row")
    assert not pl.concat(marker.mark(uncalibrated.score_batches([frame])))["is_discovery"].any()
    first, second = marker.doubts(uncalibrated)
    assert "no calibration rows" in first
    assert "so none of 90 rows can be a discovery" in second
    assert marker.doubts(held_out) == [
        "no discoveries: with 399 normal rows to compare with, no p-value is below 0.0025, so 23 "
        "of the 90 rows would have to score above all of them"
    ]


def test_the_fewest_rows_of_a_discovery_are_counted_exactly(uncalibrated: Detector) -> None:
    marker = DiscoveryMarker(0.29)
    marker.rows = 29
    hundred = with_reviewed(uncalibrated, np.arange(99.0))
    # One row above all 99 has p = 0.01 = 0.29 * 1 / 29, and would be a discovery.
    assert marker.doubts(hundred) == []
    marker.rows = 58
    assert "so 2 of the 58 rows would have to score" in marker.doubts(hundred)[0]
    marker.rows = 29 * 101
    assert "so 101 of the 2,929 rows would have to score" in marker.doubts(hundred)[0]
    marker.rows = 0
    assert marker.doubts(hundred) == []


def test_doubts_about_discoveries_among_few_rows(uncalibrated: Detector) -> None:
    nine = with_reviewed(uncalibrated, np.arange(9.0))
    marker = DiscoveryMarker(0.1)
    marker.rows = 5
    assert marker.doubts(nine) == [
        "no discoveries: with 9 normal rows to compare with, no p-value is below 0.1, so 5 of the "
        "5 rows would have to score above all of them"
    ]
    marker.found = 1
    assert marker.doubts(nine) == []
    (doubt,) = marker.doubts(replace(nine, config=small(trim=0.1)))
    assert "those that --trim set aside are missing in the calibration" in doubt


@pytest.mark.parametrize("rate", [0, 1, -0.1, 2])
def test_discovery_rates_out_of_range(run: Run, model: Path, rate: float) -> None:
    failed = run("score", model, model, "--fdr", rate)
    assert failed.code == 2
    assert "false discovery rate" in failed.err


def test_plan_knows_its_folds() -> None:
    nothing = np.empty(0, int)
    assert Split(np.arange(5), nothing, nothing).folds == 0
    assert Split(np.arange(5), nothing, np.array([0, 1, 2, 0, 1])).folds == 3
