"""advae watch."""

import json
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from advae.cli import console, outlets
from advae.cli.reading import reads
from advae.cli.shared import Interrupt, Json, Model, Query, Quiet, interruptible, load_model
from advae.display.text import count, number, share
from advae.errors import InputError

if TYPE_CHECKING:
    from advae.detector.detector import Detector
    from advae.files.options import ReadOptions
    from advae.files.sql import Database
    from advae.watching.outlets import Outlet
    from advae.watching.sources import Source
    from advae.watching.state import Batch
    from advae.watching.watch import Outcome, Watch

NEW_ALARMS, NEW_DRIFT = 4, 5
"""Exit codes where there are new alarms, and where drift was found."""

UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


@reads
def watch(
    model: Model,
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="Folder, or quoted glob, of files; or the address of a database.",
        ),
    ],
    state: Annotated[
        Path, typer.Option(metavar="FILE", help="What was scored, kept from run to run.")
    ],
    every: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Look again after this time, such as 30s, 5m or 1h."),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER|TABLE|URL",
            help="Where alarms go: a folder, a table of the database, or a web address; standard "
            "output if not given.",
        ),
    ] = None,
    query: Query = None,
    since: Annotated[
        str | None,
        typer.Option(metavar="COL", help="Column of the query whose values grow from row to row."),
    ] = None,
    keep: Annotated[
        list[str] | None, typer.Option(metavar="COL", help="Column to carry along with alarms.")
    ] = None,
    explain: Annotated[
        int, typer.Option(metavar="K", min=0, help="Name the K columns that contributed most.")
    ] = 3,
    as_json: Json = False,
    quiet: Quiet = False,
    *,
    reading: "ReadOptions",
) -> None:
    """Score what is new of SOURCE since the last run, and tell each alarm once.

    Exit codes: 0 nothing new; 4 new alarms; 5 drift was found, with or without them; 2 errors.
    """
    from advae.tables.frames import check_free
    from advae.tensorfile import fingerprint
    from advae.watching.state import alone
    from advae.watching.watch import Watch

    pause = None if every is None else _seconds(every)
    if as_json and to is None:
        check_free(keep or [], ["event"])
    with alone(state), interruptible() as interrupt:
        detector = load_model(model)
        rows, database = _source(
            source, query, since, detector, keep or [], reading, (state, model)
        )
        outlet = _outlet(to, database, rows, as_json)
        if to is None:
            outlets.write_utf8()
        watching = Watch(
            *(detector, fingerprint(model.read_bytes()), rows, outlet, state),
            keep=keep or [],
            explain=explain,
            say=console.remark,
        )
        if pause is None:
            code = _tell(watching.run(), as_json, quiet)
        else:
            code = _again_and_again(watching, pause, interrupt, as_json, quiet)
    if code:
        raise typer.Exit(code)


def _again_and_again(
    watching: "Watch", pause: float, interrupt: Interrupt, as_json: bool, quiet: bool
) -> int:
    """Run until a signal; one that comes during a run waits for its end."""
    try:
        while True:
            interrupt.deferred = True
            try:
                _tell(watching.run(), as_json, quiet)
            except InputError as error:  # a database or a web address may be there the next time
                console.remark(str(error))
            if interrupt.requested:
                return 0
            interrupt.deferred = False
            time.sleep(pause)
    except KeyboardInterrupt:
        return 0


def _seconds(text: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text.strip())
    seconds = float(found[1]) * UNITS[found[2]] if found else 0.0
    if not seconds:
        raise InputError(f"--every is {text}; expected a time, such as 30s, 5m, 1h or 1d.")
    return seconds


def _source(
    data: str,
    query: str | None,
    since: str | None,
    detector: "Detector",
    keep: list[str],
    reading: "ReadOptions",
    others: Sequence[Path],
) -> "tuple[Source, Database | None]":
    from advae.cli.shared import open_database
    from advae.watching.sources import Files, Rows

    database = open_database(data, query)
    if database is None:
        if since is not None:
            raise InputError("--since names a column of a --query; files are new or they are not.")
        return Files(data, detector, keep, reading, others), None
    if since is None:
        raise InputError(
            "a database is watched by a column whose values grow from row to row, such as a "
            "running number. Add --since COL."
        )
    return Rows(database, query or "", since, detector, keep), database


def _outlet(
    to: str | None, database: "Database | None", source: "Source", as_json: bool
) -> "Outlet":
    from advae.watching.outlets import Folder, Table, Webhook
    from advae.watching.sources import Files

    if to is None:
        return _Lines(as_json)
    if re.match(r"https?://", to):
        return Webhook(to)
    if database is not None and "/" not in to:
        return Table(database, to)
    folder = Folder(Path(to))
    if isinstance(source, Files) and any(
        path.parent.resolve() == folder.path.resolve() for path in source.paths
    ):
        raise InputError(f"--to {to} is a folder of SOURCE. Write alarms to another one.")
    return folder


class _Lines:
    """Alarms as lines on standard output: a killed run may have told some that come again."""

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json

    def deliver(self, batches: "Sequence[Batch]") -> None:
        """Print them."""
        for batch in batches:
            for alarm in batch.alarms:
                if self._as_json:
                    print(json.dumps({"event": "alarm"} | alarm))  # noqa: T201
                    continue
                why = alarm.get("reason_1")
                said = f": {why} {alarm['reason_1_observed']}" if why else ""
                text = f"{batch.source}, row {alarm['row']}: {number(alarm['anomaly_score'])}{said}"
                print(console.printable(text))  # noqa: T201
        sys.stdout.flush()


def _tell(found: "Outcome", as_json: bool, quiet: bool) -> int:
    """Say what a run found; return its exit code."""
    from advae.watching.drift import sentences

    if as_json:
        for drift in found.drifts:
            print(json.dumps({"event": "drift"} | asdict(drift)))  # noqa: T201
        for sentence in found.advice:
            print(json.dumps({"event": "advice", "what": sentence}))  # noqa: T201
        counts = {name: getattr(found, name) for name in ("rows", "flagged", "sources", "alarms")}
        print(json.dumps({"event": "run"} | counts | {"problems": found.problems}))  # noqa: T201
        sys.stdout.flush()
    else:
        for sentence in [*(f"drift: {each}" for each in sentences(found.drifts)), *found.advice]:
            console.remark(sentence)
    for problem in found.problems:
        console.remarks().print(f"[red]error[/] {console.escape(problem)}")
    if not (quiet or as_json):
        part = share(found.flagged / found.rows) if found.rows else "none"
        console.remarks().print(
            f"{count(found.rows, 'new row')} in {count(found.sources, 'source')}, "
            f"{found.flagged:,} flagged ({part}); {count(found.alarms, 'alarm')} told"
        )
    if found.problems:
        return 2
    if found.drifts:
        return NEW_DRIFT
    return NEW_ALARMS if found.alarms else 0
