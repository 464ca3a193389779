"""AdVAEDetector: scikit-learn's own checks, its tools, the tables it takes, and the signs."""

import copy
import dataclasses
import inspect
import pickle
import re
from collections import defaultdict
from datetime import date
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.metrics import make_scorer, roc_auc_score
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, QuantileTransformer, StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import advae
from advae import AdVAEDetector, Config, InputError
from advae.errors import ConfigError
from advae.estimators.sklearn import checked_frame

# One shape of networks, batches and rows for all tests, so that little is compiled.
SMALL: dict[str, Any] = {
    "iterations": 30,
    "hidden": 8,
    "batch_size": 16,
    "points": 4,
    "random_state": 0,
}


def small(**changes: Any) -> AdVAEDetector:
    return AdVAEDetector(**(SMALL | changes))


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(400, 3))


@pytest.fixture(scope="module")
def fitted(rows: np.ndarray) -> AdVAEDetector:
    return small().fit(rows)


# No check is expected to fail, and none is changed. Of the preset with fewer programs to compile:
# nearly every check has rows of another shape.
@parametrize_with_checks([small(random_state=None, preset="paper")])
def test_scikit_learns_checks(estimator: AdVAEDetector, check: Any) -> None:
    check(estimator)


# --- signs and thresholds ---


def test_signs(fitted: AdVAEDetector, rows: np.ndarray) -> None:
    odd = np.concatenate([rows, rows + 30])
    scores = fitted.anomaly_score(odd)
    assert scores.min() >= 0
    assert scores[len(rows) :].min() > scores[: len(rows)].max()
    np.testing.assert_array_equal(fitted.score_samples(odd), -scores)
    assert fitted.offset_ == -fitted.threshold_
    decision = fitted.decision_function(odd)
    np.testing.assert_array_equal(decision, fitted.score_samples(odd) - fitted.offset_)
    labels = fitted.predict(odd)
    np.testing.assert_array_equal(labels == -1, scores > fitted.threshold_)
    np.testing.assert_array_equal(labels == -1, decision < 0)
    assert set(labels) == {-1, 1}
    assert (labels[len(rows) :] == -1).all()


def test_a_row_at_the_threshold_is_normal(fitted: AdVAEDetector, rows: np.ndarray) -> None:
    score = fitted.anomaly_score(rows[:1])[0]
    at = small(threshold=float(score)).fit(rows)
    assert at.predict(rows[:1]) == [1]
    assert at.decision_function(rows[:1]) == [0.0]


def test_no_pyod_attribute(fitted: AdVAEDetector) -> None:
    # PyOD's LSCP would take a class with decision_scores_ for a detector of the opposite sign.
    assert not hasattr(fitted, "decision_scores_")


def test_the_same_as_the_library(rows: np.ndarray, fitted: AdVAEDetector) -> None:
    settings = {name: value for name, value in SMALL.items() if name != "random_state"}
    detector = advae.fit_detector(rows, Config(seed=0, **settings))
    np.testing.assert_array_equal(fitted.anomaly_score(rows), detector.anomaly_score(rows))
    np.testing.assert_array_equal(fitted.p_value(rows), detector.p_value(rows))
    assert fitted.threshold_ == detector.threshold.value
    assert fitted.history_ == detector.summary.history
    explained = fitted.explain(rows)
    assert explained.contributions.shape == rows.shape
    np.testing.assert_allclose(
        explained.contributions.sum(axis=1), fitted.anomaly_score(rows), rtol=1e-5
    )


@pytest.mark.parametrize("share", [0.01, 0.05, 0.1, 0.5])
def test_contamination_flags_that_share_of_the_rows(rows: np.ndarray, share: float) -> None:
    estimator = small(contamination=share)
    assert (estimator.fit_predict(rows) == -1).sum() == share * len(rows)
    assert "rows of fit" in estimator.detector_.threshold.why
    # The networks and the calibration are those of "auto": contamination sets the threshold alone.
    assert len(estimator.detector_.calibration_scores) == 79


