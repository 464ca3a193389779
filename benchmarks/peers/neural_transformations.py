"""NeuTraL AD: learned views of a row that keep its meaning and differ from each other.

C. Qiu, T. Pfrommer, M. Kloft, S. Mandt, M. Rudolph, "Neural transformation learning for deep
anomaly detection beyond images", ICML 2021. Several networks transform a row, an encoder embeds
row and views, and the deterministic contrastive loss, which is the score too, asks that each view
is nearer to the row than to the other views.

Settings are the authors' for thyroid, the one of their tables that is a small table of numbers,
scaled to [0, 1] as theirs is. No layer has a bias, so that the score of a row is that of any
positive multiple of the row: a row far out in a usual direction is not found. NOTE[DIFF]: all
epochs run; the authors stop after 100 of the 200 without a lower training loss. DeepOD 0.4.1 has
this method too, but wants a PyTorch before 1.13.1; the benchmarks need 2.6.
"""

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.harness.data import Array
from benchmarks.peers.descent import by_blocks, descend, start

VIEWS, UNITS, TEMPERATURE = 11, 24, 0.1


def contrast(row: Tensor, views: Tensor) -> Tensor:
    """Return the deterministic contrastive loss of each row, (rows,).

    Parameters
    ----------
    row
        Its embedding, shape (rows, entries).
    views
        Those of its views, shape (rows, views, entries).
    """
    row, views = functional.normalize(row, dim=-1), functional.normalize(views, dim=-1)
    to_row = (views @ row[:, :, None]).squeeze(2) / TEMPERATURE
    to_views = views @ views.transpose(1, 2) / TEMPERATURE
    itself = torch.eye(views.shape[1], dtype=torch.bool)
    to_others = to_views.masked_fill(itself, -torch.inf)
    total = torch.cat([to_row[:, :, None], to_others], dim=2).logsumexp(dim=2)
    return (total - to_row).sum(dim=1)


def _layers(*sizes: int) -> nn.Sequential:
    """Return linear layers without biases, with ReLU between them."""
    layers: list[nn.Module] = []
    for first, second in pairwise(sizes):
        layers += [nn.Linear(first, second, bias=False), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class Views(nn.Module):
    """The transformations and the encoder: of each row its embedding and those of its views."""

    def __init__(self, columns: int) -> None:
        super().__init__()
        self.changes = nn.ModuleList([_layers(columns, UNITS, columns) for _ in range(VIEWS)])
        self.encoder = _layers(columns, *[UNITS] * 5)

    def forward(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return shapes (rows, entries) and (rows, views, entries)."""
        views = torch.stack([rows + change(rows) for change in self.changes], dim=1)
        return self.encoder(rows), self.encoder(views)


def neural_transformations(
    train: Array, seed: int, *, epochs: int = 200
) -> Callable[[Array], Array]:
    """NeuTraL AD: how badly learned views of a row are told from each other and found alike."""
    start(seed)
    network = Views(train.shape[1])

    def score(rows: Tensor) -> Tensor:
        return contrast(*network(rows))

    descend(
        network,
        lambda rows: score(rows).mean(),
        train,
        epochs=epochs,
        batch=128,
        rate=1e-3,
        decay=1e-5,
    )
    return by_blocks(score)
