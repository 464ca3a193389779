"""What a watch remembers between two runs: one small file, whole or not at all."""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from advae.atomic import replacing, target_of
from advae.errors import InputError

VERSION = 1
"""Of the content. Files of another version are refused."""

MOST_DAYS = 1000
"""Days that are kept for the report."""


@dataclass
class Seen:
    """A file that was met.

    Attributes
    ----------
    size, changed
        In bytes, and when it was changed, in nanoseconds, when it was read.
    fingerprint
        Of its content then.
    identity
        Of the content that its first rows were read from; a file that grows keeps it.
    rows
        Rows that were scored.
    whole
        Whether these are all.
    """

    size: int
    changed: int
    fingerprint: str
    identity: str
    rows: int
    whole: bool


@dataclass
class Batch:
    """Alarms on their way out, with a key that is the same however often they are sent.

    Attributes
    ----------
    key
        Of the source, its rows and the model.
    source
        The file, or the address of the database.
    model
        Fingerprint of the model.
    alarms
        Columns and values of each alarm.
    """

    key: str
    source: str
    model: str
    alarms: list[dict[str, Any]]


@dataclass
class Day:
    """What was scored on a day: its date in UTC, rows, flagged ones, and the share expected."""

    day: str
    rows: int
    flagged: int
    expected: float | None


@dataclass
class State:
    """Where a watch is.

    Attributes
    ----------
    source
        What it watches, in words.
    model
        Fingerprint of the model that scored last; empty before.
    files
        Files that were met, by their paths.
    position
        Of a database, the greatest value of the column; None before the first row.
    outbox
        Alarms that may not have been delivered.
    evidence
        What `advae.watching.drift.Evidence.to_json` gave.
    days
        The days so far, the latest last.
    drifts
        What was found to have changed, by all models so far.
    """

    source: str
    model: str = ""
    files: dict[str, Seen] = field(default_factory=dict)
    position: Any = None
    outbox: list[Batch] = field(default_factory=list)
    evidence: dict[str, Any] | None = None
    days: list[Day] = field(default_factory=list)
    drifts: list[dict[str, Any]] = field(default_factory=list)

    def count(self, day: str, rows: int, flagged: int, expected: float | None) -> None:
        """Add the rows of a batch to those of its day."""
        if not self.days or self.days[-1].day != day:
            self.days = [*self.days, Day(day, 0, 0, expected)][-MOST_DAYS:]
        self.days[-1].rows += rows
        self.days[-1].flagged += flagged
        self.days[-1].expected = expected

    def save(self, path: Path) -> None:
        """Write it, with a checksum; the file is the old one or the new one at every moment."""
        body = json.dumps(asdict(self), sort_keys=True)
        record = {"kind": "advae watch", "version": VERSION, "checksum": _checksum(body)}
        with replacing(path) as stream:
            stream.write(f'{json.dumps(record)[:-1]}, "state": {body}}}\n'.encode())


def load(path: Path) -> State | None:
    """Return what a watch remembers; None if there is no such file yet.

    Raises
    ------
    InputError
        If the file is damaged, of another version, or no state of a watch.
    """
    advice = "Restore it, or name another file: then all rows are new."
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}. {advice}") from None
    try:
        data = json.loads(content)
        if data["kind"] != "advae watch":
            raise ValueError("it is another kind of file")
        version, body = data["version"], data["state"]
        if version == VERSION:
            if data["checksum"] != _checksum(json.dumps(body, sort_keys=True)):
                raise ValueError("its checksum does not match")
            return State(
                **body
                | {
                    "files": {name: Seen(**each) for name, each in body["files"].items()},
                    "outbox": [Batch(**each) for each in body["outbox"]],
                    "days": [Day(**each) for each in body["days"]],
                }
            )
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        reason = (
            str(error).splitlines()[0] if isinstance(error, ValueError) else "parts are missing"
        )
        raise InputError(
            f"{path}: damaged, or no state that advae watch wrote ({reason}). {advice}"
        ) from None
    raise InputError(
        f"{path}: the state has version {version}, this advae reads {VERSION}. Use the advae that "
        "wrote it, or name another file: then all rows are new."
    )


def _checksum(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Keep other runs away from a state file; a run that dies lets it go.

    Raises
    ------
    InputError
        If another run has it, or the file could not be written.
    """
    target = target_of(path)
    lock = target.with_name(f".{target.name[:40]}.lock")
    try:
        handle = os.open(lock, os.O_CREAT | os.O_RDWR, 0o600)
    except OSError as error:
        raise InputError(f"cannot write {lock}: {error.strerror}. Choose another place.") from None
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"{path}: another advae watch is using this state. Wait for it, or stop it."
            ) from None
        yield
    finally:
        os.close(handle)
