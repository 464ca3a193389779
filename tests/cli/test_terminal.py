"""What the terminal says without a model: help, progress, tables that fit, and names meant."""

import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest
from command_line import ANY_MODEL, Run
from hostile_files import good_table

from advae.cli import COMMANDS, console
from advae.cli.brief import Brief
from advae.errors import InputError
from advae.files.sink import WRITTEN
from advae.report.page import check_page
from advae.tables.values import check_columns


@pytest.mark.parametrize("command", [each.__name__ for each in COMMANDS])
def test_help_is_short_to_ask_for_and_has_an_example(run: Run, command: str) -> None:
    shown = run(command, "-h")
    assert shown.code == 0
    assert f"Example: advae {command}" in " ".join(shown.out.split())
    assert max(map(len, shown.out.splitlines())) <= 80


def test_help_comes_in_groups(run: Run) -> None:
    shown = run("fit", "-h").out
    groups = re.findall(r"─ ([A-Z][A-Za-z ]+) ─", shown)
    assert groups == ["Arguments", "Options", "Databases and clusters", "Advanced",
                      "How DATA is written"]  # fmt: skip
    advanced = shown[shown.index("─ Advanced") : shown.index("─ How DATA")]
    assert "--patience" in advanced
    assert "--ignore" not in advanced


def snapshot(done: int, error: float) -> SimpleNamespace:
    return SimpleNamespace(
        iteration=done, planned=1000, history={"encoder_reconstruction": [0.5, error]}
    )


def test_progress_speaks_of_what_a_user_knows(capsys: pytest.CaptureFixture[str]) -> None:
    with console.training_progress(quiet=False) as shown:
        shown.read("3 rows")
        shown.show(snapshot(500, 0.1))  # type: ignore[arg-type]
    said = capsys.readouterr().err
    assert said == "learning 50 %  error on normal rows 20 % of what it was at first\n"
    with console.training_progress(quiet=False, verbose=True) as shown:
        shown.show(snapshot(500, 0.1))  # type: ignore[arg-type]
    assert capsys.readouterr().err.startswith("training 500/1000")


def test_rows_are_counted_on_a_terminal_while_they_are_read(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    pl.DataFrame({"a": range(2_345), "b": [n % 7 for n in range(2_345)]}).write_csv(path)
    command = [sys.executable, "-m", "advae", "doctor", path]
    ours, theirs = pty.openpty()
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=theirs, env=os.environ | {"TERM": "xterm"}
    )
    os.close(theirs)
    said = os.read(ours, 100_000).decode()
    os.close(ours)
    assert done.returncode == 0
    assert "2,345 rows" in said
    assert said.endswith("\x1b[2K")  # the line is gone again
    piped = subprocess.run(command, capture_output=True)
    assert piped.stderr == b""


def test_a_wide_column_leaves_room_for_narrow_ones_after_it() -> None:
    brief = Brief(["long", "short"])
    row = {"row": [0], "long": ["x" * 40], "short": ["y"], "anomaly_score": [1.0]}
    row |= {"is_anomaly": [True], "p_value": [0.5], "reason_1": ["z" * 30]}
    list(brief.watch([pl.DataFrame(row)]))
    places, left_out = brief.fitting(80)
    assert left_out == ["long"]
    assert [brief.headings[place] for place in places][:2] == ["row", "short"]


@pytest.mark.parametrize("width", [80, 120, 400])
def test_the_table_fits_whatever_is_kept(width: int) -> None:
    kept = [f"a column with a long name {n}" for n in range(8)]
    frame = pl.DataFrame(
        {"row": range(9)}
        | {name: ["a value of some length"] * 9 for name in kept}
        | {"anomaly_score": [float(n) for n in range(9)], "is_anomaly": [False] * 9}
        | {"p_value": [0.5] * 9, "reason_1": ["amount"] * 9}
    )
    brief = Brief(kept)
    list(brief.watch([frame]))
    places, left_out = brief.fitting(width)
    shown = [[brief.headings[place], *(row[place] for row in brief.highest)] for place in places]
    assert sum(max(map(len, column)) + 3 for column in shown) + 1 <= width
    assert [column[0] for column in shown][-3:] == ["score", "p-value", "first reason"]
    assert shown[0][0] == "row"
    assert left_out == kept[len(shown) - 4 :]


