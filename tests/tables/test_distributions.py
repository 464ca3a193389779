"""How training values are distributed, and what drift of new ones is more than chance."""

import numpy as np
import polars as pl
import pytest
from report_data import mixed_table

from advae.detector.split import split_rows
from advae.tables.columns import Column
from advae.tables.distributions import ScaledDistribution, stability_index, straightest
from advae.tables.encoder import TableEncoder


def counted(column: Column, encoded: np.ndarray) -> np.ndarray:
    groups = column.distribution.groups(column.positions(encoded))
    return np.bincount(groups, minlength=column.distribution.missing + 1)


def drift(training: np.ndarray, *others: np.ndarray) -> list[tuple[float, float]]:
    """Return index and chance limit of the training rows themselves, then of the others."""
    (column,) = TableEncoder.fit(pl.DataFrame({"x": training})).features
    return [
        column.distribution.drift(counted(column, column.encoded(pl.Series("x", values))))
        for values in (training, *others)
    ]


def test_groups_count_training_as_training_was(detector) -> None:
    # The very rows that trained: the groups' shares are the stored ones, nothing has drifted.
    rows = mixed_table(400, 1)
    train = rows[split_rows(400, detector.config).training]
    encoded = detector.table.transform(train)
    for column, places in zip(detector.table.features, detector.table.places, strict=True):
        shape = column.distribution
        counts = counted(column, encoded[:, list(places)])
        assert counts.sum() == train.height
        assert counts[-1] == column.profile.missing
        assert shape.drift(counts)[0] < 1e-3
        assert shape.bars.sum() == pytest.approx(1.0)
        if column.kind != "category":
            assert not shape.strange(column.positions(encoded[:, list(places)])).any()


RNG = np.random.default_rng(5)
ROWS = 20_000


@pytest.mark.parametrize(
    ("draw", "shift"),
    [
        (lambda: RNG.poisson(0.1, ROWS), lambda: RNG.poisson(0.4, ROWS)),
        (lambda: RNG.poisson(3.0, ROWS), lambda: RNG.poisson(4.5, ROWS)),
        (lambda: 1 * (RNG.random(ROWS) < 0.002), lambda: 1 * (RNG.random(ROWS) < 0.2)),
        (lambda: 1 * (RNG.random(ROWS) < 0.998), lambda: 1 * (RNG.random(ROWS) < 0.8)),
        (lambda: 1 * (RNG.random(ROWS) < 0.6), lambda: 1 * (RNG.random(ROWS) < 0.2)),
        (lambda: RNG.geometric(0.3, ROWS), lambda: RNG.geometric(0.15, ROWS)),
        (lambda: RNG.normal(size=ROWS).round(), lambda: RNG.normal(0.7, size=ROWS).round()),
        (lambda: RNG.normal(0, 10, ROWS).round(), lambda: RNG.normal(7, 10, ROWS).round()),
        (
            lambda: np.where(RNG.random(ROWS) < 0.62, 0.0, RNG.normal(size=ROWS)),
            lambda: np.where(RNG.random(ROWS) < 0.3, 0.0, RNG.normal(size=ROWS)),
        ),
        (lambda: RNG.normal(size=ROWS), lambda: RNG.normal(0.7, size=ROWS)),
    ],
    ids=[
        "rare counts", "counts", "rare flag", "usual flag", "flag", "geometric", "rounded",
        "finely rounded", "many zeros", "continuous",
    ],
)  # fmt: skip
def test_only_a_real_shift_is_drift_whatever_the_ties(draw, shift) -> None:
    (same, limit), (fresh, _), (moved, _) = drift(draw(), draw(), shift())
    assert same < 1e-4 < limit
    assert fresh < limit
    assert moved > 0.2


def test_the_drift_of_numbers_without_ties_is_that_of_their_twentieths() -> None:
    training, new = RNG.normal(size=2001), RNG.normal(0.2, 1.2, 3000)
    inner = np.quantile(training, np.linspace(0, 1, 21)[1:-1])
    counts = np.bincount(np.searchsorted(inner, new), minlength=20)
    (_, (found, limit)) = drift(training, new)
    expected = stability_index(np.full(20, 2001 / 20), counts)
    assert (found, limit) == pytest.approx(expected, abs=1e-3)


def test_ties_are_shared_out_as_no_other_way_would_lower_the_index() -> None:
    for _ in range(100):
        x = np.append(0.0, np.cumsum(RNG.uniform(0.1, 1.0, 12)))
        low = np.sort(RNG.uniform(0, 10, 13))
        high = np.maximum.accumulate(low + RNG.uniform(0, 3, 13) * (RNG.random(13) < 0.7))
        low[0], high[-1] = high[0], low[-1] = 0.0, high.max()
        path = straightest(x, low, high)
        assert (path >= low).all()
        assert (path <= high).all()
        # The least lies where no single point can be moved to lower a convex measure: each is as
        # near as its bounds allow to the straight line between its neighbours.
        slope = (path[2:] - path[:-2]) / (x[2:] - x[:-2])
        line = path[:-2] + slope * (x[1:-1] - x[:-2])
        np.testing.assert_allclose(path[1:-1], np.clip(line, low[1:-1], high[1:-1]), atol=1e-9)


def test_a_value_that_many_rows_share_ranks_in_the_middle_of_what_is_known() -> None:
    (column,) = TableEncoder.fit(
        pl.DataFrame({"x": np.repeat([0, 1, 2], [370, 370, 260])})
    ).features
    shape = column.distribution
    assert isinstance(shape, ScaledDistribution)
    assert shape.share_below(0.5) == pytest.approx(0.37, abs=0.025)
    assert shape.share_below(0.0) == pytest.approx(0.0, abs=0.025)
    assert shape.share_below(0.75) == pytest.approx(0.74, abs=0.05)


def test_only_what_the_quantiles_know_is_said_of_a_value_beyond_the_last_one() -> None:
    rng = np.random.default_rng(5)
    skewed = rng.lognormal(0.0, 1.5, 10_000)
    columns = TableEncoder.fit(pl.DataFrame({"x": skewed, "y": -skewed})).features
    lower, upper = np.quantile(skewed, [0.01, 0.9989])
    said = {
        (name, value): column.standing(
            float(column.positions(column.encoded(pl.Series([value])))[0]), np.zeros(2)
        ).replace("\u00a0", " ")
        for column, name, sign in zip(columns, "xy", (1, -1), strict=True)
        for value in (sign * lower, sign * upper, sign * float(np.quantile(skewed, 0.48)))
    }
    assert list(said.values()) == [
        "higher than at most 5 % of training rows",
        "higher than at least 95 % of training rows",
        "higher than 48 % of training rows",
        "higher than at least 95 % of training rows",
        "higher than at most 5 % of training rows",
        "higher than 52 % of training rows",
    ]


def test_stability_index_is_the_sum_of_its_definition() -> None:
    index, chance = stability_index(np.array([5000.0, 5000.0]), np.array([8000.0, 2000.0]))
    assert index == pytest.approx(0.3 * np.log(0.8 / 0.5) - 0.3 * np.log(0.2 / 0.5), rel=1e-3)
    assert chance == pytest.approx(6.635 * 2 / 10_000, rel=1e-3)


def test_chance_level_holds_without_drift() -> None:
    rng = np.random.default_rng(0)
    shares = np.full(20, 0.05)
    beyond = 0
    for _ in range(1000):
        index, chance = stability_index(rng.multinomial(500, shares), rng.multinomial(300, shares))
        beyond += index > chance
    assert beyond <= 30  # 10 expected
