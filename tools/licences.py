"""List the licences of what advae needs, as installed here: ``python -m tools.licences``.

Writes ``docs/licences.md``. Every dependency that ``pyproject.toml`` declares, of the library and
of its extras, has a line. One that is not installed here keeps the line that the page has.
"""

import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "licences.md"
DEVELOPMENT = ("test", "bench", "docs", "mutation")
"""Extras that only who works on advae installs."""

HEAD = """# Licences

advae has the MIT licence. Below are the licences of what it needs, as the installed packages state
them (`python -m tools.licences` makes this page). They are not part of advae; `pip` fetches them.
What they need in turn is not listed.
"""


def declared() -> dict[str, list[str]]:
    """Return the packages of the library, under "", and of each extra."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    groups = {"": project["dependencies"], **project["optional-dependencies"]}
    return {
        extra: sorted({re.split(r"[^\w.-]", needed)[0] for needed in all_of})
        for extra, all_of in groups.items()
    }


def licence(package: str) -> str:
    """Return what an installed package says of its licence, in a few words."""
    try:
        found = metadata(package)
    except PackageNotFoundError:
        known = re.search(rf"^\| {re.escape(package)} \| (.*) \|$", PAGE.read_text(), re.M)
        if known is None:
            raise
        return known[1]
    if expression := found.get("License-Expression"):
        return str(expression)
    classified = [
        line.rpartition(" :: ")[2]
        for line in found.get_all("Classifier") or ()
        if line.startswith("License :: ") and line != "License :: OSI Approved"
    ]
    stated = str(found.get("License") or "").strip()
    if stated and "\n" not in stated and len(stated) < 60:
        return stated
    return ", ".join(classified) or "see its files"


def rows(packages: list[str]) -> Iterator[str]:
    """Yield the rows of a table."""
    yield "| package | licence |"
    yield "|---|---|"
    for package in packages:
        yield f"| {package} | {licence(package)} |"


def page() -> str:
    """Return the page."""
    groups = declared()
    lines = [HEAD, "## The library", "", *rows(groups[""]), ""]
    for extra, packages in sorted(groups.items()):
        if extra and extra not in DEVELOPMENT:
            lines += [f"## The extra `{extra}`", "", *rows(packages), ""]
    known = {name for extra, names in groups.items() if extra not in DEVELOPMENT for name in names}
    others = {name for extra in DEVELOPMENT for name in groups[extra]} - known
    return "\n".join([*lines, "## For work on advae", "", *rows(sorted(others)), ""])


if __name__ == "__main__":
    try:
        PAGE.write_text(page())
    except PackageNotFoundError as missing:
        sys.exit(f"{missing.name} is not installed here: make .venv with all extras first")
