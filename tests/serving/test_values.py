"""What a value means is the same in every kind of body."""

import io
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest
from serving.service import running, table

import advae

JSON, CSV = "application/json", "text/csv"
NDJSON, ARROW = "application/x-ndjson", "application/vnd.apache.arrow.stream"


def rows_of(height: int, seed: int) -> pl.DataFrame:
    """Return rows with a duration and a column of codes, which are texts."""
    span = [timedelta(hours=n % 9, days=n % 2, milliseconds=250 * n) for n in range(height)]
    code = [str(n % 3) for n in range(height)]
    link = [str(n) for n in range(height)]
    return table(height, seed).with_columns(
        span=pl.Series(span), code=pl.Series(code), link=pl.Series(link)
    )


@pytest.fixture(scope="module")
def detector(folder: Path) -> advae.Detector:
    config = advae.Config(iterations=20, hidden=16, batch_size=32, surprise=False)
    detector = advae.fit_detector(rows_of(300, 5), config, hashed=["link"])
    advae.save(detector, folder / "values.advae")
    return detector


@pytest.fixture(scope="module")
def client(folder: Path, detector: advae.Detector) -> Iterator[httpx.Client]:
    """Return a client of a service with the model."""
    assert detector is not None
    with running(folder, folder / "values.advae") as service:
        yield service.client


def ask(client: httpx.Client, content: Any, kind: str = JSON, **more: Any) -> httpx.Response:
    """Send records as JSON, or a body as it is."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    headers = {"content-type": kind, "accept": JSON}
    return client.post("/v1/models/values/score", content=body, headers=headers, **more)


def scores(answer: httpx.Response) -> list[float]:
    assert answer.status_code == 200, answer.text
    return [row["anomaly_score"] for row in answer.json()["rows"]]


VALUES = [
    *(("code", value) for value in ("1", 1, 1.0, True, "true", None, "", "NA", "7")),
    *(("link", value) for value in (5, 5.0, "5", "5.0", 1e20, True)),
    *(("paid", value) for value in (True, 1, 1.0, 0, "1", "TRUE", "1.0", 2, None, "")),
    *(("gaps", value) for value in (True, "true", "NA", "nan", "1e5", " 3 ", "1_0", "x", 1, "")),
    *(("gaps", value) for value in (10**30, -0.0, "inf", "1e999")),
    *(("at", value) for value in ("2024-03-01", "2024-03-01T01:02:03Z", 20240301, "NA", None)),
]


def test_a_value_means_the_same_in_json_and_in_lines(client: httpx.Client) -> None:
    (record,) = json.loads(
        rows_of(1, 9).with_columns(pl.col("at").dt.to_string("iso:strict"), span=None).write_json()
    )

    def outcome(content: Any, kind: str) -> object:
        answer = ask(client, content, kind)
        return scores(answer) if answer.status_code == 200 else answer.status_code

    found, lines = {}, {}
    for name, value in VALUES:
        changed = record | {name: value}
        found[name, repr(value)] = outcome([changed], JSON)
        lines[name, repr(value)] = outcome((json.dumps(changed) + "\n").encode(), NDJSON)
        columns = {key: [each] for key, each in changed.items()}
        assert outcome(columns, JSON) == found[name, repr(value)]
    assert found == lines
    assert set(map(type, found.values())) == {int, list}


def test_wrong_names_of_json_are_named(client: httpx.Client) -> None:
    for content in ([{"Amount": 1, "day": "x"}], {"Amount": [1], "day": ["x"]}):
        told = ask(client, content).json()["error"]
        assert "the table has 'Amount', 'day'. Did you mean 'Amount' for 'amount'" in told


def stream(frame: pl.DataFrame) -> bytes:
    written = io.BytesIO()
    frame.write_ipc_stream(written)
    return written.getvalue()


@pytest.mark.parametrize("dtype", [pl.Categorical(), pl.Enum(["0", "1", "2", "3"])])
def test_categories_of_arrow_are_texts(
    client: httpx.Client, detector: advae.Detector, dtype: pl.DataType
) -> None:
    rows = rows_of(40, 7)
    wanted = detector.anomaly_score(rows).tolist()
    given = rows.with_columns(
        pl.col("code").cast(dtype), pl.col("shop", "link").cast(pl.Categorical), more="shop"
    ).with_columns(pl.col("more").cast(pl.Categorical))
    assert scores(ask(client, stream(given), ARROW)) == wanted


def test_dictionaries_of_pyarrow_are_texts(client: httpx.Client, detector: advae.Detector) -> None:
    pa = pytest.importorskip("pyarrow", reason="needs pyarrow")
    rows = rows_of(40, 7)
    given = rows.to_arrow(compat_level=pl.CompatLevel.oldest())
    place = given.schema.get_field_index("shop")
    texts = given["shop"].combine_chunks().cast(pa.string())
    for index in (pa.int8(), pa.int32(), pa.uint32()):
        column = texts.dictionary_encode().cast(pa.dictionary(index, pa.string()))
        written = pa.BufferOutputStream()
        table = given.set_column(place, "shop", column).append_column("more", column)
        with pa.ipc.new_stream(written, table.schema) as writer:
            writer.write_table(table)
        answer = ask(client, written.getvalue().to_pybytes(), ARROW)
        assert scores(answer) == detector.anomaly_score(rows).tolist()


def test_nested_columns_of_arrow_that_are_not_used(
    client: httpx.Client, detector: advae.Detector
) -> None:
    rows = rows_of(5, 8)
    deep = pl.Series([[[{"a": [1]}]]] * 5)
    given = rows.with_columns(more=pl.Series([[1, 2, 3]] * 5), other=pl.struct("amount"), deep=deep)
    answer = ask(client, stream(given), ARROW)
    assert scores(answer) == detector.anomaly_score(rows).tolist()
    assert answer.json()["unused_columns"] == ["more", "other", "deep"]
    refused = ask(client, stream(rows.with_columns(shop=pl.struct("amount"))), ARROW)
    assert (refused.status_code, refused.json()["column"]) == (422, "shop")
    wrong = ask(client, stream(rows.rename({"amount": "Amount"})), ARROW)
    assert "Did you mean 'Amount' for 'amount'?" in wrong.json()["error"]


def test_durations_are_read_as_they_are_shown(
    client: httpx.Client, detector: advae.Detector
) -> None:
    told = client.get("/v1/models/values")
    assert told.status_code == 200, told.text
    assert len(scores(ask(client, told.json()["example"]))) == 1
    rows = rows_of(20, 6)
    wanted = detector.anomaly_score(rows).tolist()
    days, hours = (rows["span"].dt.total_days(), rows["span"].dt.total_hours() % 24)
    rest = rows["span"].dt.total_milliseconds() % 3_600_000 / 1000
    texts = [
        f"{d}d {h:02}:00:{s:06.3f}" if d else f"{h}:00:{s:06.3f}"
        for d, h, s in zip(days, hours, rest, strict=True)
    ]
    written = rows.with_columns(pl.col("at").dt.to_string("iso:strict"), span=pl.Series(texts))
    assert scores(ask(client, json.loads(written.write_json()))) == wanted
    assert scores(ask(client, written.write_csv().encode(), CSV)) == wanted
    assert scores(ask(client, written.write_ndjson().encode(), NDJSON)) == wanted
    wrong = ask(client, written[:1].with_columns(span=pl.lit("long")).write_csv().encode(), CSV)
    assert (wrong.status_code, wrong.json()["column"]) == (422, "span")
