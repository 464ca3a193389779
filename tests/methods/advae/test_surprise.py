"""The score in nats against float64 NumPy, equation by equation."""

from collections import Counter

import numpy as np
import polars as pl
import pytest
from scipy.special import logsumexp
from sklearn.metrics import average_precision_score

from advae.config import Config
from advae.core.scoring import score_rows
from advae.detector.fitting import fit_detector
from advae.methods.advae import conditional, surprise
from advae.methods.advae.classes import extended, independent, learn_classes, observed
from advae.tables.encoder import TableEncoder

ROWS = 400


def table(seed=0, rows=ROWS):
    rng = np.random.default_rng(seed)
    kind = rng.choice(["a", "b", "c"], rows, p=[0.7, 0.25, 0.05])
    size = np.exp(rng.normal(0, 2, rows)) * np.where(kind == "a", 1, 10)
    return pl.DataFrame(
        {
            "kind": kind,
            "size": pl.Series(np.where(rng.random(rows) < 0.05, np.nan, size)).fill_nan(None),
            "level": rng.integers(0, 4, rows),
            "open": rng.random(rows) < 0.3,
            "near": size * rng.uniform(0.9, 1.1, rows),
            "when": pl.Series(rng.integers(0, 60 * 86400, rows) * 1_000_000 + 10**15).cast(
                pl.Datetime("us")
            ),
        }
    )


@pytest.fixture(scope="module")
def detector():
    return fit_detector(table(), Config(iterations=600, seed=1))


@pytest.fixture(scope="module")
def rows(detector):
    new = table(5, 60)
    strange = pl.DataFrame(
        {
            "kind": ["z", None, "c"],
            "size": [1e6, None, -3.0],
            "level": [9, 0, None],
            "open": [None, True, False],
            "near": [0.0, 5.0, None],
            "when": [None, *new["when"][:2]],
        },
        schema=new.schema,
    )
    return detector.table.transform(pl.concat([new, strange]))


def own_marginal(frame, new):
    """Return m_j by counting, in the order of the columns; times have none here."""
    columns, n = [], len(frame)
    for name in ("kind", "size", "level", "open", "near"):
        known, values = frame[name].to_list(), new[name].to_list()
        numeric = name in ("size", "level", "near")
        there = np.array([v for v in known if v is not None], float) if numeric else None
        found = []
        often = Counter(v for v in known if v is not None)
        for v in values:
            rows = sum(rows for rows in often.values() if rows <= max(often[v], 1))
            count = known.count(None) if v is None else rows
            share = (count + 0.5) / (n + 1)
            if numeric and v is not None:
                low, high = np.mean(there <= v), np.mean(there >= v)
                share = np.clip(2 * min(low, high), 1 / (len(there) + 1), 1)
                if v not in there:
                    alone = np.sum(np.sum(there == there[:, None], axis=0) == 1)
                    share = min(share, (alone + 0.5) / (len(there) + 1))
            found.append(-np.log(share))
        columns.append(found)
    return np.array(columns).T


def test_the_marginal_surprise_counts_rows_of_the_training_table():
    frame = table(3)
    encoder = TableEncoder.fit(frame)
    new = pl.concat([frame[:50], table(4, 50)])
    whole = surprise.prepared(counted(encoder, frame))
    m, _, homes = surprise.columns_surprise(whole, encoder.transform(new))
    m = np.asarray(m)[np.argsort(homes, kind="stable")].T
    owners = encoder.owner[np.sort(np.asarray(homes))]
    names = np.array(encoder.feature_names)[owners]
    wanted = own_marginal(frame, new)
    for place, name in enumerate(("kind", "size", "level", "open", "near")):
        ours = m[:, np.flatnonzero(names == name)[0]]
        np.testing.assert_allclose(ours, wanted[:, place], atol=2e-5, err_msg=name)


def prices(rows, rng):
    """Return numbers of which one in a hundred is not one of seven prices."""
    own = rng.choice([4.99, 9.99, 19.9, 24.9, 49.0, 99.0, 250.0], rows)
    return np.where(rng.random(rows) < 0.01, rng.integers(5, 250, rows), own)


