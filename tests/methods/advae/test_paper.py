"""The method, number by number, against the independent reference and the published results."""

from functools import partial
from operator import itemgetter

import jax
import jax.numpy as jnp
import numpy as np
import paper_data
import pytest
import reference as ref
from our_networks import members, our_model, score_rows
from sklearn.metrics import average_precision_score, roc_auc_score

from advae.config import VARIANTS, Config
from advae.core.adam import StepSize, step_sizes
from advae.methods.advae import latent
from advae.methods.advae.gaussian import Gaussian, kld, kld_between
from advae.methods.advae.latent import latent_noise
from advae.methods.advae.losses import (
    Noise,
    Settings,
    encoder_loss,
    generator_transformer_loss,
    hinge,
    squared_error,
    total,
    values,
)
from advae.methods.advae.networks import Sizes, frozen_on_both, initialise, on_both
from advae.methods.advae.steps import (
    encoder_step,
    fresh_state,
    generator_transformer_step,
    train_step,
)

D, H, K, ROWS = 6, 5, 3, 16
LEARNING_RATE = 0.01
GAMMA, LAMBDA = 0.4, 0.3

STEP_1 = ("reconstruction", "kld_r", "margin_x", "margin_z_T", "kld_transformer")
STEP_2 = ("reconstruction", "kld", "margin_z_r", "margin_z_Tr")
OURS_1 = (
    *("generator_reconstruction", "generator_kld_r", "generator_margin_x", "generator_margin_z"),
    "transformer_kld",
)
OURS_2 = ("encoder_reconstruction", "encoder_kld", "encoder_margin_z_r", "encoder_margin_z_Tr")
DISCRIMINATION_1, DISCRIMINATION_2 = {"kld_r", "margin_x", "margin_z_T"}, set(STEP_2[2:])
# The terms of each variant, in METHOD's words: full, only the encoder's discrimination, only the
# generator's, neither, and neither nor KLD. T's own loss acts where there is something to
# transform for.
VARIANT_TERMS = {
    "adVAE": (set(STEP_1), set(STEP_2)),
    "E-adVAE": (set(STEP_1) - DISCRIMINATION_1, set(STEP_2)),
    "G-adVAE": (set(STEP_1), set(STEP_2) - DISCRIMINATION_2),
    "VAE": ({"reconstruction"}, {"reconstruction", "kld"}),
    "AE": ({"reconstruction"}, {"reconstruction"}),
}
EACH_VARIANT = list(VARIANT_TERMS)


# --- the reference's weights as ours, and back ---


def reference_layers(net):
    return [
        (np.asarray(layer.weight, np.float64).T, np.asarray(layer.bias, np.float64))
        for layer in net.layers
    ]


def reference_weights(model):
    return ref.Weights(*map(reference_layers, (model.encoder, model.generator, model.transformer)))


def flat(*nets):
    """Return weights, or gradients of the same shapes, as the vector the reference moves."""
    return ref.flatten([layer for net in nets for layer in reference_layers(net)])


# --- one problem for both ---


