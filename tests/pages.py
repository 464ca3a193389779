"""Pages as lists of blocks that can be run, and the tables that a page's reader has."""

import re
import shlex
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")))
FENCE = re.compile(r"^```(\w*)(?: title=\"([^\"]*)\")?\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, the line above it, and what it says."""

    language: str
    title: str
    text: str

    @property
    def reason(self) -> str | None:
        """Why the block is not run, if its title says so."""
        found = re.match(r"not run by the tests: (.*)", self.title)
        return found[1] if found else None

    @property
    def commands(self) -> list[list[str]]:
        """The commands after ``$``, in words; what stands below them is what they print."""
        lines = self.text.replace("\\\n", " ").splitlines()
        return [shlex.split(line[2:], comments=True) for line in lines if line.startswith("$ ")]


def blocks(page: str) -> list[Block]:
    """Return the blocks of a page, in their order."""
    return [Block(*found) for found in FENCE.findall((ROOT / page).read_text())]


def payments(rows: int = 400) -> pl.DataFrame:
    """Return two years of payments, the last of which is odd."""
    rng = np.random.default_rng(0)
    table = pl.DataFrame(
        {
            "id": np.arange(rows),
            "year": 2023 + np.arange(rows) % 2,
            "amount": rng.gamma(2, 10, rows),
            "kind": rng.choice(["card", "cash"], rows),
        }
    )
    odd = pl.DataFrame({"id": [rows], "year": [2024], "amount": [5000.0], "kind": ["card"]})
    return pl.concat([table, odd])


def lake(folder: Path) -> None:
    """Write payments as a lake, a database and files."""
    table = payments()
    for (year,), part in table.group_by("year"):
        below = folder / "lake" / f"year={year}"
        below.mkdir(parents=True)
        part.drop("year").write_parquet(below / "part.parquet")
    with closing(sqlite3.connect(folder / "payments.db")) as database:
        database.execute("create table payments (id integer, year integer, amount real, kind text)")
        database.executemany("insert into payments values (?, ?, ?, ?)", table.rows())
        database.commit()
    for name in ("normal.csv", "new.csv"):
        table.select("amount", "kind").write_csv(folder / name)
    sold = "".join(f"{row % 12 + 1}/28/2024;{row % 7},5\n" for row in range(300))
    for name in ("sales.csv", "new-sales.csv"):
        (folder / name).write_text(f"day;amount\n{sold}")


def machines(folder: Path) -> None:
    """Write readings of two machines."""
    rng = np.random.default_rng(0)
    table = pl.DataFrame(
        {
            "id": np.arange(300),
            "machine": np.repeat(["m-16", "m-17"], 150),
            "amount": rng.gamma(2, 10, 300),
            "kind": rng.choice(["card", "cash"], 300),
        }
    )
    table.write_parquet(folder / "readings.parquet")
    table.write_csv(folder / "today.csv")


def hospital(folder: Path) -> None:
    """Write the new tumours into a database."""
    table = pl.read_csv(folder / "new.csv").with_row_index("id").cast({"malignant": pl.Int64})
    with closing(sqlite3.connect(folder / "hospital.db")) as database:
        names = ", ".join(f'"{name}"' for name in table.columns)
        database.execute(f"create table tumours ({names})")
        marks = ", ".join("?" * table.width)
        database.executemany(f"insert into tumours values ({marks})", table.rows())
        database.commit()


TABLES: dict[str, Callable[[Path], None]] = {
    "docs/alarms.md": hospital,
    "docs/data.md": lake,
    "docs/segments.md": machines,
}
"""What the reader of a page has beside the folder that ``advae demo`` writes."""
