"""Fixtures that several test modules share."""

import pytest
from command_line import Result, Run

from advae.cli import main


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
