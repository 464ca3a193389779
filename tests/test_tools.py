"""Files made by tools/ are as they would be made now; a release that disagrees is refused."""

import ast
import subprocess
from pathlib import Path

import pytest

from tools.licences import DEVELOPMENT, PAGE, ROOT, declared
from tools.packages import PICTURE, picture
from tools.release import faults


def test_the_picture_shows_the_imports_of_today() -> None:
    assert PICTURE.read_text() == picture(), "run: python -m tools.packages"


def test_every_dependency_has_a_licence_on_the_page() -> None:
    page = PAGE.read_text()
    for packages in declared().values():
        for package in packages:
            line = next(line for line in page.splitlines() if line.startswith(f"| {package} |"))
            assert line.split("|")[2].strip()


def test_a_release_tries_every_extra() -> None:
    program = ast.parse((ROOT / ".ci" / "extras.py").read_text())
    tried = {each.name for each in program.body if isinstance(each, ast.FunctionDef)}
    assert declared().keys() - {"", *DEVELOPMENT} <= tried


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a project that may be released."""
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "1.2.0"\n')
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## 1.2.0, 2026-12-31\n\n## 1.1.0, x\n")
    (tmp_path / "CITATION.cff").write_text("cff-version: 1.2.0\nversion: 1.2.0\n")
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "all"], ["tag", "v1.2.0"]):
        subprocess.run([*git, *words], cwd=tmp_path, check=True)
    return tmp_path


def test_a_release_where_all_agrees(project: Path) -> None:
    assert faults(project) == []


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("pyproject.toml", "1.2.0", "1.3.0", "CHANGELOG.md begins with 1.2.0"),
        ("CHANGELOG.md", "2026-12-31", "not released", "write the day"),
        ("CHANGELOG.md", "## 1.2.0, 2026-12-31", "Soon", "begins with 1.1.0"),
        ("CITATION.cff", "\nversion: 1.2.0", "\nversion: 1.1.0", "CITATION.cff"),
    ],
)
def test_a_release_is_refused(project: Path, file: str, old: str, new: str, said: str) -> None:
    path = project / file
    path.write_text(path.read_text().replace(old, new))
    assert any(said in fault for fault in faults(project))
    assert "The folder has changes that are not committed." in faults(project)


def test_a_release_without_its_tag_is_refused(project: Path) -> None:
    subprocess.run(["git", "tag", "-d", "v1.2.0"], cwd=project, check=True)
    assert faults(project) == ["This commit does not have the tag v1.2.0: git tag v1.2.0."]
