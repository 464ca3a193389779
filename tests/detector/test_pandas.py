"""pandas in, pandas out; other tables that people hold; what a detector says of itself."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse

from advae import (
    AdVAEDetector,
    Config,
    ConfigError,
    InputError,
    fit_detector,
    fit_detectors,
)
from advae.detector.counterfactual import counterfactuals
from advae.detector.detector import Detector
from advae.doctor.examination import examine
from advae.tables.frames import as_batches, as_frame, with_index

CONFIG = Config(hidden=8, latent=3, batch_size=16, points=8, iterations=150, surprise=False)


def rows(count: int, seed: int = 0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "amount": rng.normal(50, 10, count),
            "shop": rng.choice(["food", "fuel"], count),
            "note": [None if i % 5 == 0 else float(i % 7) for i in range(count)],
        }
    )


@pytest.fixture(scope="module")
def detector() -> Detector:
    return fit_detector(rows(300), CONFIG)


@pytest.fixture(scope="module")
def new() -> pl.DataFrame:
    return rows(40, seed=1).with_columns(
        pl.when(pl.int_range(pl.len()) == 7).then(900.0).otherwise(pl.col("amount")).alias("amount")
    )


def as_pandas(frame: pl.DataFrame) -> pd.DataFrame:
    index = pd.Index([f"case {row}" for row in range(frame.height)], name="case")
    return pd.DataFrame(frame.to_dict(as_series=False), index=index)


def test_scores_keep_the_index(detector: Detector, new: pl.DataFrame) -> None:
    table = as_pandas(new)
    for name in ("anomaly_score", "is_anomaly", "p_value"):
        said, plain = getattr(detector, name)(table), getattr(detector, name)(new)
        assert isinstance(plain, np.ndarray)
        assert isinstance(said, pd.Series)
        assert said.name == name
        pd.testing.assert_index_equal(said.index, table.index)
        np.testing.assert_array_equal(said.to_numpy(), plain)
    # Joined by index, as pandas does it.
    assert (table.assign(score=detector.anomaly_score(table))["score"].idxmax()) == "case 7"


def test_rows_to_change_come_from_any_table(detector: Detector, new: pl.DataFrame) -> None:
    encoded = detector.table.transform(new)
    for table in (as_pandas(new), new.lazy(), new.to_dict(as_series=False)):
        np.testing.assert_array_equal(detector.table.transform(table), encoded)
    (found,) = counterfactuals(detector, detector.table.transform(as_pandas(new).iloc[7:8]))
    assert found.columns == (0,)
    for table in (new, as_pandas(new), encoded[0]):
        with pytest.raises(InputError, match=r"Give what detector\.table\.transform makes"):
            counterfactuals(detector, table)


def test_a_column_left_out_is_meant_for_no_other(new: pl.DataFrame) -> None:
    table = rows(300).with_columns(amounts=pl.int_range(300))
    detector = fit_detector(table, CONFIG, ignored=["amounts"])
    frame = new.rename({"amount": "amounts"})
    for ask in (
        detector.anomaly_score,
        detector.explain,
        lambda data: [*detector.score_batches(data)],
    ):
        with pytest.raises(InputError, match=r"missing column 'amount'; .*Add or rename"):
            ask(frame)
    with pytest.raises(InputError, match="Did you mean 'Amount' for 'amount'"):
        detector.explain(frame.with_columns(Amount=1.0))


def test_what_is_no_threshold_or_no_settings_is_one_error(detector: Detector) -> None:
    with pytest.raises(InputError, match=r"is of type float; expected a Threshold, such as"):
        detector.with_threshold(3.0)  # type: ignore[arg-type]
    settings: Any = {"alpha": 0.1}
    for fit in (fit_detector, examine, lambda data, config: fit_detectors(data, "shop", config)):
        with pytest.raises(ConfigError, match=r"of type dict; expected a Config, such as Config\("):
            fit(rows(300), settings)


def test_batches_keep_their_own_index(detector: Detector, new: pl.DataFrame) -> None:
    table = as_pandas(new)
    parts: Iterator[pd.DataFrame] = iter([table[:15], table[15:]])
    scored = list(detector.score_batches(parts, keep=["shop"], explain=2))
    assert [list(part.index) for part in scored] == [list(table.index[:15]), list(table.index[15:])]
    joined = pd.concat(scored)
    plain = next(detector.score_batches(new, keep=["shop"], explain=2))
    assert list(joined.columns) == plain.columns
    assert joined["row"].tolist() == list(range(40))
    for name in plain.columns:
        assert joined[name].astype(object).where(joined[name].notna(), None).tolist() == (
            plain[name].to_list()
        )
    assert joined["is_anomaly"].dtype == bool
    assert joined["reason_1_contribution"].dtype == float


def test_explanations_keep_the_index(detector: Detector, new: pl.DataFrame) -> None:
    table = as_pandas(new)
    explained, plain = detector.explain(table), detector.explain(new)
    contributions = explained.to_frame()
    pd.testing.assert_index_equal(contributions.index, table.index)
    assert list(contributions.columns) == list(table.columns)
    np.testing.assert_allclose(contributions.sum(axis=1), explained.score, rtol=1e-5)
    assert plain.to_frame().columns == new.columns
    reasons = explained.top(2)
    pd.testing.assert_index_equal(reasons.index, table.index)
    assert reasons.loc["case 7", "reason_1"] == "amount"
    assert reasons.loc["case 7", "reason_1_observed"] == "900"
    assert "reason_3" not in reasons
    assert plain.top(2)["reason_1"].to_list() == reasons["reason_1"].tolist()
    with pytest.raises(InputError, match="at least 1"):
        plain.top(0)


def test_they_say_what_they_are_in_a_few_lines(detector: Detector, new: pl.DataFrame) -> None:
    for said in (repr(detector), repr(detector.explain(new))):
        assert len(said) < 700
        assert len(said.splitlines()) < 10
    assert "columns    3" in repr(detector)
    assert f"{detector.threshold.value:.4g} (conformal)" in repr(detector)
    first = repr(detector.explain(as_pandas(new))).splitlines()[:2]
    assert first[0] == "Explanation of 40 rows and 3 columns"
    assert first[1].startswith("  row case 7: score ")
    assert "amount: 900, expected " in first[1]


@pytest.mark.parametrize("zone", [None, "Europe/Berlin"])
def test_any_column_reaches_pandas(zone: str | None) -> None:
    times = pl.Series(["2026-01-05T10:00:00", None]).str.to_datetime()
    frame = pl.DataFrame(
        {
            "n": [1, None],
            "text": ["a", None],
            "nothing": [None, None],
            "at": times.dt.replace_time_zone(zone),
            "truth": [True, None],
        }
    )
    index = pd.Index([5, 5])
    found = with_index(frame, index)
    assert list(found.index) == [5, 5]
    assert found["text"].tolist()[0] == "a"
    assert found["at"].tolist()[0] == pd.Timestamp("2026-01-05T10:00", tz=zone)
    assert found.isna().sum().tolist() == [1, 1, 2, 1, 1]
    assert with_index(frame, None) is frame


# --- tables that go in ---


def test_rows_as_dicts(detector: Detector, new: pl.DataFrame) -> None:
    records = new.to_dicts()
    np.testing.assert_array_equal(detector.anomaly_score(records), detector.anomaly_score(new))
    assert next(detector.score_batches(records)).height == len(records)
    lacking = as_frame([{"a": 1, "b": "x"}, {"b": "y"}])
    assert lacking.to_dict(as_series=False) == {"a": [1, None], "b": ["x", "y"]}
    # Dicts of columns are batches, as before.
    assert [frame.height for frame in as_batches([{"a": [1, 2]}, {"a": [3]}])] == [2, 1]


@pytest.mark.parametrize("kind", [sparse.csr_matrix, sparse.coo_array, sparse.csc_array])
def test_sparse_matrices(kind: Any) -> None:
    dense = np.array([[0.0, 2.0], [3.0, 0.0]])
    assert as_frame(kind(dense)).equals(as_frame(dense))


# --- the estimator ---


def test_the_estimator_takes_them_too(new: pl.DataFrame) -> None:
    dense = np.random.default_rng(0).normal(size=(300, 3)) * (
        np.random.default_rng(1).random((300, 3)) < 0.5
    )
    small: dict[str, Any] = {
        "hidden": 8, "latent": 3, "batch_size": 16, "points": 8, "iterations": 150,
        "random_state": 0,
    }  # fmt: skip
    of_dense = AdVAEDetector(**small).fit(dense)
    of_sparse = AdVAEDetector(**small).fit(sparse.csr_matrix(dense))
    scores = of_dense.anomaly_score(dense)
    np.testing.assert_array_equal(of_sparse.anomaly_score(sparse.csc_array(dense)), scores)
    records = [dict(zip("abc", row, strict=True)) for row in dense.tolist()]
    of_records = AdVAEDetector(**small).fit(records)
    assert of_records.feature_names_in_.tolist() == ["a", "b", "c"]
    np.testing.assert_array_equal(of_records.anomaly_score(records), scores)

    frame = pd.DataFrame(records, index=[f"case {row}" for row in range(300)])
    parts = of_records.set_output(transform="pandas").transform(frame)
    assert list(parts.columns) == ["a", "b", "c"]
    pd.testing.assert_index_equal(parts.index, frame.index)
    np.testing.assert_allclose(parts.sum(axis=1), scores, rtol=1e-5)
    assert isinstance(of_records.set_output(transform="polars").transform(frame), pl.DataFrame)
    assert isinstance(of_records.anomaly_score(frame), np.ndarray)
    pd.testing.assert_index_equal(of_records.explain(frame).top(1).index, frame.index)
