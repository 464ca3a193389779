"""The two sides that are timed, each in a process of its own."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl

import advae
from advae.export.onnx import feeds
from benchmarks.harness.workers import available_cores


def session(path: Path) -> Any:
    """Return a session of onnxruntime, as many threads as cores."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = len(available_cores())
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def by_runtime(path: Path, model: Path, frame: pl.DataFrame) -> Callable[[int], None]:
    """Return what asks onnxruntime for the score of a table, so many times."""
    asked, given = session(path), feeds(advae.load(model), frame)

    def work(count: int) -> None:
        for _ in range(count):
            asked.run(["anomaly_score"], given)

    return work


def by_library(model: Path, frame: pl.DataFrame) -> Callable[[int], None]:
    """Return what asks the library for the score of a table, so many times."""
    detector = advae.load(model)

    def work(count: int) -> None:
        for _ in range(count):
            detector.anomaly_score(frame)

    return work
