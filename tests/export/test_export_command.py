"""advae export, as the shell calls it."""

import builtins
import hashlib
from pathlib import Path
from typing import Any

import pytest
from command_line import Run
from export.all_kinds import fitted

import advae

onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra onnx")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.advae"
    advae.save(fitted("paper", points=200), path)
    return path


def test_it_writes_beside_the_model_and_says_what(model: Path, run: Run) -> None:
    done = run("export", model)
    assert done.code == 0, done.err
    path = model.with_suffix(".onnx")
    assert "22 inputs, opset 11" in " ".join(done.out.split())
    assert "CRC-32" in done.err
    metadata = onnxruntime.InferenceSession(path).get_modelmeta().custom_metadata_map
    assert metadata["advae.fingerprint"] == hashlib.sha256(model.read_bytes()).hexdigest()


def test_it_writes_where_it_is_told_to(model: Path, tmp_path: Path, run: Run) -> None:
    path = tmp_path / "other name.onnx"
    assert run("export", model, "-o", path).code == 0
    assert path.exists()
    assert not model.with_suffix(".onnx").exists()


def test_errors_are_one_line_and_leave_nothing(model: Path, tmp_path: Path, run: Run) -> None:
    damaged, path = tmp_path / "damaged.advae", tmp_path / "x.onnx"
    damaged.write_bytes(model.read_bytes()[:-100])
    for words, said in {
        (tmp_path / "none.advae", "-o", path): "does not exist",
        (damaged, "-o", path): "damaged",
        (model, "-o", tmp_path / "no" / "x.onnx"): "does not exist",
        (model, "-o", tmp_path): "is a folder",
        (model, "-o", model): "is also an input",
    }.items():
        done = run("export", *words)
        assert (done.code, len(done.err.splitlines())) == (2, 1), done.err
        assert done.err.startswith("error: ")
        assert said in done.err
    assert not path.exists()
    assert {each.name for each in tmp_path.iterdir()} == {"model.advae", "damaged.advae"}


def test_without_the_extra_it_says_what_to_install(
    model: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **words: Any) -> Any:
        if name.split(".")[0] == "onnxruntime":
            raise ImportError(f"No module named {name!r}", name=name)
        return real(name, *rest, **words)

    monkeypatch.setattr(builtins, "__import__", without)
    done = run("export", model)
    assert done.code == 2
    assert "ONNX files need onnxruntime. Install it with: pip install 'advae[onnx]'" in done.err
    assert not model.with_suffix(".onnx").exists()
