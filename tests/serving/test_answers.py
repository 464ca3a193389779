"""Answers of the service: equal to those of the library and the command, in every kind."""

import io
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from command_line import Run
from serving.service import Service, as_json, odd_table, running, table

import advae

JSON, CSV = "application/json", "text/csv"
NDJSON, ARROW = "application/x-ndjson", "application/vnd.apache.arrow.stream"
SCORE = "/v1/models/shop/score"


def body(frame: pl.DataFrame, kind: str) -> bytes:
    if kind == JSON:
        return json.dumps(as_json(frame)).encode()
    if kind == CSV:
        return frame.write_csv().encode()
    if kind == NDJSON:
        return frame.write_ndjson().encode()
    stream = io.BytesIO()
    frame.write_ipc_stream(stream)
    return stream.getvalue()


def answered(content: bytes, kind: str) -> pl.DataFrame:
    if kind == JSON:
        return pl.DataFrame(json.loads(content)["rows"])
    if kind == CSV:
        return pl.read_csv(content)
    return pl.read_ndjson(content) if kind == NDJSON else pl.read_ipc_stream(content)


@pytest.mark.parametrize("accept", [JSON, CSV, NDJSON, ARROW])
@pytest.mark.parametrize("kind", [JSON, CSV, NDJSON, ARROW])
def test_scores_equal_the_librarys_to_the_last_bit(
    service: Service, model: advae.Detector, kind: str, accept: str
) -> None:
    rows = odd_table(10_000 if accept == kind else 300, 7)
    answer = service.client.post(
        SCORE, content=body(rows, kind), headers={"content-type": kind, "accept": accept}
    )
    assert answer.status_code == 200, answer.text
    found = answered(answer.content, accept)
    assert found["anomaly_score"].to_list() == model.anomaly_score(rows).tolist()
    assert found["is_anomaly"].to_list() == model.is_anomaly(rows).tolist()
    assert found["p_value"].to_list() == model.p_value(rows).tolist()


def test_csv_is_answered_as_the_command_answers(
    service: Service, folder: Path, tmp_path: Path, run: Run
) -> None:
    rows = odd_table(500, 8)
    rows.write_csv(tmp_path / "rows.csv")
    asked = service.client.post(
        SCORE,
        params={"explain": 3},
        content=(tmp_path / "rows.csv").read_bytes(),
        headers={"content-type": CSV},
    )
    done = run("score", folder / "shop.advae", tmp_path / "rows.csv", "--explain", 3, "--quiet")
    assert done.code == 0
    assert asked.text == done.out
    assert pl.read_csv(done.out.encode())["not_flagged_with"].count() > 0


def test_reasons_in_json_are_those_of_the_library(service: Service, model: advae.Detector) -> None:
    rows = odd_table(50, 9)
    asked = service.client.post(SCORE, params={"explain": 2}, json=as_json(rows))
    (wanted,) = model.score_batches([rows], explain=2)
    for row, record in enumerate(asked.json()["rows"]):
        for k, reason in enumerate(record["reasons"], 1):
            assert reason["column"] == wanted[f"reason_{k}"][row]
            assert reason["contribution"] == wanted[f"reason_{k}_contribution"][row]
            assert reason["expected"] == wanted[f"reason_{k}_expected"][row]
            assert reason["kind"] == wanted[f"reason_{k}_kind"][row]
        assert not [name for name in record if name.startswith("reason_")]
    described = service.client.get("/openapi.json").json()["paths"]["/v1/models/{name}/score"]
    answer = described["post"]["responses"]["200"]["content"][JSON]["schema"]
    known = answer["properties"]["rows"]["items"]["properties"]["reasons"]["items"]["properties"]
    assert set(known) == set(reason)


def test_rows_asked_together_score_as_alone(service: Service, model: advae.Detector) -> None:
    rows = odd_table(400, 10)
    records = as_json(rows)
    # Whole numbers in a column of numbers, a text and another order of columns: their neighbours
    # in one computation must not change what these mean.
    records[3]["amount"] = 2
    records[4]["amount"] = "2.5"
    records[5] = dict(reversed(records[5].items()))
    before = service.metric("advae_batches_total")

    def ask(record: dict[str, object]) -> float:
        answer = service.client.post(SCORE, json=[record])
        assert answer.status_code == 200, answer.text
        return float(answer.json()["rows"][0]["anomaly_score"])

    with ThreadPoolExecutor(16) as clients:
        found = list(clients.map(ask, records))
    changed = rows.with_columns(
        amount=pl.Series([*rows["amount"][:3], 2.0, 2.5, *rows["amount"][5:]])
    )
    assert found == model.anomaly_score(changed).tolist()
    assert service.metric("advae_batches_total") - before < len(records)


def test_a_bad_row_among_those_asked_together_spoils_no_other(
    service: Service, model: advae.Detector
) -> None:
    rows = table(60, 11)
    records = as_json(rows)
    for record in records[::3]:
        record["amount"] = "much"

    def ask(record: dict[str, object]) -> object:
        answer = service.client.post(SCORE, json=[record])
        if answer.status_code == 200:
            return answer.json()["rows"][0]["anomaly_score"]
        told = answer.json()
        return answer.status_code, told["column"], told["row"]

    with ThreadPoolExecutor(16) as clients:
        found = list(clients.map(ask, records))
    wanted: list[object] = list(model.anomaly_score(rows).tolist())
    wanted[::3] = [(422, "amount", 0)] * 20
    assert found == wanted


