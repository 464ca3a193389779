"""One service that the tests of its answers share."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from serving.service import Service, running, small_model

import advae


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("serving")


@pytest.fixture(scope="session")
def model(folder: Path) -> advae.Detector:
    """Return the model that the service has, with all parts of the default preset's score."""
    return small_model(folder / "shop.advae", surprise=True)


@pytest.fixture(scope="session")
def service(folder: Path, model: advae.Detector) -> Iterator[Service]:
    """Run a service with small limits."""
    limits = ("--max-rows", "20000", "--max-body", "8", "--timeout", "5")
    with running(folder, folder / "shop.advae", options=limits) as service:
        yield service
