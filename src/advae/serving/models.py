"""Models of a service: loaded, replaced while it runs, and asked for scores."""

import asyncio
import hashlib
import json
import logging
import queue
import shutil
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Bool, Float

from advae.core.arrays import HostMatrix
from advae.core.threshold import p_values
from advae.detector import model_file
from advae.detector.detector import Detector
from advae.detector.explanation import example_rows
from advae.errors import AdVAEError, InputError, ModelFileError
from advae.parallel import BLOCK_ROWS, available
from advae.serving.bodies import RequestError, Rows, refusal_of
from advae.serving.metrics import Metrics, Monitor
from advae.tables.values import to_texts

log = logging.getLogger("advae.serving")

SMALL_ROWS = 64
"""Requests of at most so many rows are scored together with others that wait."""

GATHER_SECONDS = 0.002
"""The most that small requests wait for as many as the last ones were: otherwise the first of those
that are on their way is scored alone, and all others wait for it."""

SHADOW_WAITING = 64
SHADOW_BYTES = 2**25
"""Batches, and bytes of their bodies, that may wait for the shadow model; further ones are left
out, and counted."""


@dataclass(frozen=True)
class Loaded:
    """A model file that was loaded, and what is derived from it once."""

    detector: Detector
    fingerprint: str
    example: pl.DataFrame
    monitor: Monitor
    reference: Float[np.ndarray, "reference_rows"]


@dataclass(frozen=True)
class Scored:
    """Scores of the rows of one request, each shape (rows,), and the reasons when asked."""

    scores: Float[np.ndarray, "rows"]
    flags: Bool[np.ndarray, "rows"]
    p_values: Float[np.ndarray, "rows"]
    explained: pl.DataFrame | None = None

    def frame(self) -> pl.DataFrame:
        """Return what `Detector.score_batches` gives for the rows."""
        if self.explained is not None:
            return self.explained
        return pl.DataFrame(
            {
                "row": np.arange(len(self.scores)),
                "anomaly_score": self.scores,
                "is_anomaly": self.flags,
                "p_value": self.p_values,
            }
        )

    def records(self) -> list[dict[str, Any]]:
        """Return the rows as JSON has them."""
        if self.explained is not None:
            return self.explained.drop("row").to_dicts()
        names = ("anomaly_score", "is_anomaly", "p_value")
        columns = self.scores.tolist(), self.flags.tolist(), self.p_values.tolist()
        return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


@dataclass(frozen=True)
class _Job:
    """A request that waits for its scores."""

    rows: Rows
    explain: int
    answer: "asyncio.Future[Scored]"
    loop: asyncio.AbstractEventLoop

    def give(self, result: Scored | BaseException) -> None:
        if self.answer.done():  # whoever asked has gone, or has waited too long
            return
        if isinstance(result, BaseException):
            self.answer.set_exception(result)
        else:
            self.answer.set_result(result)