def test_thresholds(rows: np.ndarray, fitted: AdVAEDetector) -> None:
    assert fitted.detector_.threshold.method == "conformal"
    assert small(threshold="kde").fit(rows).detector_.threshold.method == "kde"
    assert small(preset="paper").fit(rows).detector_.threshold.method == "kde"
    assert small(threshold=0.25).fit(rows).threshold_ == 0.25
    assert small(alpha=0.2).fit(rows).threshold_ < fitted.threshold_


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("contamination", 0.0),
        ("contamination", 0.6),
        ("contamination", 1),
        ("contamination", "many"),
        ("alpha", 1.5),
        ("threshold", "best"),
        ("threshold", -1.0),
        ("members", 0),
        ("preset", "quick"),
        ("variant", "GAN"),
        ("calibration", 1.0),
    ],
)
def test_a_wrong_parameter_is_named_by_fit(rows: np.ndarray, name: str, value: Any) -> None:
    estimator = small(**{name: value})  # stored untouched, checked later
    assert estimator.get_params()[name] == value
    with pytest.raises(ConfigError, match=f"{name} is {value!r}; expected"):
        estimator.fit(rows)


@pytest.mark.parametrize(("name", "value"), [("alpha", 0.2), ("threshold", "kde")])
def test_contamination_goes_with_no_other_threshold(
    rows: np.ndarray, name: str, value: Any
) -> None:
    with pytest.raises(ConfigError, match=f"contamination and {name} are both given"):
        small(contamination=0.05, **{name: value}).fit(rows)


def test_every_setting_is_a_parameter() -> None:
    settings = {field.name for field in dataclasses.fields(Config)}
    parameters = inspect.signature(AdVAEDetector).parameters
    others = {"preset", "contamination", "random_state", "hashed"}
    assert parameters.keys() == settings - {"seed"} | others
    documented = re.findall(r"^([\w, ]+) : ", inspect.getdoc(AdVAEDetector) or "", re.MULTILINE)
    assert parameters.keys() <= {name for line in documented for name in line.split(", ")}


# --- randomness ---


def test_random_state(rows: np.ndarray, fitted: AdVAEDetector) -> None:
    wanted = fitted.score_samples(rows)
    np.testing.assert_array_equal(
        small(random_state=np.int64(0)).fit(rows).score_samples(rows), wanted
    )
    first, second = (
        small(random_state=np.random.RandomState(5)).fit(rows).score_samples(rows) for _ in "ab"
    )
    np.testing.assert_array_equal(first, second)
    assert (first != wanted).any()
    one, other = (small(random_state=None).fit(rows).score_samples(rows) for _ in "ab")
    assert (one != other).any()
    state = np.random.RandomState(5)
    one, other = (small(random_state=state).fit(rows).score_samples(rows) for _ in "ab")
    assert (one != other).any()


def test_copies_score_the_same(fitted: AdVAEDetector, rows: np.ndarray) -> None:
    wanted = fitted.score_samples(rows)
    written = pickle.dumps(fitted)
    assert b"jaxlib" not in written
    for other in (pickle.loads(written), copy.deepcopy(fitted), clone(fitted).fit(rows)):
        np.testing.assert_array_equal(other.score_samples(rows), wanted)
        assert other.threshold_ == fitted.threshold_
    assert not hasattr(clone(fitted), "detector_")


# --- scikit-learn's tools ---


def test_pipeline_with_column_transformer(rows: np.ndarray) -> None:
    frame = pd.DataFrame(rows, columns=["a", "b", "c"]).assign(kind=["x", "y"] * 200)
    changed = ColumnTransformer(
        [("numbers", StandardScaler(), ["a", "b"]), ("texts", OneHotEncoder(), ["kind"])],
        sparse_threshold=0,
    )
    model = make_pipeline(changed, small(preset="paper")).fit(frame)
    odd = frame.assign(a=50.0)
    assert (model.predict(odd) == -1).all()
    assert (model.predict(frame) == 1).mean() > 0.8
    assert model.score_samples(frame).shape == (400,)


@pytest.mark.parametrize("library", ["polars", "pandas", "default"])
def test_set_output_upstream(rows: np.ndarray, library: str) -> None:
    scale = QuantileTransformer(n_quantiles=50).set_output(transform=library)
    frame = pd.DataFrame(rows, columns=["a", "b", "c"])
    model = make_pipeline(scale, small()).fit(frame)
    assert hasattr(model[-1], "feature_names_in_") == (library != "default")
    assert model.decision_function(frame).shape == (400,)


