"""What the pages say is what the program does."""

import re
import shlex
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import typer

import advae
from advae.cli import app
from advae.cli.demo import tumours
from advae.cli.reading import OPTIONS

ROOT = Path(__file__).resolve().parents[1]
COMMANDS = typer.main.get_command(app).commands


def described(text: str) -> set[str]:
    """Return the options that the tables of a text describe."""
    cells = re.findall(r"^\| (.*?) \|", text, flags=re.MULTILINE)
    return {option for cell in cells for option in re.findall(r"`(--?[a-z-]+)`", cell)}


def sections() -> dict[str, str]:
    """Return the section of each command in the command reference."""
    text = (ROOT / "docs" / "commands.md").read_text()
    parts = re.split(r"^## advae (\w+)$", text, flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def test_every_command_is_documented() -> None:
    assert set(sections()) == set(COMMANDS)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_option_is_documented_and_no_other(name: str) -> None:
    options = {
        option
        for parameter in COMMANDS[name].params
        for option in parameter.opts
        if option.startswith("-")
    } - {"--help"}
    shared = described((ROOT / "docs" / "commands.md").read_text().partition("\n## ")[0])
    assert shared == {f"--{option.replace('_', '-')}" for option in OPTIONS}
    assert described(sections()[name]) == options - shared
    assert options & shared in (set(), shared)


def commands(page: str) -> list[str]:
    """Return the advae commands in the console blocks of a page."""
    blocks = re.findall(r"```console\n(.*?)```", (ROOT / page).read_text(), flags=re.DOTALL)
    return [line[2:] for block in blocks for line in block.splitlines() if "$ advae" in line]


def test_every_public_name_is_documented() -> None:
    page = (ROOT / "docs" / "api.md").read_text()
    shown = re.findall(r"^::: (advae\.\S+)$", page, flags=re.MULTILINE)
    assert {
        name
        for name in advae.__all__
        if f"{getattr(advae, name).__module__}.{name}" not in shown
        and getattr(advae, name).__module__ not in shown
    } == set()


@pytest.mark.parametrize("path", sorted((ROOT / "src").rglob("*.py")), ids=lambda path: path.stem)
def test_tables_in_docstrings_are_ones_that_the_pages_show(path: Path) -> None:
    # The pages are Markdown: a table ruled with = would stand there as one paragraph.
    assert not re.search(r"^ *={4,} +={4,}", path.read_text(), flags=re.MULTILINE)


def test_the_readme_commands_run(tmp_path: Path) -> None:
    normal, new = tumours()
    normal.write_csv(tmp_path / "normal.csv")
    new.write_csv(tmp_path / "new.csv")
    lines = commands("README.md")
    assert len(lines) >= 4
    for line in lines:
        words = line.split("#")[0].split()[1:]
        if words[0] == "demo":
            continue  # run by tests/cli/test_end_to_end.py
        if words[0] == "fit":
            words += ["--iterations", "200"]  # the words are tested, not the model
        done = subprocess.run(
            [sys.executable, "-m", "advae", *words],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, f"{line}: {done.stderr}"


def test_the_readme_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    normal, new = tumours()
    normal.write_csv(tmp_path / "normal.csv")
    new.write_csv(tmp_path / "new.csv")
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert blocks
    for block in blocks:
        exec(block.replace("Config(", "Config(iterations=100, "), {})
    assert (tmp_path / "model.advae").exists()


def test_rows_from_a_lake_and_a_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng, rows = np.random.default_rng(0), 400
    table = pl.DataFrame(
        {
            "id": np.arange(rows),
            "year": 2023 + np.arange(rows) % 2,
            "amount": rng.gamma(2, 10, rows),
            "kind": rng.choice(["card", "cash"], rows),
        }
    )
    odd = pl.DataFrame({"id": [rows], "year": [2024], "amount": [5000.0], "kind": ["card"]})
    table = pl.concat([table, odd])
    monkeypatch.chdir(tmp_path)
    for (year,), part in table.group_by("year"):
        folder = tmp_path / "lake" / f"year={year}"
        folder.mkdir(parents=True)
        part.drop("year").write_parquet(folder / "part.parquet")
    with closing(sqlite3.connect("payments.db")) as database:
        database.execute("create table payments (id integer, year integer, amount real, kind text)")
        database.executemany("insert into payments values (?, ?, ?, ?)", table.rows())
        database.commit()
    for name in ("normal.csv", "new.csv"):
        table.select("amount", "kind").write_csv(name)
    sold = "".join(f"{row % 12 + 1}/28/2024;{row % 7},5\n" for row in range(300))
    for name in ("sales.csv", "new-sales.csv"):
        Path(name).write_text(f"day;amount\n{sold}")
    page = (ROOT / "docs" / "data.md").read_text()
    code = "".join(re.findall(r"```python\n(.*?)```", page, re.DOTALL))
    names: dict[str, Any] = {}
    exec(code.replace("Config(", "Config(iterations=50, "), names)
    with closing(names["database"]) as database:
        alarms = database.execute("select id, reason from alarms order by score").fetchall()
    assert alarms[-1] == (rows, "amount")
    assert names["later"].equals(names["sales"])
    for line in commands("docs/data.md"):
        done = subprocess.run(
            shlex.split(f"{sys.executable} -m {line}" + " --iterations 50" * ("fit" in line)),
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, f"{line}: {done.stderr}"
    # The commands know nothing of years: those of 2024 alone are scored, by the glob.
    assert pl.read_parquet("scores.parquet")["id"].to_list() == [*range(1, rows, 2), rows]


@pytest.mark.parametrize(
    "page",
    [
        "README.md",
        "ARCHITECTURE.md",
        "docs/index.md",
        "docs/data.md",
        "docs/clusters.md",
        "docs/databases.md",
        "docs/services.md",
    ],
)
def test_links_lead_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", (ROOT / page).read_text()):
        assert target.startswith("https://") or ((ROOT / page).parent / target).exists(), target
