"""From a table of normal rows to a detector for each segment."""

import hashlib
import io
import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import numpy as np
import polars as pl

from advae.config import Config
from advae.core.randomness import choice
from advae.detector import model_file, record
from advae.detector.bundle import Bundle, Key, Segment, load_bundle, rows_by_key, spelled, writing
from advae.detector.detector import Detector
from advae.detector.fitting import fit_detector
from advae.errors import AdVAEError, ConfigError, InputError, quoted
from advae.files.options import ReadOptions
from advae.parallel import ahead
from advae.tables.frames import BatchSchema, as_batches, joined, names_given
from advae.tables.labels import LabelColumn
from advae.tables.values import NAME_ANOTHER, check_columns

FEWEST_ROWS = 100
"""A segment with fewer rows has no detector of its own, unless other numbers are asked for."""

MANY = 30
"""Segments to learn, from more than which on each has fewer iterations than its rows would take."""

ITERATIONS = 1000
"""Of a detector of many: a thousand are to be learned in minutes, and tables of 300 to 1,500 rows
lose little by it (`benchmarks.accuracy.small_tables`)."""

Done = TypeVar("Done")

OURS = re.compile(r"[0-9a-f]{64}\.advae|fallback\.(advae|checkpoint)|\..*\.unfinished")
"""Names of files of a checkpoint, those that a killed process did not finish among them."""

OnSegment = Callable[[int, int], None]
"""Called after each segment with how many are done, and of how many."""


def fit_detectors(
    data: Any,
    by: str | Sequence[str],
    config: Config | None = None,
    *,
    fewest: int = FEWEST_ROWS,
    label: str | LabelColumn | None = None,
    hashed: Collection[str] = (),
    ignored: Collection[str] = (),
    sample: int = 500_000,
    output: str | Path | None = None,
    checkpoint: str | Path | None = None,
    resume: bool = False,
    reading: ReadOptions | None = None,
    on_segment: OnSegment | None = None,
) -> Bundle:
    """Learn what is normal in each segment of a table.

    Segments share compiled programs: the second and all later ones of a kind take no compilation.
    As many are learned at a time as there are processors to use.
    Each detector has a threshold of its own, which promises its share of alarms in its segment.

    Parameters
    ----------
    data
        Normal rows of all segments: a table or its batches. All rows are held in memory.
    by
        The columns that tell segments apart, compared as texts; they are not learned.
    config, label, hashed, ignored, sample, reading
        See `fit_detector`; ``sample`` counts for each detector, and for the fallback. Without
        ``iterations`` in the settings a segment's detector has as many as `fit_detector` gives its
        rows; where more than `MANY` segments are learned, `ITERATIONS`.
    fewest
        A segment with fewer rows is left to the fallback.
    output
        Where to write the detectors as they are learned; then few of them are held in memory, and
        the file is what is returned. None to hold them all.
    checkpoint
        A folder for the models of finished segments while the others are learned; it goes when
        ``output`` is written. None keeps none.
    resume
        Take what the folder has of the same rows and settings, and learn the rest.
    on_segment
        Called after each segment with how many are done, and of how many; an exception from it
        ends the work, and leaves no file but those of ``checkpoint``.

    Raises
    ------
    InputError
        If the table cannot be used, or all segments have too few rows.
    ConfigError
        For a setting that cannot be.
    ModelFileError
        If the checkpoint is damaged.

    Examples
    --------
    >>> import numpy as np
    >>> import polars as pl
    >>> import advae
    >>> price, weight = np.random.default_rng(0).normal(size=(2, 600))
    >>> shop = ["A"] * 300 + ["B"] * 300
    >>> sales = pl.DataFrame({"shop": shop, "price": price, "weight": weight})
    >>> config = advae.Config(iterations=50)
    >>> bundle = advae.fit_detectors(sales, "shop", config, sample=300)
    >>> [(segment.key, segment.rows) for segment in bundle.segments]
    [(('A',), 300), (('B',), 300)]
    >>> new = {"shop": ["A", "C"], "price": [0.1, 0.1], "weight": [0.2, 0.2]}
    >>> bundle.anomaly_score(new).shape  # C by the fallback
    (2,)
    """
    config = Config.of(config)
    if fewest < 2:
        raise ConfigError(f"fewest is {fewest}; expected at least 2 rows")
    names = names_given([by] if isinstance(by, str) else by)
    if not names:
        raise ConfigError("by names no column; expected those that tell segments apart")
    frame = _gathered(data, names)
    if checkpoint is not None and output is None:
        raise ConfigError("checkpoint is of an output that is written; expected output as well")
    known = LabelColumn.of(label)
    if known is not None and known.name in names:
        raise ConfigError(f"by names {quoted(known.name)}, which is the label; expected another")
    settings: dict[str, Any] = {
        "label": known,
        "hashed": [name for name in names_given(hashed) if name not in names],
        "ignored": [*names_given(ignored), *names],
        "sample": sample,
        "reading": reading,
    }
    parts = sorted(rows_by_key(frame, names), key=lambda part: _order(part[0]))
    enough = [len(rows) for _, rows in parts if len(rows) >= fewest]
    if not enough:
        most = max((len(rows) for _, rows in parts), default=0)
        raise InputError(
            f"no segment by {', '.join(map(quoted, names))} has {fewest:,} rows (the largest of "
            f"{len(parts):,} has {most:,}). Name columns with fewer different values, or lower the "
            "least number of rows."
        )
    each = replace(config, iterations=ITERATIONS) if shortened(config, enough) else config

    def of_one(part: tuple[Key, np.ndarray]) -> tuple[Segment, Detector | None]:
        return _segment(frame[part[1]], part[0], each, fewest, settings)

    def told(done: Iterator[Done]) -> Iterator[Done]:
        for number, found in enumerate(done):
            yield found
            if on_segment is not None:
                on_segment(number + 1, len(parts) + 1)

    others = partial(fit_detector, _sampled(frame, sample, config.seed), config, **settings)
    if output is None:
        found = list(told(ahead(of_one, parts)))
        own = {segment.key: detector for segment, detector in found if detector is not None}
        bundle = Bundle(tuple(names), tuple(segment for segment, _ in found), own, others())
    else:
        kept = None if checkpoint is None else Path(checkpoint)
        with _folder(kept, resume) as folder:

            def in_file(part: tuple[Key, np.ndarray]) -> tuple[Segment, Path | None]:
                key, rows = part[0], frame[part[1]]
                path = folder / f"{_digest(rows, key, each, settings)}.advae"
                if path.exists():
                    threshold = record.read(path)[0].threshold.value
                    return Segment(key, rows.height, threshold), path
                segment, detector = _segment(rows, key, each, fewest, settings)
                if detector is None:
                    return segment, None
                model_file.save(detector, path)
                return segment, path

            models = list(told(ahead(in_file, parts)))
            fallback = folder / "fallback.advae"
            learned = others(checkpoint=folder / "fallback.checkpoint", resume=resume)
            model_file.save(learned, fallback)
            with writing(output, names) as add:
                for segment, path in models:
                    add(segment, path)
                add(None, fallback)
        bundle = load_bundle(output)
    if on_segment is not None:
        on_segment(len(parts) + 1, len(parts) + 1)
    return bundle