def test_grid_search_and_cross_validation(rows: np.ndarray) -> None:
    tables = np.concatenate([rows, rows[:40] * 4])
    labels = np.repeat([1, -1], [400, 40])
    area = make_scorer(roc_auc_score, response_method="decision_function")
    folds = StratifiedKFold(2)
    search = GridSearchCV(small(), {"lambda_": [0.01, 1.0]}, scoring=area, cv=folds)
    search.fit(tables, labels)
    assert search.best_params_["lambda_"] in (0.01, 1.0)
    assert search.best_score_ > 0.7
    assert (search.predict(tables[400:]) == -1).mean() > 0.5
    areas = cross_val_score(small(), tables, labels, scoring="roc_auc", cv=folds)
    assert (areas > 0.7).all()


def test_joblib_processes(fitted: AdVAEDetector, rows: np.ndarray) -> None:
    found = joblib.Parallel(n_jobs=2)(
        joblib.delayed(fitted.score_samples)(part) for part in np.split(rows, 2)
    )
    np.testing.assert_array_equal(np.concatenate(found), fitted.score_samples(rows))


# --- tables ---


class Stream:
    """Nothing but the Arrow capsule interface."""

    def __init__(self, frame: pl.DataFrame) -> None:
        self._frame = frame

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._frame.__arrow_c_stream__(requested_schema)


def test_every_kind_of_table_gives_the_same(fitted: AdVAEDetector, rows: np.ndarray) -> None:
    wanted = fitted.score_samples(rows)
    assert fitted.n_features_in_ == 3
    assert not hasattr(fitted, "feature_names_in_")
    names = ["a", "b", "c"]
    tables = {
        "list": rows.tolist(),
        "objects": rows.astype(object),
        "fortran": np.asfortranarray(rows),
        "pandas": pd.DataFrame(rows, columns=names),
        "unnamed pandas": pd.DataFrame(rows),
        "polars": pl.DataFrame(rows, schema=names, orient="row"),
        "lazy": pl.DataFrame(rows, schema=names, orient="row").lazy(),
        "arrow": pl.DataFrame(rows, schema=names, orient="row").to_arrow(),
        "mapping": dict(zip(names, rows.T, strict=True)),
        "gathered": defaultdict(list, zip(names, rows.T.tolist(), strict=True)),
        "stream": Stream(pl.DataFrame(rows, schema=names, orient="row")),
    }
    for kind, table in tables.items():
        other = small().fit(table)
        np.testing.assert_array_equal(other.score_samples(table), wanted, err_msg=kind)
        named = kind in ("pandas", "polars", "lazy", "arrow", "mapping", "gathered", "stream")
        assert hasattr(other, "feature_names_in_") == named, kind
        if named:
            assert other.feature_names_in_.tolist() == names
            with pytest.warns(UserWarning, match="valid feature names"):
                np.testing.assert_array_equal(other.score_samples(rows), wanted)
            with pytest.raises(ValueError, match="should match those that were passed"):
                other.predict(tables["pandas"][["c", "a", "b"]])


def test_the_index_in_an_arrow_table_is_no_feature(rows: np.ndarray) -> None:
    estimator, frame = small(), pd.DataFrame(rows, columns=["a", "b", "c"])
    stored = pa.Table.from_pandas(frame[frame.a > 0])
    assert stored.num_columns == 4
    assert checked_frame(estimator, stored).columns == ["a", "b", "c"]
    assert estimator.n_features_in_ == 3


@pytest.mark.parametrize(
    "names", [[0, 1, 2], pd.MultiIndex.from_tuples([("x", "a"), ("x", "b"), ("y", "a")])]
)
def test_names_that_are_no_texts_count_too(rows: np.ndarray, names: Any) -> None:
    frame = pd.DataFrame(rows, columns=names)
    estimator = small().fit(frame)
    assert not hasattr(estimator, "feature_names_in_")  # as scikit-learn has it
    np.testing.assert_array_equal(estimator.score_samples(frame), estimator.score_samples(rows))
    for other in (frame.iloc[:, [2, 0, 1]], frame.set_axis([7, 8, 9], axis=1)):
        with pytest.raises(InputError, match=r"the columns are .*; training had .*same order"):
            estimator.score_samples(other)
    # Where one of both has no names, position decides.
    with pytest.warns(UserWarning, match="has feature names"):
        estimator.score_samples(pd.DataFrame(rows, columns=["a", "b", "c"]))
    wanted = small().fit(rows).score_samples(rows)
    np.testing.assert_array_equal(small().fit(rows).score_samples(frame), wanted)


