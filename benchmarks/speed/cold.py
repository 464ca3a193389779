"""One process from its start to a fitted model: ``python -m benchmarks.speed.cold ours 20000 2``.

The arguments are who trains (``ours``, ``torch`` or ``torch-compiled``), the number of iterations,
and the number of threads. Letter-like rows, the paper preset: training, scores of the training rows
at 1000 points, threshold. Prints, as JSON, the seconds that each iteration would add.
"""

import atexit
import gc
import json
import os
import sys
import time
from collections.abc import Iterator
from functools import partial

START_ITERATIONS = 200
"""Iterations before the clock of the loop starts: the compilation is in them."""


def fit_ours(iterations: int) -> float:
    """Fit with advae; return the seconds of an iteration."""
    from advae.config import Config
    from advae.core import training
    from advae.core.scoring import anomaly_scores
    from advae.core.threshold import kde_threshold
    from advae.methods import method_of
    from advae.parallel import BackgroundTask
    from benchmarks.speed.contestants import PAPER_LETTER, ROWS, table

    columns, hidden, latent = PAPER_LETTER
    rows = table(ROWS, columns)
    config = Config.preset("paper", hidden=hidden, latent=latent, iterations=iterations)
    method = method_of(config, columns)
    # As ``advae.detector.fitting`` does it.
    compiling = BackgroundTask(partial(method.prepare, rows, config, None, ()))
    times: list[float] = []

    def after_block(_: training.Snapshot) -> None:
        compiling.begin()
        times.append(time.perf_counter())

    end = training.fit(method, rows, config, on_block=after_block)
    compiling.result()
    scorer, _ = method.learn(end.model, rows, config)
    kde_threshold(anomaly_scores(method, scorer, rows), config.alpha)
    return (times[-1] - times[0]) / (iterations - START_ITERATIONS)


def fit_torch(iterations: int, threads: int, compiled: bool) -> float:
    """Fit with the PyTorch peer; return the seconds of an iteration."""
    import torch

    from advae.core.threshold import kde_threshold
    from advae.methods.advae.networks import Sizes
    from benchmarks.speed import torch_compiled, torch_peer
    from benchmarks.speed.contestants import BATCH, PAPER_LETTER, ROWS, paper_weights, table

    torch.set_num_threads(threads)
    sizes, weights = Sizes(*PAPER_LETTER), paper_weights()
    rows = torch.tensor(table(ROWS, sizes.columns))
    marks: list[float] = []

    def marked() -> Iterator[torch_peer.Batch]:
        drawn = torch_peer.batches(rows, sizes.latent, BATCH, iterations, 0)
        for done, batch in enumerate(drawn):
            if done == START_ITERATIONS:
                marks.append(time.perf_counter())
            yield batch

    nets = torch_peer.initialise(sizes, 0)
    if compiled:
        iterate = torch_compiled.compiled_iteration()
        nets = torch_compiled.train(iterate, nets, marked(), weights)
    else:
        nets = torch_peer.train(nets, marked(), weights)
    loop = time.perf_counter() - marks[0]
    noise = torch.randn(1000, sizes.latent)
    kde_threshold(torch_peer.score_rows(nets, noise, rows).numpy(), 0.1)
    return loop / (iterations - START_ITERATIONS)


def main(who: str, iterations: int, threads: int) -> None:
    """Fit, and print the seconds of an iteration."""
    atexit.register(gc.freeze)  # as the command line does: of a process that ends, collect nothing
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    if who == "ours":
        seconds = fit_ours(iterations)
    else:
        seconds = fit_torch(iterations, threads, compiled=who == "torch-compiled")
    print(json.dumps({"seconds_per_iteration": seconds}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
