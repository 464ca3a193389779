"""AdVAE inside the real PyOD: its attributes and signs, and the tools that take any detector."""

import pickle
import subprocess
import sys
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import clone
from sklearn.metrics import roc_auc_score

import advae
from advae import AdVAEDetector, Config
from advae.estimators.pyod import AdVAE

pytest.importorskip("pyod")

from pyod.models import combination
from pyod.models.base import BaseDetector
from pyod.models.feature_bagging import FeatureBagging
from pyod.models.hbos import HBOS
from pyod.models.lscp import LSCP
from pyod.models.suod import SUOD
from pyod.utils.utility import standardizer

SETTINGS: dict[str, Any] = {"hidden": 8, "batch_size": 16, "points": 4, "surprise": False}


def small(seed: int = 0, **changes: Any) -> AdVAE:
    return AdVAE(**({"iterations": 60, "random_state": seed, "settings": SETTINGS} | changes))


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    """Return 270 rows of one cloud and 30 far from it."""
    rng = np.random.default_rng(0)
    far = rng.normal(size=(30, 2)) + rng.choice([-9, 9], (30, 2))
    return np.concatenate([rng.normal(size=(270, 2)), far])


ODD = np.repeat([0, 1], [270, 30])


@pytest.fixture(scope="module")
def fitted(rows: np.ndarray) -> AdVAE:
    return small().fit(rows)


def area(scores: np.ndarray) -> float:
    assert scores.shape == (300,)
    return float(roc_auc_score(ODD, scores))


def test_attributes_and_signs(fitted: AdVAE, rows: np.ndarray) -> None:
    assert isinstance(fitted, BaseDetector)
    scores = fitted.decision_function(rows)
    np.testing.assert_array_equal(fitted.decision_scores_, scores)
    assert scores.dtype == np.float64
    assert scores.min() >= 0
    assert area(scores) > 0.95
    assert fitted.labels_.sum() == 30
    np.testing.assert_array_equal(fitted.labels_, scores > fitted.threshold_)
    np.testing.assert_array_equal(fitted.predict(rows), fitted.labels_)


def test_the_same_as_the_library(fitted: AdVAE, rows: np.ndarray) -> None:
    detector = advae.fit_detector(rows, Config(seed=0, iterations=60, threshold="kde", **SETTINGS))
    np.testing.assert_array_equal(detector.anomaly_score(rows), fitted.decision_scores_)
    assert fitted.detector_.explain(rows[:5]).contributions.shape == (5, 2)


@pytest.mark.parametrize("method", ["linear", "unify"])
def test_probabilities(fitted: AdVAE, rows: np.ndarray, method: str) -> None:
    probabilities, confidence = fitted.predict_proba(rows, method=method, return_confidence=True)
    assert probabilities.shape == (300, 2)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    # In the order of the scores, which "unify" cuts off below their mean.
    assert (np.diff(probabilities[np.argsort(fitted.decision_scores_), 1]) >= 0).all()
    assert np.ptp(probabilities[:, 1]) > 0.9
    assert confidence.shape == (300,)


def test_confidence(fitted: AdVAE, rows: np.ndarray) -> None:
    labels, confidence = fitted.predict(rows, return_confidence=True)
    np.testing.assert_array_equal(labels, fitted.labels_)
    np.testing.assert_array_equal(confidence, fitted.predict_confidence(rows))
    assert ((confidence >= 0) & (confidence <= 1)).all()
    # Least sure where a score is next to the threshold.
    assert abs(fitted.decision_scores_ - fitted.threshold_)[confidence.argmin()] < 0.1


def test_copies(fitted: AdVAE, rows: np.ndarray) -> None:
    loaded = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(loaded.decision_function(rows), fitted.decision_scores_)
    fresh = clone(fitted)
    assert fresh.get_params() == fitted.get_params()
    np.testing.assert_array_equal(fresh.fit(rows).decision_scores_, fitted.decision_scores_)
    other = fresh.set_params(random_state=1).fit(rows)
    assert (other.decision_scores_ != fitted.decision_scores_).any()


def test_wrong_input(fitted: AdVAE, rows: np.ndarray) -> None:
    with pytest.raises(ValueError, match="contamination must be in"):
        AdVAE(contamination=0.7)
    with pytest.raises(ValueError, match="X has 1 features, but AdVAE is expecting 2"):
        fitted.decision_function(rows[:, :1])
    with pytest.raises(ValueError, match="infinity"):
        small().fit(np.where(rows > 3, np.inf, rows))
    with pytest.raises(ValueError, match="unknown setting 'depth'"):
        small(settings={"depth": 3}).fit(rows)


def test_missing_values_are_allowed(rows: np.ndarray) -> None:
    holed = rows.copy()
    holed[::9, 0] = np.nan
    assert np.isfinite(small().fit(holed).decision_function(holed)).all()


