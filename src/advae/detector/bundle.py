"""One detector for each segment of a table, and one for all other rows, in one file.

The file is an uncompressed ZIP archive: ``index.json``, and a model file for each detector, so that
one is read without the others. Nothing in it can run.
"""

import json
import os
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import polars as pl
from jaxtyping import Float

from advae.atomic import replacing_path
from advae.detector import model_file
from advae.detector.detector import Detector
from advae.errors import AdVAEError, InputError, ModelFileError, quoted, quoted_list
from advae.tables.frames import BatchSchema, as_batches, check_free, merged
from advae.tables.values import check_columns, to_texts
from advae.tensorfile import is_single

Key: TypeAlias = tuple[str | None, ...]
"""What a segment has in the columns that tell segments apart, as text; None where it is missing."""

HELD = 400_000_000
"""Bytes of model files whose detectors are held, the last ones used; in memory they take up to
twice as many."""

ROWS_AT_ONCE = 500_000
"""Most rows that are parted into segments together: the more, the fuller is each call."""

_INDEX, _FALLBACK, _VERSION = "index.json", "fallback.advae", 1
_LARGEST_INDEX = 2**28


@dataclass(frozen=True)
class Segment:
    """A segment of the training table.

    Parameters
    ----------
    key
        Its values in the columns that tell segments apart.
    rows
        How many training rows it had.
    threshold
        Of its detector; None if it has none.
    why
        Why it has no detector of its own; empty if it has one.

    Examples
    --------
    >>> import numpy as np
    >>> import polars as pl
    >>> import advae
    >>> price, weight = np.random.default_rng(0).normal(size=(2, 600))
    >>> shop = ["A"] * 300 + ["B"] * 300
    >>> sales = pl.DataFrame({"shop": shop, "price": price, "weight": weight})
    >>> config = advae.Config(iterations=50)
    >>> bundle = advae.fit_detectors(sales[:350], "shop", config, sample=300)
    >>> own, few = bundle.segments
    >>> own.threshold == bundle.detector("A").threshold.value
    True
    >>> few.why
    '50 rows, fewer than 100'
    """

    key: Key
    rows: int
    threshold: float | None
    why: str = ""


