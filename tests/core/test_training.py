"""The training loop: blocks, schedules, randomness, divergence, checkpoints and resuming."""

import math
import os
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import jax
import numpy as np
import pytest
import reference as ref
from our_networks import members, method_for

from advae import tensorfile
from advae.config import VARIANTS, Config
from advae.core import batches, training
from advae.core.batches import Corruption
from advae.core.randomness import generator
from advae.core.validation import VALIDATION_ERROR, ValidationRows, best_block, exhausted
from advae.detector import checkpoint, model_file
from advae.detector.fitting import fit_detector
from advae.detector.split import split_rows
from advae.errors import ModelFileError, TrainingError
from advae.methods import method_of
from advae.methods.advae.method import AdVAEMethod
from advae.methods.advae.networks import Sizes
from advae.parallel import BackgroundTask

# The sizes of test_invariants and test_artifact: programs compiled there serve here.
SMALL = {"hidden": 8, "latent": 3, "batch_size": 16, "points": 8, "members": 2}
WIDTH = 6
TERMS = (
    *("generator_reconstruction", "generator_kld_r", "generator_margin_x", "generator_margin_z"),
    *("transformer_kld", "encoder_reconstruction", "encoder_kld"),
    *("encoder_margin_z_r", "encoder_margin_z_Tr"),
)


def config(**changes):
    return Config.from_json(SMALL | {"variant": "adVAE", "iterations": 401} | changes)


def table(rows, seed=0):
    return np.random.default_rng(seed).uniform(size=(rows, WIDTH)).astype(np.float32)


@pytest.fixture(scope="module")
def data():
    return table(120)


def fit(rows, config, **options):
    return training.fit(method_of(config, rows.shape[1]), rows, config, **options)


def initial_state(config):
    return method_of(config, WIDTH).initial_state(config)


class StoppedError(Exception):
    """An interruption."""


def stop_at(iteration):
    def on_block(snapshot):
        if snapshot.iteration == iteration:
            raise StoppedError

    return on_block


def fit_to_bytes(data, config, path, **options):
    model_file.save(fit_detector(data, config, **options), path)
    return path.read_bytes()


def copied(snapshot):
    """Return a snapshot that outlives the next block, which reuses the buffers."""
    names = {field.name for field in fields(snapshot)} - {"iteration", "history"}
    return replace(snapshot, **{n: jax.tree.map(np.array, getattr(snapshot, n)) for n in names})


def assert_equal_trees(first, second):
    jax.tree.map(np.testing.assert_array_equal, first, second)


# --- blocks, history, schedule ---


@pytest.mark.parametrize(
    ("sizes", "batch_size", "members", "expected"),
    [
        (Sizes(6, 8, 3), 16, 2, 200),
        (Sizes(64, 128, 32), 128, 1, 200),
        (Sizes(300, 128, 32), 128, 1, 90),
        (Sizes(300, 128, 32), 128, 5, 18),
        (Sizes(300, 128, 32), 128, 50, 10),
        (Sizes(3000, 128, 32), 4096, 1, 10),
    ],
)
def test_block_length(sizes, batch_size, members, expected):
    method = AdVAEMethod(sizes, VARIANTS["adVAE"])
    found = training.block_length(method, Config(batch_size=batch_size, members=members))
    assert found == expected
    floats = members * batch_size * (sizes.columns + 2 * sizes.latent)
    assert 10 <= found <= 200
    assert found == 10 or 4 * found * floats <= 2**24


def test_block_length_is_that_of_the_resume_tests():
    assert training.block_length(method_of(config(), WIDTH), config()) == 200


@pytest.mark.parametrize("iterations", [1, 199, 200, 401])
def test_history_has_an_entry_per_block_and_term(data, iterations):
    end = fit(data, config(iterations=iterations))
    borders = [*range(200, iterations, 200), iterations]
    assert end.iteration == iterations
    assert end.history["iteration"] == borders
    assert set(end.history) == {"iteration", *TERMS}
    assert all(len(values) == len(borders) for values in end.history.values())
    assert all(np.isfinite(values).all() for values in end.history.values())


