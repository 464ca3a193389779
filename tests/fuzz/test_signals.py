"""The quick mode of the fuzzer of signals."""

import sys

import pytest
from fuzz.signals import run


@pytest.mark.skipif(sys.platform != "linux", reason="one core is chosen as on Linux")
def test_signals_end_commands_with_130_and_leave_nothing() -> None:
    cases = list(run(cases=2, seed=7))
    assert [case for case in cases if case.fault] == []
