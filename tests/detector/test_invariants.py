"""What must hold for every model and every table, whatever they are."""

import random

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from our_networks import score_rows

from advae import parallel
from advae.config import Config
from advae.core import threshold
from advae.core.randomness import generator, stream
from advae.detector import model_file
from advae.detector.fitting import fit_detector
from advae.detector.record import Threshold
from advae.methods.advae.gaussian import Gaussian, kld, kld_between
from advae.methods.advae.networks import Sizes, network_shapes
from advae.tables import encoder
from advae.tables.values import shown_values

CONFIG = Config(hidden=8, latent=3, batch_size=16, points=8, members=2, iterations=250)


def normal_rows(count, seed=0):
    """Return rows of every kind of column: six encoded columns vary, some others are fixed."""
    rng = np.random.default_rng(seed)
    size = rng.normal(50, 10, count)
    return pl.DataFrame(
        {
            "size": size,
            "weight": 2 * size + rng.normal(0, 5, count),
            "count": rng.integers(0, 9, count),
            "gap": [
                None if i % 10 == 0 else float(v) for i, v in enumerate(rng.gamma(2, 1, count))
            ],
            "on": rng.random(count) < 0.3,
            "site": ["north"] * count,
        }
    )


@pytest.fixture(scope="module")
def detector():
    return fit_detector(normal_rows(300), CONFIG)


@pytest.fixture(scope="module")
def rows():
    """Return more rows than two compiled blocks hold."""
    return normal_rows(2 * parallel.BLOCK_ROWS + 44, seed=1)


@pytest.fixture(scope="module")
def scores(detector, rows):
    return detector.anomaly_score(rows)


def one(detector, **values):
    """Return the score of a typical row with some values changed."""
    row = {"size": 50.0, "weight": 100.0, "count": 4, "gap": 2.0, "on": False, "site": "north"}
    schema = {"size": pl.Float64, "weight": pl.Float64, "count": pl.Float64, "gap": pl.Float64}
    frame = pl.DataFrame([row | values], schema_overrides=schema)
    return float(detector.anomaly_score(frame)[0])


def test_the_fixture_is_what_these_tests_need(detector):
    assert detector.table.network_width == 6
    assert detector.table.width > 6
    assert detector.threshold.method == "conformal"
    assert len(detector.calibration_scores) >= 50
    assert len(detector.training_scores) >= 50


# --- divergences ---

near = st.floats(-20, 20, width=32)
gaussians = st.tuples(
    arrays(np.float32, (3, 4), elements=near), arrays(np.float32, (3, 4), elements=near)
)
quick = settings(max_examples=50)
# A latent variable's terms are near 1 where the divergence is near 0, and rounded there.
ROUNDING = 1e-6


def gaussian(parts):
    return Gaussian(*map(jnp.asarray, parts))


@quick
@given(gaussians)
def test_kld_is_not_negative(parts):
    found = np.asarray(kld(gaussian(parts)))
    assert found.shape == (4,)
    assert np.isfinite(found).all()
    assert (found >= -ROUNDING).all()
    # Each log-variance away from 0 and each mean adds at least this.
    mean, log_variance = (part.astype(np.float64) for part in parts)
    least = 0.5 * mean**2 + 0.25 * np.minimum(log_variance**2, np.abs(log_variance)) / 3
    assert (found >= (1 - 1e-5) * least.sum(axis=0) - ROUNDING).all()


@quick
@given(gaussians, gaussians)
def test_kld_between_is_not_negative(first, second):
    q, p = gaussian(first), gaussian(second)
    found = np.asarray(kld_between(q, p))
    assert np.isfinite(found).all()
    assert (found >= -ROUNDING).all()
    assert np.asarray(kld_between(q, q)).tolist() == [0.0] * 4


@quick
@given(gaussians)
def test_kld_is_kld_to_the_prior(parts):
    prior = Gaussian(jnp.zeros((3, 4)), jnp.zeros((3, 4)))
    q = gaussian(parts)
    np.testing.assert_allclose(kld(q), kld_between(q, prior), rtol=1e-5, atol=3 * ROUNDING)


def test_kld_is_zero_at_the_prior():
    prior = Gaussian(jnp.zeros((3, 4)), jnp.zeros((3, 4)))
    assert kld(prior).tolist() == [0.0] * 4


# --- thresholds and p-values ---

score_lists = arrays(
    np.float64, st.integers(20, 60), elements=st.floats(0, 1e6, allow_subnormal=False)
)
alphas = st.tuples(st.floats(0.05, 0.95), st.floats(0.05, 0.95)).map(sorted)


@quick
@given(score_lists, alphas)
def test_both_thresholds_rise_as_alpha_falls(sample, pair):
    small, large = pair
    slack = 1e-9 * (1 + sample.max())
    assert threshold.kde_threshold(sample, small) >= threshold.kde_threshold(sample, large) - slack
    conformal = [threshold.conformal_threshold(sample, alpha) for alpha in pair]
    assert conformal[0] >= conformal[1]


