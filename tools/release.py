"""Refuse a release whose version, changelog and tag differ: ``python -m tools.release``."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def git(folder: Path, *words: str) -> str:
    """Return what git prints."""
    done = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def faults(folder: Path) -> list[str]:
    """Return what stands against a release of a folder, each in a sentence."""
    version = tomllib.loads((folder / "pyproject.toml").read_text())["project"]["version"]
    said = re.search(r"^## ([^\s,]+), (.*)$", (folder / "CHANGELOG.md").read_text(), re.MULTILINE)
    cited = re.search(r"^version: (.*)$", (folder / "CITATION.cff").read_text(), re.MULTILINE)
    tags = git(folder, "tag", "--points-at", "HEAD").split()
    found = []
    if said is None or said[1] != version:
        heading = f"begins with {said[1]}" if said else "has no heading with a version and a day"
        found.append(f"CHANGELOG.md {heading}, but pyproject.toml has version {version}.")
    elif not re.fullmatch(r"\d{4}-\d\d-\d\d", said[2]):
        found.append(f"CHANGELOG.md says {said[2]!r} of {version}; write the day, as 2026-12-31.")
    if cited is None or cited[1] != version:
        found.append(f"CITATION.cff does not have version {version}.")
    if f"v{version}" not in tags:
        others = f"; it has {', '.join(tags)}" if tags else ""
        found.append(f"This commit does not have the tag v{version}{others}: git tag v{version}.")
    if git(folder, "status", "--porcelain"):
        found.append("The folder has changes that are not committed.")
    return found


if __name__ == "__main__":
    sys.exit("\n".join(faults(ROOT)) or 0)
