"""Fixtures that several test modules share."""

import pytest
from command_line import Result, Run
from hypothesis import settings

from advae.cli import main

# How long an example takes depends on what else the machine does.
settings.register_profile("advae", deadline=None)
settings.load_profile("advae")


@pytest.fixture
def run(capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Call the command line as the shell would."""

    def call(*arguments: object) -> Result:
        monkeypatch.setattr("sys.argv", ["advae", *map(str, arguments)])
        try:
            main()
        except SystemExit as end:
            code = end.code
        captured = capfdbinary.readouterr()
        return Result(int(code or 0), captured.out.decode(), captured.err.decode())

    return call