class Model:
    """A model of the service, known by a name: the detector in use, and threads that score.

    Small requests that come while others are computed are scored together after these, by one
    computation: a row alone takes as long as a block of 128. Where several came together, the next
    ones wait up to `GATHER_SECONDS` for as many. Larger ones have threads of their own, so that
    small ones don't wait for them.

    Parameters
    ----------
    name
        What the address calls it.
    path
        The model file, which may be replaced while the service runs.
    kept
        A folder for copies of files that were good, which processes of the service share.
    metrics
        Where requests and rows are counted.
    shadow
        The file of a second model that scores the same rows, for metrics only.

    Raises
    ------
    ModelFileError
        If neither the file nor an earlier copy of it can be used.
    """

    def __init__(
        self, name: str, path: Path, kept: Path, metrics: Metrics, shadow: Path | None = None
    ) -> None:
        self.name, self.path = name, path
        self._kept, self._metrics = kept, metrics
        self._seen = _signature(path)
        try:
            self.current = self._load(path)
        except AdVAEError:
            # A worker that replaces a dead one, after the file has been damaged.
            if not self._copy.exists():
                raise
            self.current = self._load(self._copy)
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._pool = ThreadPoolExecutor(available(), f"advae-{name}")
        self._thread = threading.Thread(target=self._score_small, daemon=True)
        self._thread.start()
        self._shadow = None if shadow is None else _Shadow(name, shadow, metrics)

    @property
    def _copy(self) -> Path:
        return self._kept / f"{hashlib.sha256(self.name.encode()).hexdigest()}.advae"

    def _load(self, path: Path) -> Loaded:
        """Load a file and keep a copy of it; only a file that passes every check is kept."""
        snapshot = self._kept / f"{self._copy.stem}-{threading.get_native_id()}.new"
        try:
            try:
                shutil.copyfile(path, snapshot)
            except OSError as error:
                raise ModelFileError(f"{path}: {error.strerror}. Restore the file.") from None
            loaded = load(snapshot, path, self.name, self._metrics)
            snapshot.replace(self._copy)
        except AdVAEError:
            self._metrics.loads.labels(self.name, "refused").inc()
            raise
        finally:
            snapshot.unlink(missing_ok=True)
        self._metrics.loads.labels(self.name, "loaded").inc()
        return loaded

    def refresh(self, asked: bool = False) -> None:
        """Take over the file if it has changed and is good; say so, or why not, in the log."""
        found = _signature(self.path)
        if not asked and (found == self._seen or found is None):
            return
        self._seen = found
        before = self.current
        try:
            loaded = self._load(self.path)
        except AdVAEError as error:
            log.error(
                "model refused, the earlier one stays",
                extra={"model": self.name, "why": str(error)},
            )
            return
        self.current = loaded
        before.monitor.flush()
        log.info("model loaded", extra={"model": self.name, "fingerprint": loaded.fingerprint[:12]})

    async def score(self, rows: Rows, explain: int = 0) -> Scored:
        """Return the scores of rows, and of each so many reasons.

        Raises
        ------
        RequestError
            422 for rows that cannot be scored.
        """
        loop = asyncio.get_running_loop()
        job = _Job(rows, explain, loop.create_future(), loop)
        if rows.height <= SMALL_ROWS and not explain and rows.single_types() and rows.columns:
            self._jobs.put(job)
            return await job.answer
        return await loop.run_in_executor(self._pool, self._score_large, rows, explain)

    def close(self) -> None:
        """End the threads once they have scored what waits."""
        self._jobs.put(None)
        self._thread.join(timeout=30)
        self._pool.shutdown()
        self.current.monitor.flush()
        if self._shadow is not None:
            self._shadow.close()

    def _score_large(self, rows: Rows, explain: int) -> Scored:
        loaded = self.current
        detector = loaded.detector
        try:
            frame = rows.as_frame(detector)
            parts = [encoded for _, encoded in detector.table.transform_parts(frame)]
            if explain:
                explained = pl.concat(detector.score_batches([frame], explain=explain))
                scores = explained["anomaly_score"].to_numpy()
            else:
                explained = None
                scores = np.concatenate([detector.anomaly_score_encoded(part) for part in parts])
        except InputError as error:
            raise refusal_of(error, detector) from None
        self._count(loaded, np.concatenate(parts), scores, [rows])
        return _scored(loaded, scores, explained)

    def _score_small(self) -> None:
        """Score what waits, until there is an end."""
        ending, together = False, 0
        while not ending:
            jobs: list[_Job] = []
            job = self._jobs.get()
            height, latest = 0, time.monotonic() + GATHER_SECONDS
            while job is not None:
                jobs.append(job)
                height += job.rows.height
                if height >= BLOCK_ROWS:
                    break
                left = latest - time.monotonic() if len(jobs) < together else 0.0
                try:
                    job = self._jobs.get(timeout=left) if left > 0 else self._jobs.get_nowait()
                except queue.Empty:
                    break
            ending, together = job is None, len(jobs)
            waiting = [job for job in jobs if not job.answer.done()]
            if waiting:
                try:
                    results = self._score_together([job.rows for job in waiting])
                except Exception as error:  # such as no memory; the thread goes on
                    log.exception("scoring failed", extra={"model": self.name})
                    results = [error] * len(waiting)
                given = list(zip(waiting, results, strict=True))
                waiting[0].loop.call_soon_threadsafe(_give_all, given)

    def _score_together(self, requests: Sequence[Rows]) -> "list[Scored | BaseException]":
        """Return for each of some requests its scores, or what is wrong with it."""
        loaded = self.current
        order, encoded, refused = _encoded(loaded.detector, requests)
        none = RuntimeError("no result")
        results: list[Scored | BaseException] = [
            refused.get(member, none) for member in range(len(requests))
        ]
        if encoded is not None:
            scores = loaded.detector.anomaly_score_encoded(encoded)
            self._count(loaded, encoded, scores, [requests[member] for member in order])
            first = 0
            for member in order:
                height = requests[member].height
                results[member] = _scored(loaded, scores[first : first + height])
                first += height
        return results

    def _count(
        self,
        loaded: Loaded,
        encoded: HostMatrix,
        scores: Float[np.ndarray, "rows"],
        requests: list[Rows],
    ) -> None:
        loaded.monitor.observe(encoded, scores)
        self._metrics.batches.labels(self.name).inc()
        if self._shadow is not None:
            self._shadow.compare(requests, scores > loaded.detector.threshold.value)