def test_columns_of_json_and_columns_not_used(service: Service, model: advae.Detector) -> None:
    rows = table(5, 12)
    columns = {name: [record[name] for record in as_json(rows)] for name in rows.columns}
    answer = service.client.post(SCORE, json=columns | {"more": [{"a": 1}] * 5}).json()
    found = [row["anomaly_score"] for row in answer["rows"]]
    assert found == model.anomaly_score(rows).tolist()
    assert answer["unused_columns"] == ["more"]


def test_the_example_of_a_model_can_be_asked(service: Service, model: advae.Detector) -> None:
    told = service.client.get("/v1/models/shop").json()
    assert told["threshold"]["value"] == model.threshold.value
    assert [column["name"] for column in told["columns"]] == list(model.table.feature_names)
    (row,) = service.client.post(SCORE, json=told["example"]).json()["rows"]
    assert row["p_value"] > 0.02, "what is expected is no anomaly"
    assert service.client.get("/v1/models").json() == {"models": ["shop"]}


def test_metrics_count_rows_scores_and_values(service: Service, model: advae.Detector) -> None:
    rows = odd_table(1000, 13)
    names = ["advae_rows_total", "advae_flagged_rows_total", "advae_score_count"]
    shop = {"column": "shop"}

    def now() -> list[float]:
        return [
            *(service.metric(name, model="shop") for name in names),
            service.metric("advae_missing_values_total", **shop),
            service.metric("advae_unseen_values_total", **shop),
        ]

    before = now()
    service.client.post(SCORE, content=body(rows, ARROW), headers={"content-type": ARROW})
    found = np.subtract(now(), before).tolist()
    flagged = int(model.is_anomaly(rows).sum())
    missing = rows["shop"].null_count()
    assert found == [1000, flagged, 1000, missing, (rows["shop"] == "never seen").sum()]


def test_drift_shows_in_the_column_that_drifts(service: Service) -> None:
    rows = table(20_000, 14).with_columns(pl.col("ratio") + 1.0)
    for _ in range(1):
        service.client.post(SCORE, content=body(rows, ARROW), headers={"content-type": ARROW})

    def beyond_chance(column: str) -> bool:
        index = service.metric("advae_drift_index", column=column)
        return index > 2 * service.metric("advae_drift_chance", column=column)

    assert beyond_chance("ratio")
    assert not beyond_chance("paid")


def test_pages_and_the_description_are_there(service: Service) -> None:
    assert "/v1/models/{name}/score" in service.client.get("/docs").text
    assert service.client.get("/openapi.json").json()["openapi"].startswith("3.")
    policy = service.client.get("/").headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy


def test_the_log_tells_of_requests_and_holds_no_value(service: Service) -> None:
    record = as_json(table(1, 15))[0] | {"shop": "secret-value"}
    service.client.post(SCORE, json=[record])
    service.client.post(SCORE, json=[record | {"amount": "secret-value"}])
    service.client.get("/v1/models/secret-value")
    service.client.get("/secret-value")
    told = service.wait_for("request")
    assert {"route", "method", "status", "seconds"} <= set(told)
    assert "secret-value" not in service.log_path.read_text()


def test_csv_is_read_as_the_training_file_was(tmp_path: Path) -> None:
    written = {"separator": "#", "decimal": ",", "null": ("-",)}
    (tmp_path / "a.csv").write_text(
        "v#k\n-#a\n-#b\n" + "".join(f"{n % 9},5#{'ab'[n % 2]}\n" for n in range(90))
    )
    rows = advae.read_table(tmp_path / "a.csv", **written)
    config, reading = advae.Config(iterations=10, surprise=False), advae.ReadOptions(**written)
    detector = advae.fit_detector(rows, config, reading=reading)
    advae.save(detector, tmp_path / "shop.advae")
    new = b"id#k#v\nx#b#1\n1#a#2,5\n31/01/2024#b#-\n"
    wanted = detector.anomaly_score(pl.DataFrame({"v": [1.0, 2.5, None], "k": ["b", "a", "b"]}))
    with running(tmp_path, tmp_path / "shop.advae") as service:
        answer = service.client.post(SCORE, content=new, headers={"content-type": CSV})
        assert answer.status_code == 200, answer.text
        assert answered(answer.content, CSV)["anomaly_score"].to_list() == wanted.tolist()
        other = service.client.post(SCORE, content="v#k\n1.5#a\n", headers={"content-type": CSV})
        assert other.status_code == 422
        assert "line 2, column 'v', row 0" in other.json()["error"]
        lacking = service.client.post(SCORE, content="x#k\n1#a\n", headers={"content-type": CSV})
        assert lacking.json()["code"] == "unusable_rows"
        assert "missing column 'v'" in lacking.json()["error"]