def test_training_reconstructs_better(data):
    history = fit(data, config(iterations=1000, learning_rate=0.003)).history
    for name in ("generator_reconstruction", "encoder_reconstruction"):
        assert history[name][-1] < 0.9 * history[name][0]
        assert history[name][-1] > 0


def test_history_holds_the_means_of_the_blocks_and_members():
    """With no noise, equal rows and almost no learning every iteration has the same terms."""
    row = table(1)
    still = config(variant="AE", learning_rate=1e-12, swap=0, input_noise=0)
    start = initial_state(still)
    errors = []
    for member in range(2):
        model = jax.tree.map(lambda leaf, m=member: np.asarray(leaf[m], np.float64), start.model)
        encoder, generator = (
            [(layer.weight.T, layer.bias) for layer in net.layers]
            for net in (model.encoder, model.generator)
        )
        q = ref.encoder(encoder, row)
        errors.append(ref.squared_error(row, ref.generator(generator, q[0]))[0])
    assert abs(errors[0] - errors[1]) > 0.01
    history = fit(np.tile(row, (5, 1)), still).history
    for name in ("generator_reconstruction", "encoder_reconstruction"):
        np.testing.assert_allclose(history[name], [np.mean(errors)] * 3, rtol=1e-5)


def test_cosine_schedule_falls_to_nothing():
    rates = training.learning_rates(Config(learning_rate=0.01), 1000)
    assert rates.shape == (1000,)
    assert rates[0] == np.float32(0.01)
    assert (np.diff(rates) < 0).all()
    assert rates[500] == pytest.approx(0.005)
    assert 0 < rates[-1] < 1e-5 * rates[0]


def test_constant_schedule_stays():
    rates = training.learning_rates(Config(learning_rate=0.01, schedule="constant"), 7)
    assert rates.tolist() == [np.float32(0.01)] * 7


@pytest.mark.parametrize(("schedule", "moves"), [("cosine", False), ("constant", True)])
def test_the_last_iteration_has_the_last_learning_rate(data, schedule, moves):
    snapshots = []
    fit(data, config(schedule=schedule), on_block=lambda s: snapshots.append(copied(s)))
    before, after = (s.state.model.encoder.layers[2].weight for s in snapshots[-2:])
    step = np.abs(after - before).max()
    # Adam's step is about the learning rate.
    rate = training.learning_rates(config(schedule=schedule), config().iterations)[-1]
    assert 0.05 * rate < step + 1e-8
    assert step < 5 * rate + 1e-7
    assert (step > 1e-4) == moves


def test_each_iteration_has_a_learning_rate_of_its_own(data, monkeypatch):
    def rates(config, iterations):
        return 0.01 * (np.arange(iterations) == 0)

    monkeypatch.setattr(training, "learning_rates", rates)
    one, many = (fit(data, config(iterations=n)).state.model for n in (1, 50))
    assert_equal_trees(one, many)


def test_training_shows_the_damaged_rows_to_the_encoder(data):
    whole, damaged = (
        fit(data, config(iterations=1, swap=swap, input_noise=0)).history for swap in (0, 0.9)
    )
    name = "generator_reconstruction"
    assert abs(damaged[name][0] / whole[name][0] - 1) > 1e-4


# --- randomness ---


