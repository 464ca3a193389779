"""The score beyond the paper: whitened residuals and kept rows, against float64 NumPy."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import reference as ref
from our_networks import learn, members, score_rows

from advae.config import Config
from advae.core.batches import Corruption, corrupt, corruption_of
from advae.detector.fitting import fit_detector
from advae.methods.advae.reference import (
    BANDWIDTH,
    DOUBT,
    SAME,
    SHRINKAGE,
    TILE,
    Memory,
    Reference,
    geometric_mean,
    recall,
    remember,
    tiles_of,
    weighed,
    whitening,
    without,
)

D, H, K = 5, 7, 3


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    return rng.uniform(size=(40, D)).astype(np.float32)


@pytest.fixture(scope="module")
def errors(rows):
    rng = np.random.default_rng(1)
    return rng.normal(size=rows.shape).astype(np.float32)


def reference_whitening(residuals):
    """Return the inverse square root by the Denman-Beavers iteration: nothing shared with ours."""
    r = residuals.astype(np.float64)
    covariance = np.einsum("ni,nj->ij", r, r) / len(r)
    spread = np.sqrt(np.diag(covariance))
    root = (1 - SHRINKAGE) * covariance / spread[:, None] / spread + SHRINKAGE * np.eye(len(spread))
    inverse = np.eye(len(root))
    for _ in range(60):
        root, inverse = (
            (root + np.linalg.inv(inverse)) / 2,
            (inverse + np.linalg.inv(root)) / 2,
        )
    return inverse


def reference_error(kept, errors, x, bandwidth):
    expected = np.empty(x.shape)
    for i, row in enumerate(x.astype(np.float64)):
        squares = np.square(row - kept.astype(np.float64)).sum(axis=1)
        weights = np.exp(-squares / bandwidth)
        equal = np.flatnonzero(squares == 0)
        weights[equal[:1]] = 0
        expected[i] = weights @ errors / (weights.sum() + DOUBT)
    return expected


def reference_nearest(kept, x):
    found = np.empty(x.shape)
    for i, row in enumerate(x.astype(np.float64)):
        squares = np.square(row - kept.astype(np.float64)).sum(axis=1)
        if (squares == 0).sum() == 1:
            squares[squares == 0] = np.inf
        found[i] = kept[squares.argmin()]
    return found


def test_whitening_equals_the_reference(rows):
    residuals = (rows - 0.5) * np.array([1, 0.1, 3, 1, 0.01])
    np.testing.assert_allclose(whitening(residuals), reference_whitening(residuals), rtol=1e-5)


def test_whitening_of_fewer_rows_than_columns(rows, monkeypatch):
    wide = np.hstack([rows - 0.5, rows**2, np.sqrt(rows), np.tanh(rows), rows - rows.mean(axis=0)])
    few = wide[:9] * np.linspace(0.01, 3, wide.shape[1])
    sizes, eigh = [], np.linalg.eigh
    monkeypatch.setattr(np.linalg, "eigh", lambda m: sizes.append(m.shape) or eigh(m))
    found = whitening(few)
    assert sizes == [(9, 9)]  # not of columns, whose cube would be the work
    matrix = weighed(np.eye(few.shape[1]), found)
    np.testing.assert_allclose(matrix, reference_whitening(few), rtol=1e-5, atol=1e-6)


def test_whitening_of_few_rows_that_repeat_and_columns_without_residuals(rows):
    few = np.hstack([rows[:2] - 0.5, np.zeros((2, 3))])[[0, 1, 0]]
    matrix = weighed(np.eye(8), whitening(few))
    np.testing.assert_allclose(matrix[:5, :5], reference_whitening(few[:, :5]), rtol=1e-5)
    np.testing.assert_array_equal(matrix[5:], np.eye(8)[5:])
    np.testing.assert_array_equal(weighed(np.eye(6), whitening(np.zeros((2, 6)))), np.eye(6))


def test_whitening_leaves_uncorrelated_residuals_alone():
    residuals = np.random.default_rng(1).normal(size=(200_000, 3)) * [7, 0.1, 1]
    np.testing.assert_allclose(whitening(residuals), np.eye(3), atol=0.01)
    np.testing.assert_array_equal(whitening(np.zeros((4, 3))), np.eye(3))


def test_a_combination_without_residuals_gets_a_bounded_weight(rows):
    twins = np.column_stack([rows[:, 0] - 0.5, rows[:, 0] - 0.5, np.zeros(len(rows))])
    matrix = whitening(twins)
    apart = np.array([1.0, -1.0, 0.0])
    np.testing.assert_allclose(matrix @ apart, SHRINKAGE**-0.5 * apart, rtol=1e-5)
    # A column that never varied keeps its weight.
    np.testing.assert_allclose(matrix[2], [0, 0, 1], atol=1e-6)


def recalled(memory, x):
    return recall(tiles_of(memory), jnp.asarray(x))


def test_recall_equals_the_reference(rows, errors):
    x = np.random.default_rng(2).uniform(-1, 2, size=(9, D)).astype(np.float32)
    memory = Memory(rows, errors, np.full(1, 0.3, np.float32))
    found = recalled(memory, (x))
    wanted = reference_error(rows, errors, x, 0.3)
    assert np.ptp(np.linalg.norm(wanted, axis=1)) > 0.3
    np.testing.assert_allclose(found.error, wanted, rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(found.nearest, reference_nearest(rows, x), rtol=1e-5)


def test_a_row_does_not_vouch_for_itself(rows, errors):
    kept = np.concatenate([rows, rows[:2], rows[:1]])
    given = np.concatenate([errors, errors[:2], errors[:1]])
    memory = Memory(kept, given, np.full(1, 0.002, np.float32))
    found = recalled(memory, (rows))
    wanted = reference_error(kept, given, rows, 0.002)
    np.testing.assert_allclose(found.error, wanted, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(found.nearest, reference_nearest(kept, rows), rtol=1e-5)
    # Of three and of two equal rows the others stay; a single one is gone.
    np.testing.assert_allclose(
        found.error[:2], errors[:2] / (1 + DOUBT / np.array([[2], [1]])), rtol=1e-3
    )
    assert np.abs(found.error[2:]).max() < 0.1
    distance = np.linalg.norm(rows - found.nearest, axis=1)
    assert (distance[:2] < 1e-3).all()
    assert (distance[2:] > 0.05).all()


def test_far_from_all_rows_no_error_is_expected(rows, errors):
    memory = Memory(rows, errors, np.full(1, 0.01, np.float32))
    beside = rows[:1] + np.float32(0.01)
    far = np.full((1, D), 1.9, np.float32)
    error = recalled(memory, (np.concatenate([beside, far]))).error
    np.testing.assert_allclose(error[0], errors[0], rtol=0.05)
    assert not error[1].any()


def test_a_memory_has_room_in_its_tiles(rows, errors):
    memory = remember(rows, errors)
    tiles = tiles_of(memory)
    assert tiles.rows.shape == (2, TILE, D + 1)
    assert tiles.errors.shape == (2, D + 1, TILE)
    for kept, count in (512, 4), (513, 8):
        many = np.ones((kept, D), np.float32)
        assert len(tiles_of(Memory(many, many, memory.bandwidth)).rows) == count


def test_the_nearest_row_and_the_error_come_from_all_tiles():
    rng = np.random.default_rng(8)
    kept, x = (rng.uniform(size=(n, D)).astype(np.float32) for n in (700, 40))
    memory = Memory(kept, kept**2, np.full(1, 0.05, np.float32))
    found = recalled(memory, np.concatenate([x, kept[::35]]))
    wanted = reference_nearest(kept, np.concatenate([x, kept[::35]]))
    places = (kept[:, None] == np.asarray(found.nearest)).all(axis=2).argmax(axis=0)
    assert len(set(places // TILE)) == 6
    np.testing.assert_allclose(found.nearest, wanted, rtol=1e-5)
    error = reference_error(kept, kept**2, np.concatenate([x, kept[::35]]), 0.05)
    np.testing.assert_allclose(found.error, error, rtol=1e-3, atol=1e-6)


def test_a_lone_training_row_is_as_strange_as_it_was(rows, errors):
    lone = np.full((1, D), 1.9, np.float32)
    bandwidth = np.full(1, 0.5, np.float32)
    memory = Memory(np.concatenate([rows, lone]), np.concatenate([errors, lone]), bandwidth)
    without_it = Memory(rows, errors, bandwidth)
    with_it, before = (recalled(each, (lone)) for each in (memory, without_it))
    assert np.linalg.norm(before.error) > 1e-3
    np.testing.assert_allclose(with_it.error, before.error, rtol=1e-3)
    np.testing.assert_allclose(with_it.nearest, before.nearest, atol=1e-5)


def test_the_memory_measures_its_rows(rows, errors):
    memory = remember(rows, errors)
    squares = np.square(rows[:, None].astype(np.float64) - rows).sum(axis=2)
    np.fill_diagonal(squares, np.inf)
    bandwidth = BANDWIDTH * squares.min(axis=1).mean()
    assert memory.bandwidth[0] == pytest.approx(bandwidth, rel=1e-5)
    many = np.random.default_rng(9).uniform(size=(600, D)).astype(np.float32)  # several blocks
    squares = np.square(many[:, None].astype(np.float64) - many).sum(axis=2)
    np.fill_diagonal(squares, np.inf)
    bandwidth = BANDWIDTH * squares.min(axis=1).mean()
    assert remember(many, many).bandwidth[0] == pytest.approx(bandwidth, rel=1e-5)


def test_of_equally_near_rows_the_first_is_named():
    kept = np.array([[0, 0.5], [1, 0.5], [0.5, 0], [0.5, 1]], np.float32)
    memory = Memory(kept, np.zeros_like(kept), np.ones(1, np.float32))
    np.testing.assert_array_equal(recalled(memory, jnp.array([[0.5, 0.5]])).nearest, kept[:1])


@pytest.mark.parametrize("apart", [1e-3, 1e-4])
def test_rows_close_together_and_far_from_zero_are_told_apart(apart):
    # Their squared distances are far below what rounding leaves of their squares about zero.
    rng = np.random.default_rng(3)
    kept = (0.9 + apart * rng.normal(size=(60, D))).astype(np.float32)
    x = (0.9 + apart * rng.normal(size=(20, D))).astype(np.float32)
    memory = remember(kept, kept)
    assert (np.unique(reference_nearest(kept, x)[:, 0]).size) > 10
    found = recalled(memory, x)
    np.testing.assert_allclose(found.nearest, reference_nearest(kept, x), atol=apart / 100)
    wanted = reference_error(kept, kept, x, float(memory.bandwidth[0]))
    np.testing.assert_allclose(found.error, wanted, rtol=0.02)


def test_equal_is_what_differs_by_rounding_alone():
    rng = np.random.default_rng(3)
    kept = rng.uniform(size=(60, D)).astype(np.float32)
    kept[0] = kept[1:].mean(axis=0)  # where a row has no size of its own to compare with
    typical = np.square(kept - kept.mean(axis=0)).sum(axis=1).mean()
    step = np.zeros((1, D), np.float32)
    memory = remember(kept, kept)
    for squared, same in (0, True), (5e-7, True), (1e-4, False), (1e-2, False):
        step[0, 0] = np.sqrt(squared * typical)
        for place in range(5):
            found = recalled(memory, kept[place] + step)
            itself = np.abs(found.nearest[0] - kept[place]).max() < 1e-5
            assert itself != same, (squared, place)


@pytest.mark.parametrize("share", [0.9, 1.1])
def test_rounding_does_not_decide_which_rows_are_equal(share):
    """Products of long rows are off by a tenth of the distance up to which rows count as equal."""
    rng = np.random.default_rng(0)
    kept = rng.choice([0.0, 1.0], (400, 60)).astype(np.float32)
    centre = kept.mean(axis=0, dtype=np.float64)
    typical = np.square(kept - centre).sum(axis=1)
    step = rng.standard_normal((400, 60))
    limit = share * SAME * (typical + typical.mean())
    step *= np.sqrt(limit / np.square(step).sum(axis=1))[:, None]
    found = recalled(remember(kept, kept), (kept + step).astype(np.float32))
    itself = (np.asarray(found.nearest) == kept).all(axis=1)
    assert itself.all() if share > 1 else not itself.any()


def test_the_bandwidth_of_rows_that_have_duplicates_is_not_zero():
    kept = np.repeat(np.array([[0.0, 0.0], [1.0, 0.5]], np.float32), 10, axis=0)
    typical = (0.25 + 0.0625) * 1.0
    assert remember(kept, kept).bandwidth[0] == pytest.approx(1e-5 * typical, rel=1e-4)


def test_identical_rows_make_a_usable_memory():
    memory = remember(np.full((6, 2), 0.5, np.float32), np.full((6, 2), 0.1, np.float32))
    assert memory.bandwidth[0] > 0
    found = recalled(memory, jnp.array([[0.5, 0.5], [1.0, 0.0]]))
    np.testing.assert_allclose(found.error, [[0.1 / (1 + DOUBT / 5)] * 2, [0, 0]], rtol=1e-5)
    np.testing.assert_allclose(found.nearest, 0.5)


def test_geometric_mean_of_norms_is_shared_out():
    rng = np.random.default_rng(3)
    a, b, c = rng.uniform(size=(3, 6, 4))
    a[0], b[1], c[2] = 0, 0, 0
    shares = np.asarray(geometric_mean(*map(jnp.asarray, (a, b, c))))
    whole = np.cbrt(a.sum(axis=1) * b.sum(axis=1) * c.sum(axis=1))
    np.testing.assert_allclose(shares.sum(axis=1), whole, rtol=1e-5)
    assert (shares >= 0).all()
    assert not shares[:3].any()
    part = (a[3] / a[3].sum() + b[3] / b[3].sum() + c[3] / c[3].sum()) / 3
    np.testing.assert_allclose(shares[3] / whole[3], part, rtol=1e-5)


def test_score_with_a_reference_equals_the_float64_one(rows):
    rng = np.random.default_rng(4)
    each = [ref.random_weights(D, H, K, rng) for _ in range(2)]
    model = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *map(members, each))
    (_, noise, reference, _), kept = learn(model, rows, Config(members=2, points=8))
    np.testing.assert_array_equal(kept, np.arange(len(rows)))
    x = rng.uniform(size=(30, D)).astype(np.float32)
    x[0] = 1.7
    scored = score_rows(model, noise, x, reference)

    mean_error, mean_residual = np.zeros(rows.shape), np.zeros(x.shape)
    for weights in each:
        layers = weights.encoder, weights.generator
        mean_error += ref.mean_residual(*layers, rows, noise) / 2
        mean_residual += ref.mean_residual(*layers, x, noise) / 2
    error = reference_error(rows, mean_error, x, float(reference.memory.bandwidth[0]))
    assert np.linalg.norm(error[1:], axis=1).max() > 0.1
    squares = np.zeros(x.shape)
    for weights in each:
        layers = weights.encoder, weights.generator
        matrix = reference_whitening(ref.mean_residual(*layers, rows, noise))
        residual = ref.mean_residual(*layers, x, noise) - error
        squares += np.square(residual @ matrix) / 2
    nearest = reference_nearest(rows, x)
    whole = np.sqrt(squares.sum(axis=1) * np.square(x - nearest).sum(axis=1))
    np.testing.assert_allclose(scored.score, whole, rtol=1e-4)
    np.testing.assert_allclose(scored.contributions.sum(axis=1), whole, rtol=1e-4)
    expected = np.clip(x - mean_residual + error, 0, 1)
    np.testing.assert_allclose(scored.expected, expected, rtol=1e-4, atol=1e-6)


def test_far_values_keep_the_score_finite_and_rising(rows):
    rng = np.random.default_rng(5)
    model = members(ref.random_weights(D, H, K, rng))
    (_, noise, reference, _), _ = learn(model, rows, Config(points=4))
    x = np.tile(rows[:1], (4, 1))
    x[:, 1] = [2.0, 1e3, 1e6, 1e9]
    score = score_rows(model, noise, x, reference).score
    assert np.isfinite(score).all()
    assert (np.diff(score) > 0).all()


def test_the_encoder_and_the_memory_see_values_clipped_and_the_residual_does_not(rows):
    rng = np.random.default_rng(5)
    model = members(ref.random_weights(D, H, K, rng))
    (_, noise, reference, _), _ = learn(model, rows, Config(points=4))
    x = rows[:4].copy()
    x[:, 1] = [-20, -1, 2, 20]
    clipped = np.clip(x, -1, 2)
    for known in (Reference(), Reference(None, reference.memory), reference):
        found, wanted, inside = (
            score_rows(model, noise, given, known) for given in (x, clipped, 0.5 * clipped)
        )
        np.testing.assert_allclose(found.expected, wanted.expected, rtol=1e-5)
        moved = np.abs(inside.expected - wanted.expected).max(axis=1) > 1e-5
        assert moved[[0, 1, 3]].all()
        far = np.array([0, 3])
        assert (found.score[far] > 30 * wanted.score[far]).all()
        assert (found.contributions[far, 1] > 30 * wanted.contributions[far, 1]).all()


def test_a_reference_can_lack_rows(rows, errors):
    reference = Reference(None, remember(rows, errors))
    fewer = without(reference, np.array([0, 7]))
    assert fewer.memory.rows.shape == rows.shape
    rest = np.delete(rows, [0, 7], axis=0), np.delete(errors, [0, 7], axis=0)
    smaller = Memory(*rest, reference.memory.bandwidth)
    for found, wanted in zip(
        recalled(fewer.memory, (rows)), recalled(smaller, (rows)), strict=True
    ):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-6)
    assert without(Reference(), np.array([0])) == Reference()


def test_memory_is_a_sample_of_the_training_rows_and_can_be_none(rows):
    rng = np.random.default_rng(6)
    model = members(ref.random_weights(D, H, K, rng))
    (_, _, reference, _), kept = learn(model, rows, Config(memory=10))
    assert len(kept) == 10 == len(set(kept.tolist()))
    np.testing.assert_array_equal(reference.memory.rows, rows[kept])
    again = learn(model, rows, Config(memory=10))[1]
    other = learn(model, rows, Config(memory=10, seed=1))[1]
    np.testing.assert_array_equal(kept, again)
    assert kept.tolist() != other.tolist()
    bare, none = learn(model, rows, Config(memory=0, whiten=False))
    assert bare.reference == Reference()
    assert not len(none)


def test_of_many_training_rows_every_few_are_measured(rows, monkeypatch):
    rng = np.random.default_rng(6)
    model = members(ref.random_weights(D, H, K, rng))
    whole = learn(model, rows, Config())[0].reference.whitening
    third = learn(model, rows[::3], Config())[0].reference.whitening
    assert np.abs(np.asarray(whole) - third).max() > 0.01
    monkeypatch.setattr("advae.methods.advae.scoring.RESIDUAL_ROWS", 15)  # 40 rows: every third
    found, kept = learn(model, rows, Config())
    np.testing.assert_array_equal(found.reference.whitening, third)
    np.testing.assert_array_equal(kept, np.arange(len(rows)))
    shared = np.stack([np.arange(39, -1, -1)])
    found = learn(model, rows, Config(), shared)[0].reference.whitening
    turned = learn(model, rows[::-1][::3], Config())[0].reference.whitening
    np.testing.assert_array_equal(found, turned)


def test_training_rows_are_as_strange_to_the_threshold_as_new_rows_are():
    rng = np.random.default_rng(7)
    data = rng.normal(size=(600, 4))
    config = Config(iterations=200, hidden=16, latent=2, threshold="kde")
    detector = fit_detector(data[:300], config)
    assert detector.is_anomaly(data[300:]).mean() < 0.2


def test_an_anomaly_among_the_training_rows_is_found_there():
    rng = np.random.default_rng(8)
    data = rng.normal(size=(300, 4))
    data[7] = 6.0
    config = Config(iterations=200, hidden=16, latent=2, threshold="kde")
    assert fit_detector(data, config).anomaly_score(data).argmax() == 7


# --- what the encoder sees in training ---


def test_swapped_values_come_from_their_column():
    data = np.arange(60.0, dtype=np.float32).reshape(20, 3)
    x = jnp.asarray(data[jr.randint(jr.key(0), (400,), 0, 20)])
    strangers = jnp.asarray(data[jr.randint(jr.key(3), x.shape, 0, 20), jnp.arange(3)])
    found = np.asarray(corrupt(x.T, strangers.T, Corruption(0.8, 0.0), jr.key(1))).T
    assert ((found == x) | (found == strangers)).all()
    changed = found != np.asarray(x)
    # The share is uniform in [0, 0.8]; a twentieth of the replacements draw the same value.
    assert changed.mean() == pytest.approx(0.4 * 0.95, abs=0.04)
    # Some rows keep all, some lose most: the share is a row's own.
    per_row = changed.sum(axis=1)
    assert (per_row == 0).mean() > 0.25
    assert (per_row == 3).mean() > 0.08


def test_noise_has_its_deviation():
    x = jnp.full((500, 8), 0.5)
    found = np.asarray(corrupt(x, x, Corruption(0.0, 0.05), jr.key(2)))
    assert found.std() == pytest.approx(0.05, rel=0.05)
    assert found.mean() == pytest.approx(0.5, abs=0.005)
    assert np.abs(found - 0.5).max() > 3 * 0.05  # as normal noise, one draw in 370


def test_the_paper_damages_nothing():
    assert corruption_of(Config.preset("paper")) is None
    assert corruption_of(Config()) == Corruption(0.9, 0.05)
    assert corruption_of(Config(swap=0)) == Corruption(0, 0.05)
