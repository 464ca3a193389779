"""Examples in docstrings say what happens."""

import doctest
from importlib import import_module

import pytest

MODULES = [
    "advae.config",
    "advae.detector.fitting",
    "advae.detector.model_file",
    "advae.detector.rows",
    "advae.estimators.pyod",
    "advae.estimators.sklearn",
    "advae.tables.labels",
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_docstrings(name: str) -> None:
    if name.endswith("pyod"):
        pytest.importorskip("pyod", reason="needs the extra pyod")
    done = doctest.testmod(import_module(name))
    assert done.attempted
    assert not done.failed