def test_each_member_row_latent_and_iteration_has_noise_of_its_own(monkeypatch):
    seen = []
    plain = AdVAEMethod.step

    def spied(self, state, x, shown, noise, *arguments):
        jax.debug.callback(lambda *values: seen.append([np.array(v) for v in values]), x, *noise)
        return plain(self, state, x, shown, noise, *arguments)

    monkeypatch.setattr(AdVAEMethod, "step", spied)
    # A size of its own, so that no other test finds this program.
    rows = np.arange(50, dtype=np.float32)[:, None] / 50
    sizes = {"hidden": 2, "latent": 3, "latent_at_most_columns": False, "batch_size": 64}
    fit(rows, Config(variant="E-adVAE", members=2, iterations=201, **sizes))
    jax.effects_barrier()

    assert len(seen) == 201 * 2
    for kind in (1, 2):
        draws = np.stack([values[kind] for values in seen])
        assert draws.shape == (402, 3, 64)
        assert draws.mean() == pytest.approx(0, abs=0.02)
        assert draws.std() == pytest.approx(1, abs=0.02)
    every = np.concatenate([values[kind].ravel() for values in seen for kind in (1, 2)])
    # Of 150,000 draws, with some 2**23 values to take, about a hundredth meet by chance.
    assert len(np.unique(every)) > 0.98 * len(every)
    assert abs(np.corrcoef(*(np.stack([v[k] for v in seen]).ravel() for k in (1, 2)))[0, 1]) < 0.02

    batches = np.stack([values[0] for values in seen])[:, 0]
    assert len(np.unique(batches, axis=0)) == len(batches)
    rows_drawn, counts = np.unique(batches, return_counts=True)
    np.testing.assert_array_equal(rows_drawn, rows[:, 0])
    assert counts.min() > 0.8 * counts.mean()
    assert counts.max() < 1.2 * counts.mean()
    assert any(len(np.unique(batch)) < 64 for batch in batches)  # with replacement


def test_batches_are_a_members_rows_and_each_is_damaged_for_itself():
    data = np.arange(60, dtype=np.float32).reshape(20, 3)
    own = np.arange(20).reshape(2, 10)

    def draw(damage):
        found = batches.draw_batches(
            data, own, 10, jax.random.key(0), members=2, length=4, rows=500, corruption=damage
        )
        return np.asarray(found.x), np.asarray(found.shown)

    def independent(values):
        correlations = np.corrcoef(values.reshape(8, -1))  # of each member and iteration
        return np.abs(correlations - np.eye(8)).max() < 0.2

    x, shown = draw(Corruption(0.8, 0.0))
    rows, strangers = x // 3, shown // 3
    assert (x % 3 == shown % 3).all()  # values stay in their column
    assert (x % 3 == np.arange(3)[:, None]).all()
    assert (rows == rows[:, :, :1]).all()
    assert independent(rows[:, :, 0])
    for member in range(2):
        np.testing.assert_array_equal(np.unique(rows[member]), own[member])
        np.testing.assert_array_equal(np.unique(strangers[member]), own[member])
    changed = shown != x
    assert independent(changed)
    assert independent(changed.mean(axis=2))  # the share of a row
    both = changed[:, :, 0] & changed[:, :, 1]
    assert (strangers[:, :, 0] == strangers[:, :, 1])[both].mean() < 0.2
    x, shown = draw(Corruption(0.0, 0.05))
    assert (shown - x).std() == pytest.approx(0.05, rel=0.05)
    assert independent(shown - x)


def test_members_start_and_end_apart(data):
    for state in (initial_state(config()), fit(data, config()).state):
        for layer in (*state.model.encoder.layers, *state.model.generator.layers):
            assert (np.asarray(layer.weight[0]) != np.asarray(layer.weight[1])).all()


def test_one_seed_gives_one_training(data):
    first, again = (fit(data, config()) for _ in range(2))
    assert_equal_trees(first.state, again.state)
    assert first.history == again.history
    other = fit(data, config(seed=1))
    assert first.history != other.history


def test_the_seed_decides_more_than_where_training_starts(data):
    begun = copied(fit(data, config(iterations=200)))
    first, second = (
        fit(data, config(iterations=201, seed=seed), resume=begun).history for seed in (0, 1)
    )
    assert first["generator_reconstruction"][0] == second["generator_reconstruction"][0]
    assert first["generator_reconstruction"][1] != second["generator_reconstruction"][1]


def test_data_is_not_changed(data):
    before = data.copy()
    fit(data, config())
    np.testing.assert_array_equal(data, before)


# --- small tables ---


def test_two_rows_and_a_batch_that_is_larger():
    detector = fit_detector(table(2), config(iterations=50))
    scores = detector.anomaly_score(table(30))
    assert np.isfinite(scores).all()
    assert np.isfinite(detector.threshold.value)
    assert detector.summary.rows == 2
    assert detector.threshold.method == "kde"
    assert any("conformal" in note for note in detector.summary.notes)


