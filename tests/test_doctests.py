"""Every public name has an example in its docstring, and what the example says comes out."""

import doctest
import inspect
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import advae

PAGE = Path(__file__).resolve().parents[1] / "docs" / "api.md"
EXTRAS = {
    "advae.engines.duckdb": "duckdb",
    "advae.engines.ray": "ray",
    "advae.engines.spark": "pyspark",
    "advae.estimators.pyod": "pyod",
    "advae.serving.mlflow": "mlflow",
}
"""What the modules need that not every installation has."""

SHOWN = re.findall(r"^::: (advae\.\S+)$", PAGE.read_text(), flags=re.MULTILINE)
NAMES = sorted(
    {name for name in SHOWN if name != "advae.errors"}
    | {f"advae.errors.{name}" for name in advae.__all__ if name.endswith("Error")}
)
"""The public names, as `tests/test_docs.py` has all of them on the page."""

MODULES = sorted({name.rpartition(".")[0] for name in NAMES})


@pytest.fixture
def imported(request: pytest.FixtureRequest) -> Any:
    """Return the module that a test names, unless what it needs is not installed."""
    module = request.param
    if module in EXTRAS:
        pytest.importorskip(EXTRAS[module], reason=f"needs {EXTRAS[module]}")
    return import_module(module)


@pytest.mark.parametrize("imported", MODULES, indirect=True)
def test_every_public_name_has_an_example(imported: Any) -> None:
    names = [name.rpartition(".") for name in NAMES]
    own = [name for module, _, name in names if module == imported.__name__]
    assert own
    for name in own:
        assert ">>> " in (inspect.getdoc(getattr(imported, name)) or ""), name


@pytest.mark.parametrize("imported", MODULES, indirect=True)
def test_examples_of_docstrings(
    imported: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"file://{tmp_path}/runs")
    done = doctest.testmod(imported)
    assert done.attempted
    assert not done.failed
