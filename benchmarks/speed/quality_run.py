"""One training, and its average precision on the way: ``python -m benchmarks.speed.quality_run``.

The arguments are who trains (``ours`` or ``torch``), the data set, the seed, the iterations, the
number of threads, and the time when the process was started. Preset ``paper`` on a set in the
paper's order. Prints, as JSON, seconds and average precision at some iterations; the clock stands
still while test rows are scored.
"""

import json
import os
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from benchmarks.harness.data import PAPER_SETS, Split, load_paper_set

if TYPE_CHECKING:
    from advae.core.training import Snapshot

GRID = (200, 400, 600, 1000, 1400, 2000, 3000, 4000, 6000, 8000, 12_000, 16_000, 20_000)
"""Iterations at which the test rows are scored; whole blocks of ours."""


class Clock:
    """Seconds of training, and the average precision that was reached by then."""

    def __init__(self, split: Split) -> None:
        self._split = split
        self.points: list[dict[str, float]] = []
        self._started = time.perf_counter()

    def mark(self, iteration: int, scores: object) -> None:
        """Note the quality of a score of every test row."""
        from sklearn.metrics import average_precision_score

        precision = float(average_precision_score(self._split.labels, scores))
        self.points.append(
            {"iteration": iteration, "seconds": self._stopped - self._started, "ap": precision}
        )

    def __enter__(self) -> None:
        self._stopped = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self._started += time.perf_counter() - self._stopped


def train_ours(split: Split, name: str, seed: int, iterations: int) -> Iterator[float | Clock]:
    """Train with advae; yield when the libraries are there, then the clock."""
    import numpy as np

    from advae.config import Config
    from advae.core import training
    from advae.core.scoring import anomaly_scores
    from advae.methods import method_of

    latent = PAPER_SETS[name].latent_size
    config = Config.preset("paper", seed=seed, latent=latent, iterations=iterations)
    train, test = (part.astype(np.float32) for part in (split.train, split.test))
    method = method_of(config, train.shape[1])
    yield time.time()
    clock = Clock(split)

    def on_block(snapshot: "Snapshot") -> None:
        if snapshot.iteration in GRID:
            with clock:
                scorer, _ = method.learn(snapshot.state.model, train, config)
                scores = anomaly_scores(method, scorer, test)
                clock.mark(snapshot.iteration, scores)

    training.fit(method, train, config, on_block=on_block)
    yield clock


def train_torch(
    split: Split, name: str, seed: int, iterations: int, threads: int
) -> Iterator[float | Clock]:
    """Train with the PyTorch peer; yield when the libraries are there, then the clock."""
    import torch

    from advae.methods.advae.networks import Sizes
    from benchmarks.speed import torch_peer
    from benchmarks.speed.contestants import BATCH, paper_weights

    torch.set_num_threads(threads)
    columns = split.train.shape[1]
    sizes, weights = Sizes(columns, columns // 2, PAPER_SETS[name].latent_size), paper_weights()
    train, test = (torch.tensor(part, dtype=torch.float32) for part in (split.train, split.test))
    noise = torch.randn(1000, sizes.latent, generator=torch.Generator().manual_seed(seed))
    yield time.time()
    clock = Clock(split)
    nets = torch_peer.initialise(sizes, seed)

    def mark(done: int) -> None:
        if done in GRID:
            with clock:
                clock.mark(done, torch_peer.score_rows(nets, noise, test).numpy())

    def batches() -> Iterator[torch_peer.Batch]:
        drawn = torch_peer.batches(train, sizes.latent, BATCH, iterations, seed)
        for done, batch in enumerate(drawn):
            mark(done)
            yield batch

    torch_peer.train(nets, batches(), weights)
    mark(iterations)
    yield clock


def main(who: str, name: str, seed: int, iterations: int, threads: int, started: float) -> None:
    """Train, and print the points of the curve."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    split = load_paper_set(name)
    if who == "torch":
        course = train_torch(split, name, seed, iterations, threads)
    else:
        course = train_ours(split, name, seed, iterations)
    ready, clock = course
    assert isinstance(ready, float)
    assert isinstance(clock, Clock)
    print(json.dumps({"ready": ready - started, "points": clock.points}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:6]), float(sys.argv[6]))