def test_one_column():
    rows = np.random.default_rng(0).normal(size=(40, 1))
    detector = fit_detector(rows, config(iterations=20, members=1, variant="VAE"))
    scores = detector.anomaly_score(np.array([[0.0], [1e6]]))
    assert np.isfinite(scores).all()
    assert scores[1] > scores[0]


# --- divergence ---


def test_divergence_names_the_terms(data):
    with pytest.raises(TrainingError) as caught:
        fit(data, config(learning_rate=1e6))
    message = str(caught.value)
    assert "encoder_kld" in message
    assert "generator_reconstruction" in message
    assert "by iteration 200. Lower learning_rate" in message


def test_divergence_names_no_other_terms(data):
    # A margin beyond float32 breaks its own term, from the first block on.
    blocks = []
    with pytest.raises(TrainingError, match="diverged: generator_margin_x stopped"):
        fit(data, config(margin_x=1e300, gamma=0.0), on_block=blocks.append)
    assert not blocks


def test_divergence_in_the_last_iteration(data):
    with pytest.raises(TrainingError):
        fit_detector(data, config(variant="VAE", iterations=1, learning_rate=1e30))


# --- resuming ---


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """Return the model files of trainings that nothing interrupted, by their iterations."""
    folder = tmp_path_factory.mktemp("whole")
    return {n: fit_to_bytes(data, config(iterations=n), folder / str(n)) for n in (400, 401)}


@pytest.mark.parametrize(
    ("iterations", "border"), [(400, 200), (400, 400), (401, 200), (401, 400), (401, 401)]
)
def test_resuming_gives_the_same_model(data, whole, tmp_path, iterations, border):
    options = {"checkpoint": tmp_path / "stopped"}
    with pytest.raises(StoppedError):
        fit_detector(data, config(iterations=iterations), on_block=stop_at(border), **options)
    assert options["checkpoint"].exists()
    went_on = []
    found = fit_to_bytes(
        data,
        config(iterations=iterations),
        tmp_path / "model",
        resume=True,
        on_block=lambda snapshot: went_on.append(snapshot.iteration),
        **options,
    )
    assert found == whole[iterations]
    assert (
        went_on == [n for n in (200, 400, iterations) if border < n <= iterations][: len(went_on)]
    )
    assert bool(went_on) == (border < iterations)
    # It stays until the detector is saved: now there is nothing left to train.
    assert options["checkpoint"].exists()
    went_on.clear()
    again = fit_to_bytes(
        data,
        config(iterations=iterations),
        tmp_path / "model",
        resume=True,
        on_block=lambda snapshot: went_on.append(snapshot.iteration),
        **options,
    )
    assert (again, went_on) == (found, [])


def test_resuming_twice_gives_the_same_model(data, whole, tmp_path):
    options = {"checkpoint": tmp_path / "stopped", "resume": True}
    for border in (200, 400):
        with pytest.raises(StoppedError):
            fit_detector(data, config(), on_block=stop_at(border), **options)
    assert fit_to_bytes(data, config(), tmp_path / "model", **options) == whole[401]


def test_resuming_in_memory_gives_the_same_state_and_history(data):
    snapshots = []
    end = fit(data, config(), on_block=lambda s: snapshots.append(copied(s)))
    assert [s.iteration for s in snapshots] == [200, 400, 401]
    for snapshot in snapshots:
        before = copied(snapshot)
        history = {name: list(values) for name, values in snapshot.history.items()}
        resumed = fit(data, config(), resume=snapshot)
        assert_equal_trees(snapshot.state, before.state)  # training writes over its own state alone
        assert_equal_trees(resumed.state, end.state)
        assert resumed.history == end.history
        assert snapshot.history == history


def test_without_resume_a_checkpoint_is_not_used(data, whole, tmp_path):
    path = tmp_path / "stopped"
    path.write_bytes(b"left over")
    assert fit_to_bytes(data, config(), tmp_path / "model", checkpoint=path) == whole[401]
    assert tensorfile.read(path, "checkpoint")[0]["iteration"] == 401


