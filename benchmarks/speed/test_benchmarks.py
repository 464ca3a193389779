"""Checks of the benchmarks: the PyTorch peer computes what we compute, and the runs run."""

import importlib.util
import itertools
import math
import os
import subprocess
import sys
import time
from dataclasses import replace
from operator import itemgetter
from pathlib import Path

import jax
import numpy as np
import paper_data
import polars as pl
import pytest
from fresh_process import loaded_modules
from jax.interpreters import partial_eval
from our_networks import score_rows
from rich.console import Console

from advae.config import VARIANTS, Config
from advae.core.adam import StepSize, step_sizes
from advae.methods.advae import losses, networks
from advae.methods.advae.steps import fresh_state, train_step
from benchmarks.harness import data, disturbance, timing, workers
from benchmarks.harness.digest import CORE_MODULES
from benchmarks.paper import __main__ as paper
from benchmarks.paper import tables as paper_tables
from benchmarks.speed import rows
from benchmarks.speed.contestants import BATCH, PAPER_LETTER, WIDE, multiply_adds

SIZES = networks.Sizes(9, 7, 4)
ROWS = 16
REPOSITORY = Path(__file__).resolve().parents[2]

if importlib.util.find_spec("torch") is not None:
    import torch

    from benchmarks.speed import torch_compiled, torch_peer

needs_torch = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None,
    reason="PyTorch is not installed: pip install 'advae[bench]'",
)


@pytest.fixture(autouse=True)
def denormals():
    """Undo what the PyTorch peer sets for the whole process: hypothesis needs small numbers."""
    yield
    if importlib.util.find_spec("torch") is not None:
        torch.set_flush_denormal(False)


@pytest.fixture
def model():
    return jax.tree.map(itemgetter(0), networks.initialise(SIZES, [np.random.default_rng(7)]))


@pytest.fixture
def drawn():
    """Ten batches: rows, and the noise of z and of z_T."""
    rng = np.random.default_rng(7)
    return [
        (
            rng.random((ROWS, SIZES.columns), np.float32),
            rng.standard_normal((ROWS, SIZES.latent), np.float32),
            rng.standard_normal((ROWS, SIZES.latent), np.float32),
        )
        for _ in range(10)
    ]


# --- the PyTorch peer ---


@needs_torch
@pytest.mark.parametrize("margins", [(2.0, 40.0), (1.3, 2.0), (0.0, 0.0)])
def test_torch_has_the_same_nine_terms(model, drawn, margins):
    settings = losses.Settings(0.01, 0.03, *margins)
    x, z, z_T = (part.T for part in drawn[0])
    nets, rest = (model.generator, model.transformer), (losses.Noise(z, z_T), settings)
    variant, q = VARIANTS["adVAE"], model.encoder(x)
    ours = [
        losses.generator_transformer_loss(nets, model.encoder, x, q, *rest, variant),
        losses.encoder_loss(model.encoder, nets, x, q, *rest, variant),
    ]
    nets, batch = torch_peer.from_advae(model), torch_peer.Batch(*map(torch.tensor, drawn[0]))
    weights, code = torch_peer.Weights(*settings[:4]), torch_peer.encode(nets.encoder, batch.x)
    theirs = [
        step(nets, code, batch, weights)
        for step in (torch_peer.step_1_terms, torch_peer.step_2_terms)
    ]
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose([*other], [*losses.values(mine).values()], rtol=1e-5, atol=1e-6)
    totals = [
        step(nets, code, batch, weights)
        for step in (torch_peer.step_1_loss, torch_peer.step_2_loss)
    ]
    np.testing.assert_allclose(totals, [*map(losses.total, ours)], rtol=1e-5)


