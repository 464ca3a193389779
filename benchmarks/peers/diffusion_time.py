"""DTE: how long a row must have diffused, by its nearest training rows or by a classifier.

V. Livernoche, V. Jain, Y. Hezaveh, S. Ravanbakhsh, "On diffusion modeling for anomaly detection",
ICLR 2024. Noise of variance v moves a row of d columns by a squared distance around d v, so the
variance that a row of mean squared distance m to its neighbours has seen has an inverse gamma
posterior of shape d / 2 - 1 and scale m / 2. DTE-NP takes that posterior; DTE-C learns which of a
few ranges of time a noisy row comes from, and scores with the mean range.

NOTE[DIFF]: DTE-NP's score is where the posterior is highest, m / d. The authors' program gives the
nearest of 300 times of their schedule, whose last has a variance of 0.78: it ties all rows beyond.
NOTE[DIFF]: DTE-C's loss is the cross-entropy of the classifier's chances, as in the paper. The
authors' program takes their softmax once more in the loss. Other settings are those of the program.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.harness.data import Array

TIMES, BINS = 400, 7


def most_likely_variance(squared_distance: Array, columns: int) -> Array:
    """Return for each mean squared distance the variance at which the posterior is highest."""
    shape, scale = columns / 2 - 1, squared_distance / 2
    return scale / (shape + 1)


def noise_variances() -> Array:
    """Return the variance that noise of a linear schedule has at each time, (TIMES,)."""
    return 1 - np.cumprod(1 - np.linspace(1e-4, 1e-2, TIMES))


def range_of(times: Any) -> Any:
    """Return which of BINS ranges each time of an array or tensor is in."""
    return times * BINS // TIMES


def diffusion_times(train: Array, seed: int, *, epochs: int = 400) -> Callable[[Array], Array]:
    """DTE-C: the mean of BINS equal ranges of time under a classifier's chances."""
    import torch
    from torch import Tensor, nn

    from benchmarks.peers.descent import by_blocks, descend, start

    start(seed)
    deviations = torch.as_tensor(np.sqrt(noise_variances()), dtype=torch.float32)
    network = nn.Sequential(
        *(nn.Linear(train.shape[1], 256), nn.ReLU()),
        *(nn.Linear(256, 512), nn.ReLU(), nn.Dropout(0.5)),
        *(nn.Linear(512, 256), nn.ReLU(), nn.Dropout(0.5)),
        nn.Linear(256, BINS),
    )

    def loss(rows: Tensor) -> Tensor:
        times = torch.randint(TIMES, (len(rows),))
        noisy = rows + deviations[times, None] * torch.randn_like(rows)
        return nn.functional.cross_entropy(network(noisy), range_of(times))

    def score(rows: Tensor) -> Tensor:
        return network(rows).softmax(dim=1) @ torch.arange(BINS, dtype=torch.float32)

    descend(network, loss, train, epochs=epochs, batch=64, rate=1e-4, decay=5e-4)
    return by_blocks(score)
