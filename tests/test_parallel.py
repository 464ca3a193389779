"""How many threads there are."""

import os

import pytest

from advae.parallel import available


@pytest.mark.parametrize("asked", [None, "1", "64", "none", "0"])
def test_no_more_threads_than_cores_or_than_asked_for(
    asked: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    usual = available()
    assert 1 <= usual <= len(os.sched_getaffinity(0))
    if asked is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", asked)
    assert available() == (1 if asked == "1" else usual)