@needs_torch
@pytest.mark.parametrize("how", ["eager", "functional"])
def test_torch_arrives_at_the_same_weights(model, drawn, how):
    settings = losses.Settings(0.01, 0.03, 2.0, 40.0)
    step = jax.jit(train_step, static_argnames="variant")
    state = fresh_state(model)
    steps = zip(*step_sizes(np.full(len(drawn), 1e-3)), strict=True)
    for batch, step_size in zip(drawn, itertools.starmap(StepSize, steps), strict=True):
        x, *noises = (part.T for part in batch)
        noise = losses.Noise(*noises)
        state, _ = step(state, x, x, noise, settings, step_size, variant=VARIANTS["adVAE"])
    nets, weights = torch_peer.from_advae(model), torch_peer.Weights(*settings[:4])
    batches = [torch_peer.Batch(*map(torch.tensor, batch)) for batch in drawn]
    if how == "eager":
        trained = torch_peer.train(nets, batches, weights)
    else:  # what torch.compile is given
        trained = torch_compiled.train(torch_compiled._iterate, nets, batches, weights)
    before, after = jax.tree.leaves(model), jax.tree.leaves(state.model)
    for start, ours, theirs in zip(before, after, torch_peer.to_arrays(trained), strict=True):
        assert np.abs(ours - start).max() > 5e-3
        np.testing.assert_allclose(theirs, ours, rtol=1e-3, atol=1e-5)


@needs_torch
def test_torch_scores_rows_the_same(model, drawn):
    noise = np.random.default_rng(1).standard_normal((32, SIZES.latent), np.float32)
    members = jax.tree.map(lambda leaf: leaf[None], model)
    ours = score_rows(members, noise, drawn[0][0]).score
    nets = torch_peer.from_advae(model)
    theirs = torch_peer.score_rows(nets, torch.tensor(noise), torch.tensor(drawn[0][0]))
    np.testing.assert_allclose(theirs, ours, rtol=1e-5)


@needs_torch
def test_torch_draws_batches_of_the_wanted_size_and_number():
    table = torch.rand(50, 9)
    batches = list(torch_peer.batches(table, 4, 16, torch_peer.BLOCK + 3, 0))
    assert len(batches) == torch_peer.BLOCK + 3
    assert {tuple(part.shape for part in batch) for batch in batches} == {
        ((16, 9), (16, 4), (16, 4))
    }
    assert not torch.equal(batches[0].noise, batches[0].noise_T)


# --- arithmetic ---


@pytest.mark.parametrize("shape", [PAPER_LETTER, WIDE, (7, 5, 3)])
def test_an_iteration_does_little_more_than_the_counted_arithmetic(shape):
    sizes = networks.Sizes(*shape)
    state = jax.tree.map(
        itemgetter(0), fresh_state(networks.initialise(sizes, [np.random.default_rng(0)]))
    )
    zeros = np.zeros((sizes.latent, BATCH), np.float32)
    x = np.zeros((sizes.columns, BATCH), np.float32)
    settings = losses.Settings(0.001, 0.03, 2.0, 40.0)

    def iteration(state, x, noise):
        return train_step(state, x, x, noise, settings, StepSize(1e-3, 1.0), VARIANTS["adVAE"])

    program = jax.make_jaxpr(iteration)(state, x, losses.Noise(zeros, zeros)).jaxpr
    program, _ = partial_eval.dce_jaxpr(program, [True] * len(program.outvars))
    needed = multiply_adds(*shape, BATCH)
    assert needed <= counted(program) <= 1.12 * needed


def counted(program):
    """Return the multiply-adds of the matrix products in a program."""
    total = 0
    for equation in program.eqns:
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            shape = equation.invars[0].aval.shape
            total += math.prod(equation.outvars[0].aval.shape) * math.prod(
                shape[axis] for axis in contracted
            )
        for parameter in equation.params.values():
            inner = getattr(parameter, "jaxpr", parameter)
            total += counted(inner) if hasattr(inner, "eqns") else 0
    return total


# --- data ---


def test_shuffled_half_uses_every_row_once():
    X = np.arange(22.0).reshape(11, 2)
    y = np.array([0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0])
    split = data.shuffled_half(X, y, seed=3)
    assert split.train.shape == (4, 2)
    assert split.labels.tolist() == [0] * 5 + [1] * 2
    assert split.test[-2:].tolist() == X[y == 1].tolist()
    seen = np.concatenate([split.train, split.test])
    assert sorted(seen[:, 0]) == X[:, 0].tolist()
    assert split.train.tolist() != data.shuffled_half(X, y, seed=4).train.tolist()


def test_scaling_is_fitted_on_the_training_rows_and_survives_constant_columns():
    split = data.Split(np.array([[1.0, 5.0], [3.0, 5.0]]), np.array([[5.0, 7.0]]), np.array([1]))
    scaled = data.scaled(split)
    assert scaled.train.tolist() == [[0.0, 0.0], [1.0, 0.0]]
    assert scaled.test.tolist() == [[2.0, 2.0]]


