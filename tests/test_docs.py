"""What the pages say is what the program does."""

import re
from pathlib import Path

import pytest
import typer

import advae
from advae.cli import app
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


LINK = re.compile(r"\]\(([^)\s]+)\)|^\[[^\]]+\]: (\S+)$", re.MULTILINE)


def anchors(path: Path) -> set[str]:
    """Return the names of a page's headings in links to them."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(), flags=re.MULTILINE)
    plain = [re.sub(r"[^\w\s-]", "", heading.lower()).strip() for heading in headings]
    return {re.sub(r"[\s-]+", "-", heading) for heading in plain}


PAGES_WITH_LINKS = [
    *ROOT.glob("*.md"),
    *(ROOT / "docs").glob("*.md"),
    *(ROOT / "benchmarks").glob("*.md"),
]


@pytest.mark.parametrize("page", PAGES_WITH_LINKS, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for inline, reference in LINK.findall(page.read_text()):
        target, _, anchor = (inline or reference).partition("#")
        if target.startswith("https://"):
            continue
        path = page.parent / target if target else page
        assert path.exists(), target
        if anchor:
            assert anchor in anchors(path), f"{target}#{anchor}"


def test_every_page_is_in_the_navigation() -> None:
    text = (ROOT / "mkdocs.yml").read_text()
    assert sorted(re.findall(r": (\S+\.md)$", text, flags=re.MULTILINE)) == sorted(
        path.name for path in (ROOT / "docs").glob("*.md")
    )


def test_no_heading_begins_with_a_digit() -> None:
    # The theme's script stops at such an anchor, and leaves the page's tables without lines.
    for page in (ROOT / "docs").glob("*.md"):
        assert not re.search(r"^#+ \d", page.read_text(), flags=re.MULTILINE), page.name


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) < 150


@pytest.mark.parametrize("page", ["README.md", "docs/score.md"])
def test_what_share_of_normal_rows_reach_a_score_is_left_to_the_p_value(page: str) -> None:
    text = " ".join((ROOT / page).read_text().split())
    assert "counted on normal rows that the networks did not learn from" in text
    assert "1,100" not in text


def test_every_departure_from_the_paper_is_on_its_page() -> None:
    page = (ROOT / "docs" / "differences.md").read_text()
    source = ROOT / "src" / "advae"
    marked = {path for path in source.rglob("*.py") if "NOTE[DIFF]" in path.read_text()}
    rivals = {path for path in marked if path.parent == source / "methods"}
    assert {
        path for path in marked - rivals if f"`{path.relative_to(source)}`" not in page
    } == set()