def test_names_that_differ_in_case_are_meant() -> None:
    with pytest.raises(InputError, match=r"Did you mean 'Customer_ID' for 'customer_id'\?"):
        check_columns(["customer_id"], ["amount", "Customer_ID"], "t.csv")
    with pytest.raises(InputError, match=r"Did you mean 'Na \[mmol/l\]' for 'na'\?"):
        check_columns(["na"], ["name", "Na [mmol/l]"], "the table")
    # A column in its place is not meant for another, however alike their names are.
    wanted = ["Natrium (mmol/l)", "Kalium (mmol/l)"]
    with pytest.raises(InputError, match=r"Did you mean 'Natrium' for 'Natrium \(mmol/l\)'\?$"):
        check_columns(wanted, ["Kalium (mmol/l)", "Natrium"], "t.csv")
    with pytest.raises(InputError, match="Add or rename"):
        check_columns(wanted, ["Kalium (mmol/l)"], "t.csv")
    with pytest.raises(InputError, match="Add or rename"):
        check_columns(["flow"], ["flow [l/min]", "flow (old)"], "the table")
    with pytest.raises(InputError, match="Did you mean 'id' for 'ID'"):
        check_columns(["ID"], ["id", "amount"], "t.csv")
    with pytest.raises(InputError, match="Add or rename"):
        check_columns(["ID"], ["amount"], "t.csv")


def test_help_names_what_can_be_written(run: Run) -> None:
    shown = run("score", "-h").out
    assert all(re.search(rf"\{each}\b", shown) for each in WRITTEN)
    page = (Path(__file__).parents[2] / "docs" / "commands.md").read_text()
    (line,) = [each for each in page.splitlines() if each.startswith("| `--output`, `-o` | the fi")]
    assert set(re.findall(r"`(\.\w+)`", line)) == set(WRITTEN)


def test_no_file_is_called_like_standard_output(run: Run) -> None:
    done = run("score", "m.advae", "t.csv", "-o", "-")
    assert (done.code, done.out) == (2, "")
    assert "Leave it out: CSV then goes to standard output." in done.err


def test_a_wrong_name_in_an_option_is_no_fault_of_the_table(run: Run, tmp_path: Path) -> None:
    data, model = tmp_path / "t.csv", tmp_path / "m.advae"
    good_table().write_csv(data)
    assert run("fit", data, "-o", model, *ANY_MODEL, "--quiet").code == 0
    for words in (
        ("score", model, data, "--keep", "xyz"),
        ("report", model, data, "-o", tmp_path / "r.html", "--label", "xyz"),
        ("evaluate", model, data, "--label", "xyz"),
        ("fit", data, "-o", tmp_path / "b.advae", "--by", "xyz"),
        ("fit", data, "-o", tmp_path / "b.advae", "--ignore", "xyz"),
        ("fit", data, "-o", tmp_path / "b.advae", "--only", "xyz"),
        ("fit", data, "-o", tmp_path / "b.advae", "--hash", "xyz"),
        ("doctor", data, "--ignore", "xyz"),
    ):
        done = run(*words)
        assert done.code == 2
        assert "missing column 'xyz'" in done.err, words
        assert "Name columns that it has." in done.err, words


def test_a_report_is_html(run: Run, tmp_path: Path) -> None:
    for name in ("report.html", "REPORT.HTM", "."):
        check_page(name)
    for name, printed in (("report.pdf", True), ("report.txt", False), ("report", False)):
        refused = run("report", tmp_path / "no.advae", tmp_path / "no.csv", "-o", name)
        assert refused.code == 2
        assert refused.err.count("error") == 1
        assert "report.html" in refused.err
        assert ("PDF" in refused.err) is printed
