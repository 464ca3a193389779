"""DDAE: how far a denoising autoencoder's row is from the row, at all times of a diffusion.

T. Sattarov, M. Schreyer, D. Borth, "Diffusion-scheduled denoising autoencoders for anomaly
detection in tabular data", arXiv 2508.00758, 2025. The network gets a row that has diffused for a
random time, and the time, and returns the row as it was. The score is the sum over all times of
the distance between the row and what the network makes of it after so much noise.

Formulas and settings are those of the authors' program for normal rows; of the paper only the
abstract was read. NOTE[DIFF]: the batch is the power of two nearest to a fifth of the training
rows; theirs is nearest to a tenth of all rows, half of which train. NOTE[DIFF]: columns are scaled
on the training rows, not on all rows.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.harness.data import Array
from benchmarks.peers.descent import by_blocks, descend, start

TIMES, UNITS, TIME_ENTRIES, LONGEST_PERIOD = 50, 512, 4, 10_000


def shares_of_row() -> Array:
    """Return the share of a row's variance that is left at each time, (TIMES,)."""
    return np.cumprod(1 - np.linspace(1e-4, 0.02, TIMES))


def embedded(times: Tensor) -> Tensor:
    """Return cosines and sines of times, shape (rows, TIME_ENTRIES)."""
    half = TIME_ENTRIES // 2
    rates = LONGEST_PERIOD ** (-torch.arange(half) / half)
    angles = times[:, None] * rates
    return torch.cat([angles.cos(), angles.sin()], dim=1)


def batch_size(rows: int) -> int:
    """Return the power of two from 8 to 8192 that is nearest to a fifth of the rows."""
    return min((2**power for power in range(3, 14)), key=lambda size: abs(size - rows // 5))


def scheduled_denoising(train: Array, seed: int, *, epochs: int = 100) -> Callable[[Array], Array]:
    """DDAE: the sum over times of the distance from a row to the denoised row."""
    start(seed)
    kept = torch.as_tensor(shares_of_row(), dtype=torch.float32)
    columns = train.shape[1]
    network = nn.Sequential(
        *(nn.Linear(columns + TIME_ENTRIES, UNITS), nn.LeakyReLU()),
        *(nn.Linear(UNITS, UNITS), nn.LeakyReLU()),
        nn.Linear(UNITS, columns),
    )

    def denoised(rows: Tensor, times: Tensor, noise: Tensor) -> Tensor:
        share = kept[times, None]
        noisy = share.sqrt() * rows + (1 - share).sqrt() * noise
        return network(torch.cat([noisy, embedded(times)], dim=1))

    def loss(rows: Tensor) -> Tensor:
        times = torch.randint(1, TIMES, (len(rows),))
        return functional.mse_loss(denoised(rows, times, torch.randn_like(rows)), rows)

    def score(rows: Tensor) -> Tensor:
        draws = torch.Generator().manual_seed(seed)  # a row's score is its score the next time
        total = torch.zeros(len(rows))
        for time in range(1, TIMES):
            noise = torch.randn(rows.shape, generator=draws)
            again = denoised(rows, torch.full((len(rows),), time), noise)
            total += (rows - again).norm(dim=1)
        return total

    descend(network, loss, train, epochs=epochs, batch=batch_size(len(train)), rate=1e-3)
    return by_blocks(score)