def counted(encoder, frame):
    """Return what m_j needs of a training table."""
    encoded = encoder.transform(frame)
    classes = learn_classes(encoder.variables, encoded)
    marginal = surprise.learn_marginal(classes, encoded)
    return surprise.Surprise(classes, marginal, None, surprise.no_shares())


def number_surprises(values, new):
    """Return m_j of new values of a table's only number."""
    frame = pl.DataFrame({"x": values})
    encoder = TableEncoder.fit(frame)
    known = counted(encoder, frame)
    rows = encoder.transform(pl.DataFrame({"x": np.asarray(new, float)}))
    return np.asarray(surprise.columns_surprise(surprise.prepared(known), rows)[0])[0]


def moment_surprises(clock, new):
    """Return m_j of the time of day of new moments, in seconds, of a table's only column."""
    days = np.arange(len(clock)) % 10 * 86_400.0

    def table(seconds):
        return pl.DataFrame({"t": (np.asarray(seconds) * 1e6).astype(np.int64)}).select(
            pl.col("t").cast(pl.Datetime("us"))
        )

    frame = table(days + clock)
    encoder = TableEncoder.fit(frame)
    known = counted(encoder, frame)
    rows = encoder.transform(table(np.asarray(new, float)))
    # The position in the calendar is a number, and comes first.
    return np.asarray(surprise.columns_surprise(surprise.prepared(known), rows)[0])[-1]


@pytest.mark.parametrize("middle", [0, 6, 23.9])
def test_no_hour_of_a_day_is_unusual_by_its_place_on_the_clock(middle):
    rng = np.random.default_rng(11)
    hours = (middle + rng.triangular(-9, 0, 9, 20_000)) % 24
    offsets = np.arange(-11.75, 12, 0.5)
    m = moment_surprises(3600 * hours, 3600 * ((middle + offsets) % 24))
    # What counts is how many rows have a moment so rare, wherever the clock begins.
    rarer = np.array([np.mean(np.abs((hours - middle + 12) % 24 - 12) >= abs(o)) for o in offsets])
    inside = np.abs(offsets) < 7
    assert np.abs(m - -np.log(rarer.clip(1e-9)))[inside].max() < 0.8
    assert m[np.abs(offsets) > 10].min() == pytest.approx(np.log(2 * 20_001), abs=0.01)


def test_full_hours_are_moments_of_their_own():
    rng = np.random.default_rng(12)
    hours = np.where(rng.random(5000) < 0.001, 3, rng.choice([8, 9, 14, 20], 5000))
    m = moment_surprises(3600.0 * hours, 3600.0 * np.array([3, 8, 14, 20]))
    assert m[0] == pytest.approx(-np.log((np.sum(hours == 3) + 0.5) / 5001), abs=1e-4)
    assert m[1:].max() < 1.5
    minutes = 3600.0 * rng.integers(5, 20, 20_000) + 60 * rng.integers(0, 60, 20_000)
    rare = moment_surprises(minutes, 3600.0 * np.arange(24))
    assert set(np.flatnonzero(rare > 9)) == {*range(5), *range(20, 24)}


def test_a_number_that_never_was_is_unusual_where_numbers_repeat():
    rng = np.random.default_rng(8)
    often, seldom = prices(4000, rng), prices(4000, rng)
    m = number_surprises(often, seldom)
    never = ~np.isin(seldom, often)
    assert 3 < never.sum() < 40
    once = np.sum(np.unique(often, return_counts=True)[1] == 1)
    np.testing.assert_allclose(m[never], -np.log((once + 0.5) / 4001), rtol=1e-4)
    assert m[np.isin(seldom, [9.99, 19.9, 24.9, 49.0, 99.0])].max() < 2
    # The promise of a share: of new rows about as many have a number that never was.
    assert np.mean(never) == pytest.approx((once + 0.5) / 4001, rel=0.5)