class Problem:
    """Random weights and a batch, with margins that hold for some rows and fail for others."""

    def __init__(self):
        rng = np.random.default_rng(20200)
        self.weights = ref.random_weights(D, H, K, rng)
        self.x = rng.uniform(size=(ROWS, D))
        self.noise, self.noise_T = rng.normal(size=(2, ROWS, K))
        values = self.values(self.weights)
        distance = ref.squared_error(values.x_r, values.x_Tr)
        self.margin_x = float(np.median(distance))
        self.margin_z = float(np.median([ref.kld(*values.q_r), ref.kld(*values.q_Tr)]))

    def values(self, weights):
        return ref.adversarial_pass(weights, self.x, self.noise, self.noise_T)

    @property
    def margins(self):
        return self.margin_x, self.margin_z

    def terms_1(self, weights, margins=None):
        return ref.generator_transformer_terms(
            self.values(weights), self.x, *(margins or self.margins)
        )

    def terms_2(self, weights, margins=None):
        _, margin_z = margins or self.margins
        return ref.encoder_terms(self.values(weights), self.x, margin_z)

    def slope_1(self, weights, variant="adVAE", gamma=GAMMA, lambda_=LAMBDA, margins=None):
        """Return the reference's gradient of step 1 over every weight of G and T."""
        kept, _ = VARIANT_TERMS[variant]

        def loss(vector):
            terms = self.terms_1(ref.with_generator_transformer(weights, vector), margins)
            left = {name: term if name in kept else 0.0 for name, term in terms.items()}
            return ref.generator_transformer_total(left, gamma, lambda_)

        vector = ref.flatten(weights.generator + weights.transformer)
        return ref.numerical_gradient(loss, vector, range(len(vector)))

    def slope_2(self, weights, variant="adVAE", margins=None):
        """Return the reference's gradient of step 2 over every weight of E."""
        _, kept = VARIANT_TERMS[variant]
        _, margin_z = margins or self.margins
        made = self.values(weights)
        lambda_ = LAMBDA if "kld" in kept else 0.0
        gamma = GAMMA if "margin_z_r" in kept else 0.0

        def loss(vector):
            moved = ref.with_encoder(weights, vector)
            return ref.step2_loss(
                moved, made.x_r, made.x_Tr, self.x, self.noise, gamma, lambda_, margin_z
            )

        vector = ref.flatten(weights.encoder)
        return ref.numerical_gradient(loss, vector, range(len(vector)))

    def inputs(self, t=1, **changes):
        """Return what iteration ``t`` needs besides the state and the variant."""
        weights = {"gamma": GAMMA, "lambda_": LAMBDA} | changes
        margins = {"margin_x": self.margin_x, "margin_z": self.margin_z}
        noise = Noise(jnp.asarray(self.noise.T), jnp.asarray(self.noise_T.T))
        rates = np.full(t, LEARNING_RATE)
        step_size = StepSize(*(part[t - 1] for part in step_sizes(rates)))
        return jnp.asarray(self.x.T), noise, Settings(**(margins | weights)), step_size


@partial(jax.jit, static_argnames="variant")
def both_steps(state, x, noise, settings, step_size, variant):
    """Do one iteration; return the states after step 1 and after step 2, and the terms."""
    q, pull_back = jax.vjp(lambda encoder: encoder(x), state.model.encoder)
    first, terms_1 = generator_transformer_step(state, x, q, noise, settings, step_size, variant)
    second, terms_2 = encoder_step(
        first, x, q, lambda slope: pull_back(slope)[0], noise, settings, step_size, variant
    )
    return first, second, terms_1, terms_2


@jax.jit
def whole_step(state, x, noise, settings, step_size, shown=None):
    shown = x if shown is None else shown
    return train_step(state, x, shown, noise, settings, step_size, VARIANTS["adVAE"])


class Iteration:
    """Our iteration on the problem in float64, with the gradients read off Adam's moments."""

    def __init__(self, problem, variant, **changes):
        with jax.enable_x64(True):
            before = fresh_state(our_model(problem.weights))
            after = both_steps(before, *problem.inputs(**changes), VARIANTS[variant])
            self.before, after = jax.device_get((before, after))
        self.after_1, self.after_2, self.terms_1, self.terms_2 = after
        # Adam's first moment after its first step is a tenth of the gradient.
        self.slope_1 = flat(*self.after_1.generator_transformer_moments.gradient) / (1 - 0.9)
        self.slope_2 = flat(self.after_2.encoder_moments.gradient) / (1 - 0.9)


@pytest.fixture(scope="module")
def problem():
    return Problem()


@pytest.fixture(scope="module")
def iteration(problem):
    """Return a function that gives iterations, each done and each variant compiled once."""
    done = {}

    def get(variant="adVAE", **changes):
        key = variant, *sorted(changes.items())
        if key not in done:
            done[key] = Iteration(problem, variant, **changes)
        return done[key]

    return get


def assert_same_gradient(found, expected):
    # Central differences of a loss near 10 are good to about 1e-8.
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-8)


# --- the quantities (4), (5), (9) ---


