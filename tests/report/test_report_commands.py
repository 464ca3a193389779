"""Reports as files, in the terminal, in notebooks and as figures."""

import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from command_line import Run
from report_data import (
    labelled_table,
)

import advae
from advae.cli.brief import Brief
from advae.display.card import card
from advae.errors import InputError
from advae.report.page import write_report
from advae.report.summary import summarise

# --- files and commands ---


def test_a_report_is_written_whole_or_not_at_all(detector, table, tmp_path) -> None:
    path = tmp_path / "report.html"
    write_report(detector, table, path, label="label")
    before = path.read_bytes()
    cases = {
        "no rows": lambda: write_report(detector, iter([]), path),
        "missing column": lambda: write_report(detector, table.drop("twice"), path),
        "'lable'": lambda: write_report(detector, table, path, label="lable"),
        "'other'": lambda: write_report(detector, table, path, keep=["other"]),
        "is not a label": lambda: write_report(detector, table, path, label="twice"),
    }
    for message, attempt in cases.items():
        with pytest.raises(InputError, match=message):
            attempt()
        assert path.read_bytes() == before
    with pytest.raises(InputError, match="cannot write"):
        write_report(detector, table, tmp_path / "missing" / "report.html")
    assert [each.name for each in tmp_path.iterdir()] == ["report.html"]


@pytest.fixture
def files(detector, table, tmp_path: Path) -> tuple[Path, Path]:
    advae.save(detector, tmp_path / "m.advae")
    table.write_parquet(tmp_path / "new.parquet")
    return tmp_path / "m.advae", tmp_path / "new.parquet"


def test_the_command_writes_a_page(run: Run, files, tmp_path: Path) -> None:
    model, data = files
    page = tmp_path / "page.html"
    made = run("report", model, data, "-o", page, "--label", "label", "--keep", "key")
    assert made.code == 0, made.err
    assert "of 300 rows flagged" in made.out
    assert "One value in every training row" in made.err
    text = page.read_text()
    assert "new.parquet" in text
    assert "m.advae" in text
    quiet = run("report", model, data, "-o", page, "--label", "label", "--keep", "key", "--quiet")
    assert (quiet.code, quiet.out, quiet.err) == (0, "", "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--label", "lable"], "Did you mean 'label'"),
        (["--keep", "nothing"], "nothing"),
        (["--label", "twice"], "is not a label"),
        (["-o", "."], "is a folder"),
    ],
)
def test_the_command_refuses_in_one_message(
    run: Run, files, tmp_path: Path, monkeypatch, arguments, message
) -> None:
    monkeypatch.chdir(tmp_path)
    refused = run("report", *files, *arguments)
    assert refused.code == 2
    assert message in refused.err
    assert "Traceback" not in refused.err
    assert not (tmp_path / "report.html").exists()


def test_score_says_it_in_brief_beside_the_data(run: Run, files) -> None:
    loud = run("score", *files, "--keep", "key", "--explain", 1)
    assert pl.read_csv(loud.out.encode()).height == 300
    assert "threshold" in loud.err
    assert "of 300 rows flagged" in loud.err
    assert "first reason" in loud.err
    assert "\x1b" not in loud.err  # no terminal, no colours
    quiet = run("score", *files, "--keep", "key", "--explain", 1, "--quiet")
    assert quiet.out == loud.out
    assert quiet.err == "note not used, since training did not have them: 'label'\n"


def test_the_terminal_chart_needs_no_unicode(detector) -> None:
    import io

    from rich.console import Console

    from advae.cli.histogram import score_histogram

    for encoding, fine in (("ascii", False), ("utf-8", True)):
        stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
        console = Console(file=stream, width=100)
        groups = {"rows": detector.training_scores, "none": np.empty(0)}
        console.print(score_histogram(console, groups, detector.threshold.value))
        stream.flush()
        shown = stream.buffer.getvalue().decode(encoding)
        assert ("█" in shown) == fine
        assert ("#" in shown) != fine
        assert "threshold" in shown
        shares = [float(each) for each in re.findall(r"([\d.]+) %", shown)]
        assert sum(shares) == pytest.approx(100, abs=1)
        above = shown[shown.index("threshold") :]
        flagged = 100 * float((detector.training_scores > detector.threshold.value).mean())
        assert sum(map(float, re.findall(r"([\d.]+) %", above))) == pytest.approx(flagged, abs=0.6)


def _chart(scores: np.ndarray, threshold: float) -> list[str]:
    import io

    from rich.console import Console

    from advae.cli.histogram import score_histogram

    stream = io.StringIO()
    chart = score_histogram(Console(), {"rows": scores}, threshold)
    Console(file=stream, width=80).print(chart)
    return stream.getvalue().splitlines()


def test_the_terminal_chart_writes_large_scores_out_and_no_few_rows_as_none() -> None:
    lines = _chart(np.append(np.geomspace(40, 4000, 9_999), 30_000), 5_000.0)
    found = [re.match(r" *([\d.,e+]+|above)(?= )", line) for line in lines[1:]]
    labels = [label for label in found if label is not None]
    assert "5,000" in [label[1] for label in labels]
    assert not any("e+" in label[1] for label in labels)
    assert len({label.end() for label in labels}) == 1  # they end under each other
    assert lines[-1].rstrip().endswith("< 0.1 %")  # one row in 10,000


