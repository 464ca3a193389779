"""What the page on services says, of the command, of MLflow and of a forked worker."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from pages import blocks
from serving.service import running

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


def test_the_client_of_the_page_is_answered_by_the_command(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("fastapi", reason="needs the extra serve")
    with running(folder, folder / "model.advae") as service:
        exec(examples()[0].replace("http://127.0.0.1:8000", service.address), {})
    score, flag, p_value, *_ = capsys.readouterr().out.split()
    rows = pl.DataFrame({"a": [0.3], "b": [None], "c": [-1.2]})
    detector = advae.load(folder / "model.advae")
    assert float(score) == detector.anomaly_score(rows)[0]
    assert flag == str(detector.is_anomaly(rows)[0])
    assert float(p_value) == detector.p_value(rows)[0]


def test_the_commands_of_the_page_run(folder: Path) -> None:
    pytest.importorskip("fastapi", reason="needs the extra serve")
    pl.read_parquet(folder / "rows.parquet").write_csv(folder / "new.csv")
    pl.read_csv(folder / "new.csv").write_parquet(folder / "new.parquet")
    model = folder / "model.advae"
    with running(folder, model) as service:
        for block in blocks("docs/services.md"):
            for line in re.findall(r"^\$ (.*)$", block.text, re.MULTILINE):
                command = line.replace("http://127.0.0.1:8000", service.address)
                words = shlex.split(command.replace(" tokens", f" {folder / 'tokens'}"))
                if words[:2] == ["advae", "serve"]:
                    with running(folder, model, options=tuple(words[3:])):
                        continue
                if words[0] == "curl" and shutil.which("curl") is None:
                    continue
                if words[0] != "pip":  # tests/test_pages.py looks at the extras of others
                    command = re.sub("^python ", f"{sys.executable} ", command)
                    command = re.sub("^advae ", f"{sys.executable} -m advae ", command)
                    subprocess.run(command, shell=True, cwd=folder, check=True, timeout=120)
    assert pl.read_parquet(folder / "scores.parquet").height == 200


def test_the_page_names_every_address(folder: Path) -> None:
    pytest.importorskip("fastapi", reason="needs the extra serve")
    text = (ROOT / "docs" / "services.md").read_text()
    with running(folder, folder / "model.advae") as service:
        paths = service.client.get("/openapi.json").json()["paths"]
        known = service.client.get("/metrics").text
    assert {path for path in paths if not path.startswith("/v2") and path not in text} == set()
    named = set(re.findall(r"`(advae_[a-z_]+)[`{]", text))
    assert named
    # Histograms and counters have further endings.
    assert {name for name in named if f"# TYPE {name}" not in known} == set()


def test_a_model_goes_to_mlflow_and_comes_back(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow = pytest.importorskip("mlflow", reason="needs the extra mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.chdir(tmp_path)
    shutil.copy(folder / "model.advae", tmp_path)
    mlflow.set_tracking_uri(f"file://{tmp_path}/runs")
    names: dict[str, Any] = {}
    exec(examples()[1], names)
    rows = pl.read_parquet(folder / "rows.parquet")
    wanted = names["detector"].anomaly_score(rows)
    assert names["again"].anomaly_score(rows).tolist() == wanted.tolist()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
def test_a_forked_worker_loads_by_itself(folder: Path) -> None:
    imports = ("advae", "advae.detector.fitting", "advae.methods.advae.scoring")
    (folder / "service.py").write_text(f"import {', '.join(imports)}")
    (folder / "gunicorn.conf.py").write_text(examples()[2])
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