@pytest.mark.parametrize("wide", [1.0, 3.0])
def test_both_klds_equal_the_reference(wide):
    rng = np.random.default_rng(1)
    means = rng.normal(size=(2, ROWS, K)).astype(np.float32)
    log_variances = (wide * rng.normal(size=(2, ROWS, K))).astype(np.float32)
    q, p = (
        Gaussian(jnp.asarray(m.T), jnp.asarray(v.T))
        for m, v in zip(means, log_variances, strict=True)
    )
    inputs = [
        part.astype(np.float64) for pair in zip(means, log_variances, strict=True) for part in pair
    ]
    np.testing.assert_allclose(kld(q), ref.kld(*inputs[:2]), rtol=1e-5)
    np.testing.assert_allclose(kld_between(q, p), ref.kld_between(*inputs), rtol=1e-5)
    np.testing.assert_allclose(
        kld_between(p, q), ref.kld_between(*inputs[2:], *inputs[:2]), rtol=1e-5
    )


def test_squared_error_and_hinge_act_per_row():
    a, b = jnp.array([[1.0, 2.0], [0.0, 0.0]]), jnp.array([[0.0, 4.0], [0.0, 3.0]])
    assert squared_error(a.T, b.T).tolist() == [5.0, 9.0]
    assert hinge(jnp.array([-1.0, 0.0, 2.5])).tolist() == [0.0, 0.0, 2.5]


def test_sampling_scales_by_the_deviation():
    q = Gaussian(jnp.array([[1.0, -1.0]]), jnp.log(jnp.array([[4.0, 0.25]])))
    np.testing.assert_allclose(q.sample(jnp.array([[1.0, -2.0]])), [[3.0, -2.0]], rtol=1e-6)


def test_no_deviation_or_variance_overflows():
    q = Gaussian(jnp.zeros((1, 2)), jnp.array([[79.0, 1e4]]))
    np.testing.assert_allclose(q.deviation, np.exp([[39.5, 40.0]]), rtol=1e-4)
    np.testing.assert_allclose(q.variance, np.exp([[79.0, 80.0]]), rtol=1e-4)


