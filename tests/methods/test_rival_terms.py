"""The rivals' terms and scores, number by number, against plain float64 NumPy."""

import jax
import numpy as np
import pytest
import reference as ref
from scipy.integrate import quad
from scipy.special import expit, ndtr
from scipy.stats import multivariate_normal, norm

from advae.config import Config
from advae.core.adam import StepSize
from advae.methods import complementary_vae, dagmm, gan, method_of, mo_gaal, wgan_gp
from advae.methods.advae.gaussian import Gaussian

D, ROWS = 4, 12
CONFIG = Config(hidden=6, latent=2)


def network(name):
    """Return a method, and one member with weights and biases that all matter."""
    method = method_of(Config(method=name, hidden=6, latent=2), D)
    rng = np.random.default_rng(7)

    def drawn(leaf):
        scale = 1 / np.sqrt(leaf.shape[-2]) if len(leaf.shape) > 2 else 0.3
        return (scale * rng.normal(size=leaf.shape[1:])).astype(np.float32)

    return method, jax.tree.map(drawn, method.networks(1))


def batch(*shape, seed=3):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


X = np.random.default_rng(5).uniform(size=(D, ROWS)).astype(np.float32)
ROWS_FIRST = X.T.astype(np.float64)


def layered(layers, x, hidden, last=lambda value: value):
    """Apply dense layers to the rows of x."""
    for layer in layers[:-1]:
        x = hidden(x @ np.float64(layer.weight) + np.float64(layer.bias))
    return last(x @ np.float64(layers[-1].weight) + np.float64(layers[-1].bias))


def relu(value):
    return np.maximum(value, 0)


def leaky(value):
    return np.where(value > 0, value, 0.2 * value)


def entropy(probability, label):
    """Return the cross-entropy of probabilities that a label holds."""
    return -(label * np.log(probability) + (1 - label) * np.log(1 - probability))


def assert_terms(found, expected):
    assert set(found) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=2e-4, err_msg=name)


# --- the complementary prior ---


def halves(net, x):
    return ref.halves(layered(net.layers, x, relu))


def log_complement(z):
    """Return the log-density of the anomaly prior at rows of z."""
    latent = z.shape[-1]
    wide = multivariate_normal(np.zeros(latent), 100.0 * np.eye(latent)).logpdf(z)
    inside = np.exp(-0.5 * np.sum(z**2, axis=-1) - 1e-12)
    return wide + np.log(1 - inside) - np.log(1 - 101.0 ** (-latent / 2))


def test_complementary_terms():
    method, model = network("complementary-vae")
    noise = batch(2, 2, ROWS)
    made = np.stack(
        [[ROWS_FIRST[(row + 1 + j) % ROWS, j] for j in range(D)] for row in range(ROWS)]
    )
    q, q_made = halves(model.encoder, ROWS_FIRST), halves(model.encoder, made)
    z, z_made = (
        ref.sample(one, np.float64(drawn.T)) for one, drawn in zip((q, q_made), noise, strict=True)
    )
    x_r, made_r = (layered(model.generator.layers, code, relu, expit) for code in (z, z_made))
    # KLD(q || p) = -entropy of q - mean of log p, the wide part of which is a Gaussian's.
    mean, log_variance = q_made
    apart = ref.kld_between(mean, log_variance, np.zeros(2), np.log(100.0) * np.ones(2))
    shape = np.log(1 - np.exp(-0.5 * np.sum(z_made**2, axis=1))) - np.log(1 - 1 / 101)
    expected = {
        "reconstruction": np.mean(ref.squared_error(ROWS_FIRST, x_r)),
        "kld": np.mean(ref.kld(*q)),
        "anomaly_reconstruction": np.mean(ref.squared_error(made, made_r)),
        "anomaly_kld": np.mean(apart - shape),
    }
    assert_terms(jax.jit(complementary_vae.loss)(model, X, noise), expected)
    known = complementary_vae.Known(model, np.float32(0.3))
    x_mean = layered(model.generator.layers, q[0], relu, expit)
    score = ref.squared_error(ROWS_FIRST, x_mean) + 0.3 * ref.kld(*q)
    np.testing.assert_allclose(jax.jit(method.surprise)(known, X), score, rtol=2e-4)


