"""Standard output and standard error, and what becomes of a command that cannot write to them."""

import io
import os
import sys
from contextlib import suppress
from typing import Any, TextIO, cast

from advae.errors import InputError

NARROWEST = 20
"""Characters in a line that tables can be laid out for."""


def prepare() -> None:
    """Make failing to write results an error, and failing to write remarks none.

    A width in COLUMNS that no table fits in is ignored.

    Raises
    ------
    InputError
        If standard output is closed. The next file opened, such as a model, would take its place,
        and get what is printed.
    """
    if sys.stderr is None:
        sys.stderr = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
    if sys.stdout is None:
        raise InputError("standard output is closed. Leave it open, or send it to /dev/null.")
    if not isinstance(sys.stdout, _Outlet):
        sys.stdout = cast(TextIO, _Results(_writing_all(sys.stdout)))
    if not isinstance(sys.stderr, _Outlet):
        sys.stderr = cast(TextIO, _Remarks(sys.stderr))
    # A name that the encoding of the terminal lacks is no reason to fail.
    _reconfigure(errors="backslashreplace")
    # Rich takes its width from it, and would print nothing.
    columns = os.environ.get("COLUMNS", "")
    if not columns.isdecimal() or int(columns) < NARROWEST:
        os.environ.pop("COLUMNS", None)


def write_utf8() -> None:
    """Make standard output UTF-8, for rows of a table: files are, whatever the terminal is."""
    _reconfigure(encoding="utf-8")


def _reconfigure(**settings: str) -> None:
    with suppress(AttributeError):  # a stream that is no file, in a test or a notebook
        cast(Any, sys.stdout).reconfigure(**settings)


def _writing_all(stream: TextIO) -> TextIO:
    """Return a stream that writes all it is given, or raises an error.

    With PYTHONUNBUFFERED Python's own one forgets what a disk that becomes full did not take.
    """
    if not isinstance(getattr(stream, "buffer", None), io.RawIOBase):
        return stream
    return open(stream.fileno(), "w", 1, stream.encoding, stream.errors, closefd=False)


class _Outlet:
    """A text stream that hands errors of writing to ``_fail``; all else is the stream."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write text; return its length."""
        try:
            self._stream.write(text)
        except OSError as error:
            self._fail(error)
        return len(text)

    def flush(self) -> None:
        """Write what waits to be written."""
        try:
            self._stream.flush()
        except OSError as error:
            self._fail(error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _fail(self, _error: OSError) -> None:
        # What is still in the buffer would fail once more, when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())


class _Results(_Outlet):
    def _fail(self, error: OSError) -> None:
        super()._fail(error)
        if isinstance(error, BrokenPipeError):
            # The reader of our output has gone, as in "advae score ... | head".
            raise SystemExit(0) from None
        raise InputError(
            f"standard output cannot be written: {error.strerror}. Make room, or send it elsewhere."
        ) from None


class _Remarks(_Outlet):
    """Standard error: a command goes on where progress and remarks cannot be written."""
