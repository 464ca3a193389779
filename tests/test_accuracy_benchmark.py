"""The accuracy benchmark: its runs, its failures, its numbers, and that it goes on."""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from paper_data import require_data
from rich.console import Console

from benchmarks import accuracy_runs, comparison, rank_diagram
from benchmarks.accuracy_page import Measured, write_page
from benchmarks.accuracy_runs import CONFIRMATION, METHODS, OURS, SELECTION
from benchmarks.baselines import BASELINES
from benchmarks.data import Split, adbench_names, standardised
from benchmarks.digest import DETECTOR_MODULES
from benchmarks.limited import Stopped, run_limited
from benchmarks.runs import run_all

REPOSITORY = Path(__file__).resolve().parents[1]


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


@pytest.mark.parametrize("name", [name for name in BASELINES if name != "SOD"])
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
    program = (
        "import sys, advae.fitting; "
        "print(*(name for name in sys.modules if name.startswith('advae.')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    loaded = {name.removeprefix("advae.") for name in done.stdout.split()}
    cannot_change_a_score = {
        *("_types", "artifact", "checkpoint", "errors", "evaluation", "explain", "files"),
        *("modelinfo", "notebook", "records", "score_axis", "svg", "tensorfile", "threads"),
    }
    assert set(DETECTOR_MODULES) == loaded - cannot_change_a_score


# --- limits and going on ---


def stubborn(seconds: float) -> float:
    if seconds < 0:
        os._exit(3)
    time.sleep(seconds)
    return seconds


def test_a_task_over_its_limit_is_ended_and_the_others_go_on() -> None:
    tasks = [0.0, 30.0, -1.0, 0.01]
    ended = dict(run_limited(stubborn, tasks, 1, 1.0))
    assert ended == {
        0.0: 0.0,
        30.0: Stopped("took more than 1 s"),
        -1.0: Stopped("its process died"),
        0.01: 0.01,
    }


@dataclass(frozen=True)
class Counted:
    number: int
    log: Path
    fails: bool = False

    @property
    def identity(self) -> dict[str, int]:
        return {"number": self.number}

    @property
    def known(self) -> dict[str, int]:
        return self.identity


def square(run: Counted) -> dict[str, float]:
    with run.log.open("a") as stream:
        stream.write(f"{run.number} ")
    return {"failure": "tired"} if run.fails else {"square": float(run.number**2)}


def test_runs_that_are_kept_are_not_done_again(tmp_path: Path) -> None:
    schema = {"number": pl.Int64, "square": pl.Float64, "failure": pl.String}
    out, log, console = tmp_path / "runs.parquet", tmp_path / "log", Console(quiet=True)

    def rows(*numbers: int) -> list[float]:
        runs = [Counted(number, log) for number in numbers]
        return [row["square"] for row in run_all(square, runs, out, schema, 1, console)]

    assert rows(3, 2) == [9, 4]
    assert rows(2, 5, 3) == [4, 25, 9]
    assert log.read_text().split() == ["3", "2", "5"]
    assert not out.with_suffix(".partial").exists()
    assert pl.read_parquet(out).height == 3


def test_failed_runs_are_done_again_when_asked_for(tmp_path: Path) -> None:
    schema = {"number": pl.Int64, "square": pl.Float64, "failure": pl.String}
    out, log, console = tmp_path / "runs.parquet", tmp_path / "log", Console(quiet=True)
    (row,) = run_all(square, [Counted(3, log, fails=True)], out, schema, 1, console)
    assert row == {"number": 3, "square": None, "failure": "tired"}
    assert run_all(square, [Counted(3, log)], out, schema, 1, console) == [row]
    again = run_all(square, [Counted(3, log)], out, schema, 1, console, retry=True)
    assert again == [{"number": 3, "square": 9.0, "failure": None}]


# --- the numbers ---


def made_up(
    figures: dict[str, list[list[float | None]]], protocol: str = "shuffled"
) -> list[dict[str, object]]:
    """Return rows of methods with AP for each set and seed; None is a failed run."""
    return [
        {
            "protocol": protocol,
            "data_set": f"set{index}",
            "method": method,
            "settings": "{}",
            "seed": seed,
            "anomaly_share": 0.1,
            "roc_auc": value,
            "average_precision": value,
            "fit_seconds": 1.0,
            "score_seconds_per_1000": 0.5,
            "failure": None if value is not None else "took more than 60 s",
        }
        for method, sets in figures.items()
        for index, values in enumerate(sets)
        for seed, value in enumerate(values)
    ]


FIGURES: dict[str, list[list[float | None]]] = {
    OURS: [[0.8, 0.9], [0.5, 0.5], [0.2, 0.4]],
    "1-NN": [[0.7, 0.7], [0.6, 0.6], [0.3, 0.3]],
    "LOF": [[None, None], [0.4, None], [0.1, 0.1]],
}
SETS = ("set0", "set1", "set2")


def test_means_ranks_and_wins_by_hand() -> None:
    results = comparison.grid(made_up(FIGURES), "average_precision", METHODS, SETS, 2)
    assert results.methods == (OURS, "1-NN", "LOF")
    np.testing.assert_allclose(results.means, [[0.85, 0.5, 0.3], [0.7, 0.6, 0.3], [0.1, 0.25, 0.1]])
    np.testing.assert_allclose(results.by_seed[0], [0.5, 0.6])
    assert results.ranks.tolist() == [[1, 2, 1.5], [2, 1, 1.5], [3, 3, 3]]
    assert results.wins.tolist() == [2, 2, 0]
    auc = comparison.grid(made_up(FIGURES), "roc_auc", METHODS, SETS, 2)
    assert auc.of("LOF").tolist() == pytest.approx([0.5, 0.45, 0.1])
    assert auc.ranks[2].tolist() == [3, 3, 3]


def test_seeds_count_that_a_method_has_on_every_set() -> None:
    rows = made_up(FIGURES)[:-1]  # LOF lacks its last run
    results = comparison.grid(rows, "roc_auc", METHODS, SETS, 2)
    assert results.seeds.tolist() == [2, 2, 1]
    assert results.of("LOF").tolist() == [0.5, 0.4, 0.1]
    assert results.lost.tolist() == [[False] * 3, [False] * 3, [True, False, False]]
    assert comparison.grid(rows, "roc_auc", METHODS, (*SETS, "set3"), 2).methods == ()


def test_holm_by_hand() -> None:
    adjusted = comparison.holm([0.01, 0.04, 0.03, 0.005])
    assert adjusted == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert comparison.holm([0.9, 0.8]) == [1.0, 1.0]
    assert comparison.holm([]) == []


def test_signed_ranks_by_hand() -> None:
    # All six gains positive: 2 of the 2**6 sign patterns are as extreme.
    assert comparison.signed_rank(np.arange(1.0, 7.0)) == pytest.approx(2 / 64)
    assert comparison.signed_rank(np.zeros(6)) == 1.0


def test_the_critical_difference_is_the_published_one() -> None:
    # The worked example of J. Demsar, JMLR 7 (2006): four methods on 14 data sets.
    assert comparison.critical_difference(4, 14) == pytest.approx(1.25, abs=0.005)
    assert comparison.groups(np.array([1.0, 1.5, 2.4, 4.0]), 1.0) == [(0, 1), (1, 2)]
    assert comparison.groups(np.array([1.0, 2.5]), 1.0) == []


def test_comparisons_by_hand() -> None:
    results = comparison.grid(made_up(FIGURES), "average_precision", METHODS, SETS, 2)
    first, second = comparison.compare(results, OURS, ["1-NN", "LOF"])
    # 0.15 better, 0.1 worse, and the same.
    assert (first.other, first.better, first.worse) == ("1-NN", 1, 1)
    assert first.difference == pytest.approx((0.15 - 0.1) / 3)
    assert (second.better, second.worse) == (3, 0)
    assert second.p == pytest.approx(0.25)
    assert second.adjusted == pytest.approx(0.5)


def test_the_page_has_the_numbers(tmp_path: Path) -> None:
    page = tmp_path / "results.md"
    rows = made_up(FIGURES) + made_up({"1-NN": [[0.8], [0.6], [0.4]]}, "paper")
    sets = {"shuffled": SETS, "paper": SETS}
    write_page(Measured(rows, [], sets, 2, "python -m benchmarks.accuracy"), page)
    text = page.read_text()
    assert f"| **{OURS}** | 2 | 55.00 ± 7.07 | 55.00 ± 7.07 | 1.50 | 1.50 | 2 |  |" in text
    assert "| LOF | 2 | 15.00 ± 7.07 |" in text
    assert "| LOF | 10.0† | 25.0† | 10.0 | 15.00 |" in text
    assert "| LOF | set0 | shuffled | 2 | took more than 60 s |" in text
    assert "| 1-NN | **80.0** | **60.0** | **40.0** | 60.00 |" in text
    assert "| LOF | +40.00 | 3 / 0 | 0.250 | 0.500 |" in text
    assert "5-NN" in text.split("Not measured")[1].split("\n")[0]
    assert "nan" not in text
    picture = page.with_name("critical_difference.svg")
    assert "(critical_difference.svg)" in text
    assert "1-NN" in picture.read_text()


def test_the_page_of_nothing_says_so(tmp_path: Path) -> None:
    page = tmp_path / "results.md"
    write_page(Measured([], [], {"shuffled": SETS, "paper": ()}, 2, "command"), page)
    assert OURS in page.read_text().split("Not measured")[1]


def test_the_diagram_is_the_same_each_time(tmp_path: Path) -> None:
    results = comparison.grid(made_up(FIGURES), "roc_auc", METHODS, SETS, 2)
    pictures = [tmp_path / name for name in ("a.svg", "b.svg")]
    for picture in pictures:
        rank_diagram.draw(results, picture, frozenset({OURS}))
    assert pictures[0].read_bytes() == pictures[1].read_bytes()


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
    done = command("--folder", tmp_path)
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