class Models(Mapping[Key, Detector]):
    """The detectors of a file by segment, each read when it is asked for.

    The file stays open: its directory is read once, and what replaces it is another bundle.
    """

    def __init__(self, archive: zipfile.ZipFile, path: Path, files: Mapping[Key, str]) -> None:
        self._files = files
        sizes = [each.file_size for each in archive.infolist()]
        room = max(1, HELD * len(sizes) // sum(sizes))
        # Not a method of its own, which would keep the file open until garbage is looked for.
        self._read = lru_cache(maxsize=room)(partial(_model, archive, path, checked=set()))

    def __getitem__(self, key: Key) -> Detector:
        """Return the detector of a segment."""
        return self._read(self._files[key])

    def __contains__(self, key: object) -> bool:
        """Return whether a segment has a detector, which is not read for that."""
        return key in self._files

    def __iter__(self) -> Iterator[Key]:
        """Yield the segments that have a detector."""
        return iter(self._files)

    def __len__(self) -> int:
        """Return how many segments have a detector."""
        return len(self._files)


@dataclass(frozen=True, eq=False)
class Bundle:
    """Detectors by segment, made by `fit_detectors` or `load_bundle`.

    Parameters
    ----------
    by
        The columns that tell segments apart. Their values are compared as texts, and no detector
        learns them.
    segments
        Those of the training table, in the order of their keys.
    detectors
        Of the segments that have one.
    fallback
        Learned from a sample of all rows; it scores the rows of every other segment.

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
    >>> bundle.detector("B").is_anomaly({"price": [0.0, 9.0], "weight": [0.0, 0.0]})
    array([False,  True])
    >>> new = {"shop": ["A", "C"], "price": [0.1, 0.1], "weight": [0.2, 0.2]}
    >>> (scored,) = bundle.score_batches(new)
    >>> scored["own_model"].to_list()
    [True, False]
    """

    by: tuple[str, ...]
    segments: tuple[Segment, ...]
    detectors: Mapping[Key, Detector]
    fallback: Detector

    def detector(self, *key: object) -> Detector:
        """Return the detector of a segment, by its value in each of ``by``.

        Raises
        ------
        InputError
            If no segment with a detector has these values.
        """
        found = tuple(to_texts(pl.Series([value]))[0] for value in key)
        if found not in self.detectors:
            own = ", ".join(
                f"{name} {quoted(value)}" for name, value in zip(self.by, key, strict=False)
            )
            several = [segment for segment in self.segments if segment.key == found]
            why = several[0].why if several else "training had no such rows"
            raise InputError(
                f"no model of its own for {own or 'nothing'}: {why}. Segments with one are such as "
                f"{quoted_list([' / '.join(map(str, each)) for each in self.detectors], 5)}."
            )
        return self.detectors[found]

    def anomaly_score(self, data: Any) -> Float[np.ndarray, "rows"]:
        """Return the score of each row by the detector of its segment, shape (rows,)."""
        return np.concatenate(
            [frame["anomaly_score"].to_numpy() for frame in self.score_batches(data)]
        )

    def score_batches(
        self, batches: Any, *, keep: Sequence[str] = (), explain: int = 0
    ) -> Iterator[pl.DataFrame]:
        """Score a table, each row by the detector of its segment.

        Parameters
        ----------
        batches
            The training columns and those of ``by``, in any order; see
            `advae.tables.frames.as_batches`.
        keep, explain
            See `Detector.score_batches`.

        Yields
        ------
        polars.DataFrame
            ``row`` from 0, the columns of ``by``, and the others of `Detector.score_batches`, with
            ``own_model`` before them: whether the row's segment has a detector of its own.

        Raises
        ------
        InputError
            For a missing or clashing column, or a value that cannot be read.
        """
        check_free([*self.by, *keep], ["own_model"])
        kept = list(dict.fromkeys([*self.by, *keep]))
        first = 0
        for frame in merged(map(BatchSchema().match, as_batches(batches)), ROWS_AT_ONCE):
            check_columns(self.by, frame.columns, "the table")
            parts = [
                self._scored(frame[rows], rows, key, kept, explain)
                for key, rows in self._routes(frame)
            ]
            scored = pl.concat(parts, how="diagonal_relaxed").sort("row")
            yield scored.with_columns(row=pl.col("row") + first)
            first += frame.height

    def _routes(self, frame: pl.DataFrame) -> Iterator[tuple[Key | None, np.ndarray]]:
        """Yield the rows of each segment that has a detector, then all others under None."""
        others = [np.empty(0, np.int64)]
        for key, rows in rows_by_key(frame, self.by):
            if key in self.detectors:
                yield key, rows
            else:
                others.append(rows)
        rest = np.sort(np.concatenate(others))
        if len(rest) or not frame.height:
            yield None, rest

    def _scored(
        self,
        frame: pl.DataFrame,
        rows: np.ndarray,
        key: Key | None,
        kept: Sequence[str],
        explain: int,
    ) -> pl.DataFrame:
        detector = self.fallback if key is None else self.detectors[key]
        try:
            scored: pl.DataFrame
            (scored,) = detector.score_batches([frame], keep=kept, explain=explain)
        except AdVAEError as error:
            if key is None:
                raise
            raise InputError(f"segment {spelled(key)}: {error}") from None
        own = pl.Series("own_model", np.full(len(rows), key is not None))
        place = 1 + len(kept)
        return scored.with_columns(row=pl.Series(rows)).insert_column(place, own)

    def save(self, path: str | Path) -> None:
        """Write all detectors to one file.

        Raises
        ------
        InputError
            If the file cannot be written.
        """
        with writing(path, self.by) as add, tempfile.TemporaryDirectory() as folder:
            own = Path(folder) / "model.advae"
            for segment in self.segments:
                if (detector := self.detectors.get(segment.key)) is not None:
                    model_file.save(detector, own)
                add(segment, None if detector is None else own)
            model_file.save(self.fallback, own)
            add(None, own)


def spelled(key: Key) -> str:
    """Return a key as text."""
    return " / ".join("(missing)" if value is None else value for value in key)


def keys_of(frame: pl.DataFrame, by: Sequence[str]) -> pl.DataFrame:
    """Return the key of each row: a column of texts for each of ``by``, called by its place."""
    return pl.DataFrame([to_texts(frame[name]).alias(str(at)) for at, name in enumerate(by)])


def rows_by_key(frame: pl.DataFrame, by: Sequence[str]) -> Iterator[tuple[Key, np.ndarray]]:
    """Yield the positions of the rows of each segment, in the order of the segments' first rows."""
    texts = keys_of(frame, by)
    parts = texts.with_row_index("place").group_by(texts.columns, maintain_order=True)
    for key, part in parts:
        yield tuple(key), part["place"].to_numpy().astype(np.int64)


class Writer:
    """Puts model files into an archive as they come."""

    def __init__(self, archive: zipfile.ZipFile, by: Sequence[str]) -> None:
        self._archive = archive
        self._index: dict[str, Any] = {"version": _VERSION, "by": list(by), "segments": []}

    def __call__(self, segment: Segment | None, path: Path | None) -> None:
        """Add a segment and the file of its model, or under None that of all other rows."""
        name = _FALLBACK
        if segment is not None:
            entry: dict[str, Any] = asdict(segment)
            if path is not None:
                entry["file"] = name = f"segments/{len(self._index['segments']):06}.advae"
            self._index["segments"].append(entry)
        if path is not None:
            self._add(name, path.read_bytes())

    def finish(self) -> None:
        """Write the index."""
        self._add(_INDEX, json.dumps(self._index))

    def _add(self, name: str, content: str | bytes) -> None:
        # An entry made so has the first date there is, whenever it is written: 1980.
        self._archive.writestr(zipfile.ZipInfo(name), content)


@contextmanager
def writing(path: str | Path, by: Sequence[str]) -> Iterator[Writer]:
    """Lend what writes a bundle; the file appears when the block ends well."""
    with replacing_path(Path(path)) as unfinished:
        with zipfile.ZipFile(unfinished, "w", zipfile.ZIP_STORED) as archive:
            writer = Writer(archive, by)
            yield writer
            writer.finish()
        with unfinished.open("rb+") as stream:
            os.fsync(stream.fileno())


def load_bundle(path: str | Path) -> Bundle:
    """Read a bundle: its index and the fallback; other detectors when they are asked for.

    Raises
    ------
    ModelFileError
        If the file is missing, damaged, of a later version, or no bundle.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> import polars as pl
    >>> import advae
    >>> price, weight = np.random.default_rng(0).normal(size=(2, 600))
    >>> shop = ["A"] * 300 + ["B"] * 300
    >>> sales = pl.DataFrame({"shop": shop, "price": price, "weight": weight})
    >>> config = advae.Config(iterations=50)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "shops.advae"
    ...     _ = advae.fit_detectors(sales, "shop", config, sample=300, output=path)
    ...     bundle = advae.load_bundle(path)
    ...     bundle.detector("A").is_anomaly({"price": [0.0, 9.0], "weight": [0.0, 0.0]})
    array([False,  True])
    """
    path = Path(path)
    if is_single(path):
        raise ModelFileError(f"{path} has a single model. advae.load reads it.")
    with _told(path):
        archive = zipfile.ZipFile(path)
        index = _index(archive, path)
    fallback = _model(archive, path, _FALLBACK, checked=set())
    try:
        segments = [
            (Segment(tuple(each["key"]), each["rows"], each["threshold"], each["why"]), each)
            for each in index["segments"]
        ]
        files = {own.key: str(each["file"]) for own, each in segments if "file" in each}
        by = tuple(map(str, index["by"]))
    except (KeyError, TypeError) as error:
        raise _damaged(path, f"its index lacks {error}") from None
    if any(len(own.key) != len(by) for own, _ in segments):
        raise _damaged(path, "its index has keys of another length")
    return Bundle(by, tuple(own for own, _ in segments), Models(archive, path, files), fallback)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Tell what keeps an archive from being read as what is wrong with the file."""
    try:
        yield
    except FileNotFoundError:
        raise ModelFileError(f"bundle {path} does not exist. Check the path.") from None
    except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise _damaged(path, str(error)) from None


def _index(archive: zipfile.ZipFile, path: Path) -> dict[str, Any]:
    try:
        if archive.getinfo(_INDEX).file_size > _LARGEST_INDEX:
            raise _damaged(path, "its index is too large")
        index = json.loads(archive.read(_INDEX))
    except (KeyError, ValueError, RecursionError):
        raise ModelFileError(
            f"{path} is no bundle of models. Give a file that advae fit --by wrote."
        ) from None
    version = index.get("version") if isinstance(index, dict) else None
    if version != _VERSION:
        raise ModelFileError(
            f"{path} is a bundle of version {version!r}; this advae reads {_VERSION}. Upgrade "
            "advae, or fit again."
        )
    found: dict[str, Any] = index
    return found


def _model(archive: zipfile.ZipFile, path: Path, name: str, *, checked: set[str]) -> Detector:
    """Read one detector of an archive.

    ``checked`` are those that were found to score as they should, by their names; this one too in
    the end. An archive that is open does not change.
    """
    try:
        stored = archive.getinfo(name)
    except KeyError:
        raise _damaged(path, f"it lacks {name}") from None
    if stored.compress_type != zipfile.ZIP_STORED:  # what is compressed could be of any size
        raise _damaged(path, f"{name} is compressed")
    with tempfile.TemporaryDirectory() as folder:
        own = Path(folder) / "model.advae"
        with _told(path):
            own.write_bytes(archive.read(name))
        try:
            detector = model_file.load_again(own) if name in checked else model_file.load(own)
        except ModelFileError as error:
            raise ModelFileError(str(error).replace(str(own), f"{name} in {path}")) from None
    checked.add(name)
    return detector


def _damaged(path: Path, reason: str) -> ModelFileError:
    return ModelFileError(f"{path} is damaged: {reason}. Restore it or fit again.")
