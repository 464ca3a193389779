"""One file holds a detector: arrays, settings, table schema, thresholds, golden rows. No code."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float

from advae import tensorfile
from advae.core.arrays import HostMatrix, named_leaves, replace_leaves
from advae.core.method import Scored
from advae.core.randomness import generator
from advae.core.scoring import score_rows
from advae.detector.detector import Detector
from advae.detector.record import ModelRecord, read
from advae.display.text import shorten
from advae.errors import AdVAEError, ModelFileError, quoted
from advae.methods import method_of
from advae.parallel import check_process
from advae.tables.encoder import TableEncoder

GOLDEN_ROWS = 64
"""So many that most classes and weights have a say: a block of them is scored anyway."""

SPECIMENS = 16

GOLDEN_TOLERANCE = 2e-5
"""Of a score. Machines differ in the last bits of a float32 sum, by far less than this."""


def save(detector: Detector, path: str | Path) -> None:
    """Write a detector to one file, the same bytes for the same detector.

    Beside the detector are golden rows, encoded, and specimens, rows of values in the user's units,
    all invented, with their scores, the golden ones with contributions as well, so that `load` can
    tell whether it scores them alike.

    The file holds scores, column statistics and, unless ``memory`` is 0, up to so many encoded
    training rows. It is written under another name and renamed, so ``path`` is never half a model.

    Raises
    ------
    InputError
        If the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> import advae
    >>> normal = np.random.default_rng(0).normal(size=(300, 2))
    >>> detector = advae.fit_detector(normal, advae.Config(iterations=50))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "model.advae"
    ...     advae.save(detector, path)
    ...     again = advae.load(path)
    >>> bool((again.anomaly_score(normal) == detector.anomaly_score(normal)).all())
    True
    """
    draws = generator(detector.config.seed, "golden rows")
    table = detector.table
    width = table.width if detector.method.whole else table.network_width
    golden = draws.random((GOLDEN_ROWS, width), np.float32)
    specimens = _specimens(table, draws.random((SPECIMENS, table.width), np.float32))
    record = {
        "kind": "model",
        "config": detector.config.to_json(),
        "table": detector.table.to_json(),
        "threshold": asdict(detector.threshold),
        "earlier_thresholds": [asdict(earlier) for earlier in detector.earlier_thresholds],
        "summary": asdict(detector.summary),
        "ignored": list(detector.ignored),
        "reviews": [asdict(review) for review in detector.reviews],
        "reading": asdict(detector.reading),
        "specimens": specimens,
    }
    scored = _scored(detector, golden)
    arrays = named_leaves(detector.scorer) | {
        "training_scores": detector.training_scores,
        "calibration_scores": detector.calibration_scores,
        "golden_rows": golden,
        "golden_scores": scored.score,
        "golden_contributions": scored.contributions,
        "specimen_scores": _specimen_scores(detector, specimens),
    }
    tensorfile.write(Path(path), record, arrays)


def load(path: str | Path) -> Detector:
    """Read a detector and check it: version, checksum, shapes, and what it says of golden rows.

    Raises
    ------
    ModelFileError
        If the file is missing, damaged, altered, of a later version, not a model, or does not
        score as it did where it was written.
    ForkError
        In a fork of a process that has computed.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> import advae
    >>> normal = np.random.default_rng(0).normal(size=(300, 2))
    >>> detector = advae.fit_detector(normal, advae.Config(iterations=50))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     advae.save(detector, Path(folder) / "model.advae")
    ...     again = advae.load(Path(folder) / "model.advae")
    >>> again.threshold == detector.threshold
    True
    >>> advae.load("lost.advae")
    Traceback (most recent call last):
    advae.errors.ModelFileError: model file lost.advae does not exist. Check the path.
    """
    detector, record, arrays = _read(path)
    _check(detector, record, arrays, Path(path))
    return detector


def load_again(path: str | Path) -> Detector:
    """Read a detector whose bytes `load` has found to score as they should in this process.

    Raises
    ------
    ModelFileError, ForkError
        See `load`; golden rows are not scored.
    """
    detector, *_ = _read(path)
    return detector


def _read(path: str | Path) -> tuple[Detector, ModelRecord, dict[str, np.ndarray]]:
    """Return a detector, and the record and the arrays of its file."""
    check_process()
    path = Path(path)
    tensorfile.check_single(path)
    record, _, arrays = read(path)
    with _damage_told(path):
        detector = _detector(record, arrays, path)
        _check_arrays(arrays)
    return detector, record, arrays


@contextmanager
def _damage_told(path: Path) -> Iterator[None]:
    """Tell of parts that contradict each other, which they do in many ways."""
    try:
        yield
    except (ModelFileError, MemoryError):
        raise
    except Exception as error:
        said = quoted(error) if not isinstance(error, AdVAEError | ValueError) else shorten(error)
        raise ModelFileError(f"{path} is damaged: {said}. Restore it or fit again.") from None


def _check(
    detector: Detector, record: ModelRecord, arrays: Mapping[str, np.ndarray], path: Path
) -> None:
    """Refuse a detector that does not score and explain as it did where it was written."""
    with _damage_told(path):
        scored = _scored(detector, arrays["golden_rows"])
        contributions = arrays["golden_contributions"]
        pairs = [(scored.score, arrays["golden_scores"])]
        if record.specimens:
            found = _specimen_scores(detector, record.specimens)
            pairs.append((found, arrays["specimen_scores"]))
        for found, wanted in pairs:
            if not len(found) or found.shape != wanted.shape:
                raise ValueError(f"it has {len(found)} golden rows and {len(wanted)} golden scores")
        if scored.contributions.shape != contributions.shape:
            raise ValueError("the contributions of its golden rows are not of its columns")
    for found, wanted in pairs:
        off = ~np.isclose(found, wanted, rtol=GOLDEN_TOLERANCE, atol=1e-7)
        if np.any(off):
            first = np.argmax(off)
            raise ModelFileError(
                f"{path} does not give the scores it gave where it was written ({found[first]} "
                f"instead of {wanted[first]}). Do not use it on this machine."
            )
    # Where one surprise outweighs another, only the contributions show what that other was.
    off = np.abs(scored.contributions - contributions).T
    allowed = GOLDEN_TOLERANCE * np.abs(scored.score) + 1e-7
    if np.any(off > allowed):
        raise ModelFileError(
            f"{path} does not explain scores as it did where it was written. "
            "Do not use it on this machine."
        )


def _scored(detector: Detector, golden: np.ndarray) -> Scored:
    """Return the scores of encoded rows without the columns that never varied."""
    return score_rows(detector.method, detector.scorer, golden, known=detector.prepared)


def _specimens(table: TableEncoder, encoded: HostMatrix) -> list[list[Any]]:
    """Return values of each column, in the user's units, that stand for encoded rows.

    The last row has missing values alone, the others as few as can be. The values of a hashed
    column are all missing: a bucket has none.
    """
    frame = _decoded(table, encoded)
    hashed = table.cautioned("hashed")
    return [
        [None if values.name in hashed else value for value in values.to_physical().to_list()]
        for values in frame
    ]


def _decoded(table: TableEncoder, encoded: HostMatrix) -> pl.DataFrame:
    marks = [places[-1] for places in table.places]
    encoded[:, marks] = 0
    encoded[-1, marks] = 1
    return table.decode(encoded)


def _specimen_scores(
    detector: Detector, specimens: Sequence[Sequence[Any]]
) -> Float[np.ndarray, "rows"]:
    """Return the scores of rows from `_specimens` without reviews: all that leads to a score."""
    table = detector.table
    types = _decoded(table, np.zeros((1, table.width), np.float32)).schema
    if len(specimens) != len(types):
        raise ValueError(f"it has specimens of {len(specimens)} columns, not {len(types)}")
    frame = pl.DataFrame(
        {
            name: pl.Series(name, values).cast(dtype)
            for (name, dtype), values in zip(types.items(), specimens, strict=True)
        }
    )
    scores: np.ndarray = detector.unreviewed.anomaly_score(frame)
    return scores


def _check_arrays(arrays: Mapping[str, np.ndarray]) -> None:
    """Refuse arrays that no detector has, whatever their shapes."""
    for name, array in arrays.items():
        # Infinite is only what fills up a list of knots.
        if np.any(np.isnan(array) if name.endswith(".knots") else ~np.isfinite(array)):
            raise ValueError(f"the array {quoted(name)} holds values that are no numbers")
    for name in ("training_scores", "calibration_scores"):
        scores = arrays[name]
        ascending = (
            scores.ndim == 1 and np.all(np.isfinite(scores)) and np.all(np.diff(scores) >= 0)
        )
        if scores.dtype != np.float64 or not ascending:
            raise ValueError(f"the array {quoted(name)} is not an ascending list of scores")
    if not len(arrays["training_scores"]):
        raise ValueError("the array 'training_scores' is empty")


def _detector(record: ModelRecord, arrays: dict[str, np.ndarray], path: Path) -> Detector:
    config, table = record.config, record.table
    shapes = method_of(config, table.network_width).scorer_shapes(config, arrays)
    return Detector(
        config=config,
        table=table,
        scorer=replace_leaves(shapes, arrays, path),
        training_scores=arrays["training_scores"],
        calibration_scores=arrays["calibration_scores"],
        threshold=record.threshold,
        summary=record.summary,
        ignored=record.ignored,
        reviews=record.reviews,
        reading=record.reading,
        earlier_thresholds=record.earlier_thresholds,
    )
