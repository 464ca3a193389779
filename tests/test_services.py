"""What the page on services says, in a server and in a forked worker."""

import json
import os
import re
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import advae

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a model and rows for it."""
    folder = tmp_path_factory.mktemp("service")
    rows = pl.DataFrame(np.random.default_rng(0).normal(size=(200, 3)), schema=["a", "b", "c"])
    config = advae.Config(iterations=20, hidden=8, batch_size=16, points=4)
    advae.save(advae.fit_detector(rows, config), folder / "model.advae")
    rows.write_parquet(folder / "rows.parquet")
    return folder


def examples() -> list[str]:
    return re.findall(
        r"```python\n(.*?)```", (ROOT / "docs" / "services.md").read_text(), re.DOTALL
    )


def test_rows_asked_at_the_same_time_score_as_in_their_table(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    names: dict[str, Any] = {}
    exec(examples()[0].replace("8000", "0"), names)  # any port that is free
    monkeypatch.setattr(names["Handler"], "log_message", lambda *_: None)
    rows = pl.read_parquet("rows.parquet")

    def post(asked: object) -> list[float]:
        host, port = server.server_address[:2]
        body = json.dumps(asked).encode()
        with urllib.request.urlopen(f"http://{host!s}:{port}", body, timeout=60) as answer:
            scores: list[float] = json.load(answer)
        return scores

    def ask(row: object) -> float:
        (score,) = post([row])
        return score

    def refused(*rows: object, asked: object = None) -> str:
        with pytest.raises(urllib.error.HTTPError) as caught:
            post([*rows] if asked is None else asked)
        assert caught.value.code == 400
        return str(json.load(caught.value))

    server: ThreadingHTTPServer = names["server"]
    with server, ThreadPoolExecutor(8) as clients:
        threading.Thread(target=server.serve_forever).start()
        try:
            found = list(clients.map(ask, rows.iter_rows(named=True)))
            assert "column 'c'" in refused({"a": 1.0, "b": 1.0})
            assert "'much' is not a number" in refused({"a": 1.0, "b": 1.0, "c": "much"})
            assert refused({"a": [1, 2], "b": {}, "c": 1.0})
            assert refused(["a"])
            assert "the table has no columns" in refused()
            assert refused(asked=3)
        finally:
            server.shutdown()
    assert found == advae.load("model.advae").anomaly_score(rows).tolist()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
def test_a_forked_worker_loads_by_itself(folder: Path) -> None:
    imports = ("advae", "advae.detector.fitting", "advae.methods.advae.scoring")
    (folder / "service.py").write_text(f"import {', '.join(imports)}")
    (folder / "gunicorn.conf.py").write_text(examples()[1])
    program = (
        "import os, runpy, sys, warnings, service\n"
        "warnings.simplefilter('ignore')\n"  # JAX warns of the fork itself
        "work = runpy.run_path('gunicorn.conf.py')['post_worker_init']\n"
        "child = os.fork()\n"
        "if not child:\n"
        "    import polars as pl\n"
        "    work(None)\n"
        "    scores = service.detector.anomaly_score(pl.read_parquet('rows.parquet'))\n"
        "    print(*scores.tolist(), flush=True)\n"
        "    os._exit(0)\n"
        "sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = pl.read_parquet(folder / "rows.parquet")
    wanted = advae.load(folder / "model.advae").anomaly_score(rows)
    assert [float(score) for score in done.stdout.split()] == wanted.tolist()
