"""What a running service does when its model, its processes or its limits are put to the test."""

import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from command_line import Run
from serving.service import Service, as_json, running, small_model, table

import advae

SCORE = "/v1/models/shop/score"
TOKEN = "a-token-of-some-length"
ROWS = table(1, 1)


@dataclass
class Clients:
    """Threads that ask for one row again and again, and what they were answered."""

    scores: set[float] = field(default_factory=set)
    statuses: set[int] = field(default_factory=set)
    broken: int = 0
    answered: int = 0


@contextmanager
def asking(service: Service, threads: int = 4) -> Iterator[Clients]:
    """Ask all the while; a connection that the service closed while idle is opened again."""
    clients, ending = Clients(), threading.Event()
    record = as_json(ROWS)

    def ask() -> None:
        with httpx.Client(base_url=service.address, timeout=60) as client:
            while not ending.is_set():
                try:
                    answer = client.post(SCORE, json=record)
                except httpx.TransportError:
                    clients.broken += 1
                    time.sleep(0.01)
                    continue
                clients.answered += 1
                clients.statuses.add(answer.status_code)
                if answer.status_code == 200:
                    clients.scores.add(answer.json()["rows"][0]["anomaly_score"])

    working = [threading.Thread(target=ask) for _ in range(threads)]
    for thread in working:
        thread.start()
    try:
        yield clients
    finally:
        ending.set()
        for thread in working:
            thread.join()


