"""Labels in the users' own words: every command reads them as it reads 0 and 1."""

import json
import math
import re
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from command_line import ANY_MODEL, Run

from advae import InputError, LabelColumn
from advae.detector.model_file import load
from advae.doctor.examination import examine
from advae.report.summary import summarise

ROWS = 60
WORDS = ["BENIGN", "worm", "Benign ", "scan"]
"""Normal, anomaly, normal, anomaly."""


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Write normal rows and two kinds of anomalies, with labels of both sorts."""
    rng = np.random.default_rng(0)
    kind = rng.choice(4, ROWS, p=[0.4, 0.1, 0.4, 0.1])
    a, b = rng.normal(size=(2, ROWS)) + 5 * (kind % 2)
    path = tmp_path / "traffic.csv"
    pl.DataFrame(
        {"a": a, "b": b, "kind": [WORDS[k] for k in kind], "code": kind, "odd": kind % 2}
    ).write_csv(path)
    return path


def _fit(run: Run, table: Path, name: str, *label: str) -> Path:
    """Fit without the columns of labels, as one of them says."""
    model = table.with_name(name)
    left_out = [part for column in ("kind", "code", "odd") for part in ("--ignore", column)]
    result = run("fit", table, "-o", model, *left_out, *label, *ANY_MODEL, "--quiet")
    assert result.code == 0, result.err
    return model


def test_every_command_reads_them(run: Run, table: Path) -> None:
    numbers, words = ("--label", "odd"), ("--label", "kind", "--normal", "benign")
    first, second = _fit(run, table, "a.advae", *numbers), _fit(run, table, "b.advae", *words)
    # Labels are nowhere in the file: the two models are the same bytes.
    assert first.read_bytes() == second.read_bytes()
    for command in ("evaluate", "doctor"):
        source = (second, table) if command == "evaluate" else (table, "--ignore", "code")
        both = [run(command, *source, *label, "--json") for label in (numbers, words)]
        assert [result.code for result in both] == [0, 0], both
        if command == "evaluate":
            assert both[0].out == both[1].out
        else:
            learned = [json.loads(result.out)["normal_rows"] for result in both]
            assert learned[0] == learned[1] < ROWS
    tuned = run("threshold", second, "--reviewed", table, *words, "-o", table.with_name("c.advae"))
    assert tuned.code == 0, tuned.err
    anomalies = pl.read_csv(table)["odd"].sum()
    assert f"{ROWS - anomalies} reviewed normal rows" in tuned.out
    page = table.with_name("report.html")
    made = run("report", second, table, *words, "-o", page)
    assert made.code == 0, made.err
    assert "ROC" in page.read_text()


def test_from_python(run: Run, table: Path) -> None:
    model, frame = load(_fit(run, table, "a.advae", "--label", "odd")), pl.read_csv(table)
    by_word = summarise(model, frame, label=LabelColumn("kind", normal="benign")).labels
    by_number = summarise(model, frame, label="odd").labels
    assert by_word is not None
    assert by_number is not None
    assert by_word.measures == by_number.measures
    assert by_word.column == "kind"
    found = examine([frame], label=LabelColumn("code", normal="0"))
    assert found.normal_rows == frame["code"].eq(0).sum()


@pytest.mark.parametrize(
    ("labels", "normal"),
    [
        (["007", "7"], "007"),
        (["7", "007"], "7"),
        (["0.50", "0.5"], "0.50"),
        (["1e3", "1000"], "1e3"),
        (["2024-01-01T00:00:00", "2024-01-02T00:00:00"], "2024-01-01T00:00:00"),
        (["1.0", "2"], "1"),
        (["True", "False"], "true"),
    ],
)
def test_a_word_means_what_is_written_in_every_command(
    labels: list[str], normal: str, run: Run, table: Path
) -> None:
    frame = pl.read_csv(table).select("a", "b")
    which = [row % 3 == 1 for row in range(ROWS)]
    frame.with_columns(y=pl.Series([labels[odd] for odd in which])).write_csv(table)
    model, words = table.with_name("m.advae"), ("--label", "y", "--normal", normal)
    fitted = run("fit", table, "-o", model, *words, *ANY_MODEL)
    assert fitted.code == 0, fitted.err
    facts = next(line for line in fitted.out.splitlines() if line.startswith("rows"))
    learned = [int(count) for count in re.findall(r"(\d+) (?:learned|held)", facts)]
    assert sum(learned) == 40
    examined = run("doctor", table, *words, "--json")
    assert json.loads(examined.out)["normal_rows"] == 40, examined.err
    assert "60 rows, 20 anomalies" in run("evaluate", model, table, *words).out


@pytest.mark.parametrize("dtype", [pl.Int64, pl.Float64, pl.String, pl.Categorical, pl.Enum])
def test_numbers_are_the_same_in_every_type(dtype: type[pl.DataType]) -> None:
    codes = ["0", "1", "2", "10"]
    texts = pl.Series("code", codes, dtype=pl.Enum(codes) if dtype == pl.Enum else pl.String)
    values = texts if dtype == pl.Enum else texts.cast(dtype)
    for normal in ("1", "1.0", " 1 "):
        odd = LabelColumn("code", normal).anomalous(values.to_frame())
        assert odd.tolist() == [True, False, True, True]


@pytest.mark.parametrize(
    ("values", "normal", "odd"),
    [
        ([2022, 2023], 2023, [True, False]),
        (["2022", "2023"], 2023.0, [True, False]),
        ([0.5, 1.5], 0.5, [False, True]),
        ([True, False], True, [False, True]),
        ([date(2024, 1, 1), date(2024, 1, 2)], "2024-01-01", [False, True]),
    ],
)
def test_a_normal_label_may_be_a_number(
    values: list[object], normal: str | float, odd: list[bool]
) -> None:
    assert LabelColumn("y", normal).anomalous(pl.DataFrame({"y": values})).tolist() == odd


@pytest.mark.parametrize(
    ("label", "normal"),
    [
        ("cafe\u0301", "CAF\u00c9"),
        ("\u0130Y\u0130", "\u0130yi"),  # Turkish: both are iyi
        ("STRASSE", "stra\u00dfe"),
        ("\u03a3\u03bf\u03c6\u03cc\u03c2", "\u03c3\u03bf\u03c6\u03cc\u03c3"),  # the Greek final s
        ("-0.0", "0"),
        ("0", "-0.0"),
        ("\u00a0ok\t", "OK"),
    ],
)
def test_spellings_of_one_label(label: str, normal: str) -> None:
    frame = pl.DataFrame({"y": [label, "caf"]})
    assert LabelColumn("y", normal).anomalous(frame).tolist() == [False, True]


def test_a_number_below_zero_is_none() -> None:
    frame = pl.DataFrame({"y": [-0.0, 0.0, -1.0, -0.5]})
    assert LabelColumn("y", 0).anomalous(frame).tolist() == [False, False, True, True]


@pytest.mark.parametrize("normal", ["", " ", "\udcff", math.nan, ["ok"], 2**200])
def test_what_can_be_no_label(normal: Any) -> None:
    with pytest.raises(InputError, match=r"cannot be the label of normal rows"):
        LabelColumn("y", normal)


@pytest.mark.parametrize("command", ["fit", "doctor", "evaluate", "report", "threshold"])
@pytest.mark.parametrize(
    ("normal", "message"),
    [
        (" ", "error: ' ' cannot be the label of normal rows"),
        ("bening", "column 'kind' has no label 'bening'; it has, for instance, '"),
    ],
)
def test_every_command_refuses(
    normal: str, message: str, command: str, run: Run, table: Path
) -> None:
    source: tuple[object, ...] = (table,)
    if command not in ("fit", "doctor"):
        model = _fit(run, table, "m.advae", "--label", "odd")
        source = (model, "--reviewed", table) if command == "threshold" else (model, table)
    output = () if command in ("doctor", "evaluate") else ("-o", table.with_name("new.html"))
    result = run(command, *source, *output, "--label", "kind", "--normal", normal)
    assert (result.code, result.out) == (2, "")
    assert message in result.err
    assert "'worm'" in result.err or normal == " "
    assert "LabelColumn" not in result.err
    assert not table.with_name("new.html").exists()


@pytest.mark.parametrize("command", ["evaluate", "report", "threshold"])
def test_a_label_that_was_learned_is_said(command: str, run: Run, table: Path) -> None:
    result = run("fit", table, "-o", table.with_name("m.advae"), *ANY_MODEL)
    assert result.code == 0, result.err
    for name, said in ("m.advae", True), ("n.advae", False):
        model = table.with_name(name)
        if not said:
            _fit(run, table, name, "--label", "odd")
        source = (model, "--reviewed", table) if command == "threshold" else (model, table)
        output = () if command == "evaluate" else ("-o", table.with_name("new.html"))
        result = run(command, *source, *output, "--label", "odd")
        assert result.code == 0, result.err
        assert ("note the model learned the label column 'odd'" in result.err) == said


def test_a_few_labels_are_named_of_many() -> None:
    frame = pl.DataFrame({"y": [f"kind {row}" for row in range(100)], "a": range(100)})
    with pytest.raises(InputError) as caught:
        examine([frame.head(3), frame], label=LabelColumn("y", 7))
    assert "has no label '7'; it has, for instance, 'kind 0', " in str(caught.value)
    said = "'kind 4'. Name that of normal rows by advae.LabelColumn(COL, normal=VALUE)."
    assert said in str(caught.value)


def test_durations_are_labels_as_they_are_shown() -> None:
    frame = pl.DataFrame({"y": [timedelta(1), timedelta(hours=2)]})
    assert LabelColumn("y", "1d 00:00:00").anomalous(frame).tolist() == [False, True]


def test_truth_values_too() -> None:
    frame = pl.DataFrame({"sound": [True, False]})
    assert LabelColumn("sound", "true").anomalous(frame).tolist() == [False, True]


@pytest.mark.parametrize("missing", [None, "", "  "])
def test_a_missing_label_is_refused(missing: str | None) -> None:
    frame = pl.DataFrame({"kind": ["ok", missing, "bad"]})
    with pytest.raises(InputError, match=r"^column 'kind', row 8 .* is not a label"):
        LabelColumn("kind", "ok").anomalous(frame, 7)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("fit", "{data}", "-o", "{tmp}/m", "--normal", "ok"), "Add --label COL"),
        (("doctor", "{data}", "--normal", "ok"), "Add --label COL"),
        (
            ("fit", "{data}", "-o", "{tmp}/m", "--label", "kind"),
            "name that of normal rows by --normal VALUE. Correct",
        ),
    ],
)
def test_wrong_use(arguments: tuple[str, ...], message: str, run: Run, table: Path) -> None:
    filled = [part.format(data=table, tmp=table.parent) for part in arguments]
    result = run(*filled)
    assert result.code == 2
    assert message in result.err
    assert [path.name for path in table.parent.iterdir()] == ["traffic.csv"]