def test_frames_that_are_refused_in_one_sentence(fitted: AdVAEDetector, rows: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"column 'a' occurs more than once\. Rename one of them"):
        small().fit(pd.DataFrame(rows, columns=["a", "b", "a"]))
    for empty in (pd.DataFrame(rows[:0]), rows[:0]):
        with pytest.raises(ValueError, match=r"no rows. Give at least one|0 sample"):
            fitted.predict(empty)


def test_mixed_types_and_missing_values() -> None:
    rng = np.random.default_rng(1)
    frame = pl.DataFrame(
        {
            "amount": rng.normal(10, 1, 300),
            "channel": rng.choice(["web", "shop", "phone"], 300),
            "member": rng.random(300) < 0.5,
            "day": pl.Series(rng.integers(0, 400, 300)).cast(pl.Date),
            "agent": [f"agent {number}" for number in rng.integers(0, 200, 300)],
        }
    ).with_columns(pl.when(pl.col("amount") > 12).then(None).otherwise("amount").alias("amount"))
    estimator = small(preset="paper", hashed=["agent"]).fit(frame)
    assert estimator.feature_names_in_.tolist() == frame.columns
    new = frame.head(2).with_columns(channel=pl.lit("carrier pigeon"), amount=pl.lit(90.0))
    assert (estimator.predict(new) == -1).all()
    np.testing.assert_array_equal(
        small(preset="paper", hashed=["agent"])
        .fit(frame.to_pandas())
        .score_samples(frame.to_pandas()),
        estimator.score_samples(frame),
    )
    everyone = frame.with_columns(agent=pl.format("agent {}", pl.int_range(300)))
    with pytest.raises(InputError, match="hash"):
        small(preset="paper").fit(everyone)


def test_arrays_with_texts_and_missing_values(rows: np.ndarray) -> None:
    table = rows.astype(object)
    table[:, 2] = np.where(rows[:, 2] > 0, "up", "down")
    table[5, 2], table[7, 0] = None, np.nan
    estimator = small(preset="paper").fit(table)
    assert estimator.score_samples(table).shape == (400,)
    with pytest.raises(InputError, match="mixes float, str"):
        small(preset="paper").fit(np.array([[1.0, "a"], [2.0, 3.0]], object))
    holed = rows.copy()
    holed[::7, 1] = np.nan
    assert np.isfinite(small(preset="paper").fit(holed).score_samples(holed)).all()
    with pytest.raises(ValueError, match="infinity"):
        small(preset="paper").fit(np.where(rows > 2, np.inf, rows))
    with pytest.raises(ValueError, match="finite"):
        estimator.predict(pd.DataFrame(rows).replace(rows[0, 0], np.inf))


@pytest.mark.parametrize(("count", "method"), [(2, "kde"), (3, "kde"), (20, "conformal")])
def test_few_rows(rows: np.ndarray, count: int, method: str) -> None:
    estimator = small().fit(rows[:count])
    assert estimator.predict(rows[:count]).shape == (count,)
    assert estimator.detector_.threshold.method == method
    assert any("Too few rows" in note for note in estimator.detector_.summary.notes)
    assert estimator.predict(rows[:1] + 100) == [-1]


def test_tables_that_teach_nothing(rows: np.ndarray) -> None:
    with pytest.raises(InputError, match="all rows to learn from are identical"):
        small().fit(np.ones((10, 3)))
    with pytest.raises(ValueError, match="minimum of 2 is required"):
        small().fit(rows[:1])
    with pytest.raises(ValueError, match="only 1 row to learn from"):
        small().fit(pl.DataFrame(rows[:1]))
    with pytest.raises(ValueError, match="1D array"):
        small().fit(rows[0])
    constant = np.column_stack([rows[:, :2], np.full(400, 7.0), rows[:, 2]])
    estimator = small(surprise=False).fit(constant)
    other = constant.copy()
    other[:, 2] = 8
    assert (estimator.predict(other) == -1).all()


# --- files ---


