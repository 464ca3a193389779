"""What a service tells Prometheus of its requests, its rows, and how they drift."""

import os
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from advae.core.arrays import HostMatrix
from advae.detector.detector import Detector
from advae.tables.columns import Column

SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
SCORES = tuple(float(f"{digit}e{power}") for power in range(-4, 5) for digit in (1, 2, 5))
"""Upper bounds of the histograms of latency and of scores."""

RECENT_ROWS = 10_000
"""Rows that drift is measured on, at least, once so many have come."""

FEWEST_ROWS = 100
"""Rows below which nothing is said of drift."""

WATCHED_COLUMNS = 200
"""Columns that have metrics of their own; in wider tables, the first."""

WAITING_PARTS = 4096
"""Batches that wait to be counted; further ones are counted at once."""


class Metrics:
    """The metrics of all models of one process, and of its siblings where there are several.

    Several processes share them through files, in the folder that ``PROMETHEUS_MULTIPROC_DIR``
    names when prometheus_client is imported.
    """

    def __init__(self) -> None:
        self._shared = "PROMETHEUS_MULTIPROC_DIR" in os.environ
        self.registry = registry = CollectorRegistry()
        model = ["model"]

        def counter(name: str, text: str, labels: Sequence[str]) -> Counter:
            return Counter(f"advae_{name}", text, labels, registry=registry)

        def gauge(name: str, text: str, labels: Sequence[str]) -> Gauge:
            return Gauge(
                f"advae_{name}", text, labels, registry=registry, multiprocess_mode="mostrecent"
            )

        self.requests = counter("requests", "Requests answered.", ["route", "method", "status"])
        self.seconds = Histogram(
            "advae_request_seconds",
            "Time from a request's first byte to its answer.",
            ["route"],
            buckets=SECONDS,
            registry=registry,
        )
        self.rows = counter("rows", "Rows scored.", model)
        self.flagged = counter("flagged_rows", "Rows with a score above the threshold.", model)
        self.scores = Histogram(
            "advae_score", "Anomaly scores.", model, buckets=SCORES, registry=registry
        )
        columns = ["model", "column"]
        self.missing = counter("missing_values", "Missing values.", columns)
        self.unseen = counter(
            "unseen_values", "Values outside training's range, or rare or new in training.", columns
        )
        self.drift = gauge(
            "drift_index", "Population stability index of recent rows against training.", columns
        )
        self.chance = gauge(
            "drift_chance", "Index that chance alone exceeds in one column of 100.", columns
        )
        self.loads = counter("model_loads", "Attempts to load a model file.", ["model", "outcome"])
        self.loaded = gauge("model_loaded_seconds", "When the model was loaded, Unix time.", model)
        self.batches = counter("batches", "Computations that scored one or more requests.", model)
        self.shadow_rows = counter("shadow_rows", "Rows scored with the shadow model.", model)
        self.shadow_differing = counter(
            "shadow_disagreements", "Rows that one model flags and its shadow does not.", model
        )
        self.shadow_failures = counter(
            "shadow_failures",
            "Requests that the shadow model could not score or had no time for.",
            model,
        )

    def text(self) -> bytes:
        """Return all metrics in the text format of Prometheus."""
        if not self._shared:
            return generate_latest(self.registry)
        together = CollectorRegistry()
        MultiProcessCollector(together)  # type: ignore[no-untyped-call]
        return generate_latest(together)

    def monitor(self, model: str, detector: Detector) -> "Monitor":
        """Return what counts the rows that a model scores."""
        return Monitor(self, model, detector)


class _Watched(NamedTuple):
    """A column, and its place among the encoded ones."""

    column: Column
    places: list[int]


class Monitor:
    """Counts the rows that a model scored: flags, scores, missing and unseen values, drift.

    Rows are taken in at once and counted later by `flush`, because counting one row takes as long
    as scoring it.

    Parameters
    ----------
    metrics
        Where the counts go.
    model
        The model's name.
    detector
        The model.
    """

    def __init__(self, metrics: Metrics, model: str, detector: Detector) -> None:
        self._metrics, self._model, self._threshold = metrics, model, detector.threshold.value
        table = detector.table
        self._watched = [
            _Watched(feature, list(places))
            for feature, places in list(zip(table.features, table.places, strict=True))[
                :WATCHED_COLUMNS
            ]
        ]
        self._parts: deque[tuple[HostMatrix, Float[np.ndarray, "rows"]]] = deque()
        self._recent: deque[tuple[int, list[np.ndarray]]] = deque()
        self._recent_rows = 0
        self._flushing = threading.Lock()
        for metric in (metrics.rows, metrics.flagged, metrics.scores):
            metric.labels(model)
        metrics.loaded.labels(model).set(time.time())

    def observe(self, encoded: HostMatrix, scores: Float[np.ndarray, "rows"]) -> None:
        """Take in rows that were scored."""
        self._parts.append((encoded, scores))
        if len(self._parts) > WAITING_PARTS or len(scores) > RECENT_ROWS:
            self.flush()

    def flush(self) -> None:
        """Count the rows taken in so far, and measure their drift."""
        with self._flushing:
            parts = [self._parts.popleft() for _ in range(len(self._parts))]
            if not parts:
                return
            encoded = np.concatenate([part for part, _ in parts])
            self._count_scores(np.concatenate([scores for _, scores in parts]))
            self._count_columns(encoded)

    def _count_scores(self, scores: Float[np.ndarray, "rows"]) -> None:
        metrics, model = self._metrics, self._model
        metrics.rows.labels(model).inc(len(scores))
        metrics.flagged.labels(model).inc(int((scores > self._threshold).sum()))
        # A histogram of prometheus_client takes one value at a time; counts of many are added here
        # to the counters that it consists of.
        child = metrics.scores.labels(model)
        child._sum.inc(float(scores.sum()))
        counts = np.bincount(np.searchsorted(SCORES, scores), minlength=len(SCORES) + 1)
        for bucket, count in zip(child._buckets, counts, strict=True):
            bucket.inc(int(count))

    def _count_columns(self, encoded: HostMatrix) -> None:
        grouped = []
        for column, places in self._watched:
            positions, training = column.positions(encoded[:, places]), column.distribution
            groups = training.groups(positions)
            counts = np.bincount(groups, minlength=training.missing + 1).astype(float)
            grouped.append(counts)
            labels = self._model, column.name
            self._metrics.missing.labels(*labels).inc(float(counts[-1]))
            self._metrics.unseen.labels(*labels).inc(int(training.strange(positions).sum()))
        self._recent.append((len(encoded), grouped))
        self._recent_rows += len(encoded)
        while self._recent_rows - self._recent[0][0] >= RECENT_ROWS:
            self._recent_rows -= self._recent.popleft()[0]
        if self._recent_rows < FEWEST_ROWS:
            return
        for number, (column, _) in enumerate(self._watched):
            together = np.sum([counts[number] for _, counts in self._recent], axis=0)
            index, chance = column.distribution.drift(together)
            self._metrics.drift.labels(self._model, column.name).set(index)
            self._metrics.chance.labels(self._model, column.name).set(chance)
