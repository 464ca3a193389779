"""The same training in PyTorch, as fast as plain PyTorch gets: what ours is compared with.

The choices below were the fastest of those measured on a CPU: functions instead of modules, fused
Adam, one encoder call for both reconstructions, q computed once for both steps, gradients switched
off wherever they are not needed, batches and noise drawn for many iterations at once, denormals
flushed, and nothing read back during training. ``torch_compiled`` is the same for torch.compile.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from advae.methods.advae.networks import AdVAE, Sizes
from advae.methods.dense import Dense

LEARNING_RATE, DECAY_1, DECAY_2, EPSILON = 1e-3, 0.9, 0.999, 1e-8
BLOCK = 200
"""Iterations whose batches and noise are drawn at once, as ours are."""


class Nets(NamedTuple):
    """Weights (outputs, inputs) and biases of each network, layer after layer."""

    encoder: list[Tensor]
    generator: list[Tensor]
    transformer: list[Tensor]


class Weights(NamedTuple):
    """The paper's gamma, lambda, m_x and m_z."""

    gamma: float
    lambda_: float
    margin_x: float
    margin_z: float


class Batch(NamedTuple):
    """Rows (rows, columns) and noise (rows, latent) of one iteration."""

    x: Tensor
    noise: Tensor
    noise_T: Tensor


def initialise(sizes: Sizes, seed: int) -> Nets:
    """Return networks with Kaiming-uniform weights and zero biases."""
    generator = torch.Generator().manual_seed(seed)

    def layers(*widths: int) -> list[Tensor]:
        parameters = []
        for inputs, outputs in itertools.pairwise(widths):
            weight = torch.empty(outputs, inputs)
            torch.nn.init.kaiming_uniform_(weight, nonlinearity="relu", generator=generator)
            parameters += [weight, torch.zeros(outputs)]
        return parameters

    d, h, k = sizes
    return Nets(layers(d, h, h, 2 * k), layers(k, h, h, d), layers(2 * k, 2 * k, 2 * k, 2 * k))


def from_advae(model: AdVAE) -> Nets:
    """Return a copy of one member's weights (leaves without a member axis)."""

    def layers(dense: Sequence[Dense]) -> list[Tensor]:
        arrays = [array for layer in dense for array in (np.array(layer.weight).T, layer.bias)]
        return [torch.tensor(np.ascontiguousarray(array)) for array in arrays]

    nets = (model.encoder, model.generator, model.transformer)
    return Nets(*(layers(net.layers) for net in nets))


# --- networks and losses ---


def _rectified(net: Sequence[Tensor], x: Tensor) -> Tensor:
    hidden = functional.relu(functional.linear(x, net[0], net[1]))
    return functional.linear(
        functional.relu(functional.linear(hidden, net[2], net[3])), net[4], net[5]
    )


encode = _rectified
"""Return mean and log-variance, side by side."""


def generate(net: Sequence[Tensor], z: Tensor) -> Tensor:
    """Return reconstructions."""
    return torch.sigmoid(_rectified(net, z))


def transform(net: Sequence[Tensor], q: Tensor) -> Tensor:
    """Return mean and log-variance of q_T, side by side."""
    hidden = torch.sigmoid(functional.linear(q, net[0], net[1]))
    return functional.linear(
        torch.sigmoid(functional.linear(hidden, net[2], net[3])), net[4], net[5]
    )


def sample(q: Tensor, noise: Tensor) -> Tensor:
    """Return z = mean + deviation * noise."""
    mean, log_variance = q.chunk(2, -1)
    return mean + (0.5 * log_variance).exp() * noise


def kld(q: Tensor) -> Tensor:
    """Return KLD(q || N(0, I)) of each row."""
    mean, log_variance = q.chunk(2, -1)
    return 0.5 * (log_variance.exp() + mean * mean - 1.0 - log_variance).sum(-1)


def kld_between(q: Tensor, p: Tensor) -> Tensor:
    """Return KLD(q || p) of each row."""
    (mean, log_variance), (mean_p, log_variance_p) = q.chunk(2, -1), p.chunk(2, -1)
    log_ratio = log_variance_p - log_variance
    spread = (-log_ratio).exp() + (mean - mean_p) ** 2 * (-log_variance_p).exp()
    return 0.5 * (log_ratio + spread - 1.0).sum(-1)


def _error(x: Tensor, reconstruction: Tensor) -> Tensor:
    """Return the squared error summed over columns, mean over rows, in one operation."""
    return functional.mse_loss(reconstruction, x, reduction="sum") / x.shape[0]


