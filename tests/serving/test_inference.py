"""The Open Inference Protocol, spoken by Triton's own client."""

from collections.abc import Iterator

import numpy as np
import polars as pl
import pytest
from serving.service import Service, odd_table

import advae

http = pytest.importorskip("tritonclient.http", reason="needs tritonclient[http]")


@pytest.fixture
def client(service: Service) -> Iterator[object]:
    client = http.InferenceServerClient(service.address.removeprefix("http://"))
    yield client
    client.close()


def tensors(rows: pl.DataFrame, binary: bool) -> list[object]:
    """Return a tensor for each column, as a user of the client writes them."""
    made = []
    for name in rows.columns:
        values = rows[name]
        if values.dtype.is_float():
            array, kind = values.fill_null(np.nan).to_numpy(), "FP64"
        elif values.dtype.is_integer():
            array, kind = values.to_numpy(), "INT64"
        else:
            texts = values.dt.to_string("iso:strict") if values.dtype.is_temporal() else values
            array = np.array([v or "" for v in texts.cast(pl.String)], object)
            kind = "BYTES"
        tensor = http.InferInput(name, list(array.shape), kind)
        tensor.set_data_from_numpy(array, binary_data=binary)
        made.append(tensor)
    return made


def test_a_client_finds_the_model_and_its_tensors(client: object, model: advae.Detector) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("shop")
    assert not client.is_model_ready("other")
    told = client.get_model_metadata("shop")
    assert [tensor["name"] for tensor in told["inputs"]] == list(model.table.feature_names)
    kinds = {tensor["name"]: tensor["datatype"] for tensor in told["inputs"]}
    assert (kinds["amount"], kinds["shop"], kinds["paid"]) == ("FP64", "BYTES", "BOOL")
    assert client.get_server_metadata()["name"] == "advae"


def test_scores_of_binary_tensors_are_exact(client: object, model: advae.Detector) -> None:
    rows = odd_table(500, 21)
    result = client.infer("shop", tensors(rows, binary=True), request_id="seven")
    assert result.get_response()["id"] == "seven"
    assert result.as_numpy("anomaly_score").tolist() == model.anomaly_score(rows).tolist()
    assert result.as_numpy("is_anomaly").tolist() == model.is_anomaly(rows).tolist()
    assert result.as_numpy("p_value").tolist() == model.p_value(rows).tolist()


def test_outputs_can_be_chosen_and_be_json(client: object, model: advae.Detector) -> None:
    rows = odd_table(50, 22).filter(pl.all_horizontal(pl.all().is_not_null()))
    outputs = [http.InferRequestedOutput("anomaly_score", binary_data=False)]
    result = client.infer("shop", tensors(rows, binary=False), outputs=outputs)
    assert [output["name"] for output in result.get_response()["outputs"]] == ["anomaly_score"]
    found = np.asarray(result.as_numpy("anomaly_score"))
    assert found.tolist() == model.anomaly_score(rows).tolist()


def test_the_client_is_told_what_is_wrong(client: object) -> None:
    tensor = http.InferInput("amount", [1], "BYTES")
    tensor.set_data_from_numpy(np.array(["much"], object))
    with pytest.raises(http.InferenceServerException, match="missing columns"):
        client.infer("shop", [tensor])
    with pytest.raises(http.InferenceServerException, match="there is no model 'other'"):
        client.infer("other", [tensor])
