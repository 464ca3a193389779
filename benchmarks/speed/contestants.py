"""The work that ``speed`` times. Every function runs in a worker process and returns the work.

Libraries are imported where they are used: a process loads only what it is measured with.
"""

import os
import tempfile
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.harness.timing import Work
from benchmarks.harness.workers import available_cores

if TYPE_CHECKING:
    from benchmarks.speed.torch_peer import Weights

PAPER_LETTER = (32, 16, 11)
"""Columns, hidden width and latent size of the paper's networks for letter."""
WIDE = (32, 256, 22)
ROWS, BATCH = 1280, 128
SCORED_ROWS, QUICK_SCORED_ROWS = 65_536, 4096
"""As many as the library reads and scores at a time; few."""
MATRIX = 2048
EPOCH_STEPS = ROWS // BATCH
BLOCK = 200
"""Iterations of a unit of training. Batches and noise are drawn for so many at once, so that fewer
would pay for draws that they do not use."""

Shape = tuple[int, int, int]


def multiply_adds(d: int, h: int, k: int, batch: int) -> int:
    """Return the multiply-adds that the matrix products of one adVAE iteration cannot do without.

    E costs e = dh + hh + 2hk for each row, G costs g = kh + hh + hd, T costs t = 3 (2k)(2k). A
    layer's backward pass costs as much as its forward pass for the slope of its weights, and as
    much again for the slope of its inputs, where they are needed.

    Step 1. Forward: q = E(x), e; q_T, t; x_r and x_Tr, 2g; both through E, 2e. Backward: through
    E, which is frozen, inputs only, 2e; G's weights, 2g, inputs of its last two layers, 2 (hd +
    hh), and of the first one only on T's side, kh; T's weights, t, inputs of its last two, 8kk.
    Step 2, with q known. Forward: q_T, t; x_r and x_Tr, 2g; both through E, 2e. Backward: through
    the frozen G on one side, g; E's weights for x, x_r and x_Tr, 3e, and the inputs of its last
    two layers, 3 (hh + 2hk).
    """
    e, g, t = d * h + h * h + 2 * h * k, k * h + h * h + h * d, 12 * k * k
    step_1 = e + t + 2 * g + 2 * e + 2 * e + 2 * g + 2 * (h * d + h * h) + k * h + t + 8 * k * k
    step_2 = t + 2 * g + 2 * e + g + 3 * e + 3 * (h * h + 2 * h * k)
    return batch * (step_1 + step_2)


def table(rows: int, columns: int) -> np.ndarray:
    """Return float32 rows in [0, 1] near a plane of low dimension."""
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(rows, 4)) @ rng.normal(size=(4, columns))
    noisy = hidden + 0.3 * rng.normal(size=(rows, columns))
    return np.asarray((noisy - noisy.min(0)) / np.ptp(noisy, axis=0), np.float32)


# --- training; a unit is BLOCK iterations ---


def ours_training(shape: Shape, variant: str = "adVAE", members: int = 1) -> Work:
    """Train with advae."""
    from advae.config import Config
    from advae.core import training
    from advae.methods import method_of

    data = table(ROWS, shape[0])

    def work(blocks: int) -> None:
        config = Config.preset(
            "paper",
            variant=variant,
            hidden=shape[1],
            latent=shape[2],
            members=members,
            iterations=blocks * BLOCK,
        )
        training.fit(method_of(config, shape[0]), data, config)

    return work


def torch_training(shape: Shape, compiled: bool = False) -> Work:
    """Train with the PyTorch peer, eagerly or compiled; the compilation starts from nothing."""
    cache = tempfile.TemporaryDirectory()
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = cache.name

    import torch

    from advae.methods.advae.networks import Sizes
    from benchmarks.speed import torch_compiled, torch_peer

    torch.set_num_threads(len(available_cores()))
    sizes, weights = Sizes(*shape), paper_weights()
    data, nets = torch.tensor(table(ROWS, shape[0])), torch_peer.initialise(sizes, 0)
    iterate = torch_compiled.compiled_iteration() if compiled else None

    def work(blocks: int, _cache: object = cache) -> None:  # which lives as long as this
        drawn = torch_peer.batches(data, sizes.latent, BATCH, blocks * BLOCK, 0)
        if iterate is None:
            torch_peer.train(nets, drawn, weights)
        else:
            torch_compiled.train(iterate, nets, drawn, weights)

    return work


