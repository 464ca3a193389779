"""What the PyTorch peers share: Adam on shuffled batches, and scores a block of rows at a time."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from benchmarks.harness.data import Array

BLOCK = 1000
"""Rows that are scored at a time."""


def start(seed: int) -> None:
    """Have all that follows draw from this seed, on one thread."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)


def descend(
    network: nn.Module,
    loss: Callable[[Tensor], Tensor],
    train: Array,
    *,
    epochs: int,
    batch: int,
    rate: float,
    decay: float = 0.0,
    enough: float = -math.inf,
) -> None:
    """Train a network with Adam, then set it to judge.

    Parameters
    ----------
    network
        What learns.
    loss
        Of a batch of rows, one number.
    train
        Rows, shape (n, d).
    epochs
        Passes over all rows, each in another order.
    batch
        Rows of a step; the last one of a pass may have fewer.
    rate, decay
        Adam's step, and the factor of the squared weights in the loss.
    enough
        Training ends with the first pass whose mean loss is below it.
    """
    rows = torch.as_tensor(train, dtype=torch.float32)
    optimiser = torch.optim.Adam(network.parameters(), lr=rate, weight_decay=decay, fused=True)
    network.train()
    for _ in range(epochs):
        losses = []
        for chosen in torch.randperm(len(rows)).split(batch):
            optimiser.zero_grad()
            value = loss(rows[chosen])
            value.backward()
            optimiser.step()
            losses.append(value.item())
        if sum(losses) / len(losses) < enough:
            break
    network.eval()


def by_blocks(score: Callable[[Tensor], Tensor]) -> Callable[[Array], Array]:
    """Return what scores any number of rows with a function of tensors."""

    def scores(rows: Array) -> Array:
        with torch.no_grad():
            blocks = torch.as_tensor(rows, dtype=torch.float32).split(BLOCK)
            return torch.cat([score(block) for block in blocks]).double().numpy()

    return scores