def shortened(config: Config, rows: Sequence[int]) -> bool:
    """Return whether detectors of segments of so many rows have fewer iterations than alone."""
    alone = config.iterations_for(max(rows, default=0))
    return config.iterations is None and len(rows) > MANY and alone > ITERATIONS


@contextmanager
def _folder(kept: Path | None, resume: bool) -> Iterator[Path]:
    """Lend a folder for finished models, which goes when the block ends well.

    After an exception a folder to be ``kept`` stays; what it has already is there with ``resume``.
    """
    if kept is None:
        with TemporaryDirectory() as temporary:
            yield Path(temporary)
        return
    try:
        kept.mkdir(exist_ok=True)
        if not resume:
            _clear(kept)
    except OSError as error:
        raise InputError(f"cannot keep models in {kept}: {error.strerror}. Remove it.") from None
    yield kept
    _clear(kept)
    with suppress(OSError):  # somebody else's files stay, and the folder with them
        kept.rmdir()


def _clear(folder: Path) -> None:
    """Remove what `fit_detectors` keeps in a folder, and nothing else."""
    for path in folder.iterdir():
        if OURS.fullmatch(path.name):
            path.unlink()


def _digest(frame: pl.DataFrame, key: Key, config: Config, settings: Mapping[str, Any]) -> str:
    """Return what tells a segment from one with other rows, settings or versions."""
    said = [key, config.to_json(), repr(settings), version("advae"), version("jax")]
    rows = io.BytesIO()
    frame.write_ipc(rows)
    return hashlib.sha256(json.dumps(said).encode() + rows.getvalue()).hexdigest()


def _gathered(data: Any, names: Sequence[str]) -> pl.DataFrame:
    batches = list(map(BatchSchema().match, as_batches(data)))
    if not batches:
        raise InputError("there is no table to learn from: no frame came. Give at least one.")
    check_columns(names, batches[0].columns, "the table", advice=NAME_ANOTHER)
    return joined(batches)


def _order(key: Key) -> tuple[tuple[bool, str], ...]:
    return tuple((value is None, value or "") for value in key)


def _segment(
    frame: pl.DataFrame,
    key: Key,
    config: Config,
    fewest: int,
    settings: dict[str, Any],
) -> tuple[Segment, Detector | None]:
    """Return a segment and its detector, or why it has none."""
    count = frame.height
    if count < fewest:
        return Segment(key, count, None, f"{count:,} rows, fewer than {fewest:,}"), None
    try:
        detector = fit_detector(frame, config, **settings)
    except InputError as error:  # such as rows that are all identical
        return Segment(key, count, None, str(error)), None
    except AdVAEError as error:
        raise type(error)(f"segment {spelled(key)}: {error}") from None
    note = f"Segment {spelled(key)} of a bundle."
    summary = replace(detector.summary, notes=(note, *detector.summary.notes))
    return Segment(key, count, detector.threshold.value), replace(detector, summary=summary)


def _sampled(frame: pl.DataFrame, most: int, seed: int) -> pl.DataFrame:
    if frame.height <= most:
        return frame
    drawn = choice(seed, "fallback rows", frame.height).permutation(frame.height)[:most]
    return frame[np.sort(drawn)]
