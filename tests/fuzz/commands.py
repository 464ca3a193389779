"""A command of advae in this process: how it ended, and what of that is a fault."""

import contextlib
import io
import os
import re
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

from advae.cli import main

ASIDE = ("note ", "learning ", "training ")
"""How lines begin that standard error may have beside that of an error; a summary needs none."""

RAW = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""What a terminal obeys and does not show."""


@dataclass
class Ended:
    """How a command ended.

    Attributes
    ----------
    code, out, err
        As a shell sees them.
    low
        What came to standard error past Python, as of a panic.
    seconds
        What it took of the processors, however busy they were with other things.
    megabytes
        The most memory that it took more than the process had before.
    """

    code: int
    out: str
    err: str
    low: str
    seconds: float
    megabytes: float

    @property
    def errors(self) -> list[str]:
        """The lines of standard error, but for progress and notes."""
        return [line for line in self.err.splitlines() if not line.startswith(ASIDE)]

    @property
    def fault(self) -> str:
        """What is wrong with how it ended: it is to be 0, or 2 and one line; "" for nothing."""
        said = f"{self.err[-3000:]}{self.low[-3000:]}"
        if self.code not in (0, 2):
            return f"ends with {self.code}: {said}"
        several = len(self.errors) != 1 if self.code else "Traceback" in self.err
        if several or self.low:
            return f"ends with {self.code}, and says: {said}"
        if raw := RAW.search(self.out + self.err):
            return f"shows {raw[0]!r} raw"
        return ""


def command(*words: object) -> Ended:
    """Run a command in this process."""
    out, err = io.StringIO(), io.StringIO()
    before, begun, code = _megabytes("VmRSS"), time.process_time(), 0
    _forget_peak()
    with (
        patch.object(sys, "argv", ["advae", *map(str, words)]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        _past_python() as low,
    ):
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
        except BaseException:  # no command is to end so
            code = -1
            err.write(traceback.format_exc())
    taken = _megabytes("VmHWM") - before
    seconds = time.process_time() - begun
    return Ended(code, out.getvalue(), err.getvalue(), low[0], seconds, max(0.0, taken))


@contextlib.contextmanager
def _past_python() -> Iterator[list[str]]:
    """Collect what is written to file 2."""
    said, kept = [""], os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield said
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            file.seek(0)
            said[0] = file.read().decode(errors="replace")


def _megabytes(name: str) -> float:
    found = re.search(rf"{name}:\s*(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


def _forget_peak() -> None:
    """Begin the most memory anew, where the system lets a process do so."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