@pytest.mark.parametrize("threshold", [0.05, 4.906, 5_000.0])
def test_every_line_of_the_terminal_chart_has_its_upper_limit(threshold: float) -> None:
    lines = _chart(threshold * np.geomspace(0.01, 2, 1_000), threshold)
    limits = [line.split()[0] for line in lines[1:]]
    (cut,) = [place for place, line in enumerate(lines[1:]) if "threshold" in line]
    assert limits[cut - 1] == limits[cut]  # the bar below the threshold ends there
    numbers = [float(each.replace(",", "")) for each in limits[:-1]]
    assert numbers == sorted(numbers)
    assert limits[-1] == "above"


def test_one_row_is_no_rows_and_nothing_is_cut_off(run: Run, files, tmp_path, monkeypatch) -> None:
    model, _ = files
    one = labelled_table()[:1].with_columns(pl.lit("key-of-this-one-row").alias("key"))
    one.write_parquet(tmp_path / "one.parquet")
    monkeypatch.setenv("COLUMNS", "34")
    words = (model, tmp_path / "one.parquet", "--keep", "key")
    scored = run("score", *words)
    assert re.search(r"^\d of 1 row flagged \(", scored.err, re.MULTILINE)
    assert "1 rows" not in scored.err
    # What does not fit is named, not cut.
    assert "beside them in the output: key" in " ".join(scored.err.split())
    monkeypatch.setenv("COLUMNS", "80")
    assert "key-of-this-one-row" in run("score", *words).err
    assert "1 row:" in run("doctor", tmp_path / "one.parquet").out


def test_brief_counts_what_passes(detector, table) -> None:
    brief = Brief(["key"])
    frames = list(brief.watch(detector.score_batches(table.iter_slices(77), keep=["key"])))
    together = pl.concat(frames)
    assert (brief.rows, brief.flagged) == (300, together["is_anomaly"].sum())
    assert brief.headings == ("row", "key", "score", "p-value")
    top = together.sort("anomaly_score", descending=True).head(5)
    assert [row[0] for row in brief.highest] == top["row"].cast(pl.String).to_list()
    assert Brief().highest == []


def test_brief_shows_kept_columns_of_any_name(run: Run, files, tmp_path: Path) -> None:
    model, _ = files
    names = {"*": [7], "reason_1": ["mine"], "^.*$": ["x"]}
    labelled_table()[:1].with_columns(pl.DataFrame(names)).write_parquet(tmp_path / "one.parquet")
    keep = [part for name in names for part in ("--keep", name)]
    scored = run("score", model, tmp_path / "one.parquet", *keep)
    assert scored.code == 0, scored.err
    lines = [line for line in scored.err.splitlines() if "mine" in line]
    assert [cell.strip() for cell in lines[0].strip("│").split("│")][:4] == ["0", "7", "mine", "x"]
    assert "first reason" not in scored.err


def test_info_says_how_few_rows_calibrate(run: Run, tmp_path: Path) -> None:
    labelled_table()[:30].write_parquet(tmp_path / "few.parquet")
    given = ("--ignore", "key", "--ignore", "label", "--iterations", 5)
    fitted = run("fit", tmp_path / "few.parquet", "-o", tmp_path / "m.advae", *given)
    assert fitted.code == 0, fitted.err
    assert "30 learned from, in 4 folds" in run("info", tmp_path / "m.advae").out


def test_a_report_needs_a_row_to_explain(detector, table) -> None:
    with pytest.raises(InputError, match="top is 0; expected at least 1"):
        summarise(detector, table, top=0)


# --- notebooks ---


def test_a_detector_shows_itself_in_notebooks(detector) -> None:
    shown = detector._repr_html_()
    assert "training rows" in shown
    assert f"{detector.threshold.value:.4g}" in shown
    assert "<script" not in shown
    lines = re.findall(r'd="M([\d.]+) 0V100"', shown)  # the threshold, in both charts
    label = re.search(r"left:([\d.]+)%[^>]*>threshold ", shown)
    assert label is not None
    assert [float(x) / 10 for x in lines] == pytest.approx([float(label[1])] * 2, abs=0.1)


def test_a_card_rounds_no_few_rows_to_none() -> None:
    scores = {"new <rows>": np.r_[np.linspace(0.1, 1, 5000), 3.0], "others": np.linspace(0.1, 1, 9)}
    shown = card("a model", {}, scores, 2.0)
    assert shown.count("new &lt;rows&gt;, 5,001: &lt; 0.1 % above the threshold") == 2
    assert "others, 9: 0.0 % above the threshold" in shown


@pytest.mark.parametrize(("lowest", "is_red"), [(0.0, False), (0.1, True)])
def test_scores_of_zero_are_not_red_at_a_threshold_of_zero(lowest: float, is_red: bool) -> None:
    scores = np.full(9, lowest)
    shown = card("a model", {}, {"all": scores, "some": np.r_[scores, 1.0]}, 0.0)
    paths = re.findall(r'<path d="([^"]*)" fill="#d2492f"', shown)
    assert [bool(re.search(r"V(?!100[HZ])", path)) for path in paths] == [is_red, True]


def test_an_estimator_shows_its_detector_once_fitted() -> None:
    estimator = advae.AdVAEDetector(iterations=20, threshold="kde")
    assert "training rows" not in estimator._repr_html_()
    estimator.fit(np.random.default_rng(0).normal(size=(50, 2)))
    shown = estimator._repr_mimebundle_()["text/html"]
    assert "training rows, 50" in shown
    assert "sk-container" in shown
