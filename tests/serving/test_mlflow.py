"""Models of advae in MLflow: logged, loaded, and asked through its own interface."""

from datetime import date, time, timedelta
from pathlib import Path

import polars as pl
import pytest
from serving.service import odd_table, small_model, table

import advae

mlflow = pytest.importorskip("mlflow", reason="needs mlflow-skinny")
pytest.importorskip("pandas", reason="needs pandas")


@pytest.fixture
def saved(tmp_path: Path) -> tuple[advae.Detector, str]:
    """Return a detector, and the folder that MLflow's form of it is in."""
    import advae.mlflow

    detector = small_model(tmp_path / "shop.advae")
    advae.mlflow.save_model(detector, tmp_path / "saved")
    return detector, str(tmp_path / "saved")


def test_a_saved_model_scores_as_before(saved: tuple[advae.Detector, str]) -> None:
    import advae.mlflow

    detector, folder = saved
    rows = odd_table(200, 41)
    assert (
        advae.mlflow.load_model(folder).anomaly_score(rows).tolist()
        == detector.anomaly_score(rows).tolist()
    )


def test_the_pyfunc_takes_pandas_and_gives_reasons(saved: tuple[advae.Detector, str]) -> None:
    detector, folder = saved
    model = mlflow.pyfunc.load_model(folder)
    rows = table(50, 42)
    frame = rows.to_pandas()
    found = model.predict(frame)
    assert list(found.columns) == ["anomaly_score", "is_anomaly", "p_value"]
    assert found["anomaly_score"].tolist() == detector.anomaly_score(rows).tolist()
    explained = model.predict(frame, params={"explain": 2})
    (wanted,) = detector.score_batches([rows], explain=2)
    assert explained["reason_2"].tolist() == wanted["reason_2"].to_list()


def test_missing_values_pass_the_signature(saved: tuple[advae.Detector, str]) -> None:
    detector, folder = saved
    rows = table(20, 43).with_columns(
        shop=pl.when(pl.int_range(20) < 5).then(None).otherwise("shop"),
        amount=pl.when(pl.int_range(20) < 3).then(None).otherwise("amount"),
    )
    found = mlflow.pyfunc.load_model(folder).predict(rows.to_pandas())
    assert found["anomaly_score"].tolist() == detector.anomaly_score(rows).tolist()


def test_signature_and_example_are_kept(saved: tuple[advae.Detector, str]) -> None:
    detector, folder = saved
    model = mlflow.pyfunc.load_model(folder)
    names = model.metadata.signature.inputs.input_names()
    assert names == list(detector.table.feature_names)
    with pytest.raises(mlflow.exceptions.MlflowException, match="amount"):
        model.predict(table(3, 44).drop("amount").to_pandas())
    example = mlflow.models.Model.load(folder).load_input_example(folder)
    assert len(model.predict(example)) == 1
    kept = [path.name for path in Path(folder).rglob("*") if path.suffix in (".pkl", ".pickle")]
    assert kept == [], "nothing is pickled"


def test_a_model_of_any_kind_of_time_is_saved(tmp_path: Path) -> None:
    import advae.mlflow

    rows = pl.DataFrame(
        {
            "size": [float(n % 7) + 0.5 for n in range(60)],
            "day": [date(2026, 1, 1 + n % 28) for n in range(60)],
            "clock": [time(n % 24, 30) for n in range(60)],
            "span": [timedelta(hours=n % 9, days=n % 2) for n in range(60)],
        }
    )
    config = advae.Config(iterations=10, surprise=False)
    detector = advae.fit_detector(rows, config)
    advae.mlflow.save_model(detector, tmp_path / "saved")
    model = mlflow.pyfunc.load_model(str(tmp_path / "saved"))
    assert model.predict(rows.to_pandas())["anomaly_score"].tolist() == [
        *detector.anomaly_score(rows)
    ]
    assert len(model.predict(model.input_example)) == 1
    assert model.predict(rows[:5].with_columns(span=None).to_pandas()).shape == (5, 3)


def test_a_model_is_logged_to_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import advae.mlflow

    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.chdir(tmp_path)
    mlflow.set_tracking_uri(f"file://{tmp_path}/runs")
    detector = small_model(tmp_path / "shop.advae")
    with mlflow.start_run():
        told = advae.mlflow.log_model(detector, "shop")
    rows = table(20, 45)
    loaded = advae.mlflow.load_model(told.model_uri)
    assert loaded.anomaly_score(rows).tolist() == detector.anomaly_score(rows).tolist()