@quick
@given(score_lists, score_lists)
def test_p_values_fall_as_scores_rise(reference, new):
    p = threshold.p_values(reference, np.sort(new))
    assert (np.diff(p) <= 0).all()
    assert (p > 0).all()
    assert (p <= 1).all()


def test_alpha_is_the_share_flagged(detector):
    for method, sample, slack in (
        # A kernel as wide as Scott's rule makes it smears out what is crowded near 0.
        (threshold.kde_threshold, detector.training_scores, 0.15),
        (threshold.conformal_threshold, detector.calibration_scores, 0.06),
    ):
        assert np.mean(sample > method(sample, 0.1)) == pytest.approx(0.1, abs=0.04)
        assert np.mean(sample > method(sample, 0.4)) == pytest.approx(0.4, abs=slack)


def test_an_anomaly_lies_strictly_above_the_threshold(detector, rows, scores):
    at = detector.with_threshold(Threshold("kde", 0.1, float(scores[7])))
    found = at.is_anomaly(rows)
    np.testing.assert_array_equal(found, scores > scores[7])
    assert not found[7]
    assert 0 < found.sum() < len(rows)


def test_p_values_compare_with_the_calibration_rows(detector, rows, scores):
    expected = threshold.p_values(detector.calibration_scores, scores)
    np.testing.assert_array_equal(detector.p_value(rows), expected)


# --- contributions ---


def test_contributions_add_up_to_the_score(detector, rows, scores):
    explanation = detector.explain(rows)
    np.testing.assert_array_equal(explanation.score, scores)
    assert explanation.contributions.shape == (len(rows), 6)
    assert (explanation.contributions >= 0).all()
    np.testing.assert_allclose(explanation.contributions.sum(axis=1), scores, rtol=1e-6)


def test_contributions_of_a_wide_table_add_up_to_the_score():
    rng = np.random.default_rng(0)
    shapes = network_shapes(Sizes(700, 4, 2), 1)
    model = jax.tree.map(lambda leaf: 0.3 * rng.normal(size=leaf.shape).astype("f4"), shapes)
    x, noise = (rng.normal(size=(rows, width)).astype("f4") for rows, width in ((50, 700), (2, 2)))
    scored = score_rows(model, noise, x)
    total = scored.contributions.astype(np.float64).sum(axis=1)
    np.testing.assert_allclose(total, scored.score, rtol=1e-6)


