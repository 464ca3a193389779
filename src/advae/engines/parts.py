"""A table of many files, scored file by file into a folder of parts, each row exactly once.

A worker scores a file as ``advae score`` does and puts its part in place whole. A manifest beside
the parts says which are finished, by which model: after a crash the same call does the rest.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple, Protocol

import polars as pl

from advae.detector.rows import open_rows
from advae.engines.models import PortableModel
from advae.errors import AdVAEError, InputError
from advae.files.paths import Data, expand_paths, file_format
from advae.files.sink import write_frames

if TYPE_CHECKING:
    from advae.engines.models import Model

MANIFEST = "_manifest.ndjson"
"""Begins with an underscore, as engines and Polars then take it for no part of the table."""


@dataclass(frozen=True)
class Job:
    """One file to score.

    Parameters
    ----------
    source
        The file.
    part
        The Parquet file to write.
    keep, explain
        As for ``Detector.score_batches``.
    bytes, modified
        Its size, and when it was written, in nanoseconds: a file that changed is scored again.
    """

    source: Path
    part: Path
    keep: tuple[str, ...]
    explain: int
    bytes: int
    modified: int

    @classmethod
    def of(cls, source: Path, folder: Path, keep: Sequence[str], explain: int) -> "Job":
        """Return the job of a file as it is now."""
        source, state = source.absolute(), source.stat()
        # Files of other folders may have the same name.
        digits = hashlib.sha256(str(source).encode()).hexdigest()[:8]
        part = folder.absolute() / f"{source.stem[:100]}-{digits}.parquet"
        return cls(source, part, tuple(keep), explain, state.st_size, state.st_mtime_ns)


class Outcome(NamedTuple):
    """What became of a job: how many rows, how many of them flagged; or an error's message."""

    job: Job
    rows: int = 0
    flagged: int = 0
    error: str | None = None


class Engine(Protocol):
    """What runs jobs, maybe on other machines that see the same files."""

    def run(self, model: PortableModel, jobs: Sequence[Job]) -> Iterator[Outcome]:
        """Yield what `score_file` returns for each job, in the order in which they end."""


class Totals(NamedTuple):
    """What a folder holds: parts, rows, flagged rows, and how many parts this call wrote.

    Examples
    --------
    >>> from advae.engines.parts import Totals
    >>> totals = Totals(parts=12, rows=3_600, flagged=9, written=2)  # 10 were there before
    >>> f"{totals.flagged / totals.rows:.2%}"
    '0.25%'
    """

    parts: int
    rows: int
    flagged: int
    written: int


def score_file(model: PortableModel, job: Job) -> Outcome:
    """Score a file into its part; what is wrong with its rows is in the outcome."""
    try:
        detector = model.detector()
        if file_format(job.source) in ("parquet", "arrow") and not _height(job.source):
            return Outcome(job)  # engines leave such files, and mean nothing by them
        source = open_rows(detector, job.source, keep=job.keep)
        rows = flagged = 0

        def counted() -> Iterator[pl.DataFrame]:
            nonlocal rows, flagged
            batches = source.batches()
            for frame in detector.score_batches(batches, keep=job.keep, explain=job.explain):
                rows += frame.height
                flagged += int(frame["is_anomaly"].sum())
                yield frame

        with source.located():
            write_frames(counted(), job.part)
        return Outcome(job, rows, flagged)
    except AdVAEError as error:
        message = str(error)
        named = str(job.source) in message
        return Outcome(job, error=message if named else f"{job.source}: {message}")


