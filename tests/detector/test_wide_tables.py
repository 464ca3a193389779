"""Tables of many more columns than rows: nothing grows with the square of the columns."""

import jax
import numpy as np
import polars as pl
import pytest

from advae import tensorfile
from advae.config import Config
from advae.detector import model_file
from advae.detector.fitting import fit_detector
from advae.errors import ModelFileError
from advae.methods.advae import reference

COLUMNS = 200


def wide_table(rows):
    rng = np.random.default_rng(0)
    values = rng.normal(size=(rows, 3)) @ rng.normal(size=(3, COLUMNS))
    values += 0.3 * rng.normal(size=values.shape)
    return pl.DataFrame(values, schema=[f"gene_{i}" for i in range(COLUMNS)])


def fitted(rows, **settings):
    return fit_detector(wide_table(rows), Config(hidden=8, latent=3, iterations=20, **settings))


@pytest.fixture(scope="module", params=[30, 60], ids=["in folds", "held out"])
def rows(request):
    return request.param


@pytest.fixture(scope="module")
def detector(rows):
    return fitted(rows)


def test_nothing_kept_has_columns_twice(detector, rows):
    assert bool(detector.summary.folds) == (rows == 30)
    for leaf in jax.tree.leaves(detector.scorer):
        assert sum(length == COLUMNS for length in np.shape(leaf)) <= 1


def test_scores_are_those_of_square_matrices(detector, rows, monkeypatch):
    monkeypatch.setattr(reference, "in_factors", lambda *_: False)
    square = fitted(rows)
    assert square.scorer.reference.whitening.shape[1:] == (COLUMNS, COLUMNS)
    table = wide_table(rows)
    explanation, same = detector.explain(table), square.explain(table)
    np.testing.assert_allclose(explanation.score, same.score, rtol=1e-4)
    np.testing.assert_allclose(explanation.contributions, same.contributions, rtol=0.01, atol=1e-4)
    np.testing.assert_allclose(explanation.contributions.sum(axis=1), explanation.score, rtol=1e-5)
    np.testing.assert_allclose(detector.calibration_scores, square.calibration_scores, rtol=1e-4)


def test_a_model_file_keeps_the_factors(detector, rows, tmp_path):
    model_file.save(detector, tmp_path / "a.advae")
    again = model_file.load(tmp_path / "a.advae")
    table = wide_table(rows)
    np.testing.assert_array_equal(again.anomaly_score(table), detector.anomaly_score(table))
    assert again.threshold == detector.threshold


@pytest.mark.parametrize("shape", [(), (1,), (0, 3), (1, COLUMNS, 5), (1, 7, COLUMNS)])
def test_factors_of_wrong_shapes_are_damage(detector, tmp_path, shape):
    path = tmp_path / "a.advae"
    model_file.save(detector, path)
    record, arrays = tensorfile.read(path, "model")
    arrays["reference.whitening.back"] = np.zeros(shape, np.float32)
    tensorfile.write(path, record, arrays)
    with pytest.raises(ModelFileError, match="damaged"):
        model_file.load(path)


def test_without_whitening_a_small_table_gets_no_square_either(monkeypatch):
    monkeypatch.setattr(np, "eye", None)
    assert np.isfinite(fitted(20, whiten=False, surprise=False).calibration_scores).all()
