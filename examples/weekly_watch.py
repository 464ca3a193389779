"""A weekly watch with verdicts: score each week's file once, and silence a known false alarm."""

import subprocess
import sys
import tempfile
from pathlib import Path

import polars as pl
from payments import payments, with_frauds

import advae

WATCH = "watch model.advae weeks --state watch.json --to alarms --keep payment --explain 1"
REVIEW = "review model.advae --data weeks/1.csv --verdicts verdicts.csv --key payment"


def call(command: str, folder: Path) -> None:
    """Run a command as cron would, and print the last line that it says."""
    words = [sys.executable, "-m", "advae", *command.split()]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    print(f"advae {command.split()[0]} ended with {done.returncode}")
    print("   " + (done.stdout + done.stderr).strip().splitlines()[-1])


def week(folder: Path, number: int) -> pl.DataFrame:
    """Write the payments of a week, with a gift card that is bought each week at a bookshop."""
    table = with_frauds(payments(300, seed=number))
    gift = table.tail(1).with_columns(
        payment=pl.lit(f"{number}-gift"),
        shop=pl.lit("books"),
        amount=pl.lit(250.0 + number),
        hour=pl.lit(14.0),
        abroad=pl.lit(False),
    )
    table = pl.concat([table, gift])
    table.write_csv(folder / f"{number}.csv")
    return table


def alarms(folder: Path) -> set[str]:
    """Return which payments were told, of all weeks."""
    files = sorted((folder / "alarms").glob("*.ndjson"))
    return {name for path in files for name in pl.read_ndjson(path)["payment"]}


def main() -> None:
    """Watch a week, say which of its alarms was false, and watch the next week."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "weeks").mkdir()
        learned = payments(500, seed=9)
        config = advae.Config(alpha=0.01)
        detector = advae.fit_detector(learned, config, ignored=["payment"])
        advae.save(detector, folder / "model.advae")

        week(folder / "weeks", 1)
        call(WATCH, folder)
        print("   the gift card alarms:", "1-gift" in alarms(folder))

        told = pl.DataFrame({"payment": ["1-gift", "1-0000"], "verdict": ["normal", "anomaly"]})
        told.write_csv(folder / "verdicts.csv")
        call(REVIEW, folder)

        week(folder / "weeks", 2)
        call(WATCH, folder)
        print("   the gift card alarms:", "2-gift" in alarms(folder))
        print("   the fraud at the bookshop alarms:", "2-0000" in alarms(folder))


if __name__ == "__main__":
    main()