def test_resuming_without_a_checkpoint_starts_anew(data, whole, tmp_path):
    path = tmp_path / "none"
    found = fit_to_bytes(data, config(), tmp_path / "model", checkpoint=path, resume=True)
    assert found == whole[401]


@pytest.mark.parametrize(("seconds", "kept"), [(0.0, [200, 400]), (math.inf, [200, 200])])
def test_checkpoints_are_kept_while_training(data, tmp_path, monkeypatch, seconds, kept):
    monkeypatch.setattr(checkpoint, "CHECKPOINT_SECONDS", seconds)
    path = tmp_path / "kept"
    found = []

    def look(_snapshot):
        found.append(tensorfile.read(path, "checkpoint")[0]["iteration"] if path.exists() else None)

    fit_detector(data, config(), checkpoint=path, on_block=look)
    assert found == [None, *kept]
    assert tensorfile.read(path, "checkpoint")[0]["iteration"] == config().iterations


@pytest.fixture
def stopped(data, tmp_path):
    """Return the checkpoint of an interrupted training."""
    path = tmp_path / "stopped"
    with pytest.raises(StoppedError):
        fit_detector(data, config(), checkpoint=path, on_block=stop_at(200))
    return path


@pytest.mark.parametrize(
    "changes",
    [{"seed": 1}, {"iterations": 400}, {"gamma": 0.01}, {"alpha": 0.2}, {"variant": "VAE"}],
)
def test_checkpoints_of_other_settings_are_refused(data, stopped, changes):
    before = stopped.read_bytes()
    with pytest.raises(ModelFileError, match="comes from other data, settings or versions"):
        fit_detector(data, config(**changes), checkpoint=stopped, resume=True)
    assert stopped.read_bytes() == before


def test_checkpoints_of_other_data_are_refused(data, stopped):
    for other in (table(120, seed=1), data[:-1], data[::-1]):
        with pytest.raises(ModelFileError, match="comes from other data, settings or versions"):
            fit_detector(other, config(), checkpoint=stopped, resume=True)


def test_the_calibration_rows_belong_to_the_data_of_a_checkpoint(tmp_path):
    rows, path = table(300), tmp_path / "stopped"
    with pytest.raises(StoppedError):
        fit_detector(rows, config(), checkpoint=path, on_block=stop_at(200))
    plan = split_rows(300, config())
    assert len(plan.calibration)
    for position in (*plan.calibration[:3], *plan.training[:3]):
        changed = rows.copy()
        changed[position] = changed[position].mean()
        with pytest.raises(ModelFileError, match="comes from other data"):
            fit_detector(changed, config(), checkpoint=path, resume=True)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda content: b"", "is not an advae checkpoint file"),
        (lambda content: content[:-1], "is not an advae checkpoint file.*cut short"),
        (lambda content: content[: len(content) // 2], "is not an advae checkpoint file"),
        (lambda content: b"\0" * len(content), "is not an advae checkpoint file"),
        (lambda content: content[:-9] + b"\x55" + content[-8:], "altered or damaged"),
    ],
    ids=["empty", "one byte short", "half", "zeros", "a byte changed"],
)
def test_damaged_checkpoints_are_refused(data, stopped, damage, message):
    stopped.write_bytes(damage(stopped.read_bytes()))
    with pytest.raises(ModelFileError, match=message):
        fit_detector(data, config(), checkpoint=stopped, resume=True)


def test_a_model_is_no_checkpoint(data, tmp_path):
    path = tmp_path / "model"
    fit_to_bytes(data, config(), path)
    with pytest.raises(ModelFileError, match="is not an advae checkpoint file"):
        fit_detector(data, config(), checkpoint=path, resume=True)


