"""Standard output and standard error that are full, closed or narrow: what commands make of it."""

import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from command_line import Run
from hostile_files import good_table

import advae
from advae.cli.console import printable

FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="/dev/full is Linux's")
COMMANDS = {
    "score": "score m.advae t.csv",
    "info": "info m.advae",
    "info as JSON": "info m.advae --json",
    "fit": "fit t.csv -o n.advae --label y --preset paper --iterations 50",
    "version": "--version",
    "help": "--help",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a table and a model of it."""
    folder = tmp_path_factory.mktemp("outlets")
    table = good_table()
    detector = advae.fit_detector(table, advae.Config.preset("paper", iterations=50))
    advae.save(detector, folder / "m.advae")
    labels = [row % 5 == 0 for row in range(table.height)]
    table.with_columns(y=pl.Series(labels)).write_csv(folder / "t.csv")
    return folder


def _shell(folder: Path, line: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a line of shell in which $ADVAE is the command."""
    command = f"{sys.executable} -m advae"
    variables = os.environ | {"ADVAE": command} | environment
    return subprocess.run(
        ["sh", "-c", line],
        cwd=folder,
        env=variables,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=100,
    )


@needs_full
@pytest.mark.parametrize("arguments", COMMANDS.values(), ids=COMMANDS)
def test_a_full_standard_output(folder: Path, arguments: str) -> None:
    done = _shell(folder, f"$ADVAE {arguments} > /dev/full")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert errors == [
        "error: standard output cannot be written: No space left on device. Make room, or send it "
        "elsewhere."
    ]


def test_a_standard_output_that_becomes_full(folder: Path) -> None:
    # Unbuffered, Python itself would forget the rest of a single write without an error.
    line = "ulimit -f 1; $ADVAE score m.advae t.csv --quiet > rows.csv"
    full = _shell(folder, line, PYTHONUNBUFFERED="1")
    assert 0 < (folder / "rows.csv").stat().st_size <= 1024
    assert full.returncode == 2
    assert full.stderr.splitlines()[-1] == (
        "error: standard output cannot be written: File too large. Make room, or send it elsewhere."
    )


@pytest.mark.parametrize(
    ("name", "said"),
    [("s.csv", "File too large (os error 27)"), ("s.parquet", "the disk is full or fails")],
)
def test_a_disk_that_becomes_full(folder: Path, name: str, said: str) -> None:
    before = sorted(folder.iterdir())
    full = _shell(folder, f"ulimit -f 1; $ADVAE score m.advae t.csv --explain 3 -o {name} --quiet")
    assert full.returncode == 2
    assert full.stderr.splitlines()[-1].startswith(f"error: cannot write {name}: {said}")
    assert full.stderr.endswith("hoose another place.\n")
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize("name", ["score", "fit", "version"])
def test_a_closed_standard_output(folder: Path, name: str) -> None:
    before = sorted(folder.iterdir())
    done = _shell(folder, f"$ADVAE {COMMANDS[name].replace('n.advae', 'closed.advae')} >&-")
    assert done.returncode == 2
    assert done.stderr == (
        "error: standard output is closed. Leave it open, or send it to /dev/null.\n"
    )
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize("away", ["2>&-", pytest.param("2> /dev/full", marks=needs_full)])
@pytest.mark.parametrize("name", ["score", "fit"])
def test_remarks_are_not_worth_a_result(folder: Path, name: str, away: str) -> None:
    (folder / "n.advae").unlink(missing_ok=True)
    done = _shell(folder, f"$ADVAE {COMMANDS[name]} {away}")
    assert done.returncode == 0
    assert (done.stdout.startswith("row,")) == (name == "score")
    assert (folder / "n.advae").exists() == (name == "fit")
    wrong = _shell(folder, f"$ADVAE score m.advae nosuch.csv {away}")
    assert (wrong.returncode, wrong.stdout) == (2, "")


def test_a_reader_that_goes_away_is_no_error(folder: Path) -> None:
    for name in ("score", "info", "info as JSON"):
        done = _shell(folder, f"($ADVAE {COMMANDS[name]}; echo $? >&2) | true")
        assert "Traceback" not in done.stderr
        assert "error" not in done.stderr.replace("error ", "")
        assert done.stderr.endswith("0\n")


@pytest.mark.parametrize("columns", ["0", "3", "-1", "²", ""])
def test_absurd_widths_are_forgotten(
    columns: str, folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    arguments = ("info", folder / "m.advae")
    usual = run(*arguments)
    assert "loss term" in usual.out
    monkeypatch.setenv("COLUMNS", columns)
    assert run(*arguments) == usual


def test_names_cannot_steer_the_terminal(run: Run, tmp_path: Path) -> None:
    bad, escaped = "a\x1b[2J\nerror: \x9b1m", "a\\x1b[2J\\nerror: \\x9b1m"
    missing = run("fit", tmp_path / bad, "-o", tmp_path / "m.advae")
    assert missing.code == 2
    assert escaped in missing.err
    table = tmp_path / "t.csv"
    good_table().with_columns(pl.col("amount").alias(bad)).write_csv(table)
    fitted = run(
        "fit", table, "-o", tmp_path / "m.advae", "--preset", "paper", "--iterations", 50, "--quiet"
    )
    assert fitted.code == 0, fitted.err
    shown = run("info", tmp_path / "m.advae").out
    assert escaped in shown
    for text in (missing.err, shown):
        assert not {"\x1b", "\x9b"} & set(text)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_rows_are_written_in_utf8(folder: Path, encoding: str) -> None:
    table = good_table().with_columns(lab=pl.lit("Stra\u00dfe \u2713"))
    table.write_csv(folder / "u.csv")
    scored = _shell(folder, "$ADVAE score m.advae u.csv --keep lab", PYTHONIOENCODING=encoding)
    assert scored.returncode == 0, scored.stderr
    assert scored.stdout.count("Stra\u00dfe \u2713") == table.height
    assert "Traceback" not in scored.stderr
    table.rename({"lab": "\u2713"}).write_csv(folder / "u.csv")
    fit = "$ADVAE fit u.csv -o u.advae --preset paper --iterations 50 --quiet"
    shown = _shell(folder, f"{fit} && $ADVAE info u.advae", PYTHONIOENCODING=encoding)
    assert shown.returncode == 0, shown.stderr
    assert "\\u2713" in shown.stdout


def test_only_what_steers_a_terminal_is_spelled_out() -> None:
    assert (
        printable("4.0\u00a0% of \u201cGröße\u201d \u2009x")
        == "4.0\u00a0% of \u201cGröße\u201d \u2009x"
    )
    assert printable("a\x1b[31m\nb\u202ec") == r"a\x1b[31m\nb\u202ec"
