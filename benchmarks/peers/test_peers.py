"""The peers written from their papers: their formulas beside NumPy's, and what they find."""

import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import kurtosis
from sklearn.metrics import roc_auc_score

from benchmarks.accuracy.baselines import BASELINES, Scorer
from benchmarks.harness.data import Split, standardised
from benchmarks.peers import diffusion_time

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'advae[bench]'")

EPOCHS = {"DTE-C": 80, "ICL": 15, "NeuTraL": 60, "DDAE": 15, "K-DSM": 10}
"""Enough for a toy table; the authors' numbers take minutes."""

Array = np.ndarray


@pytest.fixture(scope="module")
def planted() -> Split:
    """Rows on a line in six columns; the anomalies have usual values that do not go together."""
    draws = np.random.default_rng(0)
    place = draws.normal(size=(228, 1))
    rows = place * [1, 2, -1, 0.5, -2, 1] + 0.1 * draws.normal(size=(228, 6))
    odd = np.column_stack([draws.permutation(column)[:30] for column in rows.T])
    train, normal = rows[:128], rows[128:]
    labels = np.repeat([0, 1], [100, 30])
    return standardised(Split(train, np.concatenate([normal, odd]), labels))


@pytest.mark.parametrize("name", EPOCHS)
def test_each_finds_planted_anomalies(name: str, planted: Split) -> None:
    score = _fitted(name, planted, 0, EPOCHS[name])
    assert roc_auc_score(planted.labels, score(planted.test)) > 0.9


@pytest.mark.parametrize("name", EPOCHS)
def test_each_repeats_itself(name: str, planted: Split) -> None:
    score = _fitted(name, planted, 0, 1)
    torch.manual_seed(99)  # what others draw in between changes nothing
    first = score(planted.test)
    np.testing.assert_array_equal(score(planted.test), first)
    np.testing.assert_array_equal(_fitted(name, planted, 0, 1)(planted.test), first)
    assert (_fitted(name, planted, 1, 1)(planted.test) != first).any()


def _fitted(name: str, planted: Split, seed: int, epochs: int) -> Scorer:
    settings = BASELINES[name].parameters | {"epochs": epochs}
    return BASELINES[name].scorer(planted.train, seed, settings)


# --- DTE-C ---


def test_noise_grows_by_the_schedule() -> None:
    kept, variances = 1.0, []
    for time in range(400):
        kept *= 1 - (0.0001 + time * (0.01 - 0.0001) / 399)
        variances.append(1 - kept)
    assert diffusion_time.noise_variances() == pytest.approx(variances, rel=1e-9)
    assert variances[-1] == pytest.approx(0.868, abs=0.001)


def test_times_have_seven_ranges_of_about_equal_length() -> None:
    times = np.arange(diffusion_time.TIMES)
    ranges = diffusion_time.range_of(times)
    assert ranges.tolist() == np.floor(times / 400 * 7).tolist()
    assert {*np.bincount(ranges)} == {57, 58}


# --- ICL ---


def test_internal_contrast_is_what_numpy_says() -> None:
    from benchmarks.peers.internal_contrast import contrast

    draws = np.random.default_rng(0)
    complements, windows = draws.normal(size=(2, 3, 4, 5)) / 5
    expected = np.empty((3, 4))
    for row in range(3):
        for own in range(4):
            products = [complements[row, own] @ windows[row, other] for other in range(4)]
            expected[row, own] = -np.log(softmax(np.array(products) / 0.1)[own])
    found = contrast(torch.tensor(complements), torch.tensor(windows))
    assert found.numpy() == pytest.approx(expected)


def test_windows_and_complements_share_out_the_columns() -> None:
    from benchmarks.peers.internal_contrast import Embeddings, window_size

    assert [window_size(columns) for columns in (3, 40, 41, 160, 161, 400)] == [
        *(2, 2, 10, 10, 11, 250)
    ]
    network = Embeddings(5)
    assert network.windows.tolist() == [[0, 1], [1, 2], [2, 3], [3, 4]]
    assert network.complements.tolist() == [[2, 3, 4], [0, 3, 4], [0, 1, 4], [0, 1, 2]]
    for embedding in network(torch.randn(7, 5)):
        assert embedding.shape == (7, 4, 200)
        assert embedding.norm(dim=2).detach().numpy() == pytest.approx(np.ones((7, 4)), rel=1e-5)


