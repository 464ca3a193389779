"""AdVAEDetector: the detector as a scikit-learn estimator."""

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import polars as pl
from jaxtyping import Float, Int
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, OutlierMixin, TransformerMixin
from sklearn.utils import Tags, check_random_state, get_tags
from sklearn.utils.validation import check_is_fitted, validate_data

from advae.config import (
    Config,
    Preset,
    Sampling,
    Schedule,
    ThresholdMethod,
    TimeSetting,
    VariantName,
)
from advae.detector import model_file
from advae.detector.detector import Detector
from advae.detector.explanation import Explanation
from advae.detector.fitting import fit_detector
from advae.detector.record import Threshold
from advae.errors import ConfigError, InputError, quoted_list
from advae.tables.frames import as_frame, index_of

Scores = Float[np.ndarray, "rows"]


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
        Array of two dimensions, sparse matrix, frame, or list of dicts.
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
    streams = hasattr(X, "__arrow_c_stream__") and not hasattr(X, "iloc")
    # Tables unknown to scikit-learn. A sparse array of SciPy's can be a kind of dict.
    columns = isinstance(X, dict) and not hasattr(X, "shape")
    records = isinstance(X, list | tuple) and any(isinstance(each, dict) for each in X)
    if streams or columns or records or isinstance(X, pl.LazyFrame):
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
            accept_sparse=get_tags(estimator).input_tags.sparse,
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


