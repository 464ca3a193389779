"""Requests that nobody should send: each is refused in the error format, and harms nothing."""

import gzip
import io
import json
import random
import socket
import struct
import time
from collections.abc import Iterator

import polars as pl
import pytest
from serving.service import Service, as_json, table

import advae

SCORE = "/v1/models/shop/score"
INFER = "/v2/models/shop/infer"
JSON, CSV = "application/json", "text/csv"
NDJSON, ARROW = "application/x-ndjson", "application/vnd.apache.arrow.stream"


def arrow(frame: pl.DataFrame, compression: str | None = None) -> bytes:
    stream = io.BytesIO()
    frame.write_ipc_stream(stream, compression=compression or "uncompressed")
    return stream.getvalue()


def post(
    body: bytes | str = b"[]",
    path: str = SCORE,
    kind: str = JSON,
    length: object = None,
    more: str = "",
) -> bytes:
    """Return the bytes of a request."""
    data = body.encode() if isinstance(body, str) else body
    size = len(data) if length is None else length
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n"
        f"Content-Length: {size}\r\n{more}\r\n"
    )
    return head.encode("latin-1") + data


def get(path: str, more: str = "Host: localhost\r\n") -> bytes:
    return f"GET {path} HTTP/1.1\r\n{more}\r\n".encode("latin-1")


ROW = as_json(table(1, 1))[0]


def row(**changes: object) -> str:
    return json.dumps([ROW | changes])


def infer(**changes: object) -> bytes:
    tensor = {"name": "amount", "shape": [1], "datatype": "FP64", "data": [1.0]} | changes
    return post(json.dumps({"inputs": [tensor]}), INFER)


BOMB = arrow(pl.DataFrame({"amount": [0.0] * 1_000_000}), "zstd")
CHUNKED = "POST " + SCORE + " HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"