def until(holds: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come to be in time"
        time.sleep(0.05)


def score_of(detector: advae.Detector) -> float:
    return float(detector.anomaly_score(ROWS)[0])


def put(source: Path, target: Path) -> None:
    """Let a file take the place of another at once."""
    shutil.copy(source, target.with_suffix(".new"))
    target.with_suffix(".new").replace(target)


def test_a_model_is_replaced_under_load_and_a_broken_one_is_not(tmp_path: Path) -> None:
    first = small_model(tmp_path / "shop.advae", seed=0)
    second = small_model(tmp_path / "other.advae", seed=1)
    with running(tmp_path, tmp_path / "shop.advae") as service, asking(service) as clients:
        until(lambda: clients.answered > 20)
        assert clients.scores == {score_of(first)}
        put(tmp_path / "other.advae", tmp_path / "shop.advae")
        service.wait_for("model loaded")
        until(lambda: score_of(second) in clients.scores)
        (tmp_path / "garbage").write_bytes(b"garbage" * 100)
        put(tmp_path / "garbage", tmp_path / "shop.advae")
        refused = service.wait_for("model refused, the earlier one stays")
        assert str(tmp_path / "shop.advae") in refused["why"]
        assert service.metric("advae_model_loads_total", outcome="refused") == 1
        service.process.send_signal(signal.SIGHUP)
        service.wait_for("model refused, the earlier one stays", times=2)
        (tmp_path / "shop.advae").unlink()
        time.sleep(1.0)
        answered = clients.answered
        until(lambda: clients.answered > answered + 20)
        shutil.copy(tmp_path / "other.advae", tmp_path / "shop.advae")
        service.wait_for("model loaded", times=2)
    assert clients.scores == {score_of(first), score_of(second)}
    assert clients.statuses == {200}
    assert clients.broken == 0


def test_golden_rows_that_score_otherwise_keep_a_model_out(tmp_path: Path) -> None:
    from advae import tensorfile

    small_model(tmp_path / "shop.advae")
    record, arrays = tensorfile.read(tmp_path / "shop.advae", "model")
    arrays["golden_scores"] = arrays["golden_scores"] * 2
    tensorfile.write(tmp_path / "bad.advae", record, arrays)
    with running(tmp_path, tmp_path / "shop.advae") as service:
        put(tmp_path / "bad.advae", tmp_path / "shop.advae")
        told = service.wait_for("model refused, the earlier one stays")
        assert "does not give the scores" in told["why"]


def test_a_worker_that_is_killed_is_replaced_even_if_the_model_is_gone(tmp_path: Path) -> None:
    detector = small_model(tmp_path / "shop.advae")
    with (
        running(tmp_path, tmp_path / "shop.advae", options=("--workers", "2")) as service,
        asking(service) as clients,
    ):
        until(lambda: clients.answered > 50)
        asked = clients.answered  # of all workers, each of which counts twice a second
        until(lambda: service.metric("advae_rows_total") >= asked)
        shutil.move(tmp_path / "shop.advae", tmp_path / "kept.advae")
        (tmp_path / "shop.advae").write_bytes(b"garbage")
        service.wait_for("model refused, the earlier one stays", times=2)
        workers = {record["process"] for record in service.log() if record["event"] == "ready"}
        assert len(workers) == 2
        os.kill(min(workers), signal.SIGKILL)
        service.wait_for("ready", times=3)
        put(tmp_path / "kept.advae", tmp_path / "shop.advae")
        service.wait_for("model loaded", times=2)
        answered = clients.answered
        until(lambda: clients.answered > answered + 50)
    assert clients.scores == {score_of(detector)}
    assert clients.statuses == {200}
    assert clients.broken <= 4, "only what the killed worker had in hand"


@pytest.mark.parametrize("workers", [1, 2])
def test_what_was_accepted_is_answered_before_the_end(tmp_path: Path, workers: int) -> None:
    detector = small_model(tmp_path / "shop.advae")
    rows = table(20_000, 2)
    body = rows.write_csv().encode()
    head = (
        f"POST {SCORE} HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/csv\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    options = ("--workers", str(workers))
    with running(tmp_path, tmp_path / "shop.advae", options=options) as service:
        connections = [socket.create_connection(("127.0.0.1", service.port)) for _ in range(4)]
        for connection in connections:
            connection.settimeout(90)
            connection.sendall(head.encode() + body[:-100])
        time.sleep(1.0)
        service.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        for connection in connections:
            connection.sendall(body[-100:])
        answers = []
        for connection in connections:
            answer = b""
            while part := connection.recv(1 << 16):
                answer += part
            answers.append(answer)
            connection.close()
        assert service.process.wait(60) == 0
    scores = detector.anomaly_score(rows)
    for answer in answers:
        assert answer.startswith(b"HTTP/1.1 200")
        lines = answer.partition(b"\r\n\r\n")[2].decode().splitlines()[1:]
        assert [float(line.split(",")[1]) for line in lines] == scores.tolist()


def test_a_thousand_idle_connections_keep_nobody_out(tmp_path: Path) -> None:
    detector = small_model(tmp_path / "shop.advae")
    with running(tmp_path, tmp_path / "shop.advae") as service:
        idle = [socket.create_connection(("127.0.0.1", service.port)) for _ in range(1000)]
        try:
            idle[0].settimeout(60)
            for connection in idle[1::2]:
                connection.sendall(b"POST / HTT")
            answer = service.client.post(SCORE, json=as_json(ROWS))
            assert answer.json()["rows"][0]["anomaly_score"] == score_of(detector)
            assert b" 408 " in idle[0].recv(1000), "those that never ask are closed"
        finally:
            for connection in idle:
                connection.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_log_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    small_model(tmp_path / "shop.advae")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with Path("/dev/full").open("wb") as full:
        process = subprocess.Popen(
            [*_command(tmp_path / "shop.advae"), "--port", str(port)], stderr=full, stdout=full
        )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:

            def answers() -> bool:
                try:
                    return client.get("/v2/health/ready").status_code == 200
                except httpx.TransportError:
                    return False

            until(answers)
            assert client.post(SCORE, json=as_json(ROWS)).status_code == 200
    finally:
        process.terminate()
        process.wait(60)


def test_a_shadow_is_compared_in_metrics_alone(tmp_path: Path) -> None:
    detector = small_model(tmp_path / "shop.advae")
    always = detector.with_threshold(advae.Threshold("given", None, 0.0))
    advae.save(always, tmp_path / "other.advae")
    options = ("--shadow", tmp_path / "other.advae")
    with running(tmp_path, tmp_path / "shop.advae", options=options) as service:
        rows = table(200, 3)
        answer = service.client.post(SCORE, json=as_json(rows)).json()["rows"]
        assert [row["anomaly_score"] for row in answer] == detector.anomaly_score(rows).tolist()
        until(lambda: service.metric("advae_shadow_rows_total") == 200)
        differing = service.metric("advae_shadow_disagreements_total")
        assert differing == (always.is_anomaly(rows) != detector.is_anomaly(rows)).sum() > 0


def test_a_shadow_sees_columns_that_the_first_model_lacks(tmp_path: Path) -> None:
    small_model(tmp_path / "shop.advae")
    rows = table(20, 3).with_columns(more="ratio", also="shop")
    wider = advae.fit_detector(
        table(300, 5).with_columns(more="ratio", also="shop"),
        advae.Config(iterations=20, hidden=16, batch_size=32, surprise=False),
    )
    wider = wider.with_threshold(advae.Threshold("given", None, 0.0))
    advae.save(wider, tmp_path / "other.advae")
    records = as_json(rows)
    columns = {name: [record[name] for record in records] for name in records[0]}
    types = {bool: "BOOL", int: "INT64", float: "FP64", str: "BYTES", type(None): "FP64"}
    tensors = [
        {"name": name, "shape": [20], "datatype": types[type(values[0])], "data": values}
        for name, values in columns.items()
    ]
    arrow = io.BytesIO()
    rows.write_ipc_stream(arrow)
    bodies: list[tuple[str, str, bytes]] = [
        (SCORE, "application/json", json.dumps(records).encode()),
        (SCORE, "text/csv", rows.write_csv().encode()),
        (SCORE, "application/x-ndjson", rows.write_ndjson().encode()),
        (SCORE, "application/vnd.apache.arrow.stream", arrow.getvalue()),
        ("/v2/models/shop/infer", "application/json", json.dumps({"inputs": tensors}).encode()),
    ]
    options = ("--shadow", tmp_path / "other.advae")
    with running(tmp_path, tmp_path / "shop.advae", options=options) as service:
        for number, (path, kind, body) in enumerate(bodies, 1):
            headers = {"content-type": kind}
            answer = service.client.post(path, content=body, headers=headers)
            assert answer.status_code == 200, answer.text
            until(lambda wanted=20 * number: service.metric("advae_shadow_rows_total") == wanted)
        assert service.metric("advae_shadow_failures_total") == 0
        service.client.post(SCORE, json=as_json(table(20, 3)))
        until(lambda: service.metric("advae_shadow_failures_total") == 1)


def test_tokens_let_in_and_keep_out(tmp_path: Path) -> None:
    small_model(tmp_path / "shop.advae")
    (tmp_path / "tokens").write_text(f"another-token-of-this\n{TOKEN}\n")
    options = ("--host", "0.0.0.0", "--token-file", tmp_path / "tokens")
    with running(tmp_path, tmp_path / "shop.advae", options=options) as service:
        address = f"http://127.0.0.1:{service.port}"
        for given in ("", TOKEN, f"Bearer {TOKEN}x", "Bearer", f"Basic {TOKEN}", "Bearer \xff"):
            headers = {"authorization": given.encode("latin-1")}
            for path in ("/v1/models", "/metrics", "/v2/models/shop", "/nothing"):
                answer = httpx.get(address + path, headers=headers)
                assert answer.status_code == 401
                assert answer.json()["code"] == "no_token"
        for path in ("/", "/docs", "/v2/health/live", "/v2/health/ready"):
            assert httpx.get(address + path).status_code == 200
        good = {"authorization": f"Bearer {TOKEN}", "host": "models.example"}
        assert httpx.get(address + "/v1/models", headers=good).status_code == 200
        answer = httpx.post(address + SCORE, json=as_json(ROWS), headers=good)
        assert answer.status_code == 200
    assert TOKEN not in service.log_path.read_text()


def test_too_much_at_once_is_refused_and_said_so(tmp_path: Path) -> None:
    small_model(tmp_path / "shop.advae")
    options = ("--max-body", "1", "--timeout", "20")
    with running(tmp_path, tmp_path / "shop.advae", options=options) as service:
        head = (
            f"POST {SCORE} HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/csv\r\n"
            "Content-Length: 1000000\r\n\r\n"
        )
        held = [socket.create_connection(("127.0.0.1", service.port)) for _ in range(12)]
        try:
            for connection in held:
                connection.sendall(head.encode() + b"a" * 900_000)
            until(lambda: service.metric("advae_requests_total", status="429") >= 1)
        finally:
            for connection in held:
                connection.close()
        until(lambda: service.client.post(SCORE, json=as_json(ROWS)).status_code == 200)


def _command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "advae", "serve", *map(str, arguments)]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("nothing.advae",), "nothing.advae"),
        (("shop.advae", "--host", "0.0.0.0"), "other machines can reach"),
        (("shop.advae", "--host", "no.such.name.invalid"), "cannot listen"),
        (("shop.advae", "--token-file", "nothing"), "nothing"),
        (("shop.advae", "--token-file", "short"), "16 characters"),
        (("shop.advae", "sub/shop.advae"), "one name"),
        (("shop.advae", "other.advae", "--shadow", "shop.advae"), "single model"),
        (("short",), "short"),
    ],
)
def test_what_cannot_be_served_is_one_message(
    folder: Path,
    model: advae.Detector,
    options: tuple[str, ...],
    told: str,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(folder)
    (folder / "short").write_text("secret")
    if "--host" in options and options[-1].endswith("invalid"):
        options = (*options, "--insecure")
    done = run("serve", *options, "--port", 0)
    assert done.code == 2
    (line,) = [line for line in done.err.splitlines() if not line.startswith("{")]
    assert told in line
    assert line.startswith("error: ")


def test_a_missing_extra_is_named() -> None:
    program = (
        "import sys; sys.modules['fastapi'] = None; sys.argv = ['advae', 'serve', 'm.advae']; "
        "from advae.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "pip install 'advae[serve]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_records_of_the_log_are_json(service: Service) -> None:
    # Only what this request adds: Polars itself writes a panic to standard error, such as one that
    # another test provokes with a damaged Arrow stream.
    before = len(service.log_path.read_text())
    service.client.get("/v1/models")
    time.sleep(0.5)
    lines = service.log_path.read_text()[before:].splitlines()
    assert lines
    for line in lines:
        assert {"time", "level", "event"} <= set(json.loads(line))