def test_a_category_is_as_unusual_as_all_that_are_no_more_frequent():
    names = ["often"] * 60 + ["twin"] * 10 + ["same"] * 10 + ["seldom"] * 4
    names += [f"once {place}" for place in range(16)]
    frame = pl.DataFrame({"name": names, "other": np.arange(100.0)})
    encoder = TableEncoder.fit(frame)
    known = surprise.prepared(counted(encoder, frame))
    new = pl.DataFrame(
        {"name": ["often", "twin", "same", "seldom", "once 3", "never"], "other": 50.0}
    )
    m, _, homes = surprise.columns_surprise(known, encoder.transform(new))
    found = np.asarray(m)[np.argmin(homes)]
    rarer = np.array([100, 40, 40, 20, 16, 16])
    np.testing.assert_allclose(found, -np.log((rarer + 0.5) / 101), rtol=1e-5)


def test_a_number_between_others_is_as_usual_as_they_where_none_repeats():
    values = np.random.default_rng(9).normal(size=400)
    m = number_surprises(values, [0.0, 0.01234, np.median(values)])
    assert m.max() < 0.2


def test_a_training_row_does_not_count_itself_among_strangers():
    # Numbers that rise from row to row would count as dates.
    x = np.arange(50.0).reshape(25, 2)[:, ::-1].ravel()
    frame = pl.DataFrame({"x": x, "k": ["b"] + ["a"] * 49})
    encoder = TableEncoder.fit(frame)
    known, encoded = counted(encoder, frame), encoder.transform(frame)
    wide = [known, surprise.strangers(known, slice(None))]
    m = [np.asarray(surprise.columns_surprise(surprise.prepared(s), encoded)[0]) for s in wide]
    category, number = 0, -1
    # The largest of 50 is beyond all of the other 49; "b" was never seen by the others.
    assert m[0][number][-2] == pytest.approx(-np.log(2 / 50), rel=1e-5)
    assert m[1][number][-2] == pytest.approx(-np.log(1 / 50), rel=1e-5)
    assert m[0][category][0] == pytest.approx(-np.log(1.5 / 51), rel=1e-5)
    assert m[1][category][0] == pytest.approx(-np.log(0.5 / 50), rel=1e-5)


def own_nats(normal, values):
    """Return -log of the share of normal rows that reach values, and the tail beyond."""
    normal = np.sort(normal)
    top = normal[int(np.ceil(0.9 * len(normal))) - 1] + surprise.ALIKE
    above = normal[normal > top] - top
    kept = len(above) - int(0.1 * len(above))
    mean = (above[:kept].sum() + (len(above) - kept) * above[kept - 1]) / kept
    found = []
    for v in values:
        if v > top:
            found.append(
                max(np.log(10), -np.log((len(above) + 0.5) / (len(normal) + 1)))
                + kept * np.log(1 + (v - top) / max(mean, 1.0) / kept)
            )
        else:
            found.append(-np.log((np.sum(normal >= v) + 0.5) / (len(normal) + 1)))
    return np.array(found)


def test_nats_are_the_share_of_normal_rows_and_an_exponential_tail():
    rng = np.random.default_rng(0)
    normal = rng.gamma(2.0, 3.0, 300).round(2).astype(np.float32)
    shares = surprise.learn_shares([normal] * 4)
    # At the normal values themselves there is no interpolation between two of them.
    values = np.concatenate([normal, normal.max() * np.array([1.1, 2, 10], np.float32)])
    ours = surprise.nats(shares, np.stack([values] * 4), np)[3]
    np.testing.assert_allclose(ours, own_nats(normal.astype(float), values), rtol=2e-4, atol=1e-5)
    further = np.linspace(0, 100, 500, dtype=np.float32)
    rising = surprise.nats(shares, np.stack([further] * 4), np)[3]
    assert (np.diff(rising) >= 0).all()


def test_what_rounding_tells_apart_has_one_share():
    rng = np.random.default_rng(0)
    spread = np.repeat([-5.0, -2.0, 1.0], [300, 650, 50]) + rng.normal(0, 1e-6, 1000)
    shares = surprise.learn_shares([spread] * 4)
    for centre, reach in ((-5.0, 1000.5), (-2.0, 700.5)):
        values = np.float32(centre + np.linspace(-5e-6, 5e-6, 11))
        found = surprise.nats(shares, np.stack([values] * 4), np)
        np.testing.assert_allclose(found, -np.log(reach / 1001), atol=2e-5)