def test_scores_alone_are_those_of_the_explanation_to_the_last_bit(detector, rows):
    many = pl.concat([rows] * (1 + 3000 // len(rows)))  # of several calls and threads
    constant = many.with_columns(site=pl.lit("nowhere"))
    for part in (many, constant, rows.head(1), rows.head(0)):
        encoded = detector.table.transform(part)
        alone = detector.anomaly_score_encoded(encoded)
        assert alone.dtype == np.float64
        np.testing.assert_array_equal(alone, detector.score_encoded(encoded).score)


def test_reasons_are_the_largest_contributions(detector, rows):
    few = rows.filter(pl.col("gap").is_not_null()).head(20).with_columns(site=pl.lit("south"))
    explanation = detector.explain(few)
    reasons = explanation.top(3)
    names = np.array(explanation.expected.columns)
    largest = np.sort(explanation.contributions, axis=1)[:, ::-1]
    for k in (1, 2, 3):
        np.testing.assert_array_equal(reasons[f"reason_{k}_contribution"], largest[:, k - 1])
    assert reasons["reason_1"].to_list() == names[explanation.contributions.argmax(axis=1)].tolist()
    ranks = {reasons[f"reason_{k}"][0]: k for k in (1, 2, 3)}
    assert reasons[f"reason_{ranks['site']}_observed"][0] == "south"
    assert reasons[f"reason_{ranks['site']}_expected"][0] == "north"


def test_a_missing_value_can_be_a_reason(detector, rows):
    few = rows.head(3).with_columns(site=pl.lit(None, pl.String))
    scored = next(detector.score_batches([few], explain=6))
    shown = scored.select("^reason_._observed$").row(0)
    named = scored.select(r"^reason_\d$").row(0)
    assert shown[named.index("site")] is None


def test_texts_are_made_of_the_values_of_reasons_alone(detector, rows, monkeypatch):
    few = rows.head(20)
    explanation = detector.explain(few)
    observed, expected = shown_values(few), shown_values(explanation.expected, 6)
    made = []

    def counted(frame, digits):
        made.append(frame.height * frame.width)
        return shown_values(frame, digits)

    monkeypatch.setattr("advae.detector.explanation.shown_values", counted)
    reasons = explanation.top(2)
    # Observed, expected, and observed as exactly as the expected ones are shown.
    assert sum(made) == 3 * 2 * len(few)
    rounded = shown_values(few, 6)
    for row, name in enumerate(reasons["reason_2"]):
        assert reasons["reason_2_observed"][row] == observed[row, few.columns.index(name)]
        column = explanation.expected.columns.index(name)
        wanted = expected[row, column]
        if wanted == rounded[row, few.columns.index(name)]:
            wanted = f"({reasons['reason_2_kind'][row]})"
        assert reasons["reason_2_expected"][row] == wanted


def test_rows_are_scored_in_parts_of_bounded_memory(detector, rows, monkeypatch):
    block = parallel.BLOCK_ROWS
    assert parallel.rows_at_once(166) == 65_536
    assert parallel.rows_at_once(10_000) == 2**24 // 10_000 // block * block
    monkeypatch.setattr(parallel, "CELLS_AT_ONCE", block * detector.table.width)
    encoded = []
    transform = type(detector.table).transform

    def recorded(self, frame, *, first_row=0):
        encoded.append((first_row, frame.height))
        return transform(self, frame, first_row=first_row)

    monkeypatch.setattr(type(detector.table), "transform", recorded)
    (scored,) = detector.score_batches([rows], explain=1)
    np.testing.assert_array_equal(scored["anomaly_score"], detector.anomaly_score(rows))
    assert scored.height == len(scored["reason_1"]) == len(rows)
    assert encoded == [(0, block), (block, block), (2 * block, 44)] * 2


# --- a score is a function of the row and the model ---


def test_scores_do_not_depend_on_the_order_of_rows(detector, rows, scores):
    order = np.random.default_rng(2).permutation(len(rows))
    np.testing.assert_array_equal(detector.anomaly_score(rows[order]), scores[order])


def test_scores_do_not_depend_on_the_order_of_columns(detector, rows, scores):
    shuffled = rows.select(rows.columns[::-1]).with_columns(unused=pl.lit(1))
    np.testing.assert_array_equal(detector.anomaly_score(shuffled), scores)


def test_a_row_scores_alone_as_among_others(detector, rows, scores):
    border = parallel.BLOCK_ROWS
    for position in (0, 1, border - 1, border, border + 1, 2 * border, len(rows) - 1):
        alone = detector.anomaly_score(rows[position : position + 1])
        assert alone.tolist() == [scores[position]]


def test_a_row_scores_the_same_at_every_position(detector, rows, scores):
    everywhere = pl.concat([rows[5:6]] * len(rows))
    assert np.unique(detector.anomaly_score(everywhere)).tolist() == [scores[5]]


@pytest.mark.parametrize("length", [1, 7, 256, 300, 5000])
def test_scores_do_not_depend_on_batches(detector, rows, scores, length, monkeypatch):
    few = rows if length > 1 else rows.head(30)
    monkeypatch.setattr(encoder, "rows_at_once", lambda _: length)
    np.testing.assert_array_equal(detector.anomaly_score(few), scores[: len(few)])
    batches = [few[first : first + length] for first in range(0, len(few), length)]
    scored = pl.concat(detector.score_batches(batches, keep=["size"]))
    np.testing.assert_array_equal(scored["anomaly_score"], scores[: len(few)])
    assert scored["row"].to_list() == list(range(len(few)))
    assert scored["size"].equals(few["size"])
    whole = pl.concat(detector.score_batches([few], keep=["size"]))
    assert scored.equals(whole)
    np.testing.assert_array_equal(scored["p_value"], detector.p_value(few))
    np.testing.assert_array_equal(scored["is_anomaly"], detector.is_anomaly(few))


def test_no_rows_have_no_scores(detector, rows):
    assert detector.anomaly_score(rows.head(0)).shape == (0,)
    assert detector.explain(rows.head(0)).contributions.shape == (0, 6)


def test_scores_are_float64_and_not_negative(scores):
    assert scores.dtype == np.float64
    assert (scores >= 0).all()
    assert len(np.unique(scores)) > 0.95 * len(scores)


# --- rows far from training ---

wild = st.floats(allow_nan=True, allow_infinity=False)


@quick
@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "size": wild | st.none(),
                "weight": wild | st.none(),
                "count": st.integers(-(2**60), 2**60) | st.none(),
                "gap": wild | st.none(),
                "on": st.none() | st.booleans(),
                "site": st.none() | st.text(max_size=5),
            }
        ),
        min_size=1,
        max_size=4,
    )
)
def test_any_row_has_a_finite_score_of_its_own(detector, wild_rows):
    schema = {"size": pl.Float64, "weight": pl.Float64, "count": pl.Int64, "gap": pl.Float64}
    frame = pl.DataFrame(wild_rows, schema=schema | {"on": pl.Boolean, "site": pl.String})
    found = detector.anomaly_score(frame)
    assert np.isfinite(found).all()
    assert (found >= 0).all()
    assert detector.anomaly_score(frame[-1:]).tolist() == [found[-1]]
    explanation = detector.explain(frame)
    np.testing.assert_allclose(explanation.contributions.sum(axis=1), found, rtol=1e-6)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("name", ["size", "weight", "count", "gap"])