HOSTILE: dict[str, tuple[bytes, set[int]]] = {
    # Bodies that are no table.
    "no body": (post(b""), {422}),
    "no rows": (post("[]"), {422}),
    "an empty object": (post("{}"), {422}),
    "a number": (post("3"), {422}),
    "a text": (post('"rows"'), {422}),
    "null": (post("null"), {422}),
    "a list of numbers": (post("[1, 2]"), {422}),
    "a list of lists": (post("[[1, 2]]"), {422}),
    "records and numbers": (post(row()[:-1] + ", 3]"), {422}),
    "an empty record": (post("[{}]"), {422}),
    "half a JSON": (post(row()[:-5]), {422}),
    "two JSONs": (post(row() + row()), {422}),
    "not UTF-8": (post(b'[{"amount": "\xff\xfe"}]'), {422}),
    "UTF-16": (post(row().encode("utf-16")), {200, 422}),
    "nul bytes": (post(b"\0" * 1000), {422}),
    "deep lists": (post("[" * 200_000), {422}),
    "deep objects": (post('{"a":' * 100_000 + "1" + "}" * 100_000), {422}),
    "a deep value": (post('[{"amount": ' + "[" * 500 + "]" * 500 + "}]"), {422}),
    "columns of unequal length": (post('{"amount": [1, 2], "items": [1]}'), {422}),
    "records of other columns": (post(json.dumps([ROW, {"amount": 1}])), {422}),
    "a name twice": (post('[{"amount": 1, "amount": 2}]'), {422}),
    "100,000 columns": (post(json.dumps([{f"c{n}": 1 for n in range(100_000)}])), {413}),
    "too many rows": (post(json.dumps([{"amount": 1}] * 20_001)), {413}),
    # Values that cannot be.
    "NaN": (post(row().replace(json.dumps(ROW["amount"]), "NaN")), {422}),
    "Infinity": (post(row().replace(json.dumps(ROW["amount"]), "-Infinity")), {422}),
    "1e999": (post(row().replace(json.dumps(ROW["amount"]), "1e999")), {422}),
    "a huge whole number": (post(row(amount=10**400)), {422}),
    "5,000 digits": (post(row().replace(json.dumps(ROW["amount"]), "9" * 5000)), {422}),
    "an object for a number": (post(row(amount={"a": 1})), {422}),
    "a list for a number": (post(row(amount=[1])), {422}),
    "true for a time": (post(row(at=True)), {422}),
    "a text for a truth value": (post(row(paid="maybe")), {422}),
    "a date that is none": (post(row(at="2024-13-45")), {422}),
    "half a surrogate": (post(row(shop="\ud800")), {200, 422}),
    "a surrogate as a name": (post('[{"\\ud800": 1}]'), {422}),
    "a column missing": (post('[{"amount": 1}]'), {422}),
    # CSV, NDJSON and Arrow.
    "CSV without rows": (post("amount,items\n", kind=CSV), {422}),
    "CSV with ragged lines": (post("amount,items\n1,2,3\n", kind=CSV), {422}),
    "CSV with a name twice": (post("amount,amount\n1,2\n", kind=CSV), {422}),
    "CSV with an open quote": (post('amount,shop\n1,"north\n', kind=CSV), {422}),
    "CSV of binary": (post(bytes(range(256)) * 20, kind=CSV), {422}),
    "CSV that is gzip": (post(gzip.compress(b"amount\n" + b"1\n" * 9), kind=CSV), {415}),
    "NDJSON that is gzip": (post(gzip.compress(b'{"amount": 1}\n'), kind=NDJSON), {415}),
    "JSON that is gzip": (post(gzip.compress(b"[]")), {415}),
    "CSV that is Zstandard": (post(b"\x28\xb5\x2f\xfd" + b"\0" * 60, kind=CSV), {415}),
    "CSV with 50,000 columns": (post("," * 50_000 + "\n", kind=CSV), {413}),
    "NDJSON that is CSV": (post("amount,items\n1,2\n", kind=NDJSON), {422}),
    "NDJSON of numbers": (post("1\n2\n", kind=NDJSON), {422}),
    "Arrow that is none": (post(b"ARROW1\0\0" * 20, kind=ARROW), {422}),
    "Arrow cut short": (post(arrow(table(50, 1))[:-300], kind=ARROW), {422}),
    "Arrow with a huge message": (
        post(struct.pack("<II", 0xFFFFFFFF, 0x7FFFFFFF) + b"\0" * 99, kind=ARROW),
        {422},
    ),
    "Arrow, a decompression bomb": (post(BOMB, kind=ARROW), {413}),
    "Arrow without columns": (post(arrow(pl.DataFrame()), kind=ARROW), {422}),
    "Arrow of nested columns": (
        post(arrow(table(2, 1).with_columns(amount=pl.Series([[1], [2]]))), kind=ARROW),
        {422},
    ),
    # Kinds and encodings.
    "an unknown kind": (post(row(), kind="text/html"), {415}),
    "a form": (post("a=1", kind="application/x-www-form-urlencoded"), {415}),
    "gzip": (post(b"\x1f\x8b", more="Content-Encoding: gzip\r\n"), {415}),
    "an answer that is not known": (post(row(), more="Accept: image/png\r\n"), {406}),
    # Parameters and paths.
    "reasons below none": (post(row(), SCORE + "?explain=-1"), {422}),
    "reasons that are no number": (post(row(), SCORE + "?explain=all"), {422}),
    "no such model": (post(row(), "/v1/models/other/score"), {404}),
    "a path out of the folder": (post(row(), "/v1/models/..%2f..%2fetc%2fpasswd/score"), {404}),
    "a path up": (get("/v1/../../../etc/passwd"), {404}),
    "a nul in a path": (get("/v1/models/%00"), {404}),
    "a path that is no UTF-8": (get("/v1/models/%ff%fe"), {404}),
    "another method": (b"DELETE /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n", {405}),
    "TRACE": (b"TRACE / HTTP/1.1\r\nHost: localhost\r\n\r\n", {405}),
    "CONNECT": (b"CONNECT localhost:1 HTTP/1.1\r\nHost: localhost\r\n\r\n", {400, 404, 405}),
    "a long path": (get("/" + "a" * 100_000), {431}),
    # Headers.
    "a header of 100 kB": (get("/", "Host: localhost\r\nX: " + "a" * 100_000 + "\r\n"), {431}),
    "20,000 headers": (get("/", "Host: localhost\r\n" + "X: abc\r\n" * 20_000), {431}),
    "another host": (get("/v1/models", "Host: evil.example\r\n"), {421}),
    "no host": (get("/v1/models", ""), {400, 421}),
    "two hosts": (get("/v1/models", "Host: localhost\r\nHost: evil.example\r\n"), {400}),
    "another origin": (post(row(), more="Origin: https://evil.example\r\n"), {403}),
    "a header without a name": (get("/", "Host: localhost\r\n: x\r\n"), {400}),
    "a folded header": (get("/", "Host: localhost\r\nX: a\r\n b\r\n"), {200, 400}),
    # What could be read in two ways by a proxy and by us.
    "two lengths": (post(row(), more="Content-Length: 3\r\n"), {400}),
    "a length and chunks": (post(row(), more="Transfer-Encoding: chunked\r\n"), {400}),
    "a length below none": (post(row(), length=-5), {400}),
    "a length of words": (post(row(), length="ten"), {400}),
    "a length with a sign": (post(row(), length="+5"), {400}),
    "a huge length": (post(row(), length=10**30), {400, 413}),
    "more than may be sent": (post(row(), length=9 * 2**20), {413}),
    "an unknown transfer": (post(row(), more="Transfer-Encoding: xchunked\r\n"), {400}),
    "a chunk of no number": ((CHUNKED + "\r\nzz\r\n").encode(), {400}),
    "a chunk below none": ((CHUNKED + "\r\n-1\r\n").encode(), {400}),
    "bare line feeds": (b"GET / HTTP/1.1\nHost: localhost\n\n", {200, 400}),
    "HTTP of no version": (b"GET /\r\n\r\n", {200, 400, 421}),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 200, {400}),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", {400}),
    "a blank before the name": (get("/", "Host: localhost\r\n X: a\r\n"), {200, 400}),
    "a blank after the name": (get("/", "Host: localhost\r\nContent-Length : 5\r\n"), {400}),
    # The Open Inference Protocol.
    "no tensors": (post("{}", INFER), {422}),
    "tensors that are none": (post('{"inputs": [3]}', INFER), {422}),
    "a shape below none": (infer(shape=[-1]), {422}),
    "a huge shape": (infer(shape=[10**18]), {422}),
    "a shape of three sides": (infer(shape=[1, 1, 1]), {422}),
    "an unknown datatype": (infer(datatype="FP9"), {422}),
    "values of another type": (infer(datatype="BYTES"), {422}),
    "binary that is not there": (infer(parameters={"binary_data_size": 8}, data=None), {422}),
    "binary below none": (infer(parameters={"binary_data_size": -8}), {422}),
    "parameters that are none": (infer(parameters=[1]), {422}),
    "a header length beyond the body": (
        post("{}", INFER, more="Inference-Header-Content-Length: 999\r\n"),
        {400},
    ),
    "a header length of words": (
        post("{}", INFER, more="Inference-Header-Content-Length: x\r\n"),
        {400},
    ),
}


