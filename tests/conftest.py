"""Fixtures that several test modules share."""

import polars as pl
import pytest
from command_line import Result, Run
from hypothesis import settings
from report_data import labelled_table, mixed_detector

from advae.cli import main
from advae.detector.detector import Detector
from advae.report.summary import Report, summarise

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


@pytest.fixture(scope="module")
def detector() -> Detector:
    """Return a model of a table with every kind of column."""
    return mixed_detector()


@pytest.fixture(scope="module")
def table() -> pl.DataFrame:
    """Return new rows for it, with keys and labels."""
    return labelled_table()


@pytest.fixture(scope="module")
def report(detector: Detector, table: pl.DataFrame) -> Report:
    """Return its report on them."""
    return summarise(detector, table, label="label", keep=["key"], data_name="new.csv")