def test_scores_rise_with_the_distance(detector, name, sign):
    far = [one(detector, **{name: sign * 10.0**power}) for power in range(3, 10)]
    assert np.isfinite(far).all()
    assert far[0] > detector.training_scores.max()
    assert (np.diff(far) > 0).all()
    beyond = [one(detector, **{name: sign * value}) for value in (1e15, 1e300)]
    assert np.isfinite(beyond).all()
    assert far[-1] < beyond[0] <= beyond[1]


def test_a_new_value_in_a_fixed_column_adds_more_than_any_training_row_has(detector):
    highest = detector.training_scores.max()
    assert one(detector, site="south") > highest
    assert one(detector, site=None) > highest


def test_a_missing_value_where_training_had_none_adds_at_least_one(detector):
    assert one(detector, size=None) >= 1
    assert one(detector, on=None) >= 1


# --- members and latent noise ---


def single(model, position):
    return jax.tree.map(lambda leaf: leaf[position : position + 1], model)


def test_the_score_of_members_is_their_mean(detector, rows):
    x = detector.table.transform(rows)[:, :6]
    both = score_rows(detector.scorer.model, detector.scorer.latent_noise, x)
    each = [
        score_rows(single(detector.scorer.model, i), detector.scorer.latent_noise, x)
        for i in (0, 1)
    ]
    assert not np.allclose(each[0].score, each[1].score)
    for name in ("score", "contributions", "expected"):
        mean = np.mean([getattr(part, name).astype(np.float64) for part in each], axis=0)
        np.testing.assert_allclose(getattr(both, name), mean, rtol=1e-5, atol=1e-7)


def test_members_are_different_networks(detector):
    for leaf in jax.tree.leaves(detector.scorer.model):
        assert (np.asarray(leaf[0]) != np.asarray(leaf[1])).any()


def test_latent_noise_is_shared_and_decides_the_score(detector):
    x = np.random.default_rng(0).uniform(size=(5, 6)).astype(np.float32)
    first = score_rows(detector.scorer.model, detector.scorer.latent_noise, x).score
    again = score_rows(detector.scorer.model, detector.scorer.latent_noise, x).score
    np.testing.assert_array_equal(first, again)
    # Turned round, the points would be the same set.
    other = score_rows(detector.scorer.model, 1.5 * detector.scorer.latent_noise, x).score
    assert (first != other).all()
    # The mean over the points does not depend on their order, but for rounding.
    turned = score_rows(detector.scorer.model, detector.scorer.latent_noise[::-1].copy(), x).score
    np.testing.assert_allclose(first, turned, rtol=1e-5)


# --- randomness ---


def test_one_seed_gives_one_file_and_another_seed_another(tmp_path):
    data = normal_rows(300)
    for name, config in {
        "first": CONFIG,
        "second": CONFIG,
        "other": Config.from_json(CONFIG.to_json() | {"seed": 1}),
    }.items():
        model_file.save(fit_detector(data, config), tmp_path / name)
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()
    first, other = model_file.load(tmp_path / "first"), model_file.load(tmp_path / "other")
    for ours, theirs in zip(
        jax.tree.leaves(first.scorer.model), jax.tree.leaves(other.scorer.model), strict=True
    ):
        assert (np.asarray(ours) != np.asarray(theirs)).any()
    assert (first.scorer.latent_noise != other.scorer.latent_noise).any()


def test_global_random_states_are_left_alone(rows):
    before = np.random.get_state(), random.getstate()  # noqa: NPY002
    detector = fit_detector(normal_rows(300), CONFIG)
    detector.explain(rows)
    after = np.random.get_state(), random.getstate()  # noqa: NPY002
    assert before[1] == after[1]
    for old, new in zip(before[0], after[0], strict=True):
        np.testing.assert_array_equal(old, new)


def test_streams_differ_by_seed_name_and_part():
    asked = [
        (seed, name, *parts)
        for seed in (0, 1, 2**32 - 1, 2**32, 2**40 + 1, 2**63 - 1)
        for name in ("initial weights", "batches", "training noise", "latent noise", "golden rows")
        for parts in ((), (0,), (0, 0), (0, 200), (1, 0))
    ]
    keys = {tuple(jax.random.key_data(stream(*words)).tolist()) for words in asked}
    draws = {generator(*words).random() for words in asked}
    assert len(keys) == len(draws) == len(asked)
    assert all(generator(*words).random() in draws for words in asked)
