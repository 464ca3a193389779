"""What a fitted outlier estimator answers about rows, with scikit-learn's checks and signs."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float, Int
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils import Tags, check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from advae.detector import Detector
from advae.errors import InputError
from advae.explain import Explanation
from advae.frames import as_frame
from advae.values import quoted_list

Scores = Float[np.ndarray, "rows"]


class OutlierMethods(OutlierMixin):  # type: ignore[misc] # scikit-learn is untyped
    """The methods of a scikit-learn outlier detector, for a class that sets ``detector_``.

    Attributes
    ----------
    detector_ : Detector
        The fitted detector; absent before ``fit``.
    """

    detector_: Detector

    def score_samples(self, X: Any) -> Scores:
        """Return ``-anomaly_score``: the lower, the more anomalous.

        Parameters
        ----------
        X : table of shape (n_samples, n_features)
            Rows with the columns of ``fit``, in its order.

        Returns
        -------
        scores : ndarray of shape (n_samples,)
            At most 0, float64.
        """
        return -self.anomaly_score(X)

    def decision_function(self, X: Any) -> Scores:
        """Return ``score_samples - offset_``: below 0 for anomalies.

        Parameters
        ----------
        X : table of shape (n_samples, n_features)
            Rows with the columns of ``fit``, in its order.

        Returns
        -------
        decision : ndarray of shape (n_samples,)
            At most ``threshold_``, float64.
        """
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> Int[np.ndarray, "rows"]:
        """Return +1 for normal rows and -1 for anomalies.

        Parameters
        ----------
        X : table of shape (n_samples, n_features)
            Rows with the columns of ``fit``, in its order.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            -1 where ``anomaly_score`` is above ``threshold_``, else +1.
        """
        return np.where(self.decision_function(X) < 0, -1, 1)

    def anomaly_score(self, X: Any) -> Scores:
        """Return the anomaly score of each row: the higher, the more anomalous.

        Parameters
        ----------
        X : table of shape (n_samples, n_features)
            Rows with the columns of ``fit``, in its order.

        Returns
        -------
        scores : ndarray of shape (n_samples,)
            At least 0, float64; see ``residuals``, and equation (12) with preset ``"paper"``.
        """
        check_is_fitted(self)
        return self.detector_.anomaly_score(self.to_frame(X))

    def p_value(self, X: Any) -> Scores:
        """Return for each row the share of normal rows expected to score at least as high.

        Parameters
        ----------
        X : table of shape (n_samples, n_features)
            Rows with the columns of ``fit``, in its order.

        Returns
        -------
        p : ndarray of shape (n_samples,)
            In (0, 1]. Valid for new normal rows where the threshold was calibrated; too small
            where ``detector_.calibration_scores`` is empty.
        """
        check_is_fitted(self)
        return self.detector_.p_value(self.to_frame(X))

    def explain(self, X: Any) -> Explanation:
        """Return what each column adds to each row's score, and the value expected there.

        Parameters
        ----------
        X : table of shape (n_samples, n_features)
            Rows with the columns of ``fit``, in its order.

        Returns
        -------
        explanation : Explanation
            Contributions of shape (n_samples, n_features), at least 0, that add up to
            ``anomaly_score``, and the expected values in the columns' own units.
        """
        check_is_fitted(self)
        return self.detector_.explain(self.to_frame(X))

    @property
    def threshold_(self) -> float:
        """The anomaly score above which a row is flagged, at least 0."""
        return self.detector_.threshold.value

    @property
    def offset_(self) -> float:
        """What ``decision_function`` subtracts from ``score_samples``: ``-threshold_``."""
        return -self.threshold_

    @property
    def history_(self) -> Mapping[str, list[float]]:
        """The course of the training, block by block."""
        return self.detector_.summary.history

    def to_frame(self, X: Any) -> pl.DataFrame:
        """Return rows, shape (n_samples, n_features), with the columns named as in training."""
        return checked_frame(self, X, self.detector_.table.feature_names)

    def __sklearn_is_fitted__(self) -> bool:
        # scikit-learn would take the parameter lambda_ for a fitted attribute.
        return hasattr(self, "detector_")

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags


def checked_frame(
    estimator: BaseEstimator, X: Any, learned: Sequence[str] | None = None
) -> pl.DataFrame:
    """Return a table as a frame, checked as scikit-learn wants it.

    Parameters
    ----------
    estimator : BaseEstimator
        Gets the attributes ``n_features_in_`` and ``feature_names_in_`` in training, and is
        compared with them later.
    X : table of shape (n_samples, n_features)
        Array of two dimensions, or a frame.
    learned : sequence of str, default=None
        The names of the columns in training; None for the training rows themselves.

    Returns
    -------
    frame : polars.DataFrame of shape (n_samples, n_features)
        With the columns named as in training.

    Raises
    ------
    ValueError
        The table has other columns, no rows, or infinite values.
    """
    reset = learned is None
    streams = hasattr(X, "__arrow_c_stream__") and not hasattr(X, "columns")
    # Tables unknown to scikit-learn. A sparse array of SciPy's can be a kind of dict.
    columns = isinstance(X, dict) and not hasattr(X, "shape")
    if streams or columns or isinstance(X, pl.LazyFrame):
        X = as_frame(X)
    if hasattr(X, "columns"):
        frame = as_frame(X)
        validate_data(estimator, X, reset=reset, skip_check_array=True)
        if not reset and not frame.height:
            raise InputError("the table has no rows. Give at least one.")
        # pandas' names can be numbers and tuples, too: to scikit-learn there are none then.
        unnamed = hasattr(X, "iloc") and not any(isinstance(name, str) for name in X.columns)
        if learned is not None and unnamed and not hasattr(estimator, "feature_names_in_"):
            _check_names(frame.columns, learned)
    else:
        array = validate_data(
            estimator,
            X,
            reset=reset,
            dtype=None,
            ensure_all_finite="allow-nan",
            ensure_min_samples=2 if reset else 1,
        )
        if isinstance(X, np.ma.MaskedArray):  # scikit-learn drops the mask
            array = np.ma.array(array, mask=np.ma.getmaskarray(X))
        try:
            frame = as_frame(array)
        except InputError:
            with suppress(ValueError):
                # scikit-learn expects NumPy's TypeError of what is neither number nor text.
                array.astype(np.float64)
            raise
    # Names are checked: from here on, position decides.
    return frame.rename(dict(zip(frame.columns, learned or frame.columns, strict=True)))


def _check_names(found: Sequence[str], learned: Sequence[str]) -> None:
    """Refuse other names than training had, if it had any; both are given as texts."""
    if list(found) != list(learned) and list(learned) != list(positional_names(len(learned))):
        raise InputError(
            f"the columns are {quoted_list(found)}; training had {quoted_list(learned)}. "
            "Give the same ones, in the same order."
        )


def positional_names(count: int) -> tuple[str, ...]:
    """Return the names of columns that have none."""
    return tuple(as_frame(np.empty((0, count))).columns)


def seed_of(random_state: int | np.random.RandomState | None) -> int:
    """Return the seed that a ``random_state`` stands for: an int itself, else one drawn from it."""
    if isinstance(random_state, int | np.integer):
        return int(random_state)
    return int(check_random_state(random_state).randint(np.iinfo(np.int32).max))