def test_ties_at_the_top_keep_their_share():
    normal = np.repeat([0.0, 1.0], [30, 970]).astype(np.float32)
    shares = surprise.learn_shares([normal] * 4)
    values = np.array([0.0, 1.0, 1.5], np.float32)
    found = surprise.nats(shares, np.stack([values] * 4), np)[3]
    np.testing.assert_allclose(found[:2], -np.log([1000.5 / 1001, 970.5 / 1001]), atol=1e-6)
    assert found[2] > np.log(1000)


def own_log_likelihoods(net, classes, read, hidden):
    """Return log p of every class of every variable, float64, for one row and mask."""
    u, first, step = classes.coordinates
    owner = classes.owner
    z = net.bias.astype(float).copy()
    for j in range(len(classes.sizes)):
        if hidden[j]:
            z += net.hidden_marks[j]
            continue
        own = owner == j
        z += read[own] @ net.inputs[own]
        z += (first[j] + step[j] * read[own][:-1].sum()) * net.coordinates[j]
    h = np.maximum(z, 0)
    h = np.maximum(h @ net.middle + net.middle_bias, 0)
    logits = h @ net.head + net.head_bias
    slopes = h @ net.slopes + net.slopes_bias
    logits = logits + slopes[0][owner] * u + slopes[1][owner] * u**2
    found = np.empty(len(owner))
    for j in range(len(classes.sizes)):
        own = owner == j
        found[own] = logits[own] - logsumexp(logits[own])
    return found


def own_read(classes, whole):
    read = np.clip((whole[classes.source] - classes.low) / classes.width, 0, 1)
    gone = whole[classes.missing][classes.owner]
    return np.where(classes.last, read, read * (1 - gone))


def test_hiding_one_variable_is_the_network_without_it(detector, rows):
    known = detector.scorer.surprise
    net = type(known.conditional)(*(leaf[0].astype(float) for leaf in known.conditional))
    classes = known.classes
    whole = extended(rows, classes.phases, np)
    targets = observed(classes, whole)
    _, c, homes = surprise.columns_surprise(surprise.prepared(known), rows)
    order = [int(np.flatnonzero(np.asarray(classes.home) == home)[0]) for home in homes]
    wanted = np.empty(np.asarray(c).shape)
    for place, j in enumerate(order):
        hidden = np.arange(len(order)) == j
        for row in range(len(rows)):
            found = own_log_likelihoods(net, classes, own_read(classes, whole[row]), hidden)
            wanted[place, row] = -found[classes.starts[j] + targets[row, j]]
    np.testing.assert_allclose(c, wanted, rtol=2e-3, atol=2e-3)


def test_the_loss_is_the_mean_surprise_of_the_hidden_variables(detector, rows):
    known = detector.scorer.surprise
    net = type(known.conditional)(*(leaf[0] for leaf in known.conditional))
    classes = known.classes
    whole = extended(rows, classes.phases, np)
    targets = observed(classes, whole)
    rng = np.random.default_rng(0)
    hidden = (rng.random(targets.shape) < 0.4).astype(np.float32)
    hidden[np.arange(len(hidden)), rng.integers(0, targets.shape[1], len(hidden))] = 1
    plan = conditional.plan_of(classes, targets)
    plan = plan._replace(prior=np.zeros_like(plan.prior))  # the trained head has it
    ours = float(conditional.loss(net, plan, whole, targets, hidden))
    means = []
    for row in range(len(rows)):
        found = own_log_likelihoods(net, classes, own_read(classes, whole[row]), hidden[row])
        means.append(-found[classes.starts + targets[row]][hidden[row] > 0].mean())
    assert ours == pytest.approx(np.mean(means), rel=1e-4)


def test_the_three_surprises_are_joined(detector, rows):
    scored = score_rows(detector.method, detector.scorer, rows)
    shares = detector.scorer.surprise.shares
    far, near, value, fit = surprise.nats(shares, scored.factors.T, np)
    kinds = np.stack([far + near / 2, value, fit], axis=1).astype(float)
    np.testing.assert_allclose(scored.score, logsumexp(kinds, axis=1), rtol=1e-5)
    np.testing.assert_allclose(
        scored.by_kind.sum(axis=1),
        scored.score[:, None] * kinds / kinds.sum(axis=1, keepdims=True),
        rtol=1e-3,
        atol=1e-5,
    )
    np.testing.assert_allclose(scored.contributions.sum(axis=1), scored.score, rtol=1e-4)
    assert (scored.contributions >= 0).all()


