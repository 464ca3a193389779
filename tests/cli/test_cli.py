"""The commands in this process: results, messages and exit codes, on sound and on hostile files."""

import json
import os
import re
from importlib.metadata import version
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import polars as pl
import pytest
from command_line import ANY_MODEL, Run
from hostile_files import HOSTILE_FILES, HostileFile, good_table
from sklearn.metrics import average_precision_score, roc_auc_score

import advae
from advae.core.evaluation import evaluate


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a model of the sound table, in a folder of its own."""
    folder = tmp_path_factory.mktemp("model")
    path = folder / "good.advae"
    advae.save(advae.fit_detector(good_table(), advae.Config(iterations=400)), path)
    return path


def _labelled(folder: Path) -> Path:
    """Write sound rows and rows with an absurd amount, labelled."""
    table = good_table()
    odd = table.head(20).with_columns(pl.col("amount") * 50)
    labels = pl.Series("label", ["normal"] * table.height + ["anomaly"] * odd.height)
    path = folder / "labelled.csv"
    pl.concat([table, odd]).with_columns(labels).write_csv(path)
    return path


def test_fit_score_evaluate_info(run: Run, tmp_path: Path) -> None:
    data, model = _labelled(tmp_path), tmp_path / "m.advae"
    fitted = run("fit", data, "-o", model, "--label", "label", "--iterations", 600)
    assert fitted.code == 0, fitted.err
    assert "51 learned from, 9 held out" in fitted.out
    assert "alarms in 10,000" in fitted.out
    assert "1,000 (0 to" in fitted.out
    assert "learning 100 %" in fitted.err

    scored = run("score", model, data, "--keep", "label", "--explain", 2)
    assert scored.code == 0, scored.err
    table = pl.read_csv(scored.out.encode())
    reasons = [
        f"reason_{k}{part}"
        for k in (1, 2)
        for part in ("", "_contribution", "_observed", "_expected", "_kind")
    ]
    beside = ["row", "label", "anomaly_score", "is_anomaly", "p_value", "not_flagged_with"]
    assert table.columns == [*beside, *reasons]
    remedies = table["not_flagged_with"]
    assert remedies.filter(~table["is_anomaly"]).is_null().all()
    assert remedies.filter(table["label"] == "anomaly").str.starts_with("amount ").all()
    assert table["row"].to_list() == list(range(80))
    odd = table.filter(pl.col("label") == "anomaly")
    assert odd["is_anomaly"].all()
    assert (odd["reason_1"] == "amount").all()
    # The user's own units, whatever the encoding.
    assert odd["reason_1_observed"].cast(float).to_list() == pytest.approx(
        (good_table()["amount"].head(20) * 50).to_list(), rel=1e-5
    )
    assert odd["reason_1_expected"].cast(float).is_between(9, 21).all()

    measured = run("evaluate", model, data, "--label", "label", "--json")
    assert measured.code == 0, measured.err
    metrics = json.loads(measured.out)
    assert set(metrics) == {
        "average_precision", "roc_auc", "precision", "recall", "f1", "false_alarm_rate",
    }  # fmt: skip
    truth = (table["label"] == "anomaly").to_numpy()
    scores = table["anomaly_score"].to_numpy()
    assert metrics["roc_auc"]["value"] == pytest.approx(roc_auc_score(truth, scores))
    # All 20 are found, as all of so many more need not be.
    assert metrics["recall"] == {"value": 1.0, "low": pytest.approx(0.025**0.05), "high": 1.0}
    shown = run("evaluate", model, data, "--label", "label")
    assert ("false alarm rate" in shown.out, shown.err) == (True, "")
    pl.read_csv(data).head(-1).write_csv(data)
    few = run("evaluate", model, data, "--label", "label")
    assert "fewer than 20 rows of a kind" in few.err

    info = json.loads(run("info", model, "--json").out)
    assert info["config"]["iterations"] == 600
    assert info["ignored"] == ["label"]
    assert "transformer_kld" in run("info", model).out


def test_info_shows_what_came_of_settings_that_the_table_decides(run: Run, tmp_path: Path) -> None:
    data, model = tmp_path / "t.csv", tmp_path / "m.advae"
    numbers = np.random.default_rng(0).normal(size=(40, 4))
    pl.DataFrame({f"c{k}": numbers[:, k] for k in range(4)}).write_csv(data)
    assert run("fit", data, "-o", model, *ANY_MODEL, "--quiet").code == 0
    shown = " ".join(run("info", model).out.split())
    assert "hidden │ 2 (by the table)" in shown
    assert "latent │ 2 (by the table)" in shown
    assert "iterations │ 50 " in shown
    assert run("fit", data, "-o", model, "--quiet").code == 0
    shown = " ".join(run("info", model).out.split())
    assert "iterations │ 1000 (by the table)" in shown


def test_output_formats_and_globs_give_one_result(run: Run, model: Path, tmp_path: Path) -> None:
    table = good_table()
    table.head(25).write_csv(tmp_path / "part-1.csv")
    table.tail(-25).write_csv(tmp_path / "part-2.csv")
    table.write_parquet(tmp_path / "whole.parquet")
    wanted = advae.load(model).anomaly_score(table)
    for number, data in enumerate(("part-*.csv", "whole.parquet")):
        for suffix, read in (
            (".csv", pl.read_csv),
            (".parquet", pl.read_parquet),
            (".ndjson", pl.read_ndjson),
        ):
            out = tmp_path / f"scores-{number}{suffix}"
            result = run("score", model, tmp_path / data, "-o", out)
            assert result.code == 0, result.err
            assert result.out == ""
            assert (read(out)["anomaly_score"].to_numpy() == wanted).all()


def test_ignored_columns_are_neither_learned_nor_lost(run: Run, tmp_path: Path) -> None:
    path, model = tmp_path / "data.csv", tmp_path / "m.advae"
    keys = [f"{number:03}" for number in range(60)]
    good_table().with_columns(pl.Series("key", keys)).write_csv(path)
    refused = run(
        "fit", path, "-o", model, "--preset", "paper", "--iterations", 10, "--ignore", "kee"
    )
    assert refused.code == 2
    assert "kee" in refused.err
    fitted = run(
        "fit",
        path,
        "-o",
        model,
        "--preset",
        "paper",
        "--iterations",
        10,
        "--ignore",
        "key",
        "--quiet",
    )
    assert (fitted.code, fitted.out, fitted.err) == (0, "", "")
    scored = run("score", model, path, "--keep", "key")
    assert "not used" not in scored.err  # an ignored column is not remarked on
    assert [line.split(",")[1] for line in scored.out.splitlines()[1:]] == keys  # "007" stays


def test_what_was_trained_survives_that_the_model_cannot_be_saved(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, model = tmp_path / "data.csv", tmp_path / "m.advae"
    good_table().write_csv(path)
    words = ("fit", path, "-o", model, "--preset", "paper", "--iterations", 50)

    def full(*_: object) -> None:
        raise advae.InputError("cannot write the model: No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr("advae.detector.model_file.save", full)
        assert run(*words).err.endswith("No space left on device\n")
    assert {each.name for each in tmp_path.iterdir()} == {"data.csv", "m.advae.checkpoint"}
    resumed = run(*words, "--resume")
    assert resumed.code == 0, resumed.err
    assert "learning 100 %" not in resumed.err  # not one block more
    kept = model.read_bytes()
    assert {each.name for each in tmp_path.iterdir()} == {"data.csv", "m.advae"}
    assert run(*words).code == 0
    assert model.read_bytes() == kept


def test_compiled_programs_are_kept_only_where_they_can_be(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()

    def used(cache: Path) -> str | None:
        monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
        monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "")
        monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR")
        assert run("--version").code == 0
        return os.environ.get("JAX_COMPILATION_CACHE_DIR")

    assert used(tmp_path / "new") == str(tmp_path / "new" / "advae" / "compiled")
    assert (tmp_path / "new" / "advae" / "compiled").stat().st_mode & 0o777 == 0o700
    assert used(tmp_path / "file") is None
    assert used(tmp_path / "none" / "cache") is None  # as of a home that does not exist
    assert not (tmp_path / "none").exists()
    (tmp_path / "new" / "advae" / "compiled").chmod(0o770)  # others could put programs there
    assert used(tmp_path / "new") is None
    (tmp_path / "new" / "advae" / "compiled").chmod(0o700)
    monkeypatch.setattr("advae.cli.os.access", lambda *_: False)
    assert used(tmp_path / "new") is None
    monkeypatch.setattr("pathlib.Path.home", Mock(side_effect=RuntimeError))
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    assert run("--version").code == 0


def test_version(run: Run) -> None:
    done = run("--version")
    assert (done.code, done.out) == (0, f"advae {version('advae')}\n")


def test_unused_columns_are_said_once(run: Run, model: Path, tmp_path: Path) -> None:
    path = tmp_path / "more.csv"
    good_table().with_columns(pl.lit(1).alias("more")).write_csv(path)
    result = run("score", model, path)
    assert result.code == 0
    assert result.err.count("more") == 1


@pytest.mark.parametrize("hostile", HOSTILE_FILES, ids=lambda hostile: hostile.name)
def test_hostile_file(hostile: HostileFile, run: Run, model: Path, tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    out.mkdir()
    data = hostile.write(source)
    before = sorted(source.rglob("*"))
    arguments = {
        "fit": ("fit", data, "-o", out / "m.advae", "--preset", "paper", "--iterations", 10),
        "score": ("score", model, data, "-o", out / "scores.csv"),
        "evaluate": ("evaluate", model, data, "--label", "label"),
    }[hostile.operation]
    result = run(*arguments)
    assert result.code == 2
    assert re.search(hostile.message, result.err), result.err
    assert result.out == ""
    assert "Traceback" not in result.err
    errors = [line for line in result.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert list(out.iterdir()) == []
    assert sorted(source.rglob("*")) == before


def test_there_are_enough_hostile_files() -> None:
    assert len(HOSTILE_FILES) >= 25


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fit", "{data}", "-o", "{tmp}/m", "--alpha", "1.5"], "alpha is 1.5"),
        (["fit", "{data}", "-o", "{tmp}/m", "--iterations", "0"], "iterations is 0"),
        (["fit", "{data}", "-o", "{tmp}/m", "--seed", "-1"], "seed is -1"),
        (["fit", "{data}", "-o", "{tmp}/no/m"], "folder .*/no does not exist"),
        (["fit", "{data}", "-o", "{tmp}"], "is a folder"),
        (["fit", "{data}", "-o", "{data}"], "is also an input"),
        (["fit", "{data}", "-o", ""], "it is a folder"),
        (["fit", "{data}", "-o", "/"], "it is a folder"),
        (["fit", "{data}", "-o", "{tmp}/m", "--hash", "shop", "--ignore", "shop"], "'shop' is to"),
        (["fit", "{data}", "-o", "{tmp}/m", "--hash", "paid", "--label", "paid"], "'paid' is to"),
        (["fit", "{data}", "-o", "{tmp}/m", "--label", "nolabel"], "missing column 'nolabel'"),
        (["score", "{data}", "{data}"], "is not an advae model file"),
        (["score", "{tmp}/none", "{data}"], "does not exist"),
        (["score", "{model}", "{data}", "--keep", "nokeep"], "nokeep"),
        (["score", "{model}", "{data}", "-o", "{tmp}/x.xlsx"], "xlsx"),
        (["score", "{model}", "{data}", "--explain", "-1"], "explain"),
        (["evaluate", "{model}", "{data}", "--label", "nolabel"], "nolabel"),
        (["info", "{tmp}"], "is not a file"),
        (["score", "{model}"], "Missing argument"),
        (["frobnicate"], "No such command"),
    ],
)
def test_wrong_use(
    arguments: list[str], message: str, run: Run, model: Path, tmp_path: Path
) -> None:
    data = tmp_path / "good.csv"
    good_table().write_csv(data)
    filled = [a.format(data=data, tmp=tmp_path, model=model) for a in arguments]
    result = run(*filled)
    assert result.code == 2
    assert re.search(message, result.err), result.err
    assert "Traceback" not in result.err
    assert [path.name for path in tmp_path.iterdir()] == ["good.csv"]


@pytest.mark.parametrize("name", ["is_anomaly", "row", ""])
def test_labels_may_be_called_as_scores_are(
    name: str, run: Run, model: Path, tmp_path: Path
) -> None:
    data = tmp_path / "t.parquet"
    labels = pl.Series(["normal", "anomaly"] * (good_table().height // 2))
    good_table().with_columns(labels.alias(name)).write_parquet(data)
    for words in (("evaluate", model, data), ("threshold", model, "--reviewed", data)):
        more = ["-o", tmp_path / "m.advae"] if words[0] == "threshold" else []
        done = run(*words, "--label", name, *more)
        assert done.code == 0, done.err


def test_a_column_without_a_name(run: Run, tmp_path: Path) -> None:
    data, model, scores = tmp_path / "t.parquet", tmp_path / "m.advae", tmp_path / "s.parquet"
    good_table().rename({"amount": ""}).write_parquet(data)
    assert run("fit", data, "-o", model, "--preset", "paper", "--iterations", 50).code == 0
    done = run("score", model, data, "--explain", 9, "--keep", "", "-o", scores)
    assert done.code == 0, done.err
    scored = pl.read_parquet(scores)
    assert scored[""].equals(good_table()["amount"])
    reasons = {reason for k in range(1, 6) for reason in scored[f"reason_{k}"]}
    assert reasons == {"" if name == "amount" else name for name in good_table().columns}


def test_one_class_cannot_be_evaluated(run: Run, model: Path, tmp_path: Path) -> None:
    path = tmp_path / "normal.csv"
    good_table().with_columns(pl.lit(0).alias("label")).write_csv(path)
    result = run("evaluate", model, path, "--label", "label")
    assert result.code == 2
    assert "0 anomalies" in result.err


def test_measures_agree_with_scikit_learn_on_ties() -> None:
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 12, 400) / 4
    truth = rng.random(400) < 0.1 + scores / 8
    metrics = evaluate(scores, truth, 1.25)
    assert metrics["average_precision"].value == pytest.approx(
        average_precision_score(truth, scores)
    )
    assert metrics["roc_auc"].value == pytest.approx(roc_auc_score(truth, scores))
    flagged = scores > 1.25
    assert metrics["precision"].value == pytest.approx((truth & flagged).sum() / flagged.sum())
    assert metrics["recall"].value == pytest.approx((truth & flagged).sum() / truth.sum())
    assert metrics["false_alarm_rate"].value == pytest.approx(
        (~truth & flagged).sum() / (~truth).sum()
    )
    for estimate in metrics.values():
        assert estimate.low < estimate.value < estimate.high


def test_bootstrap_interval_covers_the_truth() -> None:
    # Scores N(1, 1) against N(0, 1): the area under the curve is Phi(1 / sqrt 2) = 0.7602.
    covered = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        scores = np.concatenate([rng.normal(1, 1, 60), rng.normal(0, 1, 200)])
        area = evaluate(scores, np.arange(260) < 60, 1.0)["roc_auc"]
        covered += area.low <= 0.7602 <= area.high
    assert covered >= 34  # 38 expected; fewer than 34 has a chance of 2 %
