"""Every block of code and every command of README and docs runs, but for those that say why not."""

import importlib.util
import re
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from command_line import Run
from pages import PAGES, ROOT, TABLES, blocks

from advae.cli.demo import run as demonstrate
from advae.config import Config

NOT_RUN: dict[str, dict[str, int]] = {
    "docs/clusters.md": {"needs a cluster": 1, "needs Ray": 1, "needs Spark": 1},
    "docs/contributing.md": {
        "takes an hour": 1,
        "builds and installs the package several times": 1,
    },
    "docs/onnx.md": {
        "needs npm; the program in deploy has a test of its own": 1,
        "needs Java": 1,
    },
    "docs/services.md": {"needs Java": 1, "needs Node or a browser": 1},
}
"""Of each page how many blocks are not run, and why: their titles say so to the reader, too."""

ELSEWHERE = {
    "docs/services.md": "tests/test_services.py",  # has a service
    "docs/databases.md": "tests/files/test_sql.py",  # has a server of PostgreSQL
    "docs/examples.md": "tests/test_examples.py",
}
"""Pages whose blocks another test runs."""

LANGUAGES = {"console", "python"}
"""Languages of blocks that are run; others hold output, settings or other programs."""

FEW = 40
"""Iterations of a training here: what a page says is tested, not how good its model is."""


@pytest.fixture(autouse=True)
def short_trainings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Config, "iterations_for", lambda self, rows: FEW)


@pytest.fixture(scope="module")
def demo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder that ``advae demo`` writes."""
    folder = tmp_path_factory.mktemp("pages") / "demo"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Config, "iterations_for", lambda self, rows: FEW)
        demonstrate(folder)
    return folder


def fulfilled(words: list[str], code: int) -> bool:
    """Return whether a command ended as the reference of commands says."""
    allowed = {0}
    if "--strict" in words:
        allowed.add(1)
    if "--fail-above" in words:
        allowed.add(3)
    if words[0] == "watch":
        allowed |= {4, 5}
    return code in allowed


def check_words(words: list[str]) -> None:
    """Check a command that is too slow, or changes too much, to be run."""
    if words[:2] == ["pip", "install"]:
        extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        named = re.findall(r"\[(.*?)\]", " ".join(words))
        assert {extra for each in named for extra in each.split(",")} <= set(
            extras["optional-dependencies"]
        )
    elif words[0] == "make":
        targets = re.findall(r"^(\w[\w-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert set(words[1:]) <= set(targets)
    elif words[:2] == ["python", "-m"] and words[2].startswith("benchmarks"):
        found = importlib.util.find_spec(words[2])
        assert found is not None, words
        assert found.origin is not None
        path = Path(found.origin)
        text = (path.parent / "__main__.py" if path.name == "__init__.py" else path).read_text()
        for option in (word for word in words if word.startswith("--")):
            name = option[2:].replace("-", "_")
            assert option in text or f"{name}:" in text, option
    else:
        assert words[:3] == ["python3", "-m", "venv"] or words[0] == ".", words


def perform(words: list[str], run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Do what a command of a page does, or check it."""
    if "&&" in words:
        at = words.index("&&")
        perform(words[:at], run, monkeypatch)
        perform(words[at + 1 :], run, monkeypatch)
    elif words[0] == "advae":
        done = run(*words[1:])
        assert fulfilled(words[1:], done.code), f"{words}: {done.err}"
    elif words[0] == "cd":
        monkeypatch.chdir(words[1])
    elif words[0] in ("cp", "mkdir", "mv"):
        subprocess.run(words, check=True)
    elif words[0] == "python" and words[1].endswith(".py"):
        subprocess.run([sys.executable, *words[1:]], check=True, timeout=120)
    else:
        check_words(words)


@pytest.mark.parametrize("page", [page for page in PAGES if page not in ELSEWHERE])
def test_every_block_of_a_page_runs(
    page: str, demo_folder: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = [block for block in blocks(page) if block.language in LANGUAGES and not block.reason]
    if not wanted:
        pytest.skip("the page has no block to run")
    shutil.copytree(demo_folder, tmp_path, dirs_exist_ok=True)
    if page in TABLES:
        TABLES[page](tmp_path)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": page}
    for block in wanted:
        if block.language == "python":
            exec(compile(block.text, page, "exec"), names)
        for words in block.commands if block.language == "console" else ():
            perform(words, run, monkeypatch)


def test_blocks_that_are_not_run_are_these() -> None:
    found = {
        page: dict(Counter(block.reason for block in blocks(page) if block.reason is not None))
        for page in PAGES
    }
    assert {page: reasons for page, reasons in found.items() if reasons} == NOT_RUN


@pytest.mark.parametrize("page", PAGES)
def test_every_block_names_its_language(page: str) -> None:
    # A command in a block without language would not be run, and nobody would notice.
    assert [block.text for block in blocks(page) if not block.language] == []
    quiet = [block for block in blocks(page) if block.language not in LANGUAGES]
    assert not [block for block in quiet if re.search(r"^\$ ", block.text, re.MULTILINE)]
