"""ICL: whether neighbouring columns of a row can be matched with the rest of the row.

T. Shenkar, L. Wolf, "Anomaly detection for tabular data with internal contrastive learning",
ICLR 2022. A row of d columns has d - k + 1 windows of k columns beside each other. One network
embeds each window, another its complement, the d - k other columns; the loss, which is the score
too, is how badly the complement picks its own window among all windows of the row.

Settings are those of the authors' program. There both embeddings are made unit vectors twice, over
the windows and then over the entries. NOTE[DIFF]: the authors sum the scores of several models,
each with its columns in another order; here is one, with the columns as they stand, as in the
comparison of the DTE paper (ICLR 2024). NOTE[DIFF]: all windows compete, the authors draw 1,000 of
them where there are more.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.harness.data import Array
from benchmarks.peers.descent import by_blocks, descend, start

UNITS, SLOPE, TEMPERATURE = 200, 0.2, 0.1


def window_size(columns: int) -> int:
    """Return how many columns a window has."""
    return 2 if columns <= 40 else 10 if columns <= 160 else columns - 150


def contrast(complements: Tensor, windows: Tensor) -> Tensor:
    """Return how badly each complement picks its own window, (rows, windows).

    Both are embeddings, of shape (rows, windows, entries); the logits are their products.
    """
    logits = complements @ windows.transpose(1, 2) / TEMPERATURE
    return -logits.log_softmax(dim=2).diagonal(dim1=1, dim2=2)


class Embeddings(nn.Module):
    """The two networks: of each row the embedded complements and the embedded windows."""

    def __init__(self, columns: int) -> None:
        super().__init__()
        size = window_size(columns)
        count = columns - size + 1
        self.windows = torch.arange(count)[:, None] + torch.arange(size)
        rest = [[j for j in range(columns) if not 0 <= j - first < size] for first in range(count)]
        self.complements = torch.tensor(rest)
        self.of_complements = nn.Sequential(
            *(nn.Linear(columns - size, UNITS), nn.Tanh(), nn.BatchNorm1d(count)),
            *(nn.Linear(UNITS, 2 * UNITS), nn.LeakyReLU(SLOPE), nn.BatchNorm1d(count)),
            *(nn.Linear(2 * UNITS, UNITS), nn.LeakyReLU(SLOPE)),
        )
        self.of_windows = nn.Sequential(
            *(nn.Linear(size, UNITS // 4), nn.LeakyReLU(SLOPE), nn.BatchNorm1d(count)),
            *(nn.Linear(UNITS // 4, UNITS // 2), nn.LeakyReLU(SLOPE)),
            *(nn.Linear(UNITS // 2, UNITS), nn.LeakyReLU(SLOPE)),
        )

    def forward(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return both embeddings, each of shape (rows, windows, entries)."""
        both = (
            self.of_complements(rows[:, self.complements]),
            self.of_windows(rows[:, self.windows]),
        )
        first, second = (
            functional.normalize(functional.normalize(each, dim=1), dim=2) for each in both
        )
        return first, second


def internal_contrast(train: Array, seed: int, *, epochs: int = 2000) -> Callable[[Array], Array]:
    """ICL: the mean over windows of how badly the rest of a row picks them.

    Raises
    ------
    ValueError
        For a table of fewer than three columns, which have no window and complement to compare.
    """
    columns = train.shape[1]
    if columns < 3:
        raise ValueError(f"ICL compares columns with each other: it needs three, not {columns}")
    start(seed)
    network = Embeddings(columns)
    enough = 1e-3 if columns <= 40 else 1e-2

    def score(rows: Tensor) -> Tensor:
        return contrast(*network(rows)).mean(dim=1)

    descend(
        network,
        lambda rows: score(rows).mean(),
        train,
        epochs=epochs,
        batch=3000,
        rate=1e-3,
        enough=enough,
    )
    return by_blocks(score)