@pytest.fixture(autouse=True)
def unharmed(service: Service, model: advae.Detector) -> Iterator[None]:
    """Ask for a score after each request."""
    yield
    rows = table(1, 1)
    answer = service.client.post(SCORE, json=as_json(rows))
    assert answer.json()["rows"][0]["anomaly_score"] == model.anomaly_score(rows)[0]


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def check_error(answer: bytes) -> None:
    """Check that an answer has the one format of errors."""
    body = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert set(body) == {"error", "code", "column", "row"}
    assert len(body["error"]) < 2000
    assert body["error"].rstrip().endswith(".")


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_request_is_refused(service: Service, name: str) -> None:
    request, wanted = HOSTILE[name]
    answer = service.raw(request)
    assert status_of(answer) in wanted, answer[:500]
    if status_of(answer) != 200:
        check_error(answer)


def test_there_are_many_of_them() -> None:
    assert len(HOSTILE) >= 60


def test_a_body_that_comes_too_slowly_is_given_up(service: Service) -> None:
    begun = time.monotonic()
    answer = service.raw(post(b"[", length=100), seconds=60)
    assert status_of(answer) == 408
    check_error(answer)
    assert 4 < time.monotonic() - begun < 30


def test_chunks_without_end_are_given_up(service: Service) -> None:
    with socket.create_connection(("127.0.0.1", service.port), timeout=60) as connection:
        connection.sendall((CHUNKED + "Content-Type: text/csv\r\n\r\n").encode())
        part = b"100000\r\n" + b"a" * 0x100000 + b"\r\n"
        try:
            for _ in range(12):
                connection.sendall(part)
        except OSError:
            pass  # closed before all was sent
        answer = b""
        while not answer.endswith(b"}"):
            part = connection.recv(65536)
            assert part, answer
            answer += part
    assert status_of(answer) == 413
    check_error(answer)


def test_a_second_request_in_the_first_ones_body_is_not_answered(service: Service) -> None:
    inner = get("/v1/models/other")
    answer = service.raw(post(inner, kind=CSV))
    assert answer.count(b"\r\nHTTP/1.1") == 0
    assert answer.count(b"content-length") == 1
    assert status_of(answer) == 422


@pytest.mark.slow
def test_damaged_arrow_streams_never_fail_the_service(service: Service) -> None:
    """Change bytes of a stream by chance: each answer is a score or a refusal."""
    chance = random.Random(0)
    whole = [arrow(table(20, 1)), arrow(table(20, 1), "zstd"), arrow(table(20, 1), "lz4")]
    found = set()
    for _ in range(600):
        body = bytearray(chance.choice(whole))
        for _ in range(chance.choice([1, 1, 2, 8])):
            body[chance.randrange(len(body))] = chance.randrange(256)
        answer = service.client.post(SCORE, content=bytes(body), headers={"content-type": ARROW})
        found.add(answer.status_code)
    assert found <= {200, 413, 422}
