"""A second method runs by its line in the registry alone: nothing else knows of it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import advae
from advae import Config, ConfigError, fit_detector, methods
from advae.methods import METHODS

METHODS["linear"] = "methods.linear_autoencoder:LinearAutoencoder"

SMALL = {"method": "linear", "latent": 2, "learning_rate": 0.01, "iterations": 400, "swap": 0.0}
TESTS = Path(__file__).parents[1]


def table(rows, seed=0):
    """Return rows near a plane."""
    rng = np.random.default_rng(seed)
    plane = np.random.default_rng(9).normal(size=(2, 5))
    return rng.normal(size=(rows, 2)) @ plane + 0.05 * rng.normal(size=(rows, 5))


@pytest.fixture(scope="module")
def detector():
    return fit_detector(table(300), Config(**SMALL))


def test_it_trains_and_finds_rows_off_the_plane(detector):
    history = detector.summary.history
    assert set(history) == {"iteration", "reconstruction", "held_out_reconstruction"}
    for name in ("reconstruction", "held_out_reconstruction"):
        assert history[name][-1] < min(0.02, history[name][0])
    off = table(50, seed=1)
    off[:, 2] += 2.0
    assert detector.is_anomaly(off).mean() > 0.9
    assert detector.is_anomaly(table(200, seed=2)).mean() < 0.25
    assert "linear autoencoder, 2 latent" in detector.facts["networks"]


def test_it_explains(detector):
    off = table(50, seed=1)
    off[:, 2] += 2.0
    found = detector.explain(off)
    np.testing.assert_allclose(found.contributions.sum(axis=1), found.score, rtol=1e-5)
    np.testing.assert_array_equal(found.score, detector.anomaly_score(off))
    assert (found.contributions.argmax(axis=1) == 2).mean() > 0.8
    gap = np.abs(found.expected.to_numpy()[:, 2] - (off[:, 2] - 2.0))
    assert gap.mean() < 1.0


def test_it_calibrates_by_rows_held_out_and_in_folds(detector):
    assert detector.threshold.method == "conformal"
    assert len(detector.calibration_scores) == detector.summary.calibration_rows > 0
    small = fit_detector(table(40), Config(**SMALL))
    assert small.summary.folds == 4
    assert len(small.calibration_scores) == 40
    # By members that never saw them, and in units of the other rows, the worst rows score higher.
    assert small.calibration_scores[-1] > small.training_scores[-1]
    assert small.is_anomaly(table(200, seed=2)).mean() < 0.25


def test_its_training_ends_early():
    config = Config(**SMALL | {"iterations": 20_000, "patience": 400, "learning_rate": 0.05})
    detector = fit_detector(table(400), config)
    assert detector.summary.history["iteration"][-1] < 20_000
    assert any("Training ended" in note for note in detector.summary.notes)


def test_its_file_gives_the_same_scores(detector, tmp_path):
    advae.save(detector, tmp_path / "model")
    again = advae.load(tmp_path / "model")
    rows = table(100, seed=3)
    np.testing.assert_array_equal(again.anomaly_score(rows), detector.anomaly_score(rows))
    assert again.config == detector.config
    advae.save(again, tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "model").read_bytes()


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no SIGKILL on this system")
def test_it_goes_on_after_a_kill(tmp_path):
    program = (
        "import sys, time\n"
        "from methods import test_seam as here\n"
        "slowly = (lambda _: time.sleep(0.2)) if sys.argv[3] == 'slowly' else None\n"
        "config = here.Config(**here.SMALL | {'iterations': 4000})\n"
        "found = here.fit_detector(\n"
        "    here.table(100), config, checkpoint=sys.argv[1], resume=True, on_block=slowly)\n"
        "here.advae.save(found, sys.argv[2])\n"
    )
    paths = os.pathsep.join([str(TESTS), *filter(None, sys.path)])
    environment = os.environ | {"PYTHONPATH": paths}

    def started(checkpoint, model, pace):
        command = [sys.executable, "-c", program, tmp_path / checkpoint, tmp_path / model, pace]
        return subprocess.Popen(command, env=environment)

    interrupted = started("checkpoint", "model", "slowly")
    until = time.monotonic() + 120
    while not (tmp_path / "checkpoint").exists() and time.monotonic() < until:
        time.sleep(0.05)
    interrupted.kill()
    assert interrupted.wait() == -signal.SIGKILL
    assert (tmp_path / "checkpoint").exists()
    assert not (tmp_path / "model").exists()
    for checkpoint, model in (("checkpoint", "model"), ("other", "whole")):
        assert started(checkpoint, model, "quickly").wait(timeout=300) == 0
    assert (tmp_path / "model").read_bytes() == (tmp_path / "whole").read_bytes()


def test_a_method_that_there_is_none_of_is_refused():
    with pytest.raises(ConfigError, match=r"method is 'forest'; expected one of \('advae', "):
        fit_detector(table(20), Config(method="forest"))


def test_equal_settings_share_a_program():
    first, second = (methods.method_of(Config(gamma=gamma), 7) for gamma in (0.1, 0.2))
    assert first == second
    assert hash(first) == hash(second)
    assert first != methods.method_of(Config(variant="VAE"), 7)
