"""Draw the packages of advae by their imports: ``python -m tools.packages``.

The layers are those of the linter's contract in ``pyproject.toml``; an arrow stands for an import
that no way over other packages implies. Writes ``docs/packages.svg``.
"""

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "packages.svg"
WIDTH, ROW, BOX = 960, 92, 34
"""Of the picture, from layer to layer, and the height of a box, in pixels."""


def layers() -> list[list[str]]:
    """Return the packages of each layer, the highest first, without the single files."""
    text = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contract = text["tool"]["importlinter"]["contracts"][0]
    rows = [line.replace(":", "|").split("|") for line in contract["layers"]]
    named = [[name.strip() for name in row] for row in rows]
    return [row for row in named if row != ["__main__"]]


def imported(path: Path) -> Iterator[str]:
    """Yield the packages of advae that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module == "advae":
            names = [f"advae.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
        for name in names:
            parts = name.split(".")
            if parts[0] == "advae" and len(parts) > 1:
                yield parts[1]


def graph(packages: set[str]) -> dict[str, set[str]]:
    """Return which packages each one imports, itself left out."""
    found: dict[str, set[str]] = {name: set() for name in packages}
    for name in packages:
        folder = ROOT / "src" / "advae" / name
        files = sorted(folder.rglob("*.py")) if folder.is_dir() else [folder.with_suffix(".py")]
        for path in files:
            found[name] |= (set(imported(path)) & packages) - {name}
    return found


def reached(start: str, imports: dict[str, set[str]]) -> set[str]:
    """Return all packages that one leads to."""
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        for name in imports[waiting.pop()] - seen:
            seen.add(name)
            waiting.append(name)
    return seen


def reduced(imports: dict[str, set[str]]) -> dict[str, set[str]]:
    """Return the imports that no way over another package implies."""
    return {
        name: {
            each
            for each in below
            if not any(each in reached(other, imports) for other in below - {each})
        }
        for name, below in imports.items()
    }


def picture() -> str:
    """Return the picture as SVG."""
    *rows, files = layers()
    arrows = reduced(graph({name for row in rows for name in row}))
    places: dict[str, tuple[float, float]] = {}
    boxes, lines = [], []
    for number, row in enumerate(rows):
        for place, name in enumerate(row):
            # Every other row stands aside, so that a line from two rows above passes it.
            x = 60 + (WIDTH - 120) * (place + 0.5) / len(row) - 45 * (number % 2)
            y = 20 + ROW * number
            places[name] = x, y
            width = 30 + 9 * len(name)
            boxes.append(
                f'<rect x="{x - width / 2:.0f}" y="{y}" width="{width}" height="{BOX}" rx="5" '
                'fill="#e8f0f8" stroke="#3b6ea5"/>'
                f'<text x="{x:.0f}" y="{y + 22}" text-anchor="middle">{name}</text>'
            )
    for name in sorted(arrows):
        for below in sorted(arrows[name]):
            (x, y), (to_x, to_y) = places[name], places[below]
            lines.append(
                f'<line x1="{x:.0f}" y1="{y + BOX}" x2="{to_x:.0f}" y2="{to_y - 3}" '
                'stroke="#888" marker-end="url(#tip)"/>'
            )
    y = 20 + ROW * len(rows)
    boxes.append(
        f'<rect x="20" y="{y}" width="{WIDTH - 40}" height="{BOX}" rx="5" '
        'fill="#f3f3ee" stroke="#999"/>'
        f'<text x="{WIDTH / 2:.0f}" y="{y + 22}" text-anchor="middle">{", ".join(files)}</text>'
    )
    height = y + BOX + 20
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
            'font-family="sans-serif" font-size="15" role="img" '
            'aria-label="The packages of advae, with arrows to those that they import">',
            '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" '
            'markerHeight="8" orient="auto"><path d="M0 0 L8 4 L0 8 z" fill="#888"/>'
            "</marker></defs>",
            f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
            *lines,
            *boxes,
            "</svg>\n",
        ]
    )


if __name__ == "__main__":
    PICTURE.write_text(picture())