def test_a_checkpoint_without_an_array_is_refused(data, stopped):
    record, arrays = tensorfile.read(stopped, "checkpoint")
    name = next(iter(arrays))
    for changed in (
        {n: a for n, a in arrays.items() if n != name},
        arrays | {name: arrays[name][..., :1]},
        arrays | {name: arrays[name].astype(np.float64)},
    ):
        tensorfile.write(stopped, record, changed)
        with pytest.raises(ModelFileError, match="the file is damaged or was edited"):
            fit_detector(data, config(), checkpoint=stopped, resume=True)


# --- ending early ---


def steady(**changes):
    """Return settings of a training that goes on at full rate, so that its error stops falling."""
    wanted = {"schedule": "constant", "learning_rate": 0.01, "iterations": 10_000, "patience": 400}
    return config(surprise=False, **wanted | changes)


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """Return a training that ended before its last iteration: its rows and its model's file."""
    rows, path = table(400), tmp_path_factory.mktemp("ended") / "model"
    fit_to_bytes(rows, steady(), path)
    return rows, path


def test_training_ends_when_the_held_out_error_no_longer_falls(data):
    held_out, snapshots = table(40, seed=3), []
    end = fit(data, steady(), validation=held_out, on_block=lambda s: snapshots.append(copied(s)))
    errors = end.history[VALIDATION_ERROR]
    best = errors.index(min(errors))
    assert end.iteration == end.history["iteration"][best] + 400 < 10_000
    assert [s.finished for s in snapshots] == [False] * (len(snapshots) - 1) + [True]
    # The weights are those of the lowest error, and not the last ones.
    assert_equal_trees(end.model, snapshots[best].state.model)
    watched = ValidationRows(method_of(steady(), WIDTH), held_out, steady())
    assert watched.error([end.model]) == pytest.approx(min(errors), rel=1e-6)
    assert watched.error([end.state.model]) == pytest.approx(errors[-1], rel=1e-6) != min(errors)


@pytest.mark.parametrize("variant", ["adVAE", "AE"])
@pytest.mark.parametrize(("rows", "measured"), [(40, 40), (1024, 1024), (1025, 513)])
def test_the_held_out_error_is_that_of_the_reference(variant, rows, measured):
    rng = np.random.default_rng(0)
    both = [ref.random_weights(WIDTH, 8, 3, rng) for _ in range(2)]
    model = jax.tree.map(lambda *leaves: np.concatenate(leaves), *map(members, both))
    given = rng.uniform(-3, 4, size=(rows, WIDTH)).astype(np.float32)
    method = method_for(model, variant)
    found = ValidationRows(method, given, config(variant=variant, seed=3)).error([model])
    x = np.clip(given[:: 2 if rows > 1024 else 1], -1, 2)
    assert len(x) == measured
    noise = generator(3, "held-out noise").standard_normal((3, 1024), np.float32)[:, :measured].T
    errors = []
    for weights in both:
        mean, log_variance = ref.encoder(weights.encoder, x)
        z = mean + (variant != "AE") * np.exp(log_variance / 2) * noise
        errors.append(ref.squared_error(x, ref.generator(weights.generator, z)).mean())
    assert found == pytest.approx(np.mean(errors), rel=1e-5)


def test_of_equal_errors_the_first_is_the_best():
    history = {"iteration": [200.0, 400.0, 600.0], VALIDATION_ERROR: [2.0, 1.0, 1.0]}
    assert best_block(history) == 1
    assert (exhausted(history, 200), exhausted(history, 201)) == (True, False)


def test_training_does_not_end_while_the_held_out_error_falls(data):
    watched = config(learning_rate=1e-4, patience=200, iterations=800)
    end = fit(data, watched, validation=table(40, seed=3))
    errors = end.history[VALIDATION_ERROR]
    assert errors == sorted(errors, reverse=True)
    assert end.iteration == 800
    # Nothing else differs from a training without patience.
    plain = fit(data, replace(watched, patience=0), validation=table(40, seed=3))
    assert plain.best is None
    assert_equal_trees(end.model, plain.model)
    assert end.history == plain.history


def test_without_rows_held_out_patience_does_nothing(data):
    end = fit(data, config(patience=1))
    assert end.iteration == 401
    assert end.best is None


