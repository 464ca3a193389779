"""Checks of the NumPy reference itself, against other definitions and the published results."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from math import exp, log

import numpy as np
import paper_data
import pytest
import reference as ref
import scipy.integrate
import scipy.stats
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

D, H, K, ROWS = 6, 5, 3, 16


@pytest.fixture
def rng():
    return np.random.default_rng(20200)


@pytest.fixture
def setting(rng):
    """Weights, a batch, and both noises."""
    weights = ref.random_weights(D, H, K, rng)
    return (
        weights,
        rng.uniform(size=(ROWS, D)),
        rng.normal(size=(ROWS, K)),
        rng.normal(size=(ROWS, K)),
    )


def silent(layers):
    """Return the layers without weights: a generator that ignores its input."""
    return [(np.zeros_like(weight), bias) for weight, bias in layers]


# --- quantities ---


@pytest.mark.parametrize(
    ("mean_q", "log_variance_q", "mean_p", "log_variance_p"),
    [(0.7, -1.2, -0.4, 0.5), (-2.0, 0.9, 0.3, -0.8), (0.0, 0.0, 1.0, 0.0)],
)
def test_klds_equal_the_integral(mean_q, log_variance_q, mean_p, log_variance_p):
    q = scipy.stats.norm(mean_q, exp(log_variance_q / 2))
    p = scipy.stats.norm(mean_p, exp(log_variance_p / 2))
    prior = scipy.stats.norm()
    span = (mean_q - 12 * q.std(), mean_q + 12 * q.std())

    def integral(other):
        return scipy.integrate.quad(lambda v: q.pdf(v) * (q.logpdf(v) - other.logpdf(v)), *span)[0]

    arguments = [np.array([v]) for v in (mean_q, log_variance_q, mean_p, log_variance_p)]
    assert ref.kld_between(*arguments) == pytest.approx(integral(p), rel=1e-8)
    assert ref.kld(*arguments[:2]) == pytest.approx(integral(prior), rel=1e-8)


def test_kld_between_is_zero_at_home_and_kld_at_the_prior(rng):
    mean, log_variance = rng.normal(size=(2, ROWS, K))
    zeros = np.zeros((ROWS, K))
    assert np.allclose(ref.kld_between(mean, log_variance, mean, log_variance), 0, atol=1e-14)
    at_prior = ref.kld_between(mean, log_variance, zeros, zeros)
    assert at_prior.shape == (ROWS,)
    np.testing.assert_allclose(at_prior, ref.kld(mean, log_variance), rtol=1e-13)
    assert (ref.kld(mean, log_variance) > 0).all()


def test_squared_error_sums_over_columns():
    assert ref.squared_error(np.array([[1.0, 2.0]]), np.array([[0.0, 4.0]])) == [5.0]


# --- the nine terms, worked through by hand in scalars ---


def test_every_term_on_a_scalar_network():
    def one(weight, bias):
        return np.array([[weight]]), np.array([bias])

    encoder = [one(2.0, 0.1), one(1.0, -0.2), (np.array([[1.0], [-0.5]]), np.array([0.3, -0.4]))]
    generator = [one(1.0, 0.2), one(-0.5, 1.0), one(2.0, -0.7)]
    eye = np.eye(2)
    transformer = [
        (eye, np.zeros(2)),
        (eye, np.array([0.5, -0.5])),
        (np.diag([3.0, 1.0]), np.array([-1.0, 0.25])),
    ]
    x, noise, noise_T = 0.6, 0.5, -1.5

    def s(v):
        return 1 / (1 + exp(-v))

    def encode(v):
        h = max(0.0, max(0.0, 2 * v + 0.1) - 0.2)
        return h + 0.3, -0.5 * h - 0.4

    def generate(z):
        return s(2 * max(0.0, -0.5 * max(0.0, z + 0.2) + 1) - 0.7)

    def kld(m, lv):
        return 0.5 * (exp(lv) + m * m - 1 - lv)

    m, lv = encode(x)
    assert (m, lv) == (pytest.approx(1.4), pytest.approx(-0.95))
    m_T, lv_T = 3 * s(s(m) + 0.5) - 1, s(s(lv) - 0.5) + 0.25
    x_r, x_Tr = generate(m + exp(lv / 2) * noise), generate(m_T + exp(lv_T / 2) * noise_T)
    kld_r, kld_Tr = kld(*encode(x_r)), kld(*encode(x_Tr))
    kld_T = log(exp(lv_T / 2) / exp(lv / 2)) + (exp(lv) + (m - m_T) ** 2) / (2 * exp(lv_T)) - 0.5
    step1 = {
        "reconstruction": (x - x_r) ** 2,
        "kld_r": kld_r,
        "margin_x": 2 - (x_r - x_Tr) ** 2,
        "margin_z_T": 40 - kld_Tr,
        "kld_transformer": kld_T,
    }
    step2 = {
        "reconstruction": (x - x_r) ** 2,
        "kld": kld(m, lv),
        "margin_z_r": 40 - kld_r,
        "margin_z_Tr": 40 - kld_Tr,
    }

    weights = ref.Weights(encoder, generator, transformer)
    # Two equal rows: a sum over the batch in place of its mean would double every term.
    batch, e, e_T = (np.full((2, 1), v) for v in (x, noise, noise_T))
    values = ref.adversarial_pass(weights, batch, e, e_T)
    terms1 = ref.generator_transformer_terms(values, batch, 2.0, 40.0)
    terms2 = ref.encoder_terms(values, batch, 40.0)
    assert terms1 == pytest.approx(step1, rel=1e-12)
    assert terms2 == pytest.approx(step2, rel=1e-12)
    assert len(terms1) + len(terms2) == 9
    total1 = ref.generator_transformer_total(terms1, 0.5, 0.25)
    assert total1 == pytest.approx(
        step1["reconstruction"]
        + 0.5 * (kld_r + step1["margin_z_T"])
        + step1["margin_x"]
        + 0.25 * kld_T
    )
    assert ref.encoder_total(terms2, 0.5, 0.25) == pytest.approx(
        step2["reconstruction"] + 0.25 * step2["kld"] + 0.5 * (80 - kld_r - kld_Tr)
    )
    assert ref.step1_loss(weights, batch, e, e_T, 0.5, 0.25, 2.0, 40.0) == pytest.approx(total1)
    assert ref.relative_margins(values, batch, 3.0, 2.0) == pytest.approx(
        (3 * step1["reconstruction"], 2 * step2["kld"])
    )


def test_hinges_act_per_row(setting):
    weights, x, noise, noise_T = setting
    values = ref.adversarial_pass(weights, x, noise, noise_T)
    distance = ref.squared_error(values.x_r, values.x_Tr)
    klds = {"margin_z_r": ref.kld(*values.q_r), "margin_z_Tr": ref.kld(*values.q_Tr)}
    margin_x = float(np.mean(distance))
    # At the batch mean, a hinge of the mean would be zero and one per row cannot be.
    assert ref.generator_transformer_terms(values, x, margin_x, 0.0)["margin_x"] > 1e-3
    for name, rows in klds.items():
        terms = ref.encoder_terms(values, x, float(np.mean(rows)))
        assert terms[name] == pytest.approx(np.mean(np.abs(rows - rows.mean())) / 2)
    assert ref.encoder_terms(values, x, 0.0)["margin_z_r"] == 0


# --- gradients ---


def test_numerical_gradient_of_a_polynomial():
    vector = np.array([1.0, -2.0, 0.5])
    gradient = ref.numerical_gradient(lambda v: v[0] ** 3 * v[1] + 7 * v[2], vector, [2, 0, 1])
    np.testing.assert_allclose(gradient, [7, -6, 1], rtol=1e-8)
    assert vector.tolist() == [1.0, -2.0, 0.5]


def test_flatten_and_back(setting):
    weights = setting[0]
    moved = ref.flatten(weights.generator + weights.transformer)
    assert len(moved) == (K * H + H) + (H * H + H) + (H * D + D) + 3 * (4 * K * K + 2 * K)
    again = ref.with_generator_transformer(weights, moved)
    assert ref.flatten(again.generator + again.transformer).tolist() == moved.tolist()
    assert again.encoder is weights.encoder
    doubled = ref.with_encoder(weights, 2 * ref.flatten(weights.encoder))
    np.testing.assert_array_equal(doubled.encoder[1][0], 2 * weights.encoder[1][0])
    with pytest.raises(ValueError, match="values for layers"):
        ref.with_encoder(weights, moved)


def test_step1_gradient_of_the_transformers_last_bias(setting):
    weights, x, noise, noise_T = setting
    weights = replace(weights, generator=silent(weights.generator))
    lambda_, moved = 0.3, ref.flatten(weights.generator + weights.transformer)
    gradient = ref.numerical_gradient(
        lambda v: ref.step1_loss(
            ref.with_generator_transformer(weights, v), x, noise, noise_T, 0.1, lambda_, 2.0, 40.0
        ),
        moved,
        range(len(moved) - 2 * K, len(moved)),
    )
    # The silent generator gives one x_r = x_Tr, so that only KLD(q || q_T) moves.
    values = ref.adversarial_pass(weights, x, noise, noise_T)
    (mean, log_variance), (mean_T, log_variance_T) = values.q, values.q_T
    variance_T = np.exp(log_variance_T)
    by_mean = (mean_T - mean) / variance_T
    by_log_variance = 0.5 - (np.exp(log_variance) + (mean - mean_T) ** 2) / (2 * variance_T)
    expected = lambda_ * np.concatenate([by_mean.mean(axis=0), by_log_variance.mean(axis=0)])
    np.testing.assert_allclose(gradient, expected, rtol=1e-6, atol=1e-8)


def test_step2_gradient_of_the_encoders_last_bias(setting):
    weights, x, noise, noise_T = setting
    gamma, lambda_ = 0.4, 0.3
    frozen = ref.adversarial_pass(weights, x, noise, noise_T)
    # Some rows inside the margin and some outside.
    margin = float(np.mean(ref.kld(*frozen.q_r)))
    weights = replace(weights, generator=silent(weights.generator))
    moved = ref.flatten(weights.encoder)
    gradient = ref.numerical_gradient(
        lambda v: ref.step2_loss(
            ref.with_encoder(weights, v), frozen.x_r, frozen.x_Tr, x, noise, gamma, lambda_, margin
        ),
        moved,
        range(len(moved) - 2 * K, len(moved)),
    )

    def slope(q):
        mean, log_variance = q
        return np.concatenate([mean, (np.exp(log_variance) - 1) / 2], axis=1)

    active = [(ref.kld(*q) < margin)[:, None] for q in (frozen.q_r, frozen.q_Tr)]
    assert 0 < active[0].sum() < ROWS
    per_row = lambda_ * slope(frozen.q) - gamma * (
        active[0] * slope(frozen.q_r) + active[1] * slope(frozen.q_Tr)
    )
    np.testing.assert_allclose(gradient, per_row.mean(axis=0), rtol=1e-6, atol=1e-8)


def test_step2_is_the_plain_loss_with_another_gradient(setting):
    weights, x, noise, noise_T = setting
    gamma, lambda_, margin = 1.0, 0.1, 40.0
    frozen = ref.adversarial_pass(weights, x, noise, noise_T)

    def attached(vector):
        values = ref.adversarial_pass(ref.with_encoder(weights, vector), x, noise, noise_T)
        return ref.encoder_total(ref.encoder_terms(values, x, margin), gamma, lambda_)

    def detached(vector):
        return ref.step2_loss(
            ref.with_encoder(weights, vector),
            frozen.x_r,
            frozen.x_Tr,
            x,
            noise,
            gamma,
            lambda_,
            margin,
        )

    moved = ref.flatten(weights.encoder)
    last = range(len(moved) - 2 * K, len(moved))
    assert detached(moved) == pytest.approx(attached(moved), rel=1e-12)
    difference = ref.numerical_gradient(detached, moved, last) - ref.numerical_gradient(
        attached, moved, last
    )
    assert np.abs(difference).max() > 1e-3


def test_adam_by_hand():
    start, none = np.array([1.0]), np.zeros(1)
    first, m, v = ref.adam_step(start, np.array([2.0]), none, none, 1)
    assert (m[0], v[0]) == (pytest.approx(0.2), pytest.approx(0.004))
    assert first[0] == pytest.approx(1 - 0.001 * 2 / (2 + 1e-8), abs=1e-15)
    second, m, v = ref.adam_step(first, np.array([-1.0]), m, v, 2)
    assert (m[0], v[0]) == (pytest.approx(0.08), pytest.approx(0.004996))
    # m_hat = 0.08 / 0.19, v_hat = 0.004996 / 0.001999
    assert first[0] - second[0] == pytest.approx(0.000266337, rel=1e-5)


# --- score ---


def test_a_score_is_a_function_of_its_row(setting, rng):
    weights, x, _, _ = setting
    latent_noise = rng.normal(size=(50, K))
    scores = ref.anomaly_score(weights.encoder, weights.generator, x, latent_noise)
    alone = ref.anomaly_score(weights.encoder, weights.generator, x[3:4], latent_noise)
    assert scores[3] == pytest.approx(alone[0], rel=1e-13)
    shares = ref.contributions(weights.encoder, weights.generator, x, latent_noise)
    assert shares.shape == x.shape
    np.testing.assert_allclose(shares.sum(axis=1), scores, rtol=1e-13)
    # The norm of the mean residual, not the mean of the norms: that is larger by the variance.
    mean, log_variance = ref.encoder(weights.encoder, x)
    draws = np.array(
        [
            ref.generator(weights.generator, mean + np.exp(log_variance / 2) * e)
            for e in latent_noise
        ]
    )
    norms = np.mean(np.sum((x - draws) ** 2, axis=2), axis=0)
    np.testing.assert_allclose(norms - scores, draws.var(axis=0).sum(axis=1), rtol=1e-9)
    assert (norms - scores > 1e-3).all()


# --- thresholds ---


@pytest.mark.parametrize("alpha", [0.01, 0.1, 0.5, 0.9])
def test_kde_threshold_solves_the_integral(rng, alpha):
    scores = rng.gamma(2.0, size=60)
    threshold = ref.kde_threshold(scores, alpha)
    n = len(scores)
    bandwidth = (3 * n / 4) ** -0.2 * scores.std(ddof=1)
    grid = np.linspace(scores.min() - 12 * bandwidth, threshold, 20_001)
    density = scipy.stats.norm.pdf((grid[:, None] - scores) / bandwidth).mean(axis=1) / bandwidth
    assert np.trapezoid(density, grid) == pytest.approx(1 - alpha, abs=1e-7)
    scipy_kde = scipy.stats.gaussian_kde(scores, bw_method="silverman")
    assert scipy_kde.integrate_box_1d(-np.inf, threshold) == pytest.approx(1 - alpha, abs=1e-10)


def test_alpha_is_the_flagged_share_and_not_the_level(rng):
    scores = rng.gamma(2.0, size=4000)
    strict, lax = ref.kde_threshold(scores, 0.1), ref.kde_threshold(scores, 0.9)
    assert strict > lax
    assert np.mean(scores > strict) == pytest.approx(0.1, abs=0.02)
    assert ref.kde_cdf(scores, strict) == pytest.approx(0.9, abs=1e-11)


def test_kde_threshold_refuses_what_has_no_answer():
    with pytest.raises(ValueError, match="differ"):
        ref.kde_threshold(np.ones(5), 0.1)
    with pytest.raises(ValueError, match="alpha = 1"):
        ref.kde_threshold(np.arange(5.0), 1.0)
    with pytest.raises(ValueError, match="at least 2"):
        ref.kde_threshold(np.ones(1), 0.1)


@pytest.mark.parametrize(
    ("n", "alpha", "flagged"),
    [(9, 0.1, 1), (49, 0.42, 21), (99, 0.05, 5), (19, 0.07, 1), (8, 0.1, 0), (30, 0.33, 10)],
)
def test_conformal_threshold_flags_exactly_its_share(rng, n, alpha, flagged):
    # Of n + 1 exchangeable scores each is equally likely the new one: count over all.
    scores = rng.normal(size=n + 1)
    count = 0
    for new in range(n + 1):
        rest = np.delete(scores, new)
        is_anomaly = scores[new] > ref.conformal_threshold(rest, alpha)
        assert is_anomaly == (ref.p_values(rest, scores[new : new + 1])[0] <= alpha)
        count += is_anomaly
    assert count == flagged


def test_conformal_threshold_and_p_values_by_hand():
    calibration = np.array([3.0, 1.0, 2.0, 4.0])
    assert ref.conformal_threshold(calibration, 0.2) == 4.0
    assert ref.conformal_threshold(calibration, 0.4) == 3.0
    assert ref.conformal_threshold(calibration, 0.19) == np.inf
    p = ref.p_values(calibration, np.array([0.0, 2.0, 2.5, 5.0]))
    np.testing.assert_allclose(p, [1.0, 0.8, 0.6, 0.2])


@pytest.mark.parametrize("q", [0.01, 0.1, 0.3])
def test_benjamini_hochberg_is_scipys(rng, q):
    for m in (1, 7, 200):
        p = np.concatenate([rng.uniform(size=m), rng.uniform(size=m // 3) ** 4])
        rejected = ref.benjamini_hochberg(p, q)
        np.testing.assert_array_equal(rejected, scipy.stats.false_discovery_control(p) <= q)
    assert 0 < rejected.sum() < len(p)


def test_benjamini_hochberg_steps_up():
    # 0.04 > 1 * 0.05 / 2 alone, and yet both go once 0.045 <= 2 * 0.05 / 2.
    assert ref.benjamini_hochberg(np.array([0.045, 0.04]), 0.05).all()
    assert not ref.benjamini_hochberg(np.array([0.9, 0.8]), 0.05).any()


# --- the published data and weights ---


@pytest.mark.parametrize(
    ("name", "train_rows", "normals", "anomalies", "columns"),
    [
        ("letter", 1200, 300, 100, 32),
        ("cardio", 1324, 331, 176, 21),
        ("satellite", 3945, 1080, 75, 36),
        ("optdigits", 4053, 1013, 150, 64),
        ("pendigits", 5371, 1343, 156, 16),
    ],
)
def test_paper_sets_have_the_published_split(name, train_rows, normals, anomalies, columns):
    paper_data.require_data(f"advae-paper/{name}.mat")
    train, test, labels = paper_data.load_paper_set(name)
    assert train.shape == (train_rows, columns)
    assert test.shape == (normals + anomalies, columns)
    assert labels.tolist() == [0] * normals + [1] * anomalies
    assert train.min() == 0
    assert train.max() == 1


@cache
def published_scores(name):
    """Scores of the training and test rows under the published weights, and the labels."""
    train, test, labels = paper_data.load_paper_set(name)
    encoder, generator = paper_data.published_weights(name)
    latent_noise = np.random.default_rng(0).normal(size=(1000, generator[0][0].shape[1]))
    return (
        ref.anomaly_score(encoder, generator, train, latent_noise),
        ref.anomaly_score(encoder, generator, test, latent_noise),
        labels,
    )


@pytest.mark.parametrize(
    ("name", "average_precision", "roc_auc"), [("letter", 0.774, 0.921), ("cardio", 0.951, 0.967)]
)
def test_published_weights_rank_as_published(name, average_precision, roc_auc):
    paper_data.require_data(f"advae-paper/{name}.mat", f"advae-paper/checkpoints/{name}.npz")
    _, scores, labels = published_scores(name)
    assert average_precision_score(labels, scores) == pytest.approx(average_precision, abs=0.005)
    assert roc_auc_score(labels, scores) == pytest.approx(roc_auc, abs=0.005)


@pytest.mark.parametrize(
    ("name", "expected_threshold", "flagged", "recall"),
    [("letter", 0.268, 0.133, 0.860), ("cardio", 0.469, 0.224, 0.958)],
)
def test_published_weights_flag_more_than_promised(name, expected_threshold, flagged, recall):
    # Measured here with F solved exactly: ten percent were promised.
    paper_data.require_data(f"advae-paper/{name}.mat", f"advae-paper/checkpoints/{name}.npz")
    train_scores, scores, labels = published_scores(name)
    threshold = ref.kde_threshold(train_scores, 0.1)
    assert threshold == pytest.approx(expected_threshold, abs=0.001)
    assert np.mean(scores[labels == 0] > threshold) == pytest.approx(flagged, abs=0.005)
    assert np.mean(scores[labels == 1] > threshold) == pytest.approx(recall, abs=0.005)


@pytest.mark.parametrize(
    ("name", "shifted", "flagged", "recall", "f1"),
    [("letter", 0.293, 0.12, 0.790, 0.735), ("cardio", 0.497, 0.21, 0.938, 0.805)],
)
def test_the_notebooks_figures_come_from_its_shifted_threshold(name, shifted, flagged, recall, f1):
    # 12 % and 21 %, with the published recall and F1, belong to thresholds read off the shifted
    # grid. The one for cardio is not published: it is where the published recall is met.
    paper_data.require_data(f"advae-paper/{name}.mat", f"advae-paper/checkpoints/{name}.npz")
    _, scores, labels = published_scores(name)
    is_anomaly = scores > shifted
    assert np.mean(is_anomaly[labels == 0]) == pytest.approx(flagged, abs=0.005)
    assert np.mean(is_anomaly[labels == 1]) == pytest.approx(recall, abs=0.006)
    assert f1_score(labels, is_anomaly) == pytest.approx(f1, abs=0.005)