def _give_all(results: "Iterable[tuple[_Job, Scored | BaseException]]") -> None:
    for job, result in results:
        job.give(result)


def _scored(
    loaded: Loaded, scores: Float[np.ndarray, "rows"], explained: pl.DataFrame | None = None
) -> Scored:
    flags = scores > loaded.detector.threshold.value
    return Scored(scores, flags, p_values(loaded.reference, scores), explained)


def _alike(requests: Sequence[Rows]) -> list[list[int]]:
    """Group requests whose columns hold values of one type, written in one way.

    Only those may become one frame. Among numbers of two types a whole one, as the name of a
    category, would become another text: "1.0" instead of "1".
    """
    groups: list[tuple[dict[str, type], tuple[bool, set[str]], list[int]]] = []
    for number, rows in enumerate(requests):
        names = rows.written, set(rows.columns or ())
        for types, known, members in groups:
            if names == known and all(types.get(n, t) is t for n, t in rows.types.items()):
                types.update(rows.types)
                members.append(number)
                break
        else:
            groups.append((dict(rows.types), names, [number]))
    return [members for _, _, members in groups]


def _encoded(
    detector: Detector, requests: Sequence[Rows]
) -> tuple[list[int], HostMatrix | None, dict[int, RequestError]]:
    """Encode requests of Python values: which, in the order of their rows, and those refused."""
    refused: dict[int, RequestError] = {}
    order: list[int] = []
    parts: list[HostMatrix] = []

    def encode(members: list[int]) -> None:
        """Encode the rows of some requests at once, or one by one if a value cannot be read."""
        merged: dict[str, list[Any]] = {}
        for member in members:
            for name, values in (requests[member].columns or {}).items():
                merged[name] = merged.get(name, []) + values
        height = sum(requests[member].height for member in members)
        together = Rows(height, merged, requests[members[0]].written)
        try:
            parts.append(detector.table.transform(together.as_frame(detector)))
            order.extend(members)
        except (InputError, RequestError) as error:
            if len(members) == 1:
                refused[members[0]] = refusal_of(error, detector)
                return
            for member in members:
                encode([member])

    for members in _alike(requests):
        encode(members)
    return order, np.concatenate(parts) if parts else None, refused


def load(snapshot: Path, path: Path, name: str, metrics: Metrics) -> Loaded:
    """Load a copy of a model file, check it by its golden rows, and compile what requests need.

    Raises
    ------
    ModelFileError
        If the file is not a model that scores here as where it was written; it names ``path``.
    """
    try:
        detector = model_file.load(snapshot)
    except ModelFileError as error:
        raise ModelFileError(str(error).replace(str(snapshot), str(path))) from None
    example = example_rows(detector)
    detector.explain(example)
    detector.anomaly_score(example)
    fingerprint = hashlib.sha256(snapshot.read_bytes()).hexdigest()
    monitor = metrics.monitor(name, detector)
    return Loaded(detector, fingerprint, example, monitor, np.sort(detector.reference_scores))


