"""Every rival trains, resumes, saves, loads, scores, explains and calibrates by adVAE's seam."""

import shutil
from typing import Any, NamedTuple, get_args, get_type_hints

import numpy as np
import polars as pl
import pytest

import advae
from advae import Config, fit_detector
from advae.cli.fit import fit
from advae.core.validation import VALIDATION_ERROR
from advae.detector.detector import Detector
from advae.methods import METHODS
from advae.report.page import render_page
from advae.report.summary import summarise

TERMS = {
    "complementary-vae": {"reconstruction", "kld", "anomaly_reconstruction", "anomaly_kld"},
    "dagmm": {"reconstruction", "energy", "inverse_variance"},
    "gan": {
        *("discriminator_real", "discriminator_made", "encoder_fooling", "generator_fooling"),
    },
    "mo-gaal": {"discriminator_real", "discriminator_made", "generator_entropy"},
    "wgan-gp": {
        *("critic_distance", "critic_penalty", "generator_value"),
        *("reconstruction", "feature_reconstruction"),
    },
}
SMALL: dict[str, Any] = {"hidden": 16, "latent": 2, "learning_rate": 0.005, "iterations": 400}
COLUMNS = [f"c{number}" for number in range(5)]


def table(rows: int, seed: int = 0) -> pl.DataFrame:
    """Return rows near a plane."""
    rng = np.random.default_rng(seed)
    plane = np.random.default_rng(9).normal(size=(2, 5))
    values = rng.normal(size=(rows, 2)) @ plane + 0.05 * rng.normal(size=(rows, 5))
    return pl.DataFrame(values, COLUMNS)


def moved(rows: int, seed: int = 1) -> pl.DataFrame:
    """Return rows far from the plane, beyond all values of training."""
    return table(rows, seed).with_columns(pl.col("c2") + 12.0)


class Fitted(NamedTuple):
    """A detector, its file, and the checkpoint that a kill in its second block would leave."""

    detector: Detector
    model: Any
    checkpoint: Any
    config: Config


@pytest.fixture(scope="module", params=list(TERMS))
def fitted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Fitted:
    folder = tmp_path_factory.mktemp(request.param)
    config = Config(**SMALL, method=request.param)

    def on_block(snapshot: Any) -> None:
        if snapshot.iteration == config.iterations:  # that of the block before still stands
            shutil.copy(folder / "checkpoint", folder / "left")

    found = fit_detector(table(300), config, checkpoint=folder / "checkpoint", on_block=on_block)
    advae.save(found, folder / "model")
    return Fitted(found, folder / "model", folder / "left", config)


def test_every_rival_is_named() -> None:
    assert {"advae", *TERMS} <= set(METHODS)
    assert set(get_args(get_type_hints(fit)["method"])) == {"advae", *TERMS}


def test_it_trains_by_its_terms(fitted: Fitted) -> None:
    history = fitted.detector.summary.history
    method = fitted.config.method
    assert set(history) == {"iteration", VALIDATION_ERROR} | TERMS[method]
    assert np.isfinite(list(history.values())).all()
    assert method in fitted.detector.facts["networks"]
    if "reconstruction" in history:
        assert history["reconstruction"][-1] < history["reconstruction"][0]


def test_it_goes_on_after_a_kill(fitted: Fitted, tmp_path: Any) -> None:
    shutil.copy(fitted.checkpoint, tmp_path / "checkpoint")
    iterations: list[int] = []
    again = fit_detector(
        table(300),
        fitted.config,
        checkpoint=tmp_path / "checkpoint",
        resume=True,
        on_block=lambda snapshot: iterations.append(snapshot.iteration),
    )
    advae.save(again, tmp_path / "again")
    assert iterations == [400]
    assert (tmp_path / "again").read_bytes() == fitted.model.read_bytes()


def test_its_file_gives_the_same_scores(fitted: Fitted, tmp_path: Any) -> None:
    again = advae.load(fitted.model)
    rows = pl.concat([table(50, seed=3), moved(50)])
    np.testing.assert_array_equal(again.anomaly_score(rows), fitted.detector.anomaly_score(rows))
    advae.save(again, tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == fitted.model.read_bytes()


def test_a_score_is_the_rows_own(fitted: Fitted) -> None:
    rows = pl.concat([table(300, seed=3), moved(300)])
    scores = fitted.detector.anomaly_score(rows)
    assert (scores >= 0).all()
    np.testing.assert_array_equal(fitted.detector.anomaly_score(rows[290:310]), scores[290:310])
    huge = table(3, seed=4).with_columns(pl.col("c1") * 1e30)
    assert np.isfinite(fitted.detector.anomaly_score(huge)).all()


def test_it_finds_far_rows_and_keeps_its_promise(fitted: Fitted) -> None:
    detector = fitted.detector
    assert detector.threshold.method == "conformal"
    assert len(detector.calibration_scores) == detector.summary.calibration_rows > 0
    assert detector.is_anomaly(table(400, seed=2)).mean() < 0.25
    normal, far = (detector.anomaly_score(rows) for rows in (table(400, seed=2), moved(100)))
    # MO-GAAL's generators surround the training rows only for a while.
    least = 0.2 if fitted.config.method == "mo-gaal" else 0.9
    assert (far > np.quantile(normal, 0.9)).mean() > least


def test_it_explains(fitted: Fitted) -> None:
    rows = moved(50)
    found = fitted.detector.explain(rows)
    np.testing.assert_allclose(found.contributions.sum(axis=1), found.score, rtol=1e-4)
    np.testing.assert_array_equal(found.score, fitted.detector.anomaly_score(rows))
    assert (found.contributions >= 0).all()
    assert (found.contributions.argmax(axis=1) == 2).mean() > 0.5
    assert found.expected.columns == COLUMNS


def test_it_is_reported(fitted: Fitted) -> None:
    found = summarise(fitted.detector, pl.concat([table(60, seed=3), moved(5)]), top=3)
    assert found.latent is None
    assert len(found.training) == len(TERMS[fitted.config.method])
    page = render_page(found)
    assert "Latent space" not in page
    assert found.training[0].name in page


@pytest.mark.parametrize("method", list(TERMS))
def test_it_calibrates_in_folds(method: str) -> None:
    small = fit_detector(table(40), Config(**SMALL, method=method))
    assert small.summary.folds == 4
    assert len(small.calibration_scores) == 40
    assert np.isfinite(small.calibration_scores).all()
    assert small.is_anomaly(table(200, seed=2)).mean() < 0.4


def test_by_the_command_line(run: Any, tmp_path: Any) -> None:
    table(300).write_csv(tmp_path / "normal.csv")
    moved(20).write_csv(tmp_path / "new.csv")
    words = ["--method", "complementary-vae", "--iterations", 100, "--quiet"]
    model = tmp_path / "model"
    assert run("fit", tmp_path / "normal.csv", "-o", model, *words).code == 0
    scores = tmp_path / "scores.csv"
    assert run("score", model, tmp_path / "new.csv", "-o", scores, "--explain", 1).code == 0
    assert pl.read_csv(scores).height == 20
    assert run("report", model, tmp_path / "new.csv", "-o", tmp_path / "page.html").code == 0
    assert "complementary-vae" in run("info", model).out
    refused = run("export", model, "-o", tmp_path / "model.onnx")
    assert refused.code == 2
    assert "the method 'complementary-vae' has no ONNX graph" in refused.err
    unknown = run("fit", tmp_path / "normal.csv", "-o", model, "--method", "forest")
    assert (unknown.code, "dagmm" in unknown.err) == (2, True)