def test_bins_halve_towards_both_tails_and_keep_spikes_apart():
    rng = np.random.default_rng(0)
    values = np.concatenate([np.zeros(2000), np.exp(rng.normal(0, 2, 8000))])
    encoder = TableEncoder.fit(pl.DataFrame({"x": values, "y": rng.normal(size=10_000)}))
    encoded = encoder.transform(
        encoder.decode(encoder.transform(pl.DataFrame({"x": values, "y": rng.normal(size=10_000)})))
    )
    classes = learn_classes(encoder.variables, encoded)
    found = observed(classes, extended(encoded, classes.phases, np))[:, 0]
    counts = np.bincount(found, minlength=classes.sizes[0])
    assert counts[0] == 2000  # zero alone
    assert counts[-1] == 0  # none is missing
    bins = counts[1:-1]
    assert 5 <= bins[-1] <= 20
    assert 5 <= bins[0] <= 20
    assert bins.max() <= 8000 / 16 + 2


def test_scores_do_not_depend_on_the_rows_beside_them(detector, rows):
    many = np.concatenate([rows] * 20)[::-1].copy()
    whole = detector.anomaly_score_encoded(many)
    each = np.concatenate([detector.anomaly_score_encoded(row[None]) for row in many[:70]])
    np.testing.assert_array_equal(whole[:70], each)


def test_a_model_file_gives_the_same_scores(detector, rows, tmp_path):
    from advae.detector.model_file import load, save

    save(detector, tmp_path / "model.advae")
    again = load(tmp_path / "model.advae")
    np.testing.assert_array_equal(
        again.anomaly_score_encoded(rows), detector.anomaly_score_encoded(rows)
    )


def test_kinds_say_what_is_unusual():
    rng = np.random.default_rng(0)
    rows = 2000
    a = rng.normal(size=rows)
    frame = pl.DataFrame(
        {
            "a": a,
            "b": a + rng.normal(0, 0.05, rows),
            "k": rng.choice(["u", "v"], rows),
            "w": rng.normal(size=rows),
        }
    )
    detector = fit_detector(frame, Config(iterations=3000))
    new = pl.DataFrame(
        {"a": [0.0, 1.5, 0.0], "b": [0.0, -1.5, 0.0], "k": ["z", "u", "v"], "w": [0.0, 0.0, 0.0]}
    )
    explained = detector.explain(new)
    names = explained.expected.columns
    first = explained.contributions.argmax(axis=1)
    assert names[first[0]] == "k"
    assert names[first[1]] in ("a", "b")
    assert explained.kinds[1, first[1]] in ("unusual for this row", "far from all rows")
    reasons = next(detector.score_batches([new], explain=2))
    kinds = {"unusual value", "unusual for this row", "far from all rows"}
    assert set(reasons["reason_1_kind"]) <= kinds
    # What is as expected has no value there: its kind, in a column of its own, says more.
    for row, category in enumerate(new["k"]):
        (of_k,) = [
            f"reason_{k}" for k in range(1, 5) if explained.top(4)[f"reason_{k}"][row] == "k"
        ]
        expected = explained.expected["k"][row]
        shown = explained.top(4)[f"{of_k}_expected"][row]
        assert shown == (None if expected == category else expected)
    assert explained.expected["k"][1:].to_list() == ["u", "v"]


def test_later_dates_do_not_raise_the_score():
    rng = np.random.default_rng(0)
    second = 1_000_000
    day = 86_400 * second
    moments = (
        np.sort(rng.integers(0, 90, 3000)) * day + rng.integers(8 * 3600, 18 * 3600, 3000) * second
    )
    frame = pl.DataFrame(
        {
            "when": pl.Series(moments + 1_600_041_600 * second).cast(pl.Datetime("us")),
            "x": rng.normal(size=3000),
        }
    )
    later = frame.with_columns(pl.col("when") + pl.duration(days=7 * 52))
    detector = fit_detector(frame, Config(iterations=500))
    np.testing.assert_array_equal(detector.anomaly_score(later), detector.anomaly_score(frame))
    trend = fit_detector(frame, Config(iterations=500, time="trend"))
    assert trend.is_anomaly(later).mean() > 0.9
    night = frame.with_columns(pl.col("when").dt.truncate("1d") + pl.duration(hours=2))
    assert detector.is_anomaly(night).mean() > 0.9


