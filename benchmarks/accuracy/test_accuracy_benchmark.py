"""The accuracy benchmark: which runs there are, what one gives, and that the command works."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from fresh_process import loaded_modules
from paper_data import require_data

from benchmarks.accuracy import protocol as accuracy_runs
from benchmarks.accuracy.baselines import BASELINES
from benchmarks.accuracy.protocol import OURS
from benchmarks.accuracy.rivals import DEEP_PEERS
from benchmarks.harness.data import CONFIRMATION, SELECTION, Split, adbench_names, standardised
from benchmarks.harness.digest import DETECTOR_MODULES

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two data sets of 40 normal rows and 10 anomalies."""
    for name in ("10_ten", "9_nine"):
        rng = np.random.default_rng(len(name))
        X = np.concatenate([rng.random((40, 3)), 2 + rng.random((10, 3))])
        np.savez(tmp_path / f"{name}.npz", X=X, y=np.repeat([0, 1], [40, 10]))
    return tmp_path


# --- the runs ---


def test_a_plan_has_each_method_on_each_set_and_splits_differ(folder: Path) -> None:
    files = accuracy_runs.shuffled_files(folder)
    assert [file.name for file in files] == ["nine", "ten"]
    assert files[0].anomaly_share == 10 / 30
    assert files[0].split(0).train.tolist() != files[0].split(1).train.tolist()
    files.append(replace(files[0], protocol="paper"))
    runs = accuracy_runs.plan(files, (OURS, "1-NN", "IForest"), seeds=2)
    # A method without chance has one result where the split is fixed.
    assert len(runs) == 2 * 2 * 3 + 2 + 1 + 2
    assert len({json.dumps(run.identity) for run in runs}) == len(runs)
    ours = next(run for run in runs if run.method == OURS)
    assert json.loads(ours.settings)["threshold"] == "kde"
    assert len(ours.code) == 12
    assert {run.code for run in runs if run.method != OURS} == {""}


def test_the_other_scaling_is_tried_on_the_selection_half_alone(folder: Path) -> None:
    file = accuracy_runs.shuffled_files(folder)[0]
    files = [replace(file, name="musk"), replace(file, name="letter")]
    runs = accuracy_runs.plan(files, (OURS, "1-NN"), seeds=5)
    (first, *_) = others = accuracy_runs.other_scalings(runs)
    assert [run.data.name for run in others] == ["musk"] * accuracy_runs.TRIAL_SEEDS
    assert json.loads(first.settings)["scaling"] == "standard"


def test_other_budgets_are_tried_with_our_preset_alone(folder: Path) -> None:
    files = accuracy_runs.shuffled_files(folder)
    files.append(replace(files[0], protocol="paper"))
    runs = accuracy_runs.plan(files, (OURS, "1-NN", "advae VAE"), seeds=5)
    others = accuracy_runs.other_budgets(runs)
    assert len(others) == 2 * accuracy_runs.TRIAL_SEEDS * len(accuracy_runs.BUDGETS)
    assert {run.method for run in others} == {OURS}
    tried = {json.loads(run.settings)["iterations"] for run in others}
    assert tried == set(accuracy_runs.BUDGETS)
    assert not {json.dumps(run.identity) for run in runs} & {json.dumps(r.identity) for r in others}


def test_the_halves_are_the_open_sets() -> None:
    assert len({*SELECTION, *CONFIRMATION}) == 18
    require_data("adbench")
    names = {name.partition("_")[2] for name in adbench_names()}
    assert names == {*SELECTION, *CONFIRMATION}


def test_a_run_is_measured_and_one_that_fails_says_why(folder: Path) -> None:
    file = accuracy_runs.shuffled_files(folder)[0]
    (run,) = accuracy_runs.plan([file], ("5-NN",), seeds=1)
    row = accuracy_runs.measure(run)
    assert [row["roc_auc"], row["average_precision"]] == pytest.approx([1, 1])
    assert row["fit_seconds"] > 0
    wrong = run.settings.replace('"n_neighbors": 5', '"n_neighbors": 500')
    assert "ValueError" in accuracy_runs.measure(replace(run, settings=wrong))["failure"]