def test_the_complement_is_a_density_and_the_divergence_from_it_is_right():
    density = quad(lambda z: np.exp(log_complement(np.array([z]))), -80, 80, limit=400)[0]
    assert density == pytest.approx(1, abs=1e-6)
    q = norm(1.5, 0.7)
    exact = quad(
        lambda z: q.pdf(z) * (q.logpdf(z) - log_complement(np.array([z]))), -6, 9, limit=400
    )[0]
    draws = 1.5 + 0.7 * batch(1, 200_000)
    parts = np.full_like(draws, 1.5), np.full_like(draws, 2 * np.log(0.7))
    estimate = np.mean(complementary_vae.kld_to_complement(Gaussian(*parts), draws))
    assert estimate == pytest.approx(exact, rel=0.01)


# --- DAGMM ---


def dagmm_features(model, x):
    code = layered(model.encoder, x, np.tanh)
    made = layered(model.decoder, code, np.tanh)
    distance = np.linalg.norm(x - made, axis=1) / np.linalg.norm(x, axis=1)
    cosine = np.sum(x * made, axis=1) / (np.linalg.norm(x, axis=1) * np.linalg.norm(made, axis=1))
    return made, np.column_stack([code, distance, cosine])


def dagmm_mixture(z, memberships):
    parts = []
    for weight in memberships.T:
        mean = weight @ z / weight.sum()
        covariance = sum(
            w * np.outer(row - mean, row - mean) for w, row in zip(weight, z, strict=True)
        )
        covariance = covariance / weight.sum() + dagmm.LEAST_VARIANCE * np.eye(4)
        parts.append((weight.mean(), mean, covariance))
    return parts


def densities(parts, z):
    """Return the density of a mixture by SciPy."""
    return sum(share * multivariate_normal(mean, cov).pdf(z) for share, mean, cov in parts)


def belong(model, z, kept):
    logits = layered(model.membership, z, lambda value: kept * np.tanh(value))
    exponents = np.exp(logits)
    return exponents / exponents.sum(axis=1, keepdims=True)


def test_dagmm_terms_and_energy():
    method, model = network("dagmm")
    kept = 2.0 * (batch(10, ROWS) > 0)
    made, z = dagmm_features(model, ROWS_FIRST)
    parts = dagmm_mixture(z, belong(model, z, kept.T))
    expected = {
        "reconstruction": np.mean(ref.squared_error(ROWS_FIRST, made)),
        "energy": np.mean(-np.log(densities(parts, z))),
        "inverse_variance": sum(np.sum(1 / np.diagonal(cov)) for _, _, cov in parts),
    }
    assert_terms(jax.jit(dagmm.loss)(model, X, kept.astype(np.float32)), expected)
    # The mixture of the score is that of the training rows, whose rows are not padded.
    (known, kept_rows) = method.learn(
        jax.tree.map(lambda leaf: leaf[None], model), np.ascontiguousarray(X.T), CONFIG
    )
    assert not len(kept_rows)
    whole = dagmm_mixture(z, belong(model, z, 1.0))
    member = jax.tree.map(lambda leaf: leaf[0], known)
    np.testing.assert_allclose(member.mixture.mean, [mean for _, mean, _ in whole], rtol=1e-3)
    strange = np.random.default_rng(8).uniform(size=(9, D))
    _, z = dagmm_features(model, strange)
    highest = sum(
        share / np.sqrt(np.linalg.det(2 * np.pi * covariance)) for share, _, covariance in whole
    )
    score = -np.log(densities(whole, z)) + np.log(highest)
    found = jax.jit(method.surprise)(member, strange.T.astype(np.float32))
    np.testing.assert_allclose(found, score, rtol=5e-3)


# --- the GANs ---


def test_gan_terms_and_score():
    method, model = network("gan")
    z = batch(2, ROWS)
    net = model.discriminator

    def features(x, code):
        row = leaky(layered([net.of_row], x, None))
        both = np.concatenate([row, leaky(layered([net.of_code], code, None))], axis=1)
        return leaky(layered([net.joint], both, None))

    def judged(x, code):
        return expit(layered([net.head], features(x, code), None)[:, 0])

    code = layered(model.encoder, ROWS_FIRST, leaky)
    drawn = np.float64(z.T)
    real = judged(ROWS_FIRST, code)
    made = judged(layered(model.generator, drawn, relu, expit), drawn)
    assert_terms(
        jax.jit(gan.discriminator_loss)(model, X, z),
        {
            "discriminator_real": np.mean(entropy(real, 1)),
            "discriminator_made": np.mean(entropy(made, 0)),
        },
    )
    assert_terms(
        jax.jit(gan.adversary_loss)(model, X, z),
        {
            "encoder_fooling": np.mean(entropy(real, 0)),
            "generator_fooling": np.mean(entropy(made, 1)),
        },
    )
    x_r = layered(model.generator, code, relu, expit)
    matching = np.abs(features(ROWS_FIRST, code) - features(x_r, code)).sum(axis=1)
    score = 0.9 * np.abs(ROWS_FIRST - x_r).sum(axis=1) + 0.1 * matching
    np.testing.assert_allclose(jax.jit(method.surprise)(model, X), score, rtol=2e-4)


