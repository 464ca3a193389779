"""One file holds a detector: arrays, settings, table schema, thresholds, golden rows. No code."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from advae import tensorfile
from advae.config import Config
from advae.core.arrays import named_leaves, replace_leaves
from advae.core.randomness import generator
from advae.core.scoring import anomaly_scores
from advae.detector.detector import Detector, Threshold, TrainingSummary
from advae.detector.verdicts import Review
from advae.errors import AdVAEError, ModelFileError
from advae.files.options import ReadOptions
from advae.methods import method_of
from advae.parallel import check_process
from advae.tables.encoder import TableEncoder

GOLDEN_ROWS = 4
GOLDEN_TOLERANCE = 1e-4
"""Relative. Machines differ in the last bits of a float32 sum, by far less than this."""


def save(detector: Detector, path: str | Path) -> None:
    """Write a detector to one file, the same bytes for the same detector.

    The file holds scores, column statistics and, unless ``memory`` is 0, up to so many encoded
    training rows. It is written under another name and renamed, so ``path`` is never half a model.

    Raises
    ------
    InputError
        If the file cannot be written.
    """
    draws = generator(detector.config.seed, "golden rows")
    table = detector.table
    width = table.width if detector.method.whole else table.network_width
    golden = draws.random((GOLDEN_ROWS, width), np.float32)
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
    }
    arrays = named_leaves(detector.scorer) | {
        "training_scores": detector.training_scores,
        "calibration_scores": detector.calibration_scores,
        "golden_rows": golden,
        "golden_scores": _scores(detector, golden),
    }
    tensorfile.write(Path(path), record, arrays)


def load(path: str | Path) -> Detector:
    """Read a detector and check it: version, checksum, shapes, and scores of the golden rows.

    Raises
    ------
    ModelFileError
        If the file is missing, damaged, altered, of a later version, not a model, or does not
        score as it did where it was written.
    ForkError
        In a fork of a process that has computed.
    """
    check_process()
    path = Path(path)
    record, arrays = tensorfile.read(path, "model")
    try:
        detector = _detector(record, arrays, path)
        golden, wanted = arrays["golden_rows"], arrays["golden_scores"]
        found = _scores(detector, golden)
        _check_parts(detector, found, wanted)
    except (AdVAEError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, ModelFileError):
            raise
        raise ModelFileError(f"{path} is damaged: {error}. Restore it or fit again.") from None
    if not np.allclose(found, wanted, rtol=GOLDEN_TOLERANCE, atol=1e-7):
        raise ModelFileError(
            f"{path} does not give the scores it gave where it was written "
            f"({found.tolist()} instead of {wanted.tolist()}). Do not use it on this machine."
        )
    return detector


def _scores(detector: Detector, golden: np.ndarray) -> np.ndarray:
    """Return the scores of encoded rows without the columns that never varied."""
    return anomaly_scores(detector.method, detector.scorer, golden)


def _check_parts(detector: Detector, found: np.ndarray, wanted: np.ndarray) -> None:
    """Refuse parts that are each well formed and cannot belong to a detector."""
    value = detector.threshold.value
    if not isinstance(value, int | float) or np.isnan(value):
        raise ValueError(f"its threshold is {value!r}")
    for scores in (detector.training_scores, detector.calibration_scores):
        if scores.ndim != 1 or not np.all(np.isfinite(scores)) or np.any(np.diff(scores) < 0):
            raise ValueError("its scores of normal rows are not an ascending list of numbers")
    if not len(found) or found.shape != wanted.shape:
        raise ValueError(f"it has {len(found)} golden rows and {len(wanted)} golden scores")


def _detector(record: dict[str, Any], arrays: dict[str, np.ndarray], path: Path) -> Detector:
    config = Config.from_json(record["config"])
    table = TableEncoder.from_json(record["table"])
    shapes = method_of(config, table.network_width).scorer_shapes(config, arrays)
    summary = record["summary"]
    return Detector(
        config=config,
        table=table,
        scorer=replace_leaves(shapes, arrays, path),
        training_scores=arrays["training_scores"],
        calibration_scores=arrays["calibration_scores"],
        threshold=Threshold(**record["threshold"]),
        summary=TrainingSummary(**(summary | {"notes": tuple(summary["notes"])})),
        ignored=tuple(record["ignored"]),
        reviews=tuple(Review.from_json(each, table) for each in record.get("reviews", [])),
        reading=ReadOptions.restored(record.get("reading", {})),
        earlier_thresholds=tuple(Threshold(**earlier) for earlier in record["earlier_thresholds"]),
    )
