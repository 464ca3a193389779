"""Training that leaves out the rows of a batch that are reconstructed worst."""

import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from advae import scoring, training
from advae.config import Config
from advae.losses import Reconstructions, Settings, kept_mean


@pytest.mark.parametrize(("trim", "kept"), [(0.0, 10), (0.05, 10), (0.1, 9), (0.25, 8), (0.5, 5)])
def test_the_worst_rows_do_not_count(trim: float, kept: int) -> None:
    errors = np.random.default_rng(0).permutation(10)
    x = jnp.sqrt(jnp.asarray(errors, float))[:, None]
    made = Reconstructions(jnp.zeros_like(x), None, None)
    values = np.arange(10.0)
    mean = kept_mean(x, made, Settings(0.0, 0.0, 0.0, 0.0, trim=trim))
    best = np.argsort(errors)[:kept]
    assert float(mean(jnp.asarray(values))) == pytest.approx(values[best].mean())


def test_trimming_starts_late_and_grows_to_its_share() -> None:
    shares = training.trims(Config(iterations=100, trim=0.1))
    assert (shares[:26] == 0).all()
    assert (np.diff(shares) >= 0).all()
    np.testing.assert_allclose(shares[50:], 0.1)
    assert not training.trims(Config(iterations=100)).any()


def test_anomalies_among_the_training_rows_do_less_harm() -> None:
    # Normal rows on a line, anomalies on another; a tenth of the training rows are anomalies.
    rng = np.random.default_rng(1)
    along = rng.uniform(size=(600, 1))
    normal = 0.2 + 0.5 * along * np.array([1.0, 0.8, 0.6, 0.9, 0.7])
    odd = 0.8 - 0.5 * along[:120] * np.array([1.0, 0.2, 0.9, 0.1, 0.5])
    noise = rng.normal(0, 0.03, (720, 5))
    rows = (np.concatenate([normal, odd]) + noise).astype(np.float32)
    train = np.concatenate([rows[:400], rows[600:645]])
    test = np.concatenate([rows[400:600], rows[645:]])
    anomalous = np.arange(len(test)) >= 200

    def precision(trim: float) -> float:
        config = Config(hidden=32, latent=3, iterations=1500, trim=trim)
        model = training.fit(train, config).state.model
        scored = scoring.score_rows(model, scoring.latent_noise(config, 3), test)
        return float(average_precision_score(anomalous, scored.score))

    plain, robust = precision(0.0), precision(0.2)
    assert robust > plain + 0.1, (plain, robust)