def described(model: Model) -> Mapping[str, Any]:
    """Return what there is to know of a model before asking it."""
    loaded = model.current
    detector = loaded.detector
    threshold = detector.threshold
    return {
        "name": model.name,
        "fingerprint": loaded.fingerprint,
        "columns": [
            {
                "name": feature.name,
                "kind": feature.kind,
                "training_rows": feature.profile.rows,
                "missing_in_training": feature.profile.missing,
            }
            for feature in detector.table.features
        ],
        "ignored_columns": list(detector.ignored),
        "threshold": {
            "value": threshold.value,
            "method": threshold.method,
            "alpha": threshold.alpha,
            "why": threshold.why,
        },
        "facts": detector.facts,
        "example": _records(loaded.example),
    }


class _Shadow:
    """A second model that scores the same rows in its own time, and is only compared."""

    def __init__(self, name: str, path: Path, metrics: Metrics) -> None:
        self._name, self._metrics = name, metrics
        self._detector = model_file.load(path)
        self._waiting: queue.Queue[tuple[list[Rows], np.ndarray] | None] = queue.Queue(
            SHADOW_WAITING
        )
        self._bytes, self._lock = 0, threading.Lock()
        for metric in (metrics.shadow_rows, metrics.shadow_differing, metrics.shadow_failures):
            metric.labels(name)
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def compare(self, requests: list[Rows], flags: Bool[np.ndarray, "rows"]) -> None:
        """Take requests, and the flags of their rows, to compare them when there is time."""
        size = sum(rows.size for rows in requests)
        with self._lock:
            if self._bytes and self._bytes + size > SHADOW_BYTES:
                self._failed(len(requests))
                return
            self._bytes += size
        try:
            self._waiting.put_nowait((requests, flags))
        except queue.Full:
            self._done(size)
            self._failed(len(requests))

    def close(self) -> None:
        self._waiting.put(None)
        self._thread.join(timeout=30)

    def _work(self) -> None:
        while (task := self._waiting.get()) is not None:
            requests, flags = task
            try:
                self._compare(requests, flags)
            except Exception:  # such as no memory; the thread goes on
                self._failed(len(requests))
            self._done(sum(rows.size for rows in requests))

    def _compare(self, requests: list[Rows], flags: Bool[np.ndarray, "rows"]) -> None:
        """Read requests for this model, score their rows and count."""
        read: list[Rows] = []
        given: list[np.ndarray] = []
        first = 0
        for rows in requests:
            own = flags[first : first + rows.height]
            first += rows.height
            try:
                assert rows.again is not None
                again = rows.again(self._detector)
                small = again.columns and again.height <= SMALL_ROWS
                if small and again.single_types():
                    read.append(again)
                    given.append(own)
                else:
                    self._differing(self._detector.is_anomaly(again.as_frame(self._detector)), own)
            except AdVAEError:
                self._failed(1)
        order, encoded, refused = _encoded(self._detector, read)
        self._failed(len(refused))
        if encoded is not None:
            scores = self._detector.anomaly_score_encoded(encoded)
            found = scores > self._detector.threshold.value
            self._differing(found, np.concatenate([given[member] for member in order]))

    def _differing(self, found: Bool[np.ndarray, "rows"], flags: Bool[np.ndarray, "rows"]) -> None:
        differing = int((found != flags).sum())  # raises where the rows are not as many
        self._metrics.shadow_rows.labels(self._name).inc(len(flags))
        self._metrics.shadow_differing.labels(self._name).inc(differing)

    def _failed(self, requests: int) -> None:
        self._metrics.shadow_failures.labels(self._name).inc(requests)

    def _done(self, size: int) -> None:
        with self._lock:
            self._bytes -= size


def _signature(path: Path) -> tuple[int, int, int] | None:
    """Return what changes when a file is replaced; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _records(frame: pl.DataFrame) -> list[dict[str, Any]]:
    """Return rows as records that JSON can hold: times as texts."""
    times = [name for name, dtype in frame.schema.items() if dtype.is_temporal()]
    plain = frame.with_columns(to_texts(frame[name]) for name in times)
    records: list[dict[str, Any]] = json.loads(plain.write_json())
    return records