def test_scores_that_are_not_finite_are_a_failure(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fit(train: np.ndarray) -> object:
        return lambda rows: np.where(np.arange(len(rows)) < 2, np.nan, 1.0)

    monkeypatch.setitem(BASELINES, "1-NN", replace(BASELINES["1-NN"], fit=fit, parameters={}))
    (run,) = accuracy_runs.plan(accuracy_runs.shuffled_files(folder)[:1], ("1-NN",), seeds=1)
    assert accuracy_runs.measure(run) == {"failure": "2 of 30 scores are not finite"}


def test_ours_learns_and_edited_code_is_refused(folder: Path) -> None:
    (run,) = accuracy_runs.plan(accuracy_runs.shuffled_files(folder)[:1], (OURS,), 1, 50)
    assert accuracy_runs.measure(run)["roc_auc"] > 0.9
    with pytest.raises(RuntimeError, match="edited"):
        accuracy_runs.measure(replace(run, code="other"))


# DEEP_PEERS take longer, and have tests of their own.
@pytest.mark.parametrize("name", [name for name in BASELINES if name not in ("SOD", *DEEP_PEERS)])
def test_every_baseline_ranks_far_rows_above_near_ones(name: str) -> None:
    if BASELINES[name].missing():
        pytest.skip("PyTorch is not installed: pip install 'advae[bench]'")
    rng = np.random.default_rng(0)
    train, near = rng.normal(size=(200, 4)), rng.normal(size=(50, 4))
    far = near + 8
    split = Split(train, np.concatenate([near, far]), np.repeat([0, 1], 50))
    split = accuracy_runs.SCALINGS[BASELINES[name].scaling](split)
    scores = BASELINES[name].scorer(split.train, 0, BASELINES[name].parameters)(split.test)
    assert scores.shape == (100,)
    assert np.median(scores[50:]) > np.median(scores[:50])


def test_standard_scaling_leaves_constant_columns_alone() -> None:
    split = standardised(
        Split(np.array([[1.0, 0.1]] * 2 + [[4.0, 0.1]]), np.ones((1, 2)), np.ones(1))
    )
    assert split.train.mean(axis=0) == pytest.approx([0, 0], abs=1e-15)
    assert split.train.std(axis=0) == pytest.approx([1, 0], abs=1e-15)
    assert split.test[0, 1] == pytest.approx(0.9)


@pytest.mark.parametrize(
    ("arrays", "told"),
    [
        ({}, "no .npz file"),
        ({"X": np.ones((5, 2))}, "no arrays X and y"),
        ({"X": np.ones((5, 2)), "y": np.arange(5)}, "0 or 1"),
        ({"X": np.ones((5, 2)), "y": np.zeros(5)}, "0 anomalies"),
    ],
)
def test_an_unusable_folder_is_named(
    tmp_path: Path, arrays: dict[str, np.ndarray], told: str
) -> None:
    if arrays:
        np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(ValueError, match=told):
        accuracy_runs.shuffled_files(tmp_path)


def test_the_digest_covers_all_that_decides_a_score() -> None:
    loaded = {name.split(".")[0] for name in loaded_modules("advae.detector.fitting")}
    cannot_change_a_score = {"atomic", "errors", "files", "records", "tensorfile"}
    assert set(DETECTOR_MODULES) == loaded - cannot_change_a_score


# --- the command ---


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.accuracy", *map(str, arguments)],
        cwd=REPOSITORY,
        env=os.environ | {"COLUMNS": "160"},
        capture_output=True,
        text=True,
    )


def test_mistakes_are_told(tmp_path: Path) -> None:
    done = command("--methods", "2-NN")
    assert (done.returncode, "unknown method '2-NN'" in done.stdout) == (2, True)
    require_data("adbench", "advae-paper/letter.mat")
    done = command("--methods", "1-NN", "--folder", tmp_path)
    assert (done.returncode, "--folder" in done.stdout) == (2, True)


def test_quick_run_measures_and_goes_on(tmp_path: Path) -> None:
    require_data("adbench", *(f"advae-paper/{name}.mat" for name in ("letter", "pendigits")))
    out = tmp_path / "accuracy.parquet"
    first = command("--quick", "--out", out)
    assert first.returncode == 0, first.stderr
    runs = pl.read_parquet(out)
    assert runs.height == len(accuracy_runs.QUICK_METHODS) * 3
    assert runs["failure"].null_count() == runs.height
    assert "15 runs, 15 of them already" in command("--quick", "--out", out).stdout
    assert pl.read_parquet(out).equals(runs)
    text = out.with_suffix(".md").read_text()
    assert "## The paper's protocol" in text
    assert (tmp_path / "critical_difference.svg").exists()