def step_1_terms(nets: Nets, q: Tensor, batch: Batch, weights: Weights) -> tuple[Tensor, ...]:
    """Return L_G's four terms and L_T, unweighted; ``q`` is E(x), without gradient."""
    q_T = transform(nets.transformer, q)
    z = torch.cat([sample(q, batch.noise), sample(q_T, batch.noise_T)])
    both = generate(nets.generator, z)
    x_r, x_Tr = both.chunk(2)
    kld_r, kld_Tr = kld(encode(nets.encoder, both)).chunk(2)
    distance = ((x_r - x_Tr) ** 2).sum(-1)
    return (
        _error(batch.x, x_r),
        kld_r.mean(),
        functional.relu(weights.margin_x - distance).mean(),
        functional.relu(weights.margin_z - kld_Tr).mean(),
        kld_between(q, q_T).mean(),
    )


def step_2_terms(nets: Nets, q: Tensor, batch: Batch, weights: Weights) -> tuple[Tensor, ...]:
    """Return L_E's four terms, unweighted; ``q`` is E(x), with gradient."""
    with torch.no_grad():
        q_T = transform(nets.transformer, q)
        x_Tr = generate(nets.generator, sample(q_T, batch.noise_T))
    x_r = generate(nets.generator, sample(q, batch.noise))
    margins = functional.relu(
        weights.margin_z - kld(encode(nets.encoder, torch.cat([x_r.detach(), x_Tr])))
    )
    margin_r, margin_Tr = margins.chunk(2)
    return _error(batch.x, x_r), kld(q).mean(), margin_r.mean(), margin_Tr.mean()


def step_1_loss(nets: Nets, q: Tensor, batch: Batch, weights: Weights) -> Tensor:
    """Return L_G + lambda * L_T."""
    error, kld_r, margin_x, margin_z, kld_T = step_1_terms(nets, q, batch, weights)
    return error + weights.gamma * (kld_r + margin_z) + margin_x + weights.lambda_ * kld_T


def step_2_loss(nets: Nets, q: Tensor, batch: Batch, weights: Weights) -> Tensor:
    """Return L_E."""
    error, prior, margin_r, margin_Tr = step_2_terms(nets, q, batch, weights)
    return error + weights.lambda_ * prior + weights.gamma * (margin_r + margin_Tr)


# --- training ---


def batches(data: Tensor, latent: int, rows: int, iterations: int, seed: int) -> Iterator[Batch]:
    """Draw rows with replacement, and noise."""
    generator = torch.Generator().manual_seed(seed)
    for first in range(0, iterations, BLOCK):
        count = min(BLOCK, iterations - first)
        x = data[torch.randint(len(data), (count, rows), generator=generator)]
        noise = torch.randn((2, count, rows, latent), generator=generator)
        yield from map(Batch, x, noise[0], noise[1])


def train(nets: Nets, drawn: Iterable[Batch], weights: Weights) -> Nets:
    """Train eagerly, one iteration for each batch; the weights are changed in place."""
    torch.set_flush_denormal(True)
    moving_1, moving_2 = [*nets.generator, *nets.transformer], nets.encoder
    adam = partial(
        torch.optim.Adam, lr=LEARNING_RATE, betas=(DECAY_1, DECAY_2), eps=EPSILON, fused=True
    )
    optimiser_1, optimiser_2 = adam(moving_1), adam(moving_2)
    for batch in drawn:
        _set_gradient(moving_2, True)
        q = encode(nets.encoder, batch.x)
        _set_gradient(moving_2, False)
        _set_gradient(moving_1, True)
        optimiser_1.zero_grad(set_to_none=True)
        torch.autograd.backward(step_1_loss(nets, q.detach(), batch, weights))
        optimiser_1.step()
        _set_gradient(moving_1, False)
        _set_gradient(moving_2, True)
        optimiser_2.zero_grad(set_to_none=True)
        torch.autograd.backward(step_2_loss(nets, q, batch, weights))
        optimiser_2.step()
    _set_gradient(moving_2, False)
    return nets


def _set_gradient(parameters: Iterable[Tensor], wanted: bool) -> None:
    for parameter in parameters:
        parameter.requires_grad_(wanted)


def to_arrays(nets: Nets) -> list[NDArray[np.float32]]:
    """Return weights (inputs, outputs) and biases in the order of ``AdVAE``'s leaves."""
    parameters = itertools.chain(*nets)
    return [(p.T if p.ndim == 2 else p).detach().numpy() for p in parameters]


def score_rows(nets: Nets, noise: Tensor, x: Tensor) -> Tensor:
    """Return the anomaly scores, equations (11) and (12), by one pass of G for each point."""
    with torch.no_grad():
        mean, log_variance = encode(nets.encoder, x).chunk(2, -1)
        deviation = (0.5 * log_variance).exp()
        total = torch.zeros_like(x)
        for point in noise:
            total += generate(nets.generator, torch.addcmul(mean, deviation, point))
        return ((x - total / len(noise)) ** 2).sum(-1)
