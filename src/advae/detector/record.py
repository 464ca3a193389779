"""What a model file says beside its arrays, and the check of every field of it; needs no JAX."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from advae import tensorfile
from advae.config import Config, ThresholdMethod
from advae.detector.verdicts import Review
from advae.errors import AdVAEError, InputError, ModelFileError
from advae.files.options import ReadOptions
from advae.records import restore
from advae.tables.encoder import TableEncoder


@dataclass(frozen=True)
class Threshold:
    """The score above which a row is an anomaly, and where it comes from.

    Parameters
    ----------
    method
        ``"conformal"``: quantile of the scores of calibration rows; ``"kde"``: quantile of the
        kernel density of the training scores; ``"given"``: chosen by a person.
    alpha
        Share of normal rows that may be flagged, in (0, 1); None for a given threshold.
    value
        The score, at least 0; a row is an anomaly when its score is strictly above.
    why
        One sentence on what it was learned from.

    Examples
    --------
    >>> import advae
    >>> advae.Threshold("given", None, 5.0, "agreed with the auditors")
    Threshold(method='given', alpha=None, value=5.0, why='agreed with the auditors')
    """

    method: ThresholdMethod | Literal["given"]
    alpha: float | None
    value: float
    why: str = ""

    def __post_init__(self) -> None:
        if self.alpha is not None and not 0 < self.alpha < 1:
            raise InputError(f"the threshold's alpha is {self.alpha}; expected a share")


@dataclass(frozen=True)
class TrainingSummary:
    """What is worth keeping of a training.

    Parameters
    ----------
    rows
        Rows that trained the networks.
    calibration_rows
        Rows held out for the conformal threshold.
    folds
        Parts of the training rows, each unseen by some members, for cross-calibration; or 0.
    history
        ``"iteration"``, and each unweighted loss term as its mean over a block of iterations.
    notes
        Sentences that the user should read.
    versions
        Of advae and of the libraries that the numbers depend on.

    Examples
    --------
    >>> import numpy as np
    >>> import advae
    >>> normal = np.random.default_rng(0).normal(size=(300, 2))
    >>> detector = advae.fit_detector(normal, advae.Config(iterations=50))
    >>> summary = detector.summary
    >>> summary.rows, summary.calibration_rows, summary.folds
    (241, 59, 0)
    >>> int(summary.history["iteration"][-1])
    50
    """

    rows: int
    calibration_rows: int
    folds: int
    history: dict[str, list[float]]
    notes: tuple[str, ...]
    versions: dict[str, str]

    def __post_init__(self) -> None:
        if min(self.rows, self.calibration_rows, self.folds) < 0:
            raise InputError("the training summary counts fewer than no rows")
        blocks = {len(values) for values in self.history.values()}
        if "iteration" not in self.history or len(blocks) != 1 or blocks == {0}:
            raise InputError("the training's history lacks values of some blocks")


@dataclass(frozen=True, kw_only=True)
class ModelRecord:
    """What a model file says beside its arrays; nothing of it is shown or used unchecked.

    Parameters
    ----------
    kind, format_version
        What the file is, checked by `advae.tensorfile`.
    config, table, threshold, earlier_thresholds, summary, ignored, reviews, reading
        See `advae.detector.detector.Detector`.
    specimens
        Values of invented rows in the user's units, see `advae.detector.model_file.save`.
    """

    kind: str
    format_version: int
    config: Config
    table: TableEncoder
    threshold: Threshold
    earlier_thresholds: tuple[Threshold, ...]
    summary: TrainingSummary
    ignored: tuple[str, ...]
    reviews: tuple[Review, ...] = ()
    reading: ReadOptions = field(default_factory=ReadOptions)
    specimens: tuple[tuple[bool | int | float | str | None, ...], ...] = ()

    def __post_init__(self) -> None:
        for review in self.reviews:
            review.check(self.table)


def read(path: str | Path) -> tuple[ModelRecord, dict[str, Any], dict[str, np.ndarray]]:
    """Return what a model file says, checked field by field; the same as JSON; its arrays.

    Nothing of the file runs, and JAX is not needed.

    Raises
    ------
    ModelFileError
        If the file is missing, damaged, altered, of a later version, not a model, or a field of it
        cannot be what it is; the message names the field.
    """
    stored, arrays = tensorfile.read(path, "model")
    try:
        return restore(ModelRecord, stored, whole=False), stored, arrays
    except (AdVAEError, TypeError, ValueError) as error:
        raise ModelFileError(f"{path} is damaged: {error}. Restore it or fit again.") from None