def test_save_and_load(fitted: AdVAEDetector, rows: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "numbers.advae"
    fitted.save(str(path))
    other = AdVAEDetector.load(path)
    np.testing.assert_array_equal(other.score_samples(rows), fitted.score_samples(rows))
    assert other.threshold_ == fitted.threshold_
    assert other.n_features_in_ == 3
    assert not hasattr(other, "feature_names_in_")
    given = {name: value for name, value in other.get_params().items() if value is not None}
    assert given == {"preset": "default", "contamination": "auto", **SMALL}
    np.testing.assert_array_equal(
        clone(other).fit(rows).score_samples(rows), other.score_samples(rows)
    )


def test_what_was_hashed_is_loaded_as_such(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    names = [f"customer {number}" for number in range(200)]
    frame = pl.DataFrame({"name": names, "amount": rng.normal(size=200)})
    small(preset="paper", hashed=["name"]).fit(frame).save(tmp_path / "m.advae")
    other = AdVAEDetector.load(tmp_path / "m.advae")
    assert other.hashed == ["name"]
    scores = other.anomaly_score(frame)
    np.testing.assert_array_equal(clone(other).fit(frame).anomaly_score(frame), scores)


def test_columns_are_named_as_pandas_names_them() -> None:
    rng = np.random.default_rng(0)
    table = pd.DataFrame({0: rng.normal(size=200), ("who", 1): [f"name {n}" for n in range(200)]})
    table.columns = pd.Index([0, ("who", 1)], tupleize_cols=False, dtype=object)
    settings = {name: value for name, value in SMALL.items() if name != "random_state"}
    config = Config.preset("paper", seed=0, **settings)
    with pytest.raises(InputError, match="missing column '1'; the table has '0'"):
        advae.fit_detector(table, config, hashed=[1])
    wanted = advae.fit_detector(table, config, hashed=["('who', 1)"]).anomaly_score(table)
    detector = advae.fit_detector(table, config, hashed=[("who", 1)])
    np.testing.assert_array_equal(detector.anomaly_score(table), wanted)
    (scored,) = detector.score_batches(table, keep=[0])
    assert list(scored.columns[:2]) == ["row", "0"]
    assert advae.fit_detector(table, config, ignored=table.columns[1:]).ignored == ("('who', 1)",)
    table.columns = ["amount", "who"]
    for hashed in (table.columns[1:], np.array(["who", "who"])):
        found = small(preset="paper", hashed=hashed).fit(table).anomaly_score(table)
        np.testing.assert_array_equal(found, wanted)


def test_parameters_can_be_numbers_of_numpy(rows: np.ndarray) -> None:
    plain = small(iterations=20, alpha=0.25).fit(rows)
    numpys = small(iterations=np.int64(20), alpha=np.float32(0.25), whiten=np.bool_(True)).fit(rows)
    assert numpys.detector_.config == plain.detector_.config
    assert type(numpys.detector_.config.alpha) is float
    share = small(iterations=20, contamination=np.float32(0.25)).fit(rows)
    assert (share.predict(rows) == -1).mean() == 0.25


def test_arrays_are_read_as_fit_detector_reads_them(rows: np.ndarray) -> None:
    hidden = np.ma.array(rows, mask=np.arange(rows.size).reshape(rows.shape) % 7 == 0)
    holes = hidden.filled(np.nan)
    days = (np.arange(400) * 86400).astype("timedelta64[s]")
    for array, other in (
        (hidden, holes),
        (np.arange(800).astype("datetime64[h]").reshape(400, 2), None),
        (np.stack([days, days[::-1]], axis=1), None),
        (np.array([[date(2024, 1, 1 + n % 28), n] for n in range(400)], object), None),
    ):
        fitted = small(preset="paper", iterations=5).fit(array)
        scores = fitted.anomaly_score(array)
        assert np.isfinite(scores).all()
        if other is not None:
            np.testing.assert_array_equal(fitted.anomaly_score(other), scores)
            assert (scores != fitted.anomaly_score(rows)).any()


def test_load_what_the_library_saved(rows: np.ndarray, tmp_path: Path) -> None:
    frame = pl.DataFrame(rows, schema=["a", "b", "c"], orient="row")
    config = Config.preset("paper", seed=3, iterations=30, points=4, batch_size=16)
    advae.save(advae.fit_detector(frame, config), tmp_path / "m.advae")
    estimator = AdVAEDetector.load(tmp_path / "m.advae")
    assert estimator.feature_names_in_.tolist() == ["a", "b", "c"]
    given = {name: value for name, value in estimator.get_params().items() if value is not None}
    assert given == {
        "preset": "paper",
        "contamination": "auto",
        "random_state": 3,
        "iterations": 30,
        "points": 4,
        "batch_size": 16,
    }
    assert estimator.predict(frame).shape == (400,)
    with pytest.raises(ValueError, match="feature names"):
        estimator.predict(frame.rename({"a": "z"}))
