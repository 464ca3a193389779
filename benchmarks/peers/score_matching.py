"""K-DSM: the length of a learned gradient of the log density, with noise that suits each column.

V. Livernoche, J. Zan, R. Rabbany, "Kurtosis-guided denoising score matching for tabular anomaly
detection", 2026 (arXiv:2605.06955). A residual network learns from noisy rows which way the noise
went, in units of its deviation; how much it corrects a row that has none is the score. Columns of
heavy tails get more noise: the deviation is linear in the kurtosis, which is that of the places of
the values when the bins of their histogram stand in order of frequency around the highest.

Formulas and settings are those of the authors' program for training on normal rows; of the paper
only the abstract was at hand. Its oddities are kept, as its figures have them: the largest value
of a column counts as one of the highest bin, and columns of -1, 0 and 1 alone have a fixed
kurtosis, 1.8. NOTE[DIFF]: bins of equal frequency stand in their order; the authors' sort may swap
them.
"""

from collections.abc import Callable

import numpy as np
import torch
from scipy.stats import kurtosis
from torch import Tensor, nn

from benchmarks.harness.data import Array
from benchmarks.peers.descent import by_blocks, descend, start

DEVIATION, SLOPE, LEAST, MOST = 0.5, 0.33, 0.1, 3.0
TRIMMED, HISTOGRAM_BINS = 0.04, 200
FIXED_KURTOSIS, UNDEFINED_KURTOSIS = 1.8, 1000.0
UNITS, BLOCKS, NOISY_COPIES = 512, 6, 3


def places_by_frequency(values: Array) -> Array:
    """Return the place of each value when the bins of a histogram stand around the highest one.

    The highest has place 0, the next ones 1, -1, 2, -2 and so on.
    """
    counts, edges = np.histogram(values, bins=HISTOGRAM_BINS)
    order = np.argsort(-counts, kind="stable")
    rank = np.empty(HISTOGRAM_BINS + 1, int)
    rank[order] = np.arange(HISTOGRAM_BINS)
    rank[HISTOGRAM_BINS] = 0  # the largest value, which stands on the last edge
    steps = (rank + 1) // 2
    places = np.where(rank % 2 == 1, steps, -steps)
    return places[np.digitize(values, edges) - 1].astype(float)


def noise_deviations(train: Array) -> Array:
    """Return the deviation of the noise of each column, (d,)."""
    cut = int(len(train) * TRIMMED / 2)
    found = []
    for values in np.sort(train, axis=0)[cut : len(train) - cut].T:
        if np.isin(values, (-1, 0, 1)).all():
            found.append(FIXED_KURTOSIS)
            continue
        places = places_by_frequency(values)
        varies = np.ptp(places) > 0
        found.append(kurtosis(places, fisher=False) if varies else UNDEFINED_KURTOSIS)
    return np.clip(DEVIATION * (1 + SLOPE * (np.array(found) - 3)), LEAST, MOST)


class Residual(nn.Module):
    """A block that adds to what it gets."""

    def __init__(self) -> None:
        super().__init__()
        self.change = nn.Sequential(
            *(nn.BatchNorm1d(UNITS), nn.Linear(UNITS, UNITS), nn.ReLU(), nn.Dropout(0.2)),
            *(nn.Linear(UNITS, UNITS), nn.Dropout(0.1)),
        )

    def forward(self, values: Tensor) -> Tensor:
        """Return values of the same shape."""
        return values + self.change(values)


def score_matching(train: Array, seed: int, *, epochs: int = 500) -> Callable[[Array], Array]:
    """K-DSM: the length of the correction that a row gets."""
    start(seed)
    deviations = torch.as_tensor(noise_deviations(train), dtype=torch.float32)
    columns = train.shape[1]
    network = nn.Sequential(
        nn.Linear(columns, UNITS),
        *(Residual() for _ in range(BLOCKS)),
        *(nn.BatchNorm1d(UNITS), nn.ReLU(), nn.Linear(UNITS, columns)),
    )

    def loss(rows: Tensor) -> Tensor:
        copies = rows.repeat_interleave(NOISY_COPIES, dim=0)
        noise = torch.randn_like(copies)
        return 0.5 * (network(copies + deviations * noise) + noise).square().sum(dim=1).mean()

    descend(network, loss, train, epochs=epochs, batch=128, rate=5e-4, decay=5e-5)
    return by_blocks(lambda rows: network(rows).norm(dim=1))