def test_adbench_sets_load():
    paper_data.require_data("adbench")
    names = data.adbench_names()
    assert len(names) == 18
    assert names[0] == "2_annthyroid"
    X, y = data.load_adbench("20_letter")
    assert X.shape == (1600, 32)
    assert y.sum() == 100


def test_absent_data_are_named(monkeypatch, tmp_path):
    monkeypatch.setenv("ADVAE_DATA", str(tmp_path))
    assert data.missing_data() is None
    assert "no adbench in" in data.missing_data("adbench")


# --- runs ---


def test_a_worker_owns_its_cores():
    cores = workers.available_cores()
    with workers.pool([frozenset(cores[:1])]) as executor:
        assert executor.submit(workers.available_cores).result() == cores[:1]


def test_a_row_pairs_the_rounds_and_tells_who_else_was_at_work():
    ours = timing.Side(timing.Task("ours", list), frozenset({0}), [2.0, 6.0, 4.0], [0.1, 0.2, 0.3])
    other = timing.Side(timing.Task("x", list), frozenset({0, 1}), [1.0, 2.0, 4.0], [0.5] * 3)
    row = rows.compare("training", "1/s", ours, other)
    assert (row.first, row.second) == ("ours, 1 thread", "x, 2 threads")
    assert (row.first_value, row.second_value, row.others) == (4.0, 2.0, 0.4)
    assert row.ratio == timing.Ratio(2.0, 1.0, 3.0)
    console = Console(width=200)
    with console.capture() as capture:
        console.print(rows.speed_table([row]))
    assert "1.00 to 3.00" in capture.get()
    assert "40%" in capture.get()


def test_the_share_of_others_leaves_out_our_own_work():
    watch, started = disturbance.Watch(), time.process_time()
    while time.process_time() - started < 0.3:
        pass
    own = time.process_time() - started
    assert 0.0 <= watch.others(own) <= 1.0
    assert watch.others(10.0) == 0.0


def test_the_digest_covers_the_whole_core():
    names = "core.training", "core.threshold", "methods.advae.latent", "methods.advae.scoring"
    found = loaded_modules(", ".join(f"advae.{name}" for name in names))
    loaded = {name.split(".")[0] for name in found}
    assert set(CORE_MODULES) == loaded - {"errors"}


def test_a_training_that_diverges_is_shown_as_failed():
    paper_data.require_data("advae-paper/letter.mat")
    run = paper.plan(seeds=1, quick=True, lambda_=None)[-1]
    row = paper.measure(replace(run, config=replace(run.config, learning_rate=1e30)))
    assert "diverged" in row["failure"]
    assert shown([row], "roc_auc").count("failed") == 1


def test_a_run_by_edited_code_is_refused():
    run = paper.Run("letter", Config.preset("paper"), code="other")
    with pytest.raises(RuntimeError, match="edited"):
        paper.measure(run)


def test_table_shows_mean_and_spread():
    runs = [
        {"data_set": name, "method": "VAE", "seed": seed, "failure": None, "roc_auc": value}
        for seed, value in enumerate((0.7, 0.9))
        for name in paper_tables.SETS
    ]
    assert shown(runs, "roc_auc").count("0.800 ± 0.141") == 6


def shown(runs, metric):
    """Return the printed table."""
    console = Console(width=200)
    with console.capture() as capture:
        console.print(paper_tables.metric_table(metric, paper.METHODS, runs))
    return capture.get()


def test_quick_run_measures_every_variant_once(tmp_path):
    paper_data.require_data(*(f"advae-paper/{name}.mat" for name in paper_tables.SETS))
    out = tmp_path / "paper.parquet"
    command = [sys.executable, "-m", "benchmarks.paper", "--quick", "--out", str(out)]

    def run():
        return subprocess.run(
            command,
            cwd=REPOSITORY,
            env=os.environ | {"COLUMNS": "160"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    first = run()
    assert "published adVAE" in first
    assert "5 runs, 0 of them already" in first
    runs = pl.read_parquet(out)
    assert sorted(runs["method"]) == sorted(VARIANTS)
    assert runs["failure"].null_count() == 5
    assert runs["roc_auc"].is_between(0.4, 1.0).all()
    assert "5 runs, 5 of them already" in run()
    assert pl.read_parquet(out).equals(runs)
