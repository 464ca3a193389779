"""The paper's data sets for tests, which are skipped where the data folder is absent."""

import pytest

from benchmarks.harness.data import (
    PAPER_SETS,
    data_folder,
    load_paper_set,
    missing_data,
    published_weights,
)

__all__ = ["PAPER_SETS", "data_folder", "load_paper_set", "published_weights", "require_data"]


def require_data(*relative: str) -> None:
    """Skip the calling test unless these paths exist inside the data folder."""
    missing = missing_data(*relative)
    if missing:
        pytest.skip(missing)
