"""An ONNX file gives what its model gives, for every kind of column and score."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from export.all_kinds import fitted, strange, table
from methods.linear_autoencoder import LinearAutoencoder

import advae
from advae import methods
from advae.core.method import ScoredInGraph
from advae.errors import InputError, ModelFileError
from advae.export import onnx as exported
from advae.export.onnx import feeds, input_names, write_onnx

onnx = pytest.importorskip("onnx", reason="needs the extra onnx")
onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra onnx")


class OffThePlane(LinearAutoencoder):
    """A second method that writes down its own score."""

    def in_graph(self, graph, scorer, x, width):
        expected = [
            ((x - middle) @ down.T) @ up.T + middle
            for down, up, middle in zip(*map(np.asarray, scorer), strict=True)
        ]
        squares = [(x - each) * (x - each) for each in expected]
        mean = graph.total(squares) / float(len(squares))
        return ScoredInGraph(mean.sum(1), mean)


methods.METHODS |= {
    "linear": "methods.linear_autoencoder:LinearAutoencoder",
    "plane": "export.test_onnx:OffThePlane",
}
LINEAR = {"latent": 2, "swap": 0.0}


def variant(scorer: Any = None, **changes: Any) -> advae.Detector:
    """Return the fitted model as one of other settings, which score otherwise."""
    detector = fitted()
    config = replace(detector.config, **changes)
    return replace(detector, config=config, scorer=scorer or detector.scorer)


def without_memory() -> advae.Detector:
    scorer = fitted().scorer
    return variant(scorer._replace(reference=scorer.reference._replace(memory=None)), memory=0)


def without_whitening() -> advae.Detector:
    scorer = fitted().scorer
    plain = scorer.reference._replace(whitening=None)
    return variant(scorer._replace(reference=plain), whiten=False)


SCORES: dict[str, Callable[[], advae.Detector]] = {
    "default": fitted,
    "paper": lambda: fitted("paper", points=200),
    "one member": lambda: fitted(members=1),
    "dates learned": lambda: variant(time="trend"),
    "two norms": lambda: variant(fitted().scorer._replace(surprise=None), surprise=False),
    "no memory": without_memory,
    "no whitening": without_whitening,
    "another method": lambda: fitted(method="plane", **LINEAR),
}


def session(path: Path) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 3, 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def asked(path: Path, given: dict[str, Any]) -> dict[str, np.ndarray]:
    asking = session(path)
    names = [output.name for output in asking.get_outputs()]
    return dict(zip(names, asking.run(names, given), strict=True))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.onnx"


@pytest.fixture
def written(path: Path) -> Path:
    write_onnx(fitted(), path, "fingerprint of the file")
    return path


@pytest.mark.parametrize("name", SCORES)
def test_scores_are_those_of_the_model(name: str, path: Path) -> None:
    detector = SCORES[name]()
    write_onnx(detector, path)
    rows = pl.concat([table(500, 2), strange(700, 3)], how="vertical_relaxed")
    found, wanted = asked(path, feeds(detector, rows)), detector.explain(rows)
    np.testing.assert_allclose(found["anomaly_score"], wanted.score, rtol=1e-5)
    near = np.abs(wanted.score / detector.threshold.value - 1) < 1e-5
    assert (found["is_anomaly"] == detector.is_anomaly(rows))[~near].all()
    one = 1.5 / (len(detector.reference_scores) + 1)
    np.testing.assert_allclose(found["p_value"], detector.p_value(rows), rtol=0, atol=one)
    # Of several rows that are equally near, another one may be taken for the nearest.
    apart = np.abs(found["contributions"] - wanted.contributions).max(axis=1) / wanted.score
    assert (apart < 1e-4).mean() > 0.99
    np.testing.assert_allclose(found["contributions"].sum(axis=1), wanted.score, rtol=1e-4)


def test_one_row_and_many_rows_have_the_same_scores(written: Path) -> None:
    given = feeds(fitted(), strange(300, 4))
    whole = asked(written, given)["anomaly_score"]
    first = asked(written, {name: values[:1] for name, values in given.items()})
    np.testing.assert_allclose(first["anomaly_score"], whole[:1], rtol=1e-5)
    assert asked(written, {name: v[:0] for name, v in given.items()})["is_anomaly"].shape == (0,)


def test_the_threshold_may_be_given(written: Path) -> None:
    detector, rows = fitted(), table(200, 5)
    given = feeds(detector, rows)
    scores = asked(written, given)["anomaly_score"]
    middle = np.sort(scores)[100]
    flagged = asked(written, given | {"threshold": np.array([middle])})["is_anomaly"]
    assert flagged.tolist() == (scores > middle).tolist()


def test_missing_values_are_given_as_the_metadata_say(written: Path) -> None:
    schema = json.loads(session(written).get_modelmeta().custom_metadata_map["advae.schema"])
    types = {"string": object, "float64": float, "int8": np.int8, "int32": np.int32}
    given = {
        column["input"]: np.array(
            [float("nan") if column["missing"] == "NaN" else column["missing"]],
            types.get(column["type"], np.int64),
        )
        for column in schema["columns"]
    }
    empty = pl.DataFrame({column["column"]: [None] for column in schema["columns"]})
    wanted = fitted().anomaly_score(empty)
    np.testing.assert_allclose(asked(written, given)["anomaly_score"], wanted, rtol=1e-5)
    # An empty text was learned as a category: then it does not stand for a missing one.
    sentinels = {column["column"]: column["missing"] for column in schema["columns"]}
    assert sentinels["kind"] == ""
    assert sentinels["blank"] == "(missing)"


@pytest.mark.parametrize(
    ("column", "value"),
    [("size", np.inf), ("size", -np.inf), ("flag", 2), ("link", 32), ("link", -2), ("at", 2**62)],
)
def test_what_the_model_would_refuse_has_no_score_and_is_flagged(
    column: str, value: float, written: Path
) -> None:
    given = feeds(fitted(), table(3, 6))
    given[column][1] = value if column != "at" else 2**63 - 1
    found = asked(written, given)
    assert np.isnan(found["anomaly_score"]).tolist() == [False, True, False]
    assert np.isnan(found["p_value"]).tolist() == [False, True, False]
    assert np.isnan(found["contributions"][1]).all()
    assert found["is_anomaly"][1]


def test_the_metadata_say_what_the_file_is(written: Path) -> None:
    detector = fitted()
    model = onnx.load(written)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert metadata["advae.fingerprint"] == "fingerprint of the file"
    assert "11" in metadata["advae.opset"]
    assert {each.domain: each.version for each in model.opset_import} == {"": 11, "ai.onnx.ml": 2}
    schema = json.loads(metadata["advae.schema"])
    assert schema["contributions"] == list(detector.table.feature_names)
    assert schema["threshold"]["value"] == detector.threshold.value
    meanings = {each["column"]: each["meaning"] for each in schema["columns"]}
    assert "CRC-32" in meanings["link"]
    assert "Europe/Berlin" in meanings["zoned"]


def test_golden_rows_can_be_asked_again(written: Path) -> None:
    golden = json.loads(session(written).get_modelmeta().custom_metadata_map["advae.golden_rows"])
    types = {each.name: each.type for each in session(written).get_inputs()}
    schema = json.loads(session(written).get_modelmeta().custom_metadata_map["advae.schema"])
    given = {}
    for column in schema["columns"]:
        name, missing = column["input"], column["missing"]
        missing = float("nan") if missing == "NaN" else missing
        values = [missing if v is None else v for v in golden["inputs"][name]]
        dtype = object if types[name] == "tensor(string)" else column["type"]
        given[name] = np.array(values, dtype)
    np.testing.assert_allclose(
        asked(written, given)["anomaly_score"], golden["anomaly_score"], rtol=1e-5
    )


def test_columns_may_be_called_what_the_graph_uses_itself(path: Path) -> None:
    names = ["", "threshold", "column threshold", "contributions", "Add_1", "constant_2", 'x"\n é']
    rng = np.random.default_rng(0)
    frame = pl.DataFrame({name: rng.normal(size=200) for name in names})
    detector = advae.fit_detector(frame, advae.Config(iterations=50))
    remarks = write_onnx(detector, path)
    inputs = input_names(tuple(names))
    assert len(set(inputs)) == len(names)
    assert [each.name for each in session(path).get_inputs()] == inputs
    assert len(remarks) == 3
    found = asked(path, feeds(detector, frame))
    np.testing.assert_allclose(found["anomaly_score"], detector.anomaly_score(frame), rtol=1e-5)


def test_a_method_without_a_graph_is_refused_by_name(path: Path) -> None:
    detector = advae.fit_detector(
        np.random.default_rng(0).normal(size=(100, 3)),
        advae.Config(method="linear", iterations=20, **LINEAR),
    )
    with pytest.raises(InputError, match="method 'linear' has no ONNX graph"):
        write_onnx(detector, path)
    assert not path.exists()


def test_a_file_with_other_scores_is_not_written(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_bytes(b"the old one")
    monkeypatch.setattr(exported, "TOLERANCE", 0.0)
    with pytest.raises(ModelFileError, match="was not written: for golden row"):
        write_onnx(fitted(), path)
    assert path.read_bytes() == b"the old one"
    assert list(path.parent.iterdir()) == [path]


def test_a_file_that_would_be_too_large_is_not_written(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exported, "LARGEST", 10_000)
    with pytest.raises(InputError, match="more than the 10,000 of an ONNX file"):
        write_onnx(fitted(), path)
    assert not path.exists()


def test_feeds_name_what_cannot_be_read() -> None:
    rows = table(3, 7)
    with pytest.raises(InputError, match="missing column 'size'"):
        feeds(fitted(), rows.drop("size"))
    with pytest.raises(InputError, match="column 'size', row 1"):
        feeds(fitted(), rows.with_columns(size=pl.Series(["1", "x", "2"])))