class AdVAEDetector(
    OutlierMixin,  # type: ignore[misc] # scikit-learn is untyped
    OneToOneFeatureMixin,  # type: ignore[misc]
    TransformerMixin,  # type: ignore[misc]
    BaseEstimator,  # type: ignore[misc]
):
    """Self-adversarial variational autoencoder for rows that are not normal.

    Fit it on normal rows. Signs are scikit-learn's:

    | method                | normal rows            | anomalies                    |
    | --------------------- | ---------------------- | ---------------------------- |
    | ``predict``           | +1                     | -1                           |
    | ``decision_function`` | at least 0             | below 0                      |
    | ``score_samples``     | at least ``offset_``   | below ``offset_``, at most 0 |
    | ``anomaly_score``     | at most ``threshold_`` | above ``threshold_``         |

    Tables are NumPy arrays, pandas or polars frames, sparse matrices or lists of dicts (anything
    that ``as_frame`` reads), with numbers, texts, truth values and times, missing ones included.
    No scaling is needed. Scores come as arrays, whatever the table was. ``transform`` gives each
    column's part of the score, and ``set_output(transform="pandas")`` gives it as a frame.

    Two parameters say how many rows are flagged, and most users need one of them:

    | parameter       | share of                    | counts on                              |
    | --------------- | --------------------------- | -------------------------------------- |
    | `alpha`         | *new* normal rows, at most  | training rows that are normal          |
    | `contamination` | the rows of ``fit``, just   | a guess of how many of them are not    |

    With `contamination` at "auto" the threshold is learned, and keeps the promise of `alpha`. A
    number takes the place of `alpha` and `threshold`, which must be left at None: the threshold is
    then the quantile of the training scores that flags this share of them, whether or not anything
    is wrong with them, and nothing is promised of new rows.

    The parameters below come in groups: the threshold (`alpha` to `calibration`), the rows and the
    run (`trim` to `random_state`), the method, for who studies it (`method` to `surprise`), and
    columns (`time`, `hashed`). Each that is left at None has its value from `preset`.

    Parameters
    ----------
    preset : {"default", "paper"}, default="default"
        The settings that every parameter left at None takes its value from.
    alpha : float in (0, 1), default=None
        Share of new normal rows that may be flagged; 0.1 in both presets.
    contamination : "auto" or float in (0, 0.5], default="auto"
        Share of the rows given to ``fit`` that is flagged, as ``IsolationForest`` has it. "auto"
        leaves it to the learned threshold, and so to `alpha`.
    threshold : {"conformal", "kde"} or float, default=None
        How the threshold is learned, or the score itself, at least 0; see ``Config``.
    calibration : float in (0, 1), default=None
        Most of the rows, as a share, to hold out of training for the conformal threshold.
    trim : float in [0, 0.5), default=None
        Most of the rows, as a share, to set aside as suspected anomalies before anything is
        learned; 0 in both presets. ``detector_.summary.notes`` says how many were.
    members : int, default=None
        Networks of the ensemble, at least 1; at least 4 where a table has too few rows to hold some
        out for a conformal threshold.
    iterations : int, default=None
        Training iterations, at least 1.
    random_state : int, RandomState instance or None, default=None
        An int gives the same detector in every call, the one that ``Config(seed=...)`` gives.
    method : str, default=None
        Name of the method, see `Config`.
    variant : {"adVAE", "E-adVAE", "G-adVAE", "VAE", "AE"}, default=None
        Which networks discriminate.
    hidden, latent : int, default=None
        Hidden width and latent size, at least 1.
    latent_at_most_columns : bool, default=None
        Whether ``latent`` shrinks to the number of encoded columns.
    lambda_, gamma : float, default=None
        Weights of the KLD and of the discrimination terms, at least 0.
    margin_x, margin_z : float, default=None
        Margins in encoded units and in nats, at least 0.
    relative_margin_x, relative_margin_z : float, default=None
        What is added to them, in units of the batch's reconstruction error and KLD, at least 0.
    swap : float in [0, 1], default=None
        Largest share of a row's values that other rows' replace in training.
    input_noise : float, default=None
        Standard deviation of the noise on a row in training, in training ranges, at least 0.
    batch_size : int, default=None
        Rows of a batch, at least 1.
    learning_rate : float, default=None
        Of Adam, above 0.
    schedule : {"constant", "cosine"}, default=None
        Course of the learning rate.
    patience : int, default=None
        Iterations without progress after which training ends, at least 0; 0 for never.
    points : int, default=None
        Latent noise vectors of the score, at least 1.
    sampling : {"sobol", "random"}, default=None
        How those are drawn.
    whiten : bool, default=None
        Whether residuals are weighed by those of the training rows.
    memory : int, default=None
        Most training rows kept to compare new rows with, at least 2; 0 for none.
    surprise : bool, default=None
        Whether the score is in nats, see ``Config``.
    time : {"cycles", "trend"}, default=None
        What is learned of dates: their cycles, or also where in the training period they lie.
    hashed : sequence of str, default=None
        Columns with very many different texts, to be hashed instead of refused.

    Attributes
    ----------
    detector_ : Detector
        The fitted detector.
    threshold_ : float
        Anomaly score above which a row is flagged, at least 0.
    offset_ : float
        ``-threshold_``: ``decision_function = score_samples - offset_``.
    history_ : dict of str to list of float
        ``"iteration"``, and each unweighted loss term as its mean over a block of iterations.
    n_features_in_ : int
        Columns seen in ``fit``.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names, where all of them are strings.

    See Also
    --------
    advae.fit_detector : The same without scikit-learn, from files of any size.
    sklearn.ensemble.IsolationForest : Isolation forest.

    Notes
    -----
    A score depends on nothing but the row and the model, so it is the same whatever the other
    rows, their order and the batch. Where rows are held out for the threshold,
    ``detector_.summary`` says how many, and ``detector_.threshold.why`` which.

    Examples
    --------
    >>> import numpy as np
    >>> from advae import AdVAEDetector
    >>> rows = np.random.default_rng(0).normal(size=(500, 3))
    >>> detector = AdVAEDetector(iterations=300, random_state=0).fit(rows)
    >>> detector.predict([[0.1, -0.2, 0.0], [9.0, 9.0, -9.0]])
    array([ 1, -1])
    """

    detector_: Detector

    def __init__(
        self,
        preset: Preset = "default",
        *,
        alpha: float | None = None,
        contamination: float | Literal["auto"] = "auto",
        threshold: ThresholdMethod | float | None = None,
        calibration: float | None = None,
        trim: float | None = None,
        members: int | None = None,
        iterations: int | None = None,
        random_state: int | np.random.RandomState | None = None,
        method: str | None = None,
        variant: VariantName | None = None,
        hidden: int | None = None,
        latent: int | None = None,
        latent_at_most_columns: bool | None = None,
        lambda_: float | None = None,
        gamma: float | None = None,
        margin_x: float | None = None,
        margin_z: float | None = None,
        relative_margin_x: float | None = None,
        relative_margin_z: float | None = None,
        swap: float | None = None,
        input_noise: float | None = None,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        schedule: Schedule | None = None,
        patience: int | None = None,
        points: int | None = None,
        sampling: Sampling | None = None,
        whiten: bool | None = None,
        memory: int | None = None,
        surprise: bool | None = None,
        time: TimeSetting | None = None,
        hashed: Sequence[str] | None = None,
    ) -> None:
        self.preset = preset
        self.alpha = alpha
        self.contamination = contamination
        self.threshold = threshold
        self.calibration = calibration
        self.trim = trim
        self.members = members
        self.iterations = iterations
        self.random_state = random_state
        self.method = method
        self.variant = variant
        self.hidden = hidden
        self.latent = latent
        self.latent_at_most_columns = latent_at_most_columns
        self.lambda_ = lambda_
        self.gamma = gamma
        self.margin_x = margin_x
        self.margin_z = margin_z
        self.relative_margin_x = relative_margin_x
        self.relative_margin_z = relative_margin_z
        self.swap = swap
        self.input_noise = input_noise
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.schedule = schedule
        self.patience = patience
        self.points = points
        self.sampling = sampling
        self.whiten = whiten
        self.memory = memory
        self.surprise = surprise
        self.time = time
        self.hashed = hashed

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: ARG002 - scikit-learn passes it
        """Learn what normal rows look like.

        Parameters
        ----------
        X : table of shape (n_samples, n_features)
            Normal rows, at least two different ones.
        y : Ignored
            Present for scikit-learn's sake.

        Returns
        -------
        self : AdVAEDetector
            The fitted estimator.

        Raises
        ------
        InputError
            A ValueError: the table cannot be used.
        ConfigError
            A ValueError: a parameter is out of its range, or contradicts another.
        TrainingError
            Training diverged.
        """
        share = None if self.contamination == "auto" else self.contamination
        if share is not None and not (isinstance(share, float | np.floating) and 0 < share <= 0.5):
            raise ConfigError(
                f"contamination is {share!r}; expected 'auto' or a share above 0, at most 0.5"
            )
        for name in ("alpha", "threshold"):
            if share is not None and getattr(self, name) is not None:
                raise ConfigError(
                    f"contamination and {name} are both given, and each sets the threshold. Give "
                    "one of them."
                )
        frame = checked_frame(self, X)
        hashed = () if self.hashed is None else self.hashed  # pandas' names have no truth value
        detector = fit_detector(frame, self._config(), hashed=hashed)
        if share is not None:
            value = np.percentile(detector.anomaly_score(frame), 100 * (1 - share))
            why = f"flags {share:.4g} of the {frame.height} rows of fit"
            detector = replace(detector, threshold=Threshold("given", None, float(value), why))
        self.detector_ = detector
        return self

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
            At least 0, float64; equation (12) with preset ``"paper"``.
        """
        check_is_fitted(self)
        scores: Scores = self.detector_.anomaly_score(self.to_frame(X))
        return scores

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
        values: Scores = self.detector_.p_value(self.to_frame(X))
        return values

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
        explanation = self.detector_.explain(self.to_frame(X))
        return replace(explanation, index=index_of(X))

    def transform(self, X: Any) -> Float[np.ndarray, "rows features"]:
        """Return each column's part of each row's anomaly score.

        Parameters
        ----------
        X : table of shape (n_samples, n_features)
            Rows with the columns of ``fit``, in its order.

        Returns
        -------
        contributions : ndarray of shape (n_samples, n_features), or frame after ``set_output``
            At least 0; those of a row add up to its ``anomaly_score``.
        """
        return self.explain(X).contributions

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
        tags.input_tags.sparse = True
        return tags

    def _config(self) -> Config:
        settings = self.get_params(deep=False)
        for name in ("preset", "contamination", "random_state", "hashed"):
            del settings[name]
        return Config.preset(self.preset, seed=seed_of(self.random_state), **settings)

    def _html_repr(self) -> str:
        # What notebooks show: scikit-learn's diagram, and below it the fitted detector's card.
        diagram: str = super()._html_repr()
        return diagram + self.detector_._repr_html_() if hasattr(self, "detector_") else diagram

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted detector to one model file, which the command line reads too.

        Parameters
        ----------
        path : path
            The file, conventionally with the extension ``.advae``.
        """
        check_is_fitted(self)
        model_file.save(self.detector_, Path(path))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a model file, whoever wrote it.

        Parameters
        ----------
        path : path
            The file.

        Returns
        -------
        estimator : AdVAEDetector
            Fitted, with the parameters that give the file's settings. The threshold is the
            file's, whatever it was learned from.

        Raises
        ------
        ModelFileError
            The file is missing, damaged, of a later version or not a model.
        """
        detector = model_file.load(Path(path))
        preset, changes = detector.config.nearest_preset()
        hashed = detector.table.cautioned("hashed")
        estimator = cls(
            preset, random_state=changes.pop("seed", 0), hashed=hashed or None, **changes
        )
        names = detector.table.feature_names
        estimator.n_features_in_ = len(names)
        if names != positional_names(len(names)):
            estimator.feature_names_in_ = np.array(names, object)
        estimator.detector_ = detector
        return estimator