def test_wgan_terms_and_score():
    method, model = network("wgan-gp")
    z, share = batch(2, ROWS), ndtr(batch(ROWS, seed=4))

    def features(x):
        return relu(layered(model.critic[:-1], x, relu))

    def judged(x):
        return layered(model.critic, x, relu)[:, 0]

    made = layered(model.generator, np.float64(z.T), relu, expit)
    between = share[:, None] * ROWS_FIRST + (1 - share[:, None]) * made
    step = 1e-6
    slopes = [
        (judged(between + step * e) - judged(between - step * e)) / (2 * step) for e in np.eye(D)
    ]
    norms = np.linalg.norm(slopes, axis=0)
    assert_terms(
        jax.jit(wgan_gp.critic_loss)(model, X, z, share.astype(np.float32)),
        {
            "critic_distance": judged(made).mean() - judged(ROWS_FIRST).mean(),
            "critic_penalty": np.mean((norms - 1) ** 2),
        },
    )
    value = wgan_gp.generator_loss(model, z)
    assert_terms(value, {"generator_value": -judged(made).mean()})
    x_r = layered(model.generator, layered(model.encoder, ROWS_FIRST, relu), relu, expit)
    residual = np.mean((ROWS_FIRST - x_r) ** 2, axis=1)
    matching = np.mean((features(ROWS_FIRST) - features(x_r)) ** 2, axis=1)
    assert_terms(
        jax.jit(wgan_gp.encoder_loss)(model, X),
        {"reconstruction": residual.mean(), "feature_reconstruction": matching.mean()},
    )
    found = jax.jit(method.surprise)(model, X)
    np.testing.assert_allclose(found, residual + matching, rtol=2e-4)


# --- MO-GAAL ---


def test_mo_gaal_terms_and_score():
    method, model = network("mo-gaal")
    u = ndtr(batch(D, ROWS)).astype(np.float32)

    def judged(x):
        return expit(layered(model.discriminator, x, relu)[:, 0])

    def generated(number):
        layers = jax.tree.map(lambda leaf: leaf[number], model.generators)
        return relu(layered(layers, np.float64(u.T), relu))

    real, made = judged(ROWS_FIRST), [judged(generated(number)) for number in range(10)]
    assert_terms(
        jax.jit(mo_gaal.discriminator_loss)(model, X, u),
        {
            "discriminator_real": np.mean(entropy(real, 1)),
            "discriminator_made": np.mean([entropy(one, 0) for one in made]),
        },
    )
    targets = [np.quantile(real, number / 10) for number in range(10)]
    entropies = [entropy(one, target) for one, target in zip(made, targets, strict=True)]
    found = jax.jit(mo_gaal.generator_loss)(model, X, u)
    assert_terms(found, {"generator_entropy": np.mean(entropies)})
    known = mo_gaal.Known(model, X.mean(axis=1))
    np.testing.assert_allclose(jax.jit(method.surprise)(known, X), -np.log(real), rtol=2e-4)


def test_generators_of_mo_gaal_stop_after_a_third():
    method = method_of(Config(method="mo-gaal", hidden=6, latent=2), D)
    config = Config(method="mo-gaal", iterations=6)
    state = jax.tree.map(lambda leaf: leaf[0], method.initial_state(config))
    noise, step = batch(1, D, ROWS), jax.jit(method.step)
    rate = StepSize(np.float32(0.01), np.float32(1.0))
    changes = []
    for _ in range(4):
        after, _ = step(state, X, X, noise, method.settings(config), rate)
        layers = zip(after.model.generators, state.model.generators, strict=True)
        changes.append(any(np.any(new.weight != old.weight) for new, old in layers))
        state = after
    assert changes == [True, True, False, False]
