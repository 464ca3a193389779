"""AdVAE: the detector as a PyOD one; needs the extra ``pyod``."""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import polars as pl
from jaxtyping import Float
from sklearn.utils.validation import check_is_fitted

from advae.config import Config, Preset
from advae.detector.fitting import fit_detector
from advae.errors import MissingExtraError
from advae.estimators.sklearn import checked_frame, seed_of
from advae.tables.values import no_values, to_numbers

try:
    from pyod.models.base import BaseDetector
except ImportError:
    raise MissingExtraError("advae.pyod needs PyOD: pip install 'advae[pyod]'") from None


class AdVAE(BaseDetector):  # type: ignore[misc] # PyOD is untyped
    """Self-adversarial variational autoencoder, with PyOD's signs: the higher, the more abnormal.

    | method or attribute                         | normal rows            | anomalies            |
    | ------------------------------------------- | ---------------------- | -------------------- |
    | ``predict``, ``labels_``                    | 0                      | 1                    |
    | ``decision_function``, ``decision_scores_`` | at most ``threshold_`` | above ``threshold_`` |

    The threshold is PyOD's, the ``contamination`` quantile of the training scores, so no rows are
    held out of training. For a threshold with a promise about new rows, and for columns of texts
    and times, take ``advae.AdVAEDetector``.

    Parameters
    ----------
    contamination : float in (0, 0.5], default=0.1
        Share of the training rows to be flagged.
    preset : {"default", "paper"}, default="default"
        The settings to start from.
    members, iterations : int, default=None
        Networks of the ensemble and training iterations; the preset's when None.
    random_state : int, RandomState instance or None, default=None
        An int gives the same detector in every call, the one that ``Config(seed=...)`` gives.
    trim : float in [0, 0.5), default=None
        Most of the rows, as a share, to set aside as suspected anomalies before anything is
        learned; the preset's when None. They are scored like the others.
    settings : dict, default=None
        Any other settings of ``Config``, by name, such as ``{"lambda_": 0.03}``.

    Attributes
    ----------
    decision_scores_ : ndarray of shape (n_samples,)
        Anomaly scores of the training rows, at least 0, float64.
    threshold_ : float
        The score above which a row is an outlier.
    labels_ : ndarray of shape (n_samples,)
        1 for the training rows above ``threshold_``, 0 for the others.
    detector_ : Detector
        The fitted detector, which also explains its scores.
    n_features_in_ : int
        Columns seen in ``fit``.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names, where all of them are strings.

    Examples
    --------
    >>> import numpy as np
    >>> from advae.pyod import AdVAE
    >>> rows = np.random.default_rng(0).normal(size=(500, 3))
    >>> detector = AdVAE(iterations=300, random_state=0).fit(rows)
    >>> detector.predict(np.array([[0.1, -0.2, 0.0], [9.0, 9.0, -9.0]]))
    array([0, 1])
    """

    def __init__(
        self,
        contamination: float = 0.1,
        *,
        preset: Preset = "default",
        members: int | None = None,
        iterations: int | None = None,
        trim: float | None = None,
        random_state: int | np.random.RandomState | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(contamination=contamination)
        self.preset = preset
        self.members = members
        self.iterations = iterations
        self.trim = trim
        self.random_state = random_state
        self.settings = settings

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn what most rows look like.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Numbers; NaN is a missing value, and so is what a mask hides. At least two different
            rows. The names of a frame's columns are kept, as scikit-learn keeps them.
        y : Ignored
            Present for PyOD's sake, which warns about it.

        Returns
        -------
        self : AdVAE
            The fitted detector.

        Raises
        ------
        ValueError
            The rows or a parameter cannot be used.
        TrainingError
            Training diverged.
        """
        rows = _numbers(checked_frame(self, X))
        self._set_n_classes(y)
        named = {
            "threshold": "kde",
            "seed": seed_of(self.random_state),
            "members": self.members,
            "iterations": self.iterations,
            "trim": self.trim,
        }
        config = Config.preset(self.preset, **(named | dict(self.settings or {})))
        self.detector_ = fit_detector(rows, config)
        self.decision_scores_ = self.detector_.anomaly_score(rows)
        self._process_decision_scores()
        return self

    def decision_function(self, X: Any) -> Float[np.ndarray, "rows"]:
        """Return the anomaly score of each row: the higher, the more abnormal.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows with the columns of ``fit``, in its order.

        Returns
        -------
        scores : ndarray of shape (n_samples,)
            At least 0, float64.

        Raises
        ------
        ValueError
            The rows have other columns.
        """
        check_is_fitted(self, ["decision_scores_", "threshold_", "labels_"])
        frame = checked_frame(self, X, self.detector_.table.feature_names)
        scores: Float[np.ndarray, "rows"] = self.detector_.anomaly_score(_numbers(frame))
        return scores


def _numbers(frame: pl.DataFrame) -> pl.DataFrame:
    """Return a frame with every column as float64, NaN where missing; texts are refused."""
    columns = (
        each if each.dtype.is_numeric() or each.dtype == pl.Boolean else no_values(each, "numbers")
        for each in frame
    )
    return frame.select(pl.Series(each.name, to_numbers(each)) for each in columns)