def score_files(
    data: Data,
    folder: str | Path,
    model: "Model",
    engine: Engine,
    *,
    keep: Sequence[str] = (),
    explain: int = 0,
) -> Totals:
    """Score files into a folder of Parquet parts, one for each file; or do the rest of it.

    Parameters
    ----------
    data
        Files, as for `open_source`.
    folder
        Where the parts go: a new folder, or one that an earlier call with this model has begun.
    model
        A detector, or the path of a model file.
    engine
        What runs the work, such as `advae.engines.ray.RayEngine`.
    keep, explain
        As for ``Detector.score_batches``. ``row`` counts from 0 in each file.

    Raises
    ------
    InputError
        If a file cannot be scored; the parts of others stay. If the folder holds anything else,
        such as scores by another model.

    Examples
    --------
    >>> import tempfile
    >>> from functools import partial
    >>> from pathlib import Path
    >>> import numpy as np
    >>> import polars as pl
    >>> import advae
    >>> from advae.engines.parts import score_file, score_files
    >>> normal = pl.DataFrame(np.random.default_rng(0).normal(size=(300, 2)))
    >>> detector = advae.fit_detector(normal, advae.Config(iterations=50))
    >>> class Here:  # an engine that runs in this process
    ...     def run(self, model, jobs):
    ...         return map(partial(score_file, model), jobs)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for month in ("may", "june"):
    ...         normal.write_parquet(Path(folder) / f"{month}.parquet")
    ...     totals = score_files(f"{folder}/*.parquet", f"{folder}/out", detector, Here())
    ...     scored = pl.read_parquet(f"{folder}/out/*.parquet")
    >>> totals.parts, totals.rows, scored.height
    (2, 600, 600)
    """
    portable, folder = PortableModel.of(model), Path(folder)
    jobs = [Job.of(path, folder, keep, explain) for path in expand_paths(data)]
    with _Manifest.opened(folder, portable.fingerprint, keep, explain) as manifest:
        manifest.check(jobs)
        left = [job for job in jobs if not manifest.has(job)]
        for outcome in engine.run(portable, left):
            if outcome.error is not None:
                raise InputError(outcome.error)
            manifest.add(outcome)
        return Totals(len(jobs), manifest.total("rows"), manifest.total("flagged"), len(left))


def _height(path: Path) -> int:
    scan = pl.scan_parquet if file_format(path) == "parquet" else pl.scan_ipc
    try:
        return int(scan(path, glob=False).select(pl.len()).collect().item())
    except (pl.exceptions.PolarsError, OSError):
        return 1  # what is wrong is said where the rows are read


class _Manifest:
    """Which parts are finished; a line is added when one is, and is on the disk then."""

    def __init__(self, stream: IO[bytes], entries: dict[str, dict[str, Any]]) -> None:
        self._stream, self._entries = stream, entries

    @classmethod
    @contextmanager
    def opened(
        cls, folder: Path, model: str, keep: Sequence[str], explain: int
    ) -> Iterator["_Manifest"]:
        """Begin a manifest, or go on with one, and keep others from doing so meanwhile."""
        header = {"scores_by": model, "keep": list(keep), "explain": explain}
        path = folder / MANIFEST
        try:
            folder.mkdir(exist_ok=True)
            found = any(folder.iterdir())
        except OSError as error:
            raise InputError(
                f"cannot write into {folder}: {error.strerror}. Name a folder that can be made."
            ) from None
        if not found:
            path.touch()
        elif not path.exists():
            raise InputError(f"{folder} holds other files. Name a folder that is new or empty.")
        with path.open("r+b") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise InputError(
                    f"another run is writing into {folder}. Wait until it ends."
                ) from None
            content = stream.read()
            whole = content.rfind(b"\n") + 1  # a crash may have cut the last line short
            stream.seek(whole)
            stream.truncate()
            lines = [json.loads(line) for line in content[:whole].splitlines()]
            if lines and lines[0] != header:
                raise InputError(
                    f"{folder} holds scores by another model, or with other columns: {lines[0]} "
                    f"instead of {header}. Name another folder."
                )
            for unfinished in folder.glob(".*.unfinished"):
                unfinished.unlink()  # of workers that were killed
            manifest = cls(stream, {line["source"]: line for line in lines[1:]})
            if not lines:
                manifest._write(header)
            yield manifest

    def check(self, jobs: Sequence[Job]) -> None:
        """Refuse a folder that has parts of files that are none of the table's."""
        others = self._entries.keys() - {str(job.source) for job in jobs}
        if others:
            raise InputError(
                f"{jobs[0].part.parent} holds scores of {len(others):,} other files, such as "
                f"{min(others)}. Name another folder, or those files, too."
            )

    def has(self, job: Job) -> bool:
        """Return whether the file as it is now has been scored."""
        entry = self._entries.get(str(job.source))
        if entry is None or (entry["rows"] and not job.part.exists()):
            return False
        return (entry["bytes"], entry["modified"]) == (job.bytes, job.modified)

    def add(self, outcome: Outcome) -> None:
        """Note that a part is finished."""
        job = outcome.job
        entry = {
            "source": str(job.source),
            "bytes": job.bytes,
            "modified": job.modified,
            "part": job.part.name,
            "rows": outcome.rows,
            "flagged": outcome.flagged,
        }
        self._entries[str(job.source)] = entry
        self._write(entry)

    def total(self, name: str) -> int:
        """Return the sum of ``rows`` or ``flagged`` over all parts."""
        return sum(entry[name] for entry in self._entries.values())

    def _write(self, line: dict[str, Any]) -> None:
        self._stream.write(json.dumps(line).encode() + b"\n")
        self._stream.flush()
        os.fsync(self._stream.fileno())