def paper_weights() -> "Weights":
    """Return the weights and margins of the paper preset."""
    from advae.config import Config
    from benchmarks.speed.torch_peer import Weights

    config = Config.preset("paper")
    return Weights(config.gamma, config.lambda_, config.margin_x, config.margin_z)


def pyod_training(shape: Shape) -> Work:
    """Train PyOD's VAE with the same layers and batches; a unit is an epoch of EPOCH_STEPS."""
    import torch
    from pyod.models.vae import VAE

    torch.set_num_threads(len(available_cores()))
    columns, hidden, latent = shape

    class TrainingOnly(VAE):  # type: ignore[misc]
        """Leaves out the scores of the training rows."""

        def decision_function(self, X: np.ndarray, *_: object) -> np.ndarray:
            return np.arange(len(X), dtype=float)

    data = table(ROWS, columns)

    def work(epochs: int) -> None:
        TrainingOnly(
            epoch_num=epochs,
            batch_size=BATCH,
            encoder_neuron_list=[hidden, hidden],
            decoder_neuron_list=[hidden, hidden],
            latent_dim=latent,
            preprocessing=False,
            dropout_rate=0.0,
            verbose=0,
        ).fit(data)

    return work


# --- scoring; a unit is a pass over all rows ---


def ours_scoring(shape: Shape, sampling: str, points: int, count: int) -> Work:
    """Score with advae."""
    from advae.config import Config
    from advae.core.scoring import anomaly_scores
    from advae.methods import method_of

    config = Config.preset(
        "paper", hidden=shape[1], latent=shape[2], sampling=sampling, points=points
    )
    method, rows = method_of(config, shape[0]), table(count, shape[0])
    scorer, _ = method.learn(method.initial_state(config).model, rows, config)

    def work(passes: int) -> None:
        for _ in range(passes):
            anomaly_scores(method, scorer, rows)

    return work


def torch_scoring(shape: Shape, points: int, count: int) -> Work:
    """Score with the PyTorch peer, in blocks that fit a cache."""
    import torch

    from advae.methods.advae.networks import Sizes
    from benchmarks.speed import torch_peer

    torch.set_num_threads(len(available_cores()))
    nets = torch_peer.initialise(Sizes(*shape), 0)
    noise = torch.randn(points, shape[2])
    rows = torch.tensor(table(count, shape[0]))
    blocks = [rows[first : first + 1024] for first in range(0, count, 1024)]

    def work(passes: int) -> None:
        for _ in range(passes):
            for block in blocks:
                torch_peer.score_rows(nets, noise, block)

    return work


def forest_scoring(columns: int, count: int) -> Work:
    """Score with scikit-learn's isolation forest of 100 trees."""
    from sklearn.ensemble import IsolationForest

    forest = IsolationForest(n_estimators=100, random_state=0, n_jobs=len(available_cores()))
    forest.fit(table(ROWS, columns))
    rows = table(count, columns)

    def work(passes: int) -> None:
        for _ in range(passes):
            forest.score_samples(rows)

    return work


# --- arithmetic; a unit is a product of two square matrices of MATRIX rows ---


def matrix_products() -> Work:
    """Multiply large float32 matrices with JAX."""
    import jax
    import jax.numpy as jnp

    matrix = jnp.asarray(np.random.default_rng(0).random((MATRIX, MATRIX), np.float32))
    multiply = jax.jit(jnp.matmul)

    def work(products: int) -> None:
        for _ in range(products):
            multiply(matrix, matrix).block_until_ready()

    return work