def test_networks_equal_the_reference(problem):
    model = our_model(problem.weights)
    values = problem.values(problem.weights)
    q = model.encoder(jnp.asarray(problem.x.T))
    np.testing.assert_allclose(q.mean.T, values.q[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(q.log_variance.T, values.q[1], rtol=1e-5, atol=1e-6)
    q_T = model.transformer(q)
    np.testing.assert_allclose(q_T.mean.T, values.q_T[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(q_T.log_variance.T, values.q_T[1], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(model.generator(jnp.asarray(values.z.T)).T, values.x_r, rtol=1e-5)


def test_initial_weights_are_kaiming_uniform():
    members = initialise(Sizes(40, 40, 20), [np.random.default_rng(seed) for seed in (0, 1)])
    model = jax.tree.map(itemgetter(1), members)
    assert model.sizes == (40, 40, 20)
    for net in (model.encoder, model.generator, model.transformer):
        for layer in net.layers:
            bound = np.sqrt(6 / layer.weight.shape[0])
            weight = np.asarray(layer.weight)
            assert 0.95 * bound < np.abs(weight).max() <= bound
            assert weight.std() == pytest.approx(bound / np.sqrt(3), rel=0.05)
            assert not np.asarray(layer.bias).any()
    shapes = [layer.weight.shape for layer in model.transformer.layers]
    assert shapes == [(40, 40)] * 3
    first, second = model.transformer.layers[:2]
    assert not np.array_equal(first.weight, second.weight)


# --- the nine terms and their totals ---


@pytest.mark.parametrize("position", range(5), ids=STEP_1)
def test_terms_of_step_1_equal_the_reference(problem, iteration, position):
    expected = problem.terms_1(problem.weights)[STEP_1[position]]
    assert iteration().terms_1[OURS_1[position]] == pytest.approx(expected, rel=1e-9)
    assert expected > 1e-3


@pytest.mark.parametrize("position", range(4), ids=STEP_2)
def test_terms_of_step_2_equal_the_reference_with_updated_nets(problem, iteration, position):
    updated = reference_weights(iteration().after_1.model)
    expected = problem.terms_2(updated)[STEP_2[position]]
    assert iteration().terms_2[OURS_2[position]] == pytest.approx(expected, rel=1e-9)
    if position != 1:  # E has not moved, so KLD(q) is the only term that did not either
        assert problem.terms_2(problem.weights)[STEP_2[position]] != pytest.approx(expected)


def test_margins_hold_for_some_rows_and_fail_for_others(problem):
    values = problem.values(problem.weights)
    inside = [
        ref.squared_error(values.x_r, values.x_Tr) < problem.margin_x,
        ref.kld(*values.q_r) < problem.margin_z,
        ref.kld(*values.q_Tr) < problem.margin_z,
    ]
    assert all(0 < rows.sum() < ROWS for rows in inside)


def test_totals_weigh_each_term_as_equations_6_to_10(problem):
    model = our_model(problem.weights)
    x, noise, settings, _ = problem.inputs()
    q, nets = model.encoder(x), (model.generator, model.transformer)
    gamma, lambda_ = GAMMA, LAMBDA
    for loss, names, weights in (
        (
            generator_transformer_loss(
                nets, model.encoder, x, q, noise, settings, VARIANTS["adVAE"]
            ),
            OURS_1,
            (1, gamma, 1, gamma, lambda_),
        ),
        (
            encoder_loss(model.encoder, nets, x, q, noise, settings, VARIANTS["adVAE"]),
            OURS_2,
            (1, lambda_, gamma, gamma),
        ),
    ):
        found = in_order(values(loss), names)
        assert len(loss) == len(names)
        assert total(loss) == pytest.approx(float(np.dot(found, weights)), rel=1e-6)


# --- gradients ---


@pytest.mark.parametrize("variant", VARIANT_TERMS)
def test_step_1_moves_g_and_t_alone(iteration, variant):
    before, after = iteration(variant).before, iteration(variant).after_1
    jax.tree.map(np.testing.assert_array_equal, before.model.encoder, after.model.encoder)
    jax.tree.map(np.testing.assert_array_equal, before.encoder_moments, after.encoder_moments)
    assert_moved(before.model.generator, after.model.generator)
    if VARIANTS[variant].transforms:
        assert_moved(before.model.transformer, after.model.transformer)
    else:
        jax.tree.map(
            np.testing.assert_array_equal, before.model.transformer, after.model.transformer
        )


@pytest.mark.parametrize("variant", VARIANT_TERMS)
def test_step_2_moves_e_alone(iteration, variant):
    before, after = iteration(variant).after_1, iteration(variant).after_2
    jax.tree.map(np.testing.assert_array_equal, before.model.generator, after.model.generator)
    jax.tree.map(np.testing.assert_array_equal, before.model.transformer, after.model.transformer)
    moments = before.generator_transformer_moments, after.generator_transformer_moments
    jax.tree.map(np.testing.assert_array_equal, *moments)
    assert_moved(before.model.encoder, after.model.encoder)


def assert_moved(before, after):
    for old, new in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True):
        assert (old != new).any()


def test_the_gradient_written_out_for_a_frozen_generator_is_the_one_that_jax_derives(problem):
    generator = our_model(problem.weights).generator
    z, z_T = jnp.asarray(problem.noise.T), jnp.asarray(problem.noise_T.T)
    weights = jnp.asarray(problem.x.T)

    def loss(made, z):
        x_r, x_Tr = made(generator, z, z_T)
        return jnp.sum(weights * x_r + weights**2 * jax.lax.stop_gradient(x_Tr))

    with jax.enable_x64(True):
        ours, derived = (
            jax.value_and_grad(partial(loss, made))(z) for made in (frozen_on_both, on_both)
        )
    for found, wanted in zip(ours, derived, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-7)
    assert np.abs(derived[1]).max() > 1e-3


@pytest.mark.parametrize("variant", VARIANT_TERMS)
def test_gradient_of_step_1_equals_the_reference(problem, iteration, variant):
    expected = problem.slope_1(problem.weights, variant)
    assert_same_gradient(iteration(variant).slope_1, expected)


@pytest.mark.parametrize("variant", EACH_VARIANT)
def test_gradient_of_step_2_equals_the_reference(problem, iteration, variant):
    # The reference holds x_r and x_Tr still where they are encoded again (Algorithm 1).
    updated = reference_weights(iteration(variant).after_1.model)
    assert_same_gradient(iteration(variant).slope_2, problem.slope_2(updated, variant))


def test_transformer_learns_from_the_margins_alone(problem, iteration):
    found = iteration(lambda_=0.0)
    expected = problem.slope_1(problem.weights, lambda_=0.0)
    assert_same_gradient(found.slope_1, expected)
    transformer = found.slope_1[-len(ref.flatten(problem.weights.transformer)) :]
    assert np.abs(transformer).max() > 1e-4


def test_generator_learns_through_the_frozen_encoder(problem, iteration):
    with_gamma, without = iteration(), iteration(gamma=0.0)
    expected = problem.slope_1(problem.weights) - problem.slope_1(problem.weights, gamma=0.0)
    assert_same_gradient(with_gamma.slope_1 - without.slope_1, expected)
    assert np.abs(expected).max() > 1e-3


def test_detached_reconstructions_make_a_difference(problem, iteration):
    """The gradient of step 2 with x_r and x_Tr attached is far from ours."""
    updated = reference_weights(iteration().after_1.model)

    def attached(vector):
        terms = problem.terms_2(ref.with_encoder(updated, vector))
        return ref.encoder_total(terms, GAMMA, LAMBDA)

    vector = ref.flatten(updated.encoder)
    wrong = ref.numerical_gradient(attached, vector, range(len(vector)))
    assert np.abs(iteration().slope_2 - wrong).max() > 1e-4  # 10,000 times the tolerance


def test_two_iterations_equal_two_reference_steps_with_adam(problem, iteration):
    with jax.enable_x64(True):
        state = fresh_state(our_model(problem.weights))
        for t in (1, 2):
            state, _ = whole_step(state, *problem.inputs(t))
        found = reference_weights(state.model)

    weights, lr = problem.weights, LEARNING_RATE
    nets = ref.flatten(weights.generator + weights.transformer)
    net = ref.flatten(weights.encoder)
    m_1 = v_1 = np.zeros_like(nets)
    m_2 = v_2 = np.zeros_like(net)
    for t in (1, 2):
        nets, m_1, v_1 = ref.adam_step(nets, problem.slope_1(weights), m_1, v_1, t, lr)
        weights = ref.with_generator_transformer(weights, nets)
        net, m_2, v_2 = ref.adam_step(net, problem.slope_2(weights), m_2, v_2, t, lr)
        weights = ref.with_encoder(weights, net)
    # An entry whose gradient is next to nothing moves by its sign, which differences cannot tell.
    for ours, theirs in (
        (found.encoder, weights.encoder),
        (found.generator, weights.generator),
        (found.transformer, weights.transformer),
    ):
        np.testing.assert_allclose(ref.flatten(ours), ref.flatten(theirs), atol=1e-3 * lr, rtol=0)


def test_train_step_is_step_1_then_step_2(problem, iteration):
    with jax.enable_x64(True):
        state = fresh_state(our_model(problem.weights))
        state, terms = jax.device_get(whole_step(state, *problem.inputs()))
    compare = partial(np.testing.assert_allclose, rtol=1e-12, atol=1e-14)
    jax.tree.map(compare, state, iteration().after_2)
    jax.tree.map(compare, terms, iteration().terms_1 | iteration().terms_2)


def test_the_encoder_sees_what_it_is_shown_in_place_of_the_row(problem):
    shown = np.random.default_rng(1).uniform(size=problem.x.shape)
    with jax.enable_x64(True):
        state = fresh_state(our_model(problem.weights))
        _, terms = jax.device_get(whole_step(state, *problem.inputs(), jnp.asarray(shown.T)))
    made = ref.adversarial_pass(problem.weights, shown, problem.noise, problem.noise_T)
    wanted = ref.generator_transformer_terms(made, problem.x, *problem.margins)
    np.testing.assert_allclose([terms[name] for name in OURS_1], [*wanted.values()], rtol=1e-10)


def test_a_divergence_far_beyond_its_margin_has_no_slope():
    """E drives log-variances of x_Tr past 88, where exp overflows in float32, in long trainings."""

    def term(log_variance):
        return hinge(40.0 - kld(Gaussian(jnp.zeros_like(log_variance), log_variance))).sum()

    far = jnp.array([[79.0, 89.0, 500.0]])
    assert np.isfinite(kld(Gaussian(jnp.zeros((3, 3)), jnp.tile(far, (3, 1))))).all()
    assert term(far) == 0
    np.testing.assert_array_equal(jax.grad(term)(far), 0)


# --- margins that grow with the error and the KLD ---


def in_order(terms, names):
    return [terms[name] for name in names]


def renamed(terms, ours, theirs):
    names = dict(zip(ours, theirs, strict=True))
    return {names[name]: term for name, term in terms.items()}


RELATIVE = {"margin_x": 0.1, "margin_z": 0.2, "relative_margin_x": 0.7, "relative_margin_z": 0.5}


def relative_margins(problem, weights):
    grown = ref.relative_margins(
        problem.values(weights),
        problem.x,
        RELATIVE["relative_margin_x"],
        RELATIVE["relative_margin_z"],
    )
    return RELATIVE["margin_x"] + grown[0], RELATIVE["margin_z"] + grown[1]


def test_relative_margins_are_added(problem, iteration):
    found = iteration(**RELATIVE)
    margins = relative_margins(problem, problem.weights)
    expected = problem.terms_1(problem.weights, margins)
    assert in_order(found.terms_1, OURS_1) == pytest.approx(list(expected.values()), rel=1e-9)
    assert min(expected.values()) > 1e-3
    updated = reference_weights(found.after_1.model)
    expected = problem.terms_2(updated, relative_margins(problem, updated))
    assert in_order(found.terms_2, OURS_2) == pytest.approx(list(expected.values()), rel=1e-9)
    assert min(expected.values()) > 1e-3


def test_relative_margins_have_no_gradient(problem, iteration):
    # The reference's margins are numbers.
    margins = relative_margins(problem, problem.weights)
    found = iteration(**RELATIVE)
    assert_same_gradient(found.slope_1, problem.slope_1(problem.weights, margins=margins))
    updated = reference_weights(found.after_1.model)
    margins = relative_margins(problem, updated)
    assert_same_gradient(found.slope_2, problem.slope_2(updated, margins=margins))


# --- variants ---


@pytest.mark.parametrize("variant", EACH_VARIANT)
def test_each_variant_has_exactly_its_terms(problem, iteration, variant):
    kept_1, kept_2 = VARIANT_TERMS[variant]
    found_1 = renamed(iteration(variant).terms_1, OURS_1, STEP_1)
    found_2 = renamed(iteration(variant).terms_2, OURS_2, STEP_2)
    assert (found_1.keys(), found_2.keys()) == (kept_1, kept_2)
    reference_1 = problem.terms_1(problem.weights)
    reference_2 = problem.terms_2(reference_weights(iteration(variant).after_1.model))
    assert {n: found_1[n] for n in kept_1} == pytest.approx({n: reference_1[n] for n in kept_1})
    assert {n: found_2[n] for n in kept_2} == pytest.approx({n: reference_2[n] for n in kept_2})


# --- the score (11), (12) ---


def test_score_and_contributions_equal_the_reference():
    rng = np.random.default_rng(3)
    weights = ref.random_weights(D, H, K, rng)
    x = rng.uniform(size=(50, D)).astype(np.float32)
    noise = rng.normal(size=(8, K)).astype(np.float32)
    scored = score_rows(members(weights), noise, x)
    layers = weights.encoder, weights.generator
    residual = ref.mean_residual(*layers, x, noise)
    np.testing.assert_allclose(scored.score, ref.anomaly_score(*layers, x, noise), rtol=1e-5)
    np.testing.assert_allclose(scored.expected, x - residual, rtol=1e-5)
    # The square of a difference near 0 has lost digits that its row's score still has.
    np.testing.assert_allclose(
        scored.contributions, ref.contributions(*layers, x, noise), rtol=1e-5, atol=1e-6
    )


def test_codes_are_those_of_the_first_member_for_clipped_values():
    rng = np.random.default_rng(8)
    both = [ref.random_weights(D, H, K, rng) for _ in range(2)]
    model = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *map(members, both))
    x = rng.uniform(-3, 4, size=(9, D)).astype(np.float32)
    found = latent.encode_rows(model, x)
    wanted = ref.encoder(both[0].encoder, np.clip(x, -1, 2))
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
    wanted = ref.transformer(both[0].transformer, *wanted)
    np.testing.assert_allclose(latent.transform_codes(model, found), wanted, rtol=1e-4, atol=1e-5)


def test_score_of_members_is_the_mean_of_the_references():
    rng = np.random.default_rng(4)
    each = [ref.random_weights(D, H, K, rng) for _ in range(2)]
    x = rng.uniform(size=(20, D)).astype(np.float32)
    noise = rng.normal(size=(8, K)).astype(np.float32)
    both = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *map(members, each))
    scored = score_rows(both, noise, x)
    expected = np.mean([ref.contributions(w.encoder, w.generator, x, noise) for w in each], axis=0)
    np.testing.assert_allclose(scored.contributions, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(scored.score, expected.sum(axis=1), rtol=1e-5)


@pytest.mark.parametrize(
    ("points", "sampling", "used"), [(8, "sobol", 8), (9, "sobol", 9), (5, "random", 5)]
)
def test_latent_noise_has_the_wanted_points(points, sampling, used):
    noise = latent_noise(Config(points=points, sampling=sampling), K)
    assert noise.shape == (used, K)
    assert noise.dtype == np.float32
    assert np.isfinite(noise).all()
    again = latent_noise(Config(points=points, sampling=sampling), K)
    np.testing.assert_array_equal(noise, again)
    other = latent_noise(Config(points=points, sampling=sampling, seed=1), K)
    assert not np.array_equal(noise, other)


@pytest.mark.parametrize("sampling", ["sobol", "random"])
def test_latent_noise_is_standard_normal(sampling):
    noise = latent_noise(Config(points=4096, sampling=sampling), 4)
    np.testing.assert_allclose(noise.mean(axis=0), 0, atol=0.06)
    np.testing.assert_allclose(np.cov(noise.T), np.eye(4), atol=0.1)


def test_an_autoencoder_scores_with_the_mean_alone():
    assert not latent_noise(Config(variant="AE"), K).any()
    assert latent_noise(Config(variant="AE"), K).shape == (1, K)


# --- the published weights ---

PUBLISHED = {"letter": (0.774, 0.921), "cardio": (0.951, 0.967)}


@pytest.fixture(scope="module", params=PUBLISHED)
def published(request):
    """Return a name, its published weights, test rows and their labels."""
    name = request.param
    paper_data.require_data(f"advae-paper/{name}.mat", f"advae-paper/checkpoints/{name}.npz")
    _, x, labels = paper_data.load_paper_set(name)
    encoder, generator = paper_data.published_weights(name)
    unused = ref.random_weights(2, 2, 1, np.random.default_rng(0)).transformer
    weights = ref.Weights(encoder, generator, unused)
    return name, weights, x.astype(np.float32), labels


def test_published_weights_give_the_published_results(published):
    name, weights, x, labels = published
    latent = weights.generator[0][0].shape[1]
    noise = latent_noise(Config.preset("paper"), latent)
    assert noise.shape == (1000, latent)
    score = score_rows(members(weights), noise, x).score
    average_precision, roc_auc = PUBLISHED[name]
    assert average_precision_score(labels, score) == pytest.approx(average_precision, abs=0.005)
    assert roc_auc_score(labels, score) == pytest.approx(roc_auc, abs=0.005)
    # Rows far outside the training range are clipped on their way in; the others are the paper's.
    inside = np.flatnonzero(((x >= -1) & (x <= 2)).all(axis=1))[:40]
    expected = ref.anomaly_score(weights.encoder, weights.generator, x[inside], noise)
    np.testing.assert_allclose(score[inside], expected, rtol=1e-5)


def test_sobol_points_need_a_thirtieth_of_the_draws(published):
    _, weights, x, _ = published
    latent = weights.generator[0][0].shape[1]
    model = members(weights)

    def score(points, sampling, seed):
        config = Config(points=points, sampling=sampling, seed=seed)
        noise = latent_noise(config, latent)
        return score_rows(model, noise, x).score.astype(np.float64)

    exact = score(16_384, "sobol", 99)

    def error(points, sampling):
        off = [score(points, sampling, seed) / exact - 1 for seed in range(8)]
        return np.sqrt(np.mean(np.square(off)))

    of_draws = error(1000, "random")
    assert of_draws < 0.005
    assert error(32, "sobol") < 0.7 * of_draws
    assert error(32, "random") > 3 * of_draws
