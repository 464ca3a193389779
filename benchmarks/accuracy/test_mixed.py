"""The benchmark of mixed tables in its quick mode."""

import pytest

from benchmarks.accuracy import mixed
from benchmarks.harness.data import missing_data


@pytest.mark.skipif(bool(missing_data("mixed")), reason=str(missing_data("mixed")))
def test_mixed_tables_have_figures(capsys):
    mixed.main("german", "0", quick=True)
    line = capsys.readouterr().out
    assert line.startswith("german seed 0: ROC AUC ")
    auc = float(line.split("ROC AUC ")[1].split(",")[0])
    assert 40 <= auc <= 100
