"""How many threads there are."""

import os
import threading
import time

import pytest

from advae.parallel import ahead, available


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


def test_what_is_done_ahead_comes_in_order_and_never_far_ahead(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    begun: list[int] = []
    at_work = threading.Semaphore(0)

    def slow_first(number: int) -> int:
        begun.append(number)
        if number == 1:
            assert at_work.acquire(timeout=20) or available() == 1  # until a later one is done
        elif number > 1:
            at_work.release()
        return number

    made = ahead(slow_first, range(40))
    assert next(made) == 0
    assert begun == [0], "the first is done alone"
    for wanted in range(1, 40):
        assert next(made) == wanted
        assert len(begun) <= wanted + 2 + 2 * available()
    assert next(made, None) is None


def test_an_error_comes_at_its_place_and_ends_the_rest() -> None:
    begun: list[int] = []

    def fails(number: int) -> int:
        begun.append(number)
        if number == 3:
            raise ValueError("the third")
        time.sleep(0.01)
        return number

    made = ahead(fails, range(1000))
    assert [next(made) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="the third"):
        next(made)
    ended = len(begun)
    assert ended < 20
    time.sleep(0.05)
    assert len(begun) == ended
