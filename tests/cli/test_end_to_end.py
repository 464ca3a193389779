"""The installed program in processes of its own: pipes, signals, kill -9, and start-up time."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import polars as pl
import pytest
from hostile_files import good_table

PROGRAM = [sys.executable, "-m", "advae"]
ENOUGH = 120.0


def advae(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PROGRAM, *map(str, arguments)], capture_output=True, text=True, timeout=ENOUGH, **options
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "good.csv"
    good_table().write_csv(path)
    return path


@pytest.fixture(scope="module")
def model(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a model that is hardly trained."""
    model = tmp_path_factory.mktemp("model") / "m.advae"
    done = advae("fit", data, "-o", model, "--preset", "paper", "--iterations", 50)
    assert done.returncode == 0, done.stderr
    return model


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a table of millions of rows."""
    path = tmp_path_factory.mktemp("many") / "many.parquet"
    pl.concat([good_table()] * 20_000).write_parquet(path)
    return path


def fit_arguments(data: Path, model: Path) -> list[object]:
    # Long enough that there is a middle to be killed in, also for a watcher that gets little time.
    return ["fit", data, "-o", model, "--preset", "paper", "--iterations", 40_050, "--verbose"]


@pytest.fixture(scope="module")
def uninterrupted(data: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    model = tmp_path_factory.mktemp("whole") / "m.advae"
    done = advae(*fit_arguments(data, model))
    assert done.returncode == 0, done.stderr
    return model.read_bytes()


@pytest.mark.parametrize(
    ("sent", "code"),
    [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130), (signal.SIGTERM, 130)],
)
def test_interrupted_fit_resumes_to_the_same_bytes(
    sent: signal.Signals, code: int, data: Path, uninterrupted: bytes, tmp_path: Path
) -> None:
    model, checkpoint = tmp_path / "m.advae", tmp_path / "m.advae.checkpoint"
    command = [*PROGRAM, *map(str, fit_arguments(data, model))]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        # The first line of progress, after a tenth.
        early = next(line for line in process.stderr if line.startswith("training "))
        early = early.partition("/")[0] + "/"
        process.send_signal(sent)
        _, err = process.communicate(timeout=ENOUGH)
    finally:
        process.kill()
    assert process.returncode == code
    assert "Traceback" not in err
    assert not model.exists()
    assert checkpoint.exists()
    if sent != signal.SIGKILL:  # that one leaves no time to keep what was done last
        assert "--resume" in err
    resumed = advae(*fit_arguments(data, model), "--resume")
    assert resumed.returncode == 0, resumed.stderr
    if sent != signal.SIGKILL:
        assert early not in resumed.stderr  # it went on, it did not start again
    assert model.read_bytes() == uninterrupted
    assert [path.name for path in tmp_path.iterdir()] == ["m.advae"]


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("more", [["-o", "out.parquet"], ["-o", "out.csv", "--fdr", "0.1"], []])
def test_interrupted_score_leaves_nothing_behind(
    sent: signal.Signals, more: list[str], model: Path, many: Path, tmp_path: Path
) -> None:
    command = [*PROGRAM, "score", str(model), str(many), "--explain", "5", *more]
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen(
            command, cwd=tmp_path, stdout=out, stderr=subprocess.PIPE, text=True
        )
        try:
            began = time.monotonic()
            # With the first rows written or on their way, and millions to come.
            while not os.fstat(out.fileno()).st_size and not any(tmp_path.iterdir()):
                assert process.poll() is None, "it ended at once"
                assert time.monotonic() - began < ENOUGH
                time.sleep(0.02)
            time.sleep(1.0)
            assert process.poll() is None, "it ended at once"
            process.send_signal(sent)
            _, err = process.communicate(timeout=ENOUGH)
        finally:
            process.kill()
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert "Exception ignored" not in err
    assert not any(tmp_path.iterdir())


def test_resume_refuses_other_data(data: Path, tmp_path: Path) -> None:
    model, checkpoint = tmp_path / "m.advae", tmp_path / "m.advae.checkpoint"
    checkpoint.write_bytes(b"not a checkpoint")
    result = advae(*fit_arguments(data, model), "--resume")
    assert result.returncode == 2
    assert "checkpoint" in result.stderr
    assert not model.exists()


def test_same_seed_same_bytes_other_seed_other_bytes(data: Path, tmp_path: Path) -> None:
    models = [tmp_path / name for name in ("a", "b", "c")]
    for model, seed in zip(models, (1, 1, 2), strict=True):
        done = advae("fit", data, "-o", model, "--iterations", 50, "--seed", seed, "--quiet")
        assert done.returncode == 0, done.stderr
    first, again, other = (model.read_bytes() for model in models)
    assert first == again
    assert first != other


def test_a_closed_pipe_is_no_error(model: Path, tmp_path: Path) -> None:
    many = tmp_path / "many.csv"
    pl.concat([good_table()] * 2000).write_csv(many)
    command = " ".join([*PROGRAM, "score", str(model), str(many)])
    result = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command} | head -1"],
        capture_output=True,
        text=True,
        timeout=ENOUGH,
    )
    assert result.stdout.startswith("row,anomaly_score")
    assert result.stderr == ""


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_needs_no_numerical_library(option: str) -> None:
    code = (
        f"import sys; sys.argv = ['advae', '{option}']\n"
        "from advae.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print([m for m in ('jax', 'polars', 'sklearn', 'scipy') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.rstrip().endswith("[]"), result.stdout


def test_demo(tmp_path: Path) -> None:
    result = advae("demo", cwd=tmp_path, env={**os.environ, "COLUMNS": "100"})
    assert result.returncode == 0, result.stderr
    for name in ("normal.csv", "new.csv", "model.advae", "scores.csv"):
        assert (tmp_path / "demo" / name).stat().st_size > 0
    scores = pl.read_csv(tmp_path / "demo" / "scores.csv")
    flagged = scores.group_by("malignant").agg(pl.col("is_anomaly").mean())
    shares = dict(flagged.iter_rows())
    assert shares[True] > 0.7
    assert shares[False] < 0.2
    for line in result.stdout.split("Try next:")[1].strip().splitlines():
        tried = subprocess.run(line, shell=True, cwd=tmp_path, capture_output=True, text=True)
        assert tried.returncode == 0, tried.stderr
