"""Are alarms such as people can live with? ``python -m benchmarks.alarms groups``.

Every sub-command has ``--quick``. Models are fitted once, with the default preset, and kept in the
folder that ``--models`` names.
"""

import json
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.alarms import groups as grouping
from benchmarks.alarms import verdicts as reviewing
from benchmarks.alarms import watching as following
from benchmarks.harness.data import missing_data
from benchmarks.harness.machine import machine_facts

app = typer.Typer(add_completion=False, no_args_is_help=True)

Models = Annotated[Path | None, typer.Option(help="Folder that keeps fitted models.")]
Quick = Annotated[bool, typer.Option("--quick", help="Small, and hardly any training.")]
Output = Annotated[Path | None, typer.Option(help="JSON file for the results.")]


@app.callback()
def benchmark() -> None:
    """Measure and print; without the data folder, groups and verdicts say what is missing."""


def _check_data() -> None:
    lacking = missing_data("adbench", "mixed", "../cases/tables/payments.py")
    if lacking:
        print(lacking)
        raise typer.Exit(2)


@app.command()
def groups(
    tables: Annotated[str, typer.Option(help="Names, by commas.")] = ",".join(
        grouping.CONFIRMED_BY
    ),
    seeds: Annotated[str, typer.Option(help="By commas.")] = "0,1",
    models: Models = None,
    quick: Quick = False,
    output: Output = None,
) -> None:
    """Plant five families of anomalies in each table, and compare the groups with them."""
    _check_data()
    if quick:
        tables, seeds = "vowels,payments", "0"
    found = grouping.run(
        tuple(tables.split(",")),
        tuple(map(int, seeds.split(","))),
        models,
        100 if quick else None,
        2000 if quick else grouping.MANY,
    )
    _write(found, output)


@app.command()
def verdicts(
    tables: Annotated[str, typer.Option(help="Names, by commas.")] = ",".join(
        reviewing.CONFIRMED_BY
    ),
    seeds: Annotated[str, typer.Option(help="By commas.")] = "0",
    models: Models = None,
    quick: Quick = False,
    output: Output = None,
) -> None:
    """Review a model on ten days: what was excused, what still alarms, what is missed."""
    _check_data()
    if quick:
        tables, seeds = "vowels", "0"
    found = reviewing.run(
        tuple(tables.split(",")), tuple(map(int, seeds.split(","))), models, 100 if quick else None
    )
    _write(found, output)


@app.command()
def watching(
    runs: Annotated[int, typer.Option(help="Simulated years.")] = 10,
    quick: Quick = False,
    output: Output = None,
) -> None:
    """Kill a watch at random moments, follow clean days for years, and shift a column."""
    found = following.run(1, 3, 12, 300) if quick else following.run(runs, 365, 1000)
    _write(found, output)


def _write(results: list[dict], output: Path | None) -> None:
    if output is not None:
        output.write_text(json.dumps({"machine": machine_facts(), "results": results}, indent=2))


if __name__ == "__main__":
    app()
