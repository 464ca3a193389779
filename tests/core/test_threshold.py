"""Thresholds, p-values and discoveries, against the independent reference and by their promises."""

import math
from fractions import Fraction

import numpy as np
import pytest
import reference as ref
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta

from advae.core import threshold
from advae.core.threshold import (
    alarm_rate,
    calibration_size,
    conformal_rows_needed,
    conformal_threshold,
    discoveries,
    p_values,
)
from advae.errors import ConfigError

# --- equations (13) to (16), p-values and discoveries, beside the reference ---


@pytest.fixture(scope="module")
def scores():
    return np.random.default_rng(5).gamma(2.0, size=150)


@pytest.mark.parametrize("alpha", [0.001, 0.05, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_kde_threshold_equals_the_reference(scores, alpha, scale):
    expected = ref.kde_threshold(scale * scores, alpha)
    assert threshold.kde_threshold(scale * scores, alpha) == pytest.approx(expected, rel=1e-9)
    assert threshold.silverman_bandwidth(scores) == pytest.approx(
        ref.silverman_bandwidth(scores), rel=1e-12
    )


def test_kde_threshold_leaves_alpha_of_the_density_above(scores):
    for alpha in (0.01, 0.1, 0.3):
        value = threshold.kde_threshold(scores, alpha)
        assert ref.kde_cdf(scores, value) == pytest.approx(1 - alpha, abs=1e-10)


@pytest.mark.parametrize(("offset", "scale"), [(0.0, 1e-100), (1.0, 1e-8)])
def test_kde_threshold_follows_scores_however_close_together(scores, offset, scale):
    found = threshold.kde_threshold(offset + scale * scores, 0.1)
    expected = threshold.kde_threshold(scores, 0.1)
    assert (found - offset) / scale == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("alpha", [0.1, 1e-9])
def test_kde_threshold_of_two_scores_equals_the_reference(alpha):
    expected = ref.kde_threshold(np.array([1.0, 3.0]), alpha)
    found = threshold.kde_threshold(np.array([1.0, 3.0]), alpha)
    assert found == pytest.approx(expected, rel=1e-7)


@pytest.mark.filterwarnings("error")
def test_kde_threshold_of_equal_scores_is_the_score():
    assert threshold.kde_threshold(np.full(5, 0.25), 0.1) == 0.25
    assert threshold.kde_threshold(np.array([0.25]), 0.1) == 0.25
    assert threshold.kde_threshold(np.zeros(5), 0.1) == 0.0
    rounded = np.full(7, 0.1)
    assert rounded.std() > 0
    assert threshold.kde_threshold(rounded, 0.1) == 0.1


@pytest.mark.parametrize(
    ("rows", "alpha"),
    [(9, 0.1), (99, 0.05), (49, 0.42), (150, 0.1), (150, 0.07), (150, 0.3), (30, 0.9), (19, 0.05)],
)
def test_conformal_threshold_equals_the_reference(scores, rows, alpha):
    sample = scores[:rows]
    expected = ref.conformal_threshold(sample, alpha)
    assert threshold.conformal_threshold(sample, alpha) == expected
    needed = threshold.conformal_rows_needed(alpha)
    assert needed <= rows
    threshold.conformal_threshold(sample[:needed], alpha)
    with pytest.raises(ConfigError, match=f"at least {needed} calibration rows"):
        threshold.conformal_threshold(sample[: needed - 1], alpha)


def test_conformal_threshold_flags_the_rows_of_small_p(scores):
    calibration, new = np.round(scores[:99], 1), np.round(scores, 1)  # with ties
    for alpha in (0.01, 0.07, 0.1, 0.42):
        flagged = new > threshold.conformal_threshold(calibration, alpha)
        np.testing.assert_array_equal(flagged, threshold.p_values(calibration, new) <= alpha)


def test_p_values_equal_the_reference(scores):
    reference = np.round(scores[:60], 1)
    new = np.concatenate([reference, scores, [-1.0, 0.0, 1e9]])
    found = threshold.p_values(reference, new)
    np.testing.assert_allclose(found, ref.p_values(reference, new), rtol=1e-15)
    assert found.min() == 1 / 61
    assert found.max() == 1.0


@pytest.mark.parametrize("rate", [0.01, 0.1, 0.3])
def test_discoveries_equal_the_reference(rate):
    rng = np.random.default_rng(6)
    for rows in (1, 7, 200):
        p = np.concatenate([rng.uniform(size=rows), rng.uniform(size=rows) ** 5])
        found = threshold.discoveries(p, rate)
        np.testing.assert_array_equal(found, ref.benjamini_hochberg(p, rate))
    assert 0 < found.sum() < len(p)
    assert threshold.discoveries(np.empty(0), rate).shape == (0,)


@pytest.mark.parametrize("rate", [0.1, 0.3])
def test_p_values_that_meet_the_bound_exactly_are_discoveries(rate):
    rng, met = np.random.default_rng(7), 0
    for _ in range(200):
        exact = sorted(Fraction(int(k), 100) for k in rng.integers(1, 101, 30) ** 2 // 102 + 1)
        bounds = [Fraction(str(rate)) * (i + 1) / 30 for i in range(30)]
        last = max((i for i in range(30) if exact[i] <= bounds[i]), default=-1)
        met += last >= 0 and exact[last] == bounds[last]
        found = threshold.discoveries(np.array([float(p) for p in exact]), rate)
        assert found.sum() == sum(p <= exact[last] for p in exact) * (last >= 0)
    assert met > 10


# --- what is promised of them ---


@given(st.integers(0, 5000), st.floats(0.001, 0.999))
def test_calibration_size_wastes_no_row(most: int, alpha: float) -> None:
    rows = calibration_size(most, alpha)
    assert 0 <= rows <= most
    if rows == 0:
        assert most < conformal_rows_needed(alpha)
        return
    alarms = rows + 1 - math.ceil((rows + 1) * (1 - alpha) - 1e-9)
    assert alarms >= 1
    # One row fewer would flag one alarm fewer, so this rate is the nearest to alpha from below.
    assert alarms / rows > alpha - 1e-9
    assert alarms / (rows + 1) <= alpha + 1e-9


@pytest.mark.parametrize(
    ("most", "alpha", "rows"),
    [(290, 0.01, 199), (98, 0.01, 0), (99, 0.01, 99), (160, 0.1, 159), (55, 0.07, 42)],
)
def test_calibration_sizes(most: int, alpha: float, rows: int) -> None:
    assert calibration_size(most, alpha) == rows


def test_conformal_threshold_flags_exactly_alpha_on_average() -> None:
    rng = np.random.default_rng(0)
    rates = [
        np.mean(rng.exponential(size=500) > conformal_threshold(rng.exponential(size=99), 0.05))
        for _ in range(2000)
    ]
    assert np.mean(rates) == pytest.approx(0.05, abs=3 * np.std(rates) / len(rates) ** 0.5)


def test_alarm_rate_holds_the_true_rate() -> None:
    rng = np.random.default_rng(1)
    inside = 0
    for _ in range(400):
        calibration = rng.exponential(size=150)
        rate = alarm_rate(calibration, conformal_threshold(calibration, 0.1))
        assert rate.low < rate.value < rate.high
        assert rate.value == (14 + 1) / 151  # what conformal prediction promises
        inside += rate.low <= math.exp(-conformal_threshold(calibration, 0.1)) <= rate.high
    assert inside / 400 >= 0.94


def test_alarm_rate_at_the_ends() -> None:
    scores = np.arange(20.0)
    assert alarm_rate(scores, 100.0).low == 0.0
    assert alarm_rate(scores, 100.0).high == pytest.approx(1 - 0.025 ** (1 / 20))
    assert alarm_rate(scores, -1.0).high == 1.0
    middle = alarm_rate(scores, 9.0)  # 10 above
    assert middle.low == pytest.approx(beta.ppf(0.025, 10, 11))
    assert middle.high == pytest.approx(beta.ppf(0.975, 11, 10))


@pytest.mark.parametrize("rate", [0.1, 0.3])
def test_false_discoveries_stay_below_the_rate(rate: float) -> None:
    rng = np.random.default_rng(2)
    shares = []
    for _ in range(300):
        scores = np.concatenate([rng.exponential(size=380), 8 + rng.exponential(size=20)])
        found = discoveries(p_values(rng.exponential(size=999), scores), rate)
        shares.append(found[:380].sum() / max(found.sum(), 1))
    # The procedure controls at rate * 380 / 400.
    assert np.mean(shares) <= rate * 0.95 + 3 * np.std(shares) / len(shares) ** 0.5
    assert np.mean(shares) > rate / 2