def test_resuming_an_ended_training_gives_the_same_model(ended, tmp_path):
    rows, whole = ended
    end = model_file.load(whole).summary.history["iteration"][-1]
    assert 400 < end < 10_000
    options = {"checkpoint": tmp_path / "stopped", "resume": True}
    # Before the best block, after it, and at the end.
    for border in (200, end - 400, end - 200, end):
        with pytest.raises(StoppedError):
            fit_detector(rows, steady(), on_block=stop_at(border), **options)
    assert fit_to_bytes(rows, steady(), tmp_path / "model", **options) == whole.read_bytes()


def test_rows_that_end_training_neither_train_nor_calibrate():
    plan, plain = (split_rows(1000, config(patience=n)) for n in (400, 0))
    assert len(plain.watched) == 0
    assert len(plan.watched) == round(0.1 * len(plain.training))
    np.testing.assert_array_equal(plan.calibration, plain.calibration)
    np.testing.assert_array_equal(np.sort([*plan.training, *plan.watched]), plain.training)
    assert len(split_rows(10**6, config(patience=400)).watched) == 1000


def test_rows_that_end_training_belong_to_no_fold():
    plan = split_rows(300, config(patience=400, members=4, alpha=0.02))
    assert plan.folds == 4
    assert len(plan.watched) == 30
    assert len(plan.fold) == len(plan.training) == 270
    plain = split_rows(300, config(members=4, alpha=0.02))
    np.testing.assert_array_equal(plan.fold, plain.fold[plan.training])


def test_rows_that_end_training_are_a_random_sample_of_enough_rows():
    few, enough = (split_rows(rows, config(patience=1, threshold="kde")) for rows in (194, 195))
    assert few.note.startswith("Too few rows to end training early, which takes 195 beside")
    assert (len(few.watched), len(enough.watched), enough.note) == (0, 20, "")
    other = split_rows(195, config(patience=1, threshold="kde", seed=1))
    assert set(other.watched) != set(enough.watched)


def test_a_small_table_trains_to_the_end_and_says_so():
    detector = fit_detector(table(60), config(patience=1, surprise=False))
    assert detector.summary.history["iteration"][-1] == 401
    assert any("Too few rows to end training early" in note for note in detector.summary.notes)


def test_the_summary_tells_where_training_ended(ended):
    detector = model_file.load(ended[1])
    history = detector.summary.history
    best = history["iteration"][history[VALIDATION_ERROR].index(min(history[VALIDATION_ERROR]))]
    (told,) = [note for note in detector.summary.notes if "Training ended" in note]
    assert f"after {history['iteration'][-1]:,} iterations" in told
    assert f"those after {best:,}" in told


# --- what is compiled beside training ---


def test_an_error_beside_is_raised_at_the_end():
    beside = BackgroundTask(lambda: [].pop())
    beside.begin()
    beside.begin()
    with pytest.raises(IndexError):
        beside.result()


def test_work_beside_is_done_once():
    done = []
    beside = BackgroundTask(lambda: done.append(1))
    beside.begin()
    beside.begin()
    beside.result()
    assert done == [1]


def test_what_never_began_beside_is_done_when_it_is_needed():
    assert BackgroundTask(lambda: 7).result() == 7


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
def test_a_fork_says_that_it_cannot_compute(tmp_path: Path) -> None:
    program = (
        "import os, sys, warnings, numpy as np, advae\n"
        "warnings.simplefilter('ignore')\n"  # JAX warns of the fork itself
        "rows = np.random.default_rng(0).normal(size=(50, 3))\n"
        "detector = advae.fit_detector(rows, advae.Config.preset('paper', iterations=10))\n"
        "advae.save(detector, sys.argv[1])\n"
        "for work in (lambda: detector.anomaly_score(rows), lambda: advae.load(sys.argv[1])):\n"
        "    child = os.fork()\n"
        "    if not child:\n"
        "        try:\n"
        "            work()\n"
        "        except advae.ForkError as error:\n"
        "            os._exit(7 if 'spawn' in str(error) else 1)\n"
        "        os._exit(2)\n"
        "    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "model")]
    subprocess.run(command, check=True, timeout=300)