def own_precision(clean, odd):
    """Return the average precision where a tenth of the rows is odd."""
    labels = np.repeat([0, 1], [len(clean), len(odd)])
    weights = np.where(labels, 0.1 / len(odd), 0.9 / len(clean))
    scores = np.concatenate([clean, odd])
    return average_precision_score(labels, scores, sample_weight=weights)


def test_what_tells_drawn_rows_worse_counts_less():
    rng = np.random.default_rng(2)
    factors = rng.normal(size=(500, 4)).round(2)  # with ties
    shares = surprise.learn_shares(list(factors.T))
    clean, odd = rng.normal(size=(300, 4)).round(2), rng.normal(size=(200, 4)).round(2)
    odd += np.array([0.5, 0.5, 9.0, 2.0], np.float32)
    weights = surprise.learn_weights(shares, clean, odd).weights
    (n, d, _, r), (odd_n, odd_d, _, odd_r) = (
        surprise.nats(shares, each.T, np) for each in (clean, odd)
    )
    whole, fit = own_precision(n + d / 2, odd_n + odd_d / 2), own_precision(r, odd_r)
    assert whole < 0.7 * fit
    np.testing.assert_allclose(weights, [whole / fit, whole / fit, 1, 1], rtol=1e-5)
    # The other way round, and where nothing tells them.
    swapped = surprise.learn_weights(shares, clean[:, [3, 3, 2, 0]], odd[:, [3, 3, 2, 0]])
    assert swapped.weights[3] < 0.7
    np.testing.assert_array_equal(swapped.weights[:3], 1)
    np.testing.assert_array_equal(surprise.learn_weights(shares, clean, clean).weights[2:3], 1)


def test_weights_multiply_nats():
    rng = np.random.default_rng(3)
    factors = rng.normal(size=(400, 4))
    shares = surprise.learn_shares(list(factors.T))
    half = shares._replace(weights=np.array([0.5, 0.5, 1, 0.25], np.float32))
    plain, less = (surprise.nats(each, 2 * factors.T, np) for each in (shares, half))
    np.testing.assert_allclose(less, plain * half.weights[:, None], rtol=1e-6)


def test_drawn_rows_have_values_of_the_table_that_do_not_belong_together():
    frame = table(6, 2000)
    encoder = TableEncoder.fit(frame)
    encoded = encoder.transform(frame)
    classes = learn_classes(encoder.variables, encoded)
    drawn = independent(classes, encoded, 1000, np.random.default_rng(0))
    whole, known = (extended(each, classes.phases, np) for each in (drawn, encoded))
    targets, before = observed(classes, whole), observed(classes, known)
    for j, size in enumerate(classes.sizes):
        # Of each variable the values, all its columns, and their shares are those of the table.
        own = np.unique([*classes.source[classes.starts[j] :][: size - 1], classes.missing[j]])
        assert {row.tobytes() for row in whole[:, own]} <= {row.tobytes() for row in known[:, own]}
        found, wanted = (np.bincount(each[:, j], minlength=size) for each in (targets, before))
        assert np.abs(found / 1000 - wanted / 2000).max() < 0.06
    names = [encoder.feature_names[owner] for owner in encoder.owner[np.asarray(classes.home)]]
    size, near = names.index("size"), names.index("near")
    together = [np.corrcoef(each[:, size], each[:, near])[0, 1] for each in (targets, before)]
    assert abs(together[0]) < 0.15 < 0.7 < together[1]


def test_a_fit_learns_what_tells_its_rows(detector):
    weights = detector.scorer.surprise.shares.weights
    assert weights[0] == weights[1]
    assert weights[2] == max(weights[1], weights[3]) == 1
    assert min(weights) > 0.1
