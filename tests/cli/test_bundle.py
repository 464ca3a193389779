"""Models by segment on the command line."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from command_line import Run

import advae
from advae.engines.models import PortableModel


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with training rows of two shops and a few of a third, and new rows."""
    folder = tmp_path_factory.mktemp("segments")
    draws = np.random.default_rng(0)

    def rows(shops: list[str]) -> pl.DataFrame:
        level = np.array([{"north": 0.0, "south": 40.0}.get(shop, 20.0) for shop in shops])
        first = (level + draws.normal(size=len(shops))).round(3)
        return pl.DataFrame(
            {
                "shop": shops,
                "first": first,
                "second": (first + level).round(3),
                "id": range(len(shops)),
            }
        )

    rows(["north", "south"] * 110 + ["late"] * 5).write_csv(folder / "train.csv")
    new = rows(["north", "south", "late", "new"] * 5)
    new.with_columns(first=pl.when(id=0).then(40.0).otherwise("first")).write_csv(
        folder / "new.csv"
    )
    return folder


@pytest.fixture
def model(folder: Path, run: Run) -> Path:
    path = folder / "b.advae"
    if not path.exists():
        done = run(
            *("fit", folder / "train.csv", "--by", "shop", "--ignore", "id", "-o", path),
            *("--iterations", 100),
        )
        assert done.code == 0, done.err
        assert "2 models by shop, and one for all other rows; 225 rows" in done.out
        assert "1 segment without a model of its own (5 rows)" in done.err
        assert "late: 5 rows, fewer than 100" in done.err
    return path