def test_masked_values_are_missing(rows: np.ndarray) -> None:
    hidden = np.ma.array(rows, mask=np.arange(rows.size).reshape(rows.shape) % 7 == 0)
    wanted = small().fit(hidden.filled(np.nan))
    found = small().fit(hidden)
    np.testing.assert_array_equal(found.decision_scores_, wanted.decision_scores_)
    np.testing.assert_array_equal(found.decision_function(hidden), wanted.decision_scores_)


@pytest.mark.parametrize("unit", ["ns", "s"])
def test_what_is_no_number_is_named(rows: np.ndarray, unit: str) -> None:
    days = pd.date_range("2024-01-01", periods=300, unit=unit)
    frame = pd.DataFrame(rows, columns=["a", "b"])
    for column in (days, days - days[0], days.astype(str), pd.Categorical(["x", "y"] * 150)):
        for table in (frame.assign(when=column), pd.DataFrame({"when": column})):
            with pytest.raises(ValueError, match=r"column 'when' holds .*; expected numbers"):
                small().fit(table)
    with pytest.raises(ValueError, match=r"'column_0' holds values of type Datetime.*numbers"):
        small().fit(np.stack([days, days], axis=1))


def test_every_kind_of_table_gives_the_same(fitted: AdVAE, rows: np.ndarray) -> None:
    names = ["a", "b"]
    frame = pl.DataFrame(rows, schema=names)
    for table in (frame.lazy(), frame.to_arrow(), dict(zip(names, rows.T, strict=True))):
        scores = small().fit(table).decision_function(table)
        np.testing.assert_array_equal(scores, fitted.decision_scores_)


def test_columns_of_frames_are_told_by_name(fitted: AdVAE, rows: np.ndarray) -> None:
    for frame in (pd.DataFrame(rows, columns=["a", "b"]), pl.DataFrame(rows, schema=["a", "b"])):
        named = small().fit(frame)
        np.testing.assert_array_equal(named.decision_scores_, fitted.decision_scores_)
        assert named.feature_names_in_.tolist() == ["a", "b"]
        assert named.detector_.explain(frame).expected.columns == ["a", "b"]
        with pytest.raises(ValueError, match="feature names should match"):
            named.predict(frame[["b", "a"]])
        with pytest.warns(UserWarning, match="valid feature names"):
            np.testing.assert_array_equal(named.decision_function(rows), named.decision_scores_)
    named.fit(rows)
    assert not hasattr(named, "feature_names_in_")


# --- PyOD's tools ---


def test_combination(rows: np.ndarray) -> None:
    detectors = [small(0), small(1), HBOS()]
    scores = standardizer(
        np.stack([detector.fit(rows).decision_scores_ for detector in detectors], axis=1)
    )
    for combine in (combination.average, combination.maximization, combination.median):
        assert area(combine(scores)) > 0.95
    assert area(combination.aom(scores, n_buckets=3)) > 0.95
    assert area(combination.moa(scores, n_buckets=3)) > 0.95


def test_lscp(rows: np.ndarray) -> None:
    ensemble = LSCP([small(0), small(1), HBOS()], random_state=0).fit(rows)
    assert area(ensemble.decision_scores_) > 0.9
    assert area(ensemble.decision_function(rows)) > 0.9


def test_lscp_refuses_the_estimator_of_scikit_learn(rows: np.ndarray) -> None:
    # It would invert its scores, if it took it.
    estimators = [AdVAEDetector(iterations=60, random_state=0, **SETTINGS), small()]
    with pytest.raises((AttributeError, ValueError, TypeError)):
        LSCP(estimators, random_state=0).fit(rows)


def test_feature_bagging(rows: np.ndarray) -> None:
    bagged = FeatureBagging(small(), n_estimators=2, random_state=0).fit(rows)
    assert area(bagged.decision_scores_) > 0.9
    assert area(bagged.decision_function(rows)) > 0.9
    assert len({each.random_state for each in bagged.estimators_}) == 2


@pytest.mark.parametrize("balance", [False, True])
def test_suod(rows: np.ndarray, balance: bool) -> None:
    suite = SUOD(
        [small(0), small(1)], n_jobs=1, rp_flag_global=False, bps_flag=balance, verbose=False
    ).fit(rows)
    assert area(suite.decision_scores_) > 0.95
    assert area(suite.decision_function(rows)) > 0.95
    assert suite.predict(rows).sum() == pytest.approx(30, abs=3)


def test_without_pyod_the_extra_is_named() -> None:
    program = "import sys; sys.modules['pyod.models.base'] = None; import advae.pyod"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "MissingExtraError: advae.pyod needs PyOD: pip install 'advae[pyod]'" in run.stderr
