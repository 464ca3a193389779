"""What the speed benchmark came to over time: ``python -m benchmarks.speed.history``.

``python -m benchmarks.speed --record`` adds a line to ``benchmarks/ratios.ndjson``: commit, day,
machine, and every ratio with its lowest and highest round. This draws them into ``docs/ratios.svg``
and writes ``docs/speed.md`` beside it.
"""

import json
import re
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.accuracy.tables import markdown
from benchmarks.harness.machine import machine_facts
from benchmarks.harness.pictures import save
from benchmarks.speed.cold_start import MARK
from benchmarks.speed.rows import Row

REPOSITORY = Path(__file__).resolve().parents[2]
RATIOS = REPOSITORY / "benchmarks" / "ratios.ndjson"
PAGE = REPOSITORY / "docs" / "speed.md"
COLUMNS = 3

INTRODUCTION = """# Speed

advae beside other programs that do the same work, measured in turn on one machine: above 1 advae is
faster. From run to run the machine and its other work may differ, which moves seconds more than
ratios. The arithmetic floor is the time that the multiplications and additions of an iteration
take at the rate of large matrix products, which nothing gets below; 8 members stand beside one in
iterations of one member.

```console
$ python -m benchmarks.speed --record
$ python -m benchmarks.speed.history
```

The first adds a line to `benchmarks/ratios.ndjson`, the second writes this page. What was tried to
make things faster, and what it gave, is in `benchmarks/README.md`.

![Each ratio, from run to run](ratios.svg)
"""

Entry = dict[str, Any]
"""A line of the file: ``commit``, ``day``, ``processor``, ``cores``, and ``ratios``, of each
comparison the median, the lowest and the highest of the rounds."""


def entry(rows: Sequence[Row]) -> Entry:
    """Return what is recorded of a run."""
    facts = machine_facts()
    return {
        "commit": _commit(),
        "day": datetime.now(UTC).date().isoformat(),
        "processor": facts["processor"],
        "cores": facts["cores"],
        "ratios": {
            _name(row): [
                round(each, 3) for each in (row.ratio.median, row.ratio.low, row.ratio.high)
            ]
            for row in rows
            if row.second != MARK  # seconds of one machine, which no other has
        },
    }


def record(rows: Sequence[Row], path: Path = RATIOS) -> None:
    """Add a run's ratios to the file."""
    with path.open("a") as file:
        file.write(json.dumps(entry(rows), ensure_ascii=False) + "\n")


def recorded(path: Path = RATIOS) -> list[Entry]:
    """Return all runs in the file, the oldest first."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def _name(row: Row) -> str:
    """Return what is compared, without the numbers of threads, which differ from run to run."""
    first, second = (re.sub(r", \d+ threads?$", "", side) for side in (row.first, row.second))
    return f"{row.measurement}: {first} / {second}"


def _commit() -> str:
    """Return the commit in short, with a + where files differ from it."""

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", *words], cwd=REPOSITORY, capture_output=True, text=True, check=True
        ).stdout.strip()

    return git("rev-parse", "--short", "HEAD") + "+" * bool(git("status", "--porcelain", "src"))


def draw(entries: Sequence[Entry], path: Path) -> None:
    """Write a picture: a panel for each comparison, a point for each run, its rounds as a bar."""
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(name for each in entries for name in each["ratios"]))
    lines = -(-len(names) // COLUMNS)
    figure = Figure(figsize=(4 * COLUMNS, 2.1 * lines), layout="constrained")
    panels = figure.subplots(lines, COLUMNS, squeeze=False).ravel()
    commits = [each["commit"] for each in entries]
    for panel, name in zip(panels, names, strict=False):
        places = [at for at, each in enumerate(entries) if name in each["ratios"]]
        middle, low, high = zip(*(entries[at]["ratios"][name] for at in places), strict=True)
        panel.vlines(places, low, high, color="#93c5fd", linewidth=5)
        panel.plot(places, middle, "o", color="#1d4ed8", markersize=5)
        panel.axhline(1.0, color="#9ca3af", linewidth=0.8)
        panel.set_title(name.replace(": ", "\n", 1), fontsize=7)
        panel.set_xticks(range(len(commits)), commits, fontsize=6)
        panel.tick_params(axis="y", labelsize=7)
        panel.set(xlim=(-0.5, len(commits) - 0.5), ylim=(0, 1.15 * max(1.0, *high)))
        panel.spines[["top", "right"]].set_visible(False)
    for panel in panels[len(names) :]:
        panel.set_axis_off()
    save(figure, path)


def page(entries: Sequence[Entry]) -> str:
    """Return the page: the picture, and the last run's ratios."""
    last = entries[-1]
    lines = [
        [*name.split(": ", 1), f"{middle:.2f}", f"{low:.2f} to {high:.2f}"]
        for name, (middle, low, high) in last["ratios"].items()
    ]
    table = markdown(["what", "sides", "ratio", "lowest to highest round"], lines, words=2)
    where = f"{last['cores']} cores of {last['processor']}, {last['day']}, commit {last['commit']}"
    return f"{INTRODUCTION}\nThe last run: {where}.\n\n{table}"


def main(
    ratios: Annotated[Path, typer.Option(help="The file with the runs.")] = RATIOS,
    out: Annotated[Path, typer.Option(help="The page; its picture goes beside it.")] = PAGE,
) -> None:
    """Write the page."""
    entries = recorded(ratios)
    draw(entries, out.with_name("ratios.svg"))
    out.write_text(page(entries))


if __name__ == "__main__":
    typer.run(main)