def test_two_columns_have_nothing_to_compare() -> None:
    with pytest.raises(ValueError, match="needs three, not 2"):
        BASELINES["ICL"].scorer(np.ones((5, 2)), 0, BASELINES["ICL"].parameters)


# --- NeuTraL AD ---


def test_deterministic_contrast_is_what_numpy_says() -> None:
    from benchmarks.peers.neural_transformations import contrast

    draws = np.random.default_rng(0)
    rows, views = draws.normal(size=(3, 5)), draws.normal(size=(3, 4, 5))

    def likeness(first: Array, second: Array) -> float:
        cosine = first @ second / (np.linalg.norm(first) * np.linalg.norm(second))
        return float(np.exp(cosine / 0.1))

    expected = []
    for row, own in zip(rows, views, strict=True):
        total = 0.0
        for k in range(4):
            near = likeness(own[k], row)
            others = sum(likeness(own[k], own[other]) for other in range(4) if other != k)
            total -= np.log(near / (near + others))
        expected.append(total)
    assert contrast(torch.tensor(rows), torch.tensor(views)).numpy() == pytest.approx(expected)


def test_without_biases_a_multiple_of_a_row_scores_as_the_row() -> None:
    from benchmarks.peers.neural_transformations import Views, contrast

    network, rows = Views(4), torch.rand(5, 4)
    with torch.no_grad():
        once, tenfold = (contrast(*network(each)) for each in (rows, 10 * rows))
    assert tenfold.numpy() == pytest.approx(once.numpy(), rel=1e-4)


# --- DDAE ---


def test_times_and_batches_of_the_denoiser() -> None:
    from benchmarks.peers.scheduled_denoising import batch_size, embedded, shares_of_row

    left, shares = 1.0, []
    for time in range(50):
        left *= 1 - (0.0001 + time * 0.0199 / 49)
        shares.append(left)
    assert shares_of_row() == pytest.approx(shares)
    found = embedded(torch.tensor([0, 30])).numpy()
    angles = [30.0, 0.3]
    assert found == pytest.approx(np.array([[1, 1, 0, 0], [*np.cos(angles), *np.sin(angles)]]))
    assert [batch_size(rows) for rows in (10, 100, 1840, 100_000)] == [8, 16, 256, 8192]


# --- K-DSM ---


def test_bins_stand_around_the_highest() -> None:
    from benchmarks.peers.score_matching import places_by_frequency

    values = np.repeat([0.0, 50.5, 100.5, 150.5, 200.0], [2, 5, 9, 3, 1])
    assert (
        places_by_frequency(values).tolist()
        == np.repeat([2, 1, 0, -1, 0], [2, 5, 9, 3, 1]).tolist()
    )


def test_noise_follows_the_kurtosis() -> None:
    from benchmarks.peers.score_matching import noise_deviations, places_by_frequency

    draws = np.random.default_rng(0)
    columns = [draws.random(1000), draws.normal(size=1000), draws.standard_t(2, 1000)]
    columns += [np.zeros(1000), np.repeat([0.3, 5.0], [900, 100])]
    found = noise_deviations(np.column_stack(columns))
    for column, deviation in zip(columns[:3], found, strict=False):
        places = places_by_frequency(np.sort(column)[20:980])
        linear = 0.5 * (1 + 0.33 * (kurtosis(places, fisher=False) - 3))
        assert deviation == pytest.approx(np.clip(linear, 0.1, 3))
    assert 0.1 <= found[0] < found[1] < found[2]
    assert found[3] == pytest.approx(0.5 * (1 - 0.33 * 1.2))
    assert found[4] == 3