def test_a_fit_says_that_models_of_many_segments_trained_shorter(
    folder: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("advae.config.FEWEST_ITERATIONS", 20)
    monkeypatch.setattr("advae.detector.segments.ITERATIONS", 30)
    words = ("fit", folder / "train.csv", "--by", "shop", "--ignore", "id", "-o", tmp_path / "b")
    assert "--iterations" not in run(*words).err
    monkeypatch.setattr("advae.detector.segments.MANY", 1)
    done = run(*words)
    assert done.code == 0
    assert "each model had 30 iterations" in " ".join(done.err.split())
    assert "--iterations 330 trains all as long" in " ".join(done.err.split())
    assert "--iterations" not in run(*words, "--iterations", 30).err


def test_rows_are_scored_by_their_segment(model: Path, folder: Path, run: Run) -> None:
    out = folder / "scores.csv"
    done = run("score", model, folder / "new.csv", "-o", out, "--keep", "id", "--explain", 1)
    assert done.code == 0, done.err
    assert "10 rows of segments without a model of their own" in done.err
    lines = [line.strip("│").split("│") for line in done.err.splitlines() if line[:1] == "│"]
    told = {line[0].strip(): [int(cell) for cell in line[1:3]] for line in lines}
    scored = pl.read_csv(out)
    flagged = scored.group_by("shop").agg(pl.len(), pl.sum("is_anomaly")).rows()
    assert told == {shop: [rows, alarms] for shop, rows, alarms in flagged if alarms}
    scored = pl.read_csv(out)
    assert scored["id"].to_list() == list(range(20))
    assert scored["own_model"].to_list() == [True, True, False, False] * 5
    assert scored["is_anomaly"][0]
    assert scored["reason_1"][0] in ("first", "second")


def test_rows_of_several_files_have_the_numbers_of_their_file(
    model: Path, folder: Path, run: Run, tmp_path: Path
) -> None:
    new = pl.read_csv(folder / "new.csv")
    for name, part in (("1.csv", new[:7]), ("2.csv", new[7:])):
        part.write_csv(tmp_path / name)
    out = tmp_path / "out.parquet"
    done = run("score", model, tmp_path / "*.csv", "-o", out, "--keep", "id")
    assert done.code == 0, done.err
    scored = pl.read_parquet(out)
    assert scored.columns[:3] == ["file", "row", "shop"]
    assert scored["row"].to_list() == [*range(7), *range(13)]
    assert scored["file"].unique(maintain_order=True).to_list() == [
        str(tmp_path / name) for name in ("1.csv", "2.csv")
    ]
    assert scored["id"].cast(pl.Int64).to_list() == new["id"].to_list()


def test_segments_by_columns_with_names_of_figures_and_patterns(run: Run, tmp_path: Path) -> None:
    draws = np.random.default_rng(0)
    data, model = tmp_path / "t.csv", tmp_path / "b.advae"
    keys = {"rows": ["p", "q"] * 110, "*": ["u"] * 220}
    pl.DataFrame(keys | {"a": draws.normal(size=220), "b": draws.normal(size=220)}).write_csv(data)
    done = run("fit", data, "--by", "rows", "--by", "*", "--iterations", 20, "-o", model)
    assert done.code == 0, done.err
    table = run("report", model, data)
    assert table.code == 0, table.err
    lines = [line for line in table.out.splitlines() if " / u " in line]
    cells = [[cell.strip() for cell in line.strip("│").split("│")] for line in lines]
    assert sorted(each[:2] for each in cells) == [["p / u", "110"], ["q / u", "110"]]


def test_info_and_report_go_by_segment(model: Path, folder: Path, run: Run) -> None:
    shown = run("info", model)
    assert shown.code == 0
    assert "fallback: 5 rows, fewer than 100" in shown.out
    told = json.loads(run("info", model, "--json").out)
    assert told["by"] == ["shop"]
    assert [each["key"] for each in told["segments"]] == [["late"], ["north"], ["south"]]
    table = run("report", model, folder / "new.csv")
    assert table.code == 0
    north = next(line for line in table.out.splitlines() if "north" in line)
    assert [cell.strip() for cell in north.strip("│").split("│")][1:3] == ["5", "1"]
    page = folder / "north.html"
    written = run("report", model, folder / "new.csv", "--segment", "north", "-o", page)
    assert written.code == 0, written.err
    assert "row in file" in page.read_text()  # the page counts the rows of the segment
    assert "1 of 5 rows flagged" in written.out
    assert page.stat().st_size > 10_000


def test_an_engine_says_that_it_takes_a_single_model(model: Path) -> None:
    with pytest.raises(advae.ModelFileError, match="has a model for each segment"):
        PortableModel.of(model)
    bundle = advae.load_bundle(model)
    with pytest.raises(advae.ConfigError, match="a bundle has a model for each segment"):
        PortableModel.of(bundle)  # type: ignore[arg-type]
    assert PortableModel.of(bundle.detector("north")).content


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM])
def test_a_stopped_fit_goes_on(
    sent: signal.Signals, folder: Path, model: Path, tmp_path: Path
) -> None:
    out, kept = tmp_path / "b.advae", tmp_path / "b.advae.checkpoint"
    command = [
        *(sys.executable, "-m", "advae", "fit", folder / "train.csv", "--by", "shop"),
        *("--ignore", "id", "-o", out, "--iterations", "100"),
    ]
    fitting = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        while not list(kept.glob("*.advae")):
            assert fitting.poll() is None
            time.sleep(0.005)
        fitting.send_signal(sent)
        _, said = fitting.communicate(timeout=60)
    finally:
        fitting.kill()
    assert not out.exists()
    if sent == signal.SIGTERM:
        assert fitting.returncode == 130
        assert "run the same command with --resume to go on" in " ".join(said.split())
    again = subprocess.run([*command, "--resume"], capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert list(tmp_path.iterdir()) == [out]
    assert out.read_bytes() == model.read_bytes()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["score", "{b}", "{new}", "--groups"], "b.advae has a model for each segment, and cannot"),
        (["score", "{b}", "{new}", "--groups"], "Leave out --groups."),
        (
            ["score", "{b}", "{new}", "--fail-above", "0", "--key", "a", "--summary", "json"],
            "Leave out --key, --summary and --fail-above.",
        ),
        (["score", "{b}", "{new}", "--workers", "2"], "cannot be used with --workers. Leave out"),
        (["score", "{b}", "{new}", "--address", "ray://no"], "cannot be used with --address"),
        (["threshold", "{b}"], "this command takes a single model"),
        (["serve", "{b}"], "this command takes a single model"),
        (["report", "{b}", "{new}", "-o", "{out}"], "Add --segment VALUE, once for each of 'shop'"),
        (["report", "{b}", "{new}", "--label", "id"], "Add --segment VALUE"),
        (["report", "{b}", "{new}", "--keep", "id"], "or leave out --keep for a table"),
        (["report", "{b}", "{new}", "--segment", "late"], "5 rows, fewer than 100"),
        (["report", "{b}", "{new}", "--segment", "a", "--segment", "b"], "is given 2 times"),
        (
            ["fit", "{train}", "--by", "shop", "-o", "x.advae", "--patience", "9"],
            "Leave out --patience.",
        ),
        (["fit", "{train}", "--by", "shop", "-o", "x.advae", "--verbose"], "Leave out --verbose."),
        (["fit", "{train}", "--by", "shops", "-o", "x.advae"], "missing column 'shops'"),
    ],
)
def test_what_cannot_be_is_one_error(
    words: list[str], message: str, model: Path, folder: Path, run: Run
) -> None:
    places = {"b": model, "new": folder / "new.csv", "train": folder / "train.csv"}
    places["out"] = folder / "page.html"
    done = run(*(word.format(**places) for word in words))
    assert (done.code, done.out) == (2, "")
    assert message in done.err.replace("\n", " ")
    assert not places["out"].exists()


def test_the_columns_to_learn_may_be_named(folder: Path, run: Run, tmp_path: Path) -> None:
    out = tmp_path / "only.advae"
    words = ("fit", folder / "train.csv", "--by", "shop", "-o", out, "--iterations", 20)
    done = run(*words, "--only", "first", "--only", "second")
    assert done.code == 0, done.err
    bundle = advae.load_bundle(out)
    assert [each.name for each in bundle.detector("north").table.features] == ["first", "second"]
    assert run(*words, "--only", "first", "--ignore", "id").code == 2
