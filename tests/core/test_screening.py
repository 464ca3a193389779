"""Setting rows aside before anything is learned: which rows, and what a fit makes of the others."""

import json
from pathlib import Path

import jax
import numpy as np
import polars as pl
import pytest
from command_line import Run

import advae
from advae import AdVAEDetector, Config, InputError, fit_detector
from advae.cli.discovery import DiscoveryMarker
from advae.core import screening
from advae.core.screening import suspects
from advae.core.training import Snapshot
from advae.tables.encoder import TableEncoder
from advae.tables.frames import as_frame

ROWS, WIDTH = 600, 12


def normal(rows: int = ROWS, width: int = WIDTH, seed: int = 0) -> np.ndarray:
    """Return correlated rows, as float32 in [0, 1]."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(rows, 4)) @ rng.normal(size=(4, width)) + rng.normal(
        size=(rows, width)
    )
    return ((values - values.min(0)) / np.ptp(values, axis=0)).astype(np.float32)


def brute_force(rows: np.ndarray, most: float, company: np.ndarray | None = None) -> np.ndarray:
    """Return the suspects by a loop over rows, compared with all or with those at some places."""
    places = np.arange(len(rows)) if company is None else np.sort(company)
    apart = (rows - np.median(rows, axis=0)) / rows.std(axis=0, dtype=np.float64)
    scaled = np.arcsinh(apart / screening.NEAR)
    apart = np.array([np.linalg.norm(scaled - row, axis=1) for row in scaled])
    np.fill_diagonal(apart, np.inf)
    count = int(most * len(places))
    crowding = np.sort(apart[np.ix_(places, places)], axis=1)[:, count - 1]
    trusted = places[np.argsort(crowding)[: len(places) - count]]
    nearest = apart[:, trusted].min(axis=1)
    usual = np.quantile(nearest[trusted], 0.95)
    order = np.argsort(-nearest)[: int(most * len(rows))]
    return order[nearest[order] > screening.FAR * usual]


# --- which rows ---


def test_outliers_are_suspected() -> None:
    rows = normal()
    odd = np.random.default_rng(1).uniform(1.5, 3, (20, WIDTH)).astype(np.float32)
    found = suspects(np.concatenate([rows, odd]), 0.1)
    assert set(range(ROWS, ROWS + 20)) <= set(found)
    assert len(found) <= 20 + 0.03 * ROWS


@pytest.mark.parametrize("copies", [False, True])
def test_a_cluster_cannot_vouch_for_itself(copies: bool) -> None:
    rows, rng = normal(), np.random.default_rng(1)
    cluster = np.full((40, WIDTH), 1.8) + (0 if copies else 0.02 * rng.normal(size=(40, WIDTH)))
    found = suspects(np.concatenate([rows, cluster]).astype(np.float32), 0.1)
    assert set(range(ROWS, ROWS + 40)) <= set(found)


def test_a_cluster_larger_than_the_cap_is_taken_for_normal() -> None:
    rows = np.concatenate([normal(), normal(200, seed=1) + 3])
    assert np.sum(suspects(rows, 0.1) >= ROWS) < 0.2 * 200


@pytest.mark.parametrize("seed", range(3))
def test_clean_rows_of_many_columns_stay(seed: int) -> None:
    rows = np.random.default_rng(seed).normal(size=(1000, 20)).astype(np.float32)
    assert len(suspects(rows, 0.1)) <= 0.01 * len(rows)


@pytest.mark.parametrize("most", [0.02, 0.1, 0.3])
def test_what_is_computed(most: float) -> None:
    rows = np.random.default_rng(0).standard_t(3, (300, 3)).astype(np.float32)
    found = suspects(rows, most)
    np.testing.assert_array_equal(found, brute_force(rows, most))
    assert 0 < len(found) <= most * len(rows)


@pytest.mark.parametrize("seed", [0, 1])
def test_what_is_computed_of_a_long_table(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screening, "REFERENCE_ROWS", 100)
    rows = np.random.default_rng(0).standard_t(3, (300, 3)).astype(np.float32)
    company = np.random.default_rng(seed).choice(300, 100, replace=False)
    np.testing.assert_array_equal(suspects(rows, 0.1, seed), brute_force(rows, 0.1, company))


def test_a_long_table_is_compared_with_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.concatenate([normal(4000), np.full((40, WIDTH), 2.5, np.float32)])
    whole = set(suspects(rows, 0.05))
    monkeypatch.setattr(screening, "REFERENCE_ROWS", 500)
    sampled = suspects(rows, 0.05, seed=3)
    np.testing.assert_array_equal(sampled, suspects(rows, 0.05, seed=3))
    assert set(range(4000, 4040)) <= set(sampled)
    assert len(sampled) <= 0.05 * len(rows)
    assert len(whole & set(sampled)) > 0.5 * len(whole)


def test_tiles_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.random.default_rng(0).standard_t(3, (300, 3)).astype(np.float32)
    whole = suspects(rows, 0.1)
    monkeypatch.setattr(screening, "_TILE", 1000)
    np.testing.assert_array_equal(suspects(rows, 0.1), whole)


@pytest.mark.parametrize("neighbour", [1, 200, 500, 4999])
def test_distances_are_to_the_kth_neighbour(neighbour: int) -> None:
    rows = np.random.default_rng(0).normal(size=(5000, 3))
    asked, company = np.arange(0, 5000, 20), np.arange(5000)
    apart = np.linalg.norm(rows[asked, None] - rows[company], axis=2)
    apart[asked[:, None] == company] = np.inf
    found = screening._distance(rows, asked, company, neighbour)
    np.testing.assert_allclose(found, np.sort(apart, axis=1)[:, neighbour - 1], rtol=1e-6)


@pytest.mark.parametrize("rows", [0, 1, 2, 9])
def test_tables_with_too_few_rows_are_left_alone(rows: int) -> None:
    assert not len(suspects(normal(9)[:rows], 0.1))


def test_columns_that_do_not_vary_change_nothing() -> None:
    rows = normal()
    padded = np.concatenate([rows, np.ones((ROWS, 2), np.float32)], axis=1)
    np.testing.assert_array_equal(suspects(padded, 0.1), suspects(rows, 0.1))


def test_one_odd_column_makes_few_suspects() -> None:
    # Counted in standard deviations alone, all rows with the rare value would be suspected, and
    # ten of the long tail.
    rng, rows = np.random.default_rng(0), normal()
    rare = np.zeros(ROWS)
    rare[rng.permutation(ROWS)[:20]] = 1
    tail = np.exp(2 * rng.normal(size=ROWS))
    for odd, most in (rare, 10), (tail, 3):
        wider = np.concatenate([rows, odd[:, None] / odd.max()], axis=1).astype(np.float32)
        assert len(suspects(wider, 0.1)) <= most


def test_equal_rows_are_never_far_apart() -> None:
    pattern = np.random.default_rng(0).random((5, WIDTH)).astype(np.float32)
    assert not len(suspects(np.repeat(pattern, 100, axis=0), 0.1))
    assert not len(suspects(np.ones((100, 3), np.float32), 0.1))


@pytest.mark.parametrize("shuffled", [False, True])
@pytest.mark.parametrize(
    ("groups", "most"),
    [
        ([94, 6], 0.05),
        ([50, 50], 0.49),
        ([90, 7, 2, 1], 0.05),
        ([60, 20, 20], 0.3),
    ],
)
def test_equal_rows_are_treated_alike(groups: list[int], most: float, shuffled: bool) -> None:
    rng = np.random.default_rng(0)
    places = np.concatenate([[[0.0, 0.0, 0.0]], rng.normal(size=(len(groups) - 1, 3))])
    places[:, 0] = 0.0
    kind = np.repeat(np.arange(len(groups)), groups)
    if shuffled:
        kind = rng.permutation(kind)
    rows = places[kind].astype(np.float32)
    rows[::2] *= np.where(rows[::2] == 0, -1, 1)  # 0 with either sign
    found = suspects(rows, most)
    for each in np.unique(kind):
        assert np.isin(np.flatnonzero(kind == each), found).mean() in (0, 1)


def test_copies_are_treated_alike_in_a_long_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screening, "REFERENCE_ROWS", 200)
    rows = np.random.default_rng(0).standard_t(2, (500, 3)).astype(np.float32)
    found = suspects(np.concatenate([rows, rows]), 0.1)
    assert len(found)
    assert set(found % 500) == {row for row in found % 500 if {row, row + 500} <= set(found)}


# --- what a fit makes of it ---

SMALL = {"iterations": 401, "hidden": 8, "latent": 3, "batch_size": 16, "points": 8, "members": 2}
ODD = 12


def config(**changes: object) -> Config:
    return Config.from_json(SMALL | {"trim": 0.1} | changes)


@pytest.fixture(scope="module")
def mixed() -> np.ndarray:
    """Return 188 normal rows and 12 far from them."""
    rng = np.random.default_rng(5)
    return np.concatenate([rng.normal(size=(188, 6)), rng.normal(15, 1, (ODD, 6))])


@pytest.fixture(scope="module")
def trimmed(mixed: np.ndarray) -> advae.Detector:
    return fit_detector(mixed, config())


def test_rows_set_aside_take_no_part(mixed: np.ndarray, trimmed: advae.Detector) -> None:
    (note,) = [note for note in trimmed.summary.notes if "set aside" in note]
    beginning = "Suspected anomalies set aside (trim = 0.1): "
    count = int(note.removeprefix(beginning).split()[0])
    assert ODD <= count <= 20
    assert note.startswith(f"{beginning}{count} of 200 rows, most suspect: ")
    assert trimmed.summary.rows + trimmed.summary.calibration_rows == 200 - count
    named = [int(row) for row in note.split("most suspect: ")[1].split(" (")[0].split(", ")]
    assert len(named) == 5
    assert all(row >= 200 - ODD for row in named)
    assert trimmed.is_anomaly(mixed[-ODD:]).all()
    # Of tables with long tails up to twice alpha were flagged, and half of the discoveries false.
    assert note.endswith("more than alpha may be flagged, and p-values may be too small.")
    assert trimmed.threshold.why.endswith("rows held out of training, suspects left out")
    (doubt,) = DiscoveryMarker(0.1).doubts(trimmed)
    assert "false discovery rate is not controlled" in doubt

    encoded = TableEncoder.fit(as_frame(mixed)).transform(as_frame(mixed))
    kept = np.delete(mixed, suspects(encoded, 0.1), axis=0)
    same = fit_detector(kept, config(trim=0.0))
    jax.tree.map(np.testing.assert_array_equal, trimmed.scorer, same.scorer)
    np.testing.assert_array_equal(trimmed.calibration_scores, same.calibration_scores)


def test_without_trim_nothing_is_set_aside(mixed: np.ndarray) -> None:
    summary = fit_detector(mixed, config(trim=0, iterations=10)).summary
    assert summary.rows + summary.calibration_rows == len(mixed)
    assert not [note for note in summary.notes if "set aside" in note]


def test_an_interrupted_fit_goes_on_to_the_same_file(
    mixed: np.ndarray, trimmed: advae.Detector, tmp_path: Path
) -> None:
    def stop(snapshot: Snapshot) -> None:
        if snapshot.iteration == 200:
            raise KeyboardInterrupt

    kept = tmp_path / "checkpoint"
    with pytest.raises(KeyboardInterrupt):
        fit_detector(mixed, config(), checkpoint=kept, on_block=stop)
    assert kept.exists()
    advae.save(
        fit_detector(mixed, config(), checkpoint=kept, resume=True), tmp_path / "resumed.advae"
    )
    advae.save(trimmed, tmp_path / "whole.advae")
    assert (tmp_path / "resumed.advae").read_bytes() == (tmp_path / "whole.advae").read_bytes()


def test_the_model_file_keeps_the_setting(trimmed: advae.Detector, tmp_path: Path) -> None:
    advae.save(trimmed, tmp_path / "m.advae")
    loaded = advae.load(tmp_path / "m.advae")
    assert loaded.config.trim == 0.1
    assert loaded.summary.notes == trimmed.summary.notes
    assert AdVAEDetector.load(tmp_path / "m.advae").trim == 0.1


def test_a_sample_of_a_long_table_is_screened(mixed: np.ndarray) -> None:
    frame = as_frame(np.concatenate([mixed, mixed + 0.01]))
    detector = fit_detector(frame, config(iterations=10), sample=200)
    first, second = detector.summary.notes[-2:]
    assert first == "A uniform sample of 200 of 400 rows trained and calibrated the model."
    assert "of 200 rows. Normal rows" in second
    assert "most suspect" not in second  # their places in the sample would tell nothing
    encoded = detector.table.transform(frame)
    assert encoded.max() > 1.5  # ranges are those of the rows that were kept


def test_rows_that_only_the_suspects_differ_from() -> None:
    rows = np.zeros((100, 2))
    rows[:5] = np.arange(10).reshape(5, 2) + 1
    with pytest.raises(InputError, match=r"all rows but the 5 that trim = 0\.1 sets aside"):
        fit_detector(rows, config())


def test_command(run: Run, mixed: np.ndarray, tmp_path: Path) -> None:
    data, model = tmp_path / "data.csv", tmp_path / "m.advae"
    pl.DataFrame(mixed).write_csv(data)
    fitted = run("fit", data, "-o", model, "--trim", 0.1, "--iterations", 50)
    assert fitted.code == 0, fitted.err
    assert "Suspected anomalies set aside (trim = 0.1)" in " ".join(fitted.err.split())
    info = json.loads(run("info", model, "--json").out)
    assert info["config"]["trim"] == 0.1
    wrong = run("fit", data, "-o", model, "--trim", 0.6)
    assert wrong.code == 2
    assert "trim is 0.6; expected a share, at least 0 and below 0.5" in wrong.err


def test_the_note_names_rows_of_the_file(run: Run, mixed: np.ndarray, tmp_path: Path) -> None:
    data = tmp_path / "data.csv"
    labels = pl.Series([row % 3 == 0 and row < len(mixed) - ODD for row in range(len(mixed))])
    pl.DataFrame(mixed).with_columns(y=labels).write_csv(data)
    arguments = ("--label", "y", "--trim", 0.1, "--iterations", 50)
    fitted = run("fit", data, "-o", tmp_path / "m.advae", *arguments)
    note = " ".join(fitted.err.split()).split("most suspect: ")[1]
    named = [int(row) for row in note.split(" (")[0].split(", ")]
    assert len(named) == 5
    assert min(named) >= len(mixed) - ODD
    sampled = run("fit", data, "-o", tmp_path / "m.advae", *arguments, "--sample", 100)
    assert sampled.code == 0, sampled.err
    assert "set aside" in sampled.err
    assert "most suspect" not in sampled.err


def test_estimators(mixed: np.ndarray) -> None:
    settings = {name: value for name, value in SMALL.items() if name != "iterations"}
    ours = AdVAEDetector(iterations=50, trim=0.1, random_state=0, **settings).fit(mixed)
    assert any("set aside" in note for note in ours.detector_.summary.notes)
    pytest.importorskip("pyod")
    from advae.estimators.pyod import AdVAE

    theirs = AdVAE(iterations=50, trim=0.1, random_state=0, settings={"hidden": 8}).fit(mixed)
    assert theirs.detector_.config.trim == 0.1
    assert theirs.decision_scores_.shape == (200,)  # those set aside are scored too
