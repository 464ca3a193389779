"""Columns whose names are patterns to Polars: `*` stands for all columns, `^x.*$` for some.

Columns that are not learned may have any name. Polars finds one whose name runs from ^ to $ in no
operation on the column alone, so such a one cannot be learned, and that is said.
"""

import gzip
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from command_line import Run

import advae
from advae.detector.counterfactual import counterfactuals
from advae.doctor import examination
from advae.errors import InputError
from advae.files.sink import write_frames
from advae.files.source import open_source

ROWS = 120
LABEL, KEPT, LEFT_OUT, HASHED = "^.*", "^place|x1$", "^x.*$", "^x"
NUMBER, WORD, TRUTH, DAY, EMPTY = "*", "x*", "^", "$", "x1"


def table() -> pl.DataFrame:
    generator = np.random.default_rng(0)
    anomalous = np.arange(ROWS) >= ROWS - 10
    return pl.DataFrame(
        {
            LABEL: np.where(anomalous, "odd", "fine"),
            KEPT: [f"row {row}" for row in range(ROWS)],
            LEFT_OUT: ["x", "y"] * (ROWS // 2),
            HASHED: [f"k{row % 9}" for row in range(ROWS)],
            NUMBER: np.where(anomalous, 9, generator.normal(size=ROWS)),
            WORD: ["north", "south", "east"] * (ROWS // 3),
            TRUTH: [row % 4 == 0 for row in range(ROWS)],
            DAY: pl.date_range(pl.date(2025, 1, 1), pl.date(2025, 4, 30), eager=True),
            EMPTY: pl.Series([None if row % 5 else 0.5 * row for row in range(ROWS)]),
        }
    )


@pytest.mark.parametrize("name", ["a.csv.gz", "a.parquet"])
def test_the_command_line_takes_the_names_as_they_are(run: Run, tmp_path: Path, name: str) -> None:
    path, model = tmp_path / name, tmp_path / "m.advae"
    if name.endswith(".gz"):
        path.write_bytes(gzip.compress(table().write_csv().encode()))
    else:
        write_frames([table()], path)
    labels = ["--label", LABEL, "--normal", "fine"]
    learned = [*labels, "--ignore", LEFT_OUT, "--ignore", KEPT, "--ignore", DAY]
    assert run("doctor", path, *learned).code == 0
    done = run("fit", path, "-o", model, *learned, "--hash", HASHED, "--iterations", 300)
    assert done.code == 0, done.err
    scores = tmp_path / "scores.parquet"
    done = run("score", model, path, "-o", scores, "--keep", KEPT, "--explain", 2)
    assert done.code == 0, done.err
    scored = pl.read_parquet(scores)
    assert scored[KEPT].to_list() == table()[KEPT].to_list()
    assert scored["reason_1"][-10:].to_list() == [NUMBER] * 10
    done = run("report", model, path, "-o", tmp_path / "r.html", *labels, "--keep", KEPT)
    assert done.code == 0, done.err
    done = run("evaluate", model, path, *labels, "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["roc_auc"] is not None


@pytest.mark.parametrize("name", ["a.csv", "a.ndjson", "a.arrow"])
def test_every_format_is_read_under_the_names(tmp_path: Path, name: str) -> None:
    write_frames([table()], tmp_path / name)
    read = open_source(tmp_path / name).read()
    assert read.columns == table().columns
    assert read[EMPTY].to_list() == table()[EMPTY].to_list()


def test_python_takes_the_names_as_they_are(tmp_path: Path) -> None:
    frame, label = table(), advae.LabelColumn(LABEL, "fine")
    rows = pl.DataFrame({name: frame[name] for name in frame.columns if name != LABEL})
    config = advae.Config.preset("paper", iterations=300)
    detector = advae.fit_detector(rows, config, ignored=[KEPT, LEFT_OUT], hashed=[HASHED])
    halves = [frame[:50], frame[50:].to_pandas()]
    first, second = detector.score_batches(halves, keep=[KEPT], explain=3)
    scored = pl.concat([first, pl.from_pandas(second)])
    assert scored["anomaly_score"].to_list() == detector.anomaly_score(frame).tolist()
    assert counterfactuals(detector, detector.table.transform(frame[-2:]))
    advae.write_report(detector, frame, tmp_path / "r.html", keep=[KEPT], label=label)
    examination.examine([frame, frame], label=label, ignored=[KEPT, LEFT_OUT])
    chosen = frame[[NUMBER, WORD, TRUTH]].to_pandas()
    estimator = advae.AdVAEDetector(preset="paper", iterations=300).fit(chosen)
    assert list(estimator.feature_names_in_) == [NUMBER, WORD, TRUTH]


def test_an_error_names_the_row_of_such_a_column(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("*,^x.*$,x1\n1,2,3\n4,five,6\n")
    numbers = dict.fromkeys(["*", "^x.*$", "x1"], pl.Float64())
    with pytest.raises(InputError, match=r"column '\^x\.\*\$', row 1 .* 'five' is not a number"):
        open_source(path, dtypes=numbers).read()


@pytest.mark.parametrize("name", ["^y.*$", "^$", "^.*$"])
def test_a_learned_name_that_polars_can_only_take_for_a_pattern_is_refused(
    run: Run, tmp_path: Path, name: str
) -> None:
    path = tmp_path / "a.csv"
    table().rename({EMPTY: name}).write_csv(path)
    for command in (["doctor", path], ["fit", path, "-o", tmp_path / "m.advae"]):
        done = run(*command, "--ignore", KEPT, "--ignore", LEFT_OUT)
        assert done.code == 2
        assert f"column {name!r}: a name from ^ to $ is a pattern to Polars. Rename" in done.err
    with pytest.raises(InputError, match=r"is a pattern to Polars"):
        advae.LabelColumn(name)
