"""Text files as streams of UTF-8, whatever they are compressed with and encoded in."""

import codecs
import contextlib
import gzip
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from advae.errors import InputError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

BLOCK_BYTES = 1 << 22

LONGEST_ROW = 1 << 24
"""Bytes of UTF-8 that a row of a text file may take. A line that never ends, or a quote, would else
take the memory: a compressed file of a few megabytes can hold gigabytes."""

GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


class TextStream:
    """The text of a file as UTF-8 without a byte order mark; a context manager.

    Parameters
    ----------
    path
        A file of text, as it is or compressed with gzip or Zstandard.
    encoding
        As the user says, or None: as the byte order mark says, or UTF-8.
    """

    def __init__(self, path: Path, encoding: str | None = None) -> None:
        self._path = path
        with path.open("rb") as stream:
            beginning = stream.read(4)
        self._stream: IO[bytes] | Any = None
        if beginning.startswith(GZIP):
            self._stream = gzip.open(path)  # noqa: SIM115 - closed with the stream
        elif beginning.startswith(ZSTD):
            self._stream = zstd.open(path)
        else:
            self._stream = path.open("rb")
        self._ahead = self._raw(4)
        marked = next((m for m in BYTE_ORDER_MARKS if self._ahead.startswith(m[0])), None)
        self.encoding = codecs.lookup(encoding or (marked[1] if marked else "utf-8")).name
        if marked and not self.encoding.startswith(marked[1]):
            self._stream.close()
            raise InputError(
                f"{path}: line 1 begins with the mark of {marked[1]}, but the encoding is said to "
                f"be {self.encoding}. Name the one of this file."
            )
        if marked:
            self.encoding = marked[1]
        self._line = 1
        if self.encoding in ("utf-8", "utf-8-sig"):
            self.encoding = "utf-8"
            self._ahead = self._ahead.removeprefix(codecs.BOM_UTF8)
        self._decoder = (
            None
            if self.encoding == "utf-8"
            else codecs.getincrementaldecoder(self.encoding)(errors="strict")
        )

    def __enter__(self) -> "TextStream":
        """Return the stream."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self._stream.close()

    def read(self, size: int) -> bytes:
        """Return about so many bytes more, none at the end; UTF-8 may be cut within a character.

        Raises
        ------
        InputError
            For a damaged or a binary file, or text in another encoding.
        """
        data, text = b"", ""
        while not text:  # a few bytes may be no whole character yet
            data = self._ahead + self._raw(size)
            self._ahead = b""
            if self._decoder is None or not data:
                break
            text = self._decoded(data, last=False)
        if self._decoder is not None:
            data = (text or self._decoded(b"", last=True)).encode()
        if b"\0" in data:
            raise InputError(f"{self._path}: this is a binary file, not text. Give a text file.")
        return data

    def _decoded(self, data: bytes, *, last: bool) -> str:
        assert self._decoder is not None
        try:
            text = self._decoder.decode(data, last)
            self._line += text.count("\n")
            return text
        except UnicodeError as error:
            line = self._line
            if isinstance(error, UnicodeDecodeError):
                line += error.object[: error.start].decode(error.encoding, "replace").count("\n")
            raise InputError(
                f"{self._path}: line {line} is not written in {self.encoding}. Name the encoding "
                "of the file."
            ) from None

    def _raw(self, size: int) -> bytes:
        try:
            return bytes(self._stream.read(size))
        except OSError as error:
            if error.errno is not None:
                raise
            raise self._damaged() from None
        except (EOFError, zlib.error, zstd.ZstdError):
            raise self._damaged() from None

    def _damaged(self) -> InputError:
        return InputError(f"{self._path}: the compressed file is damaged. Make or fetch it again.")


def too_long(path: Path, line: int) -> InputError:
    """Say that the row that begins in a line is longer than `LONGEST_ROW`."""
    return InputError(
        f"{path}: the row that begins in line {line} takes more than {LONGEST_ROW >> 20} MiB, "
        "which no row may. Shorten it, end its line, or close a quote that it opens."
    )


@contextlib.contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn what the system says of a file that cannot be read into an `InputError`."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"{path}: cannot be read: {reason}.") from None


def decoded(data: bytes, path: Path, line: int) -> str:
    """Return text; `InputError` with the line where it is not UTF-8, ``line`` being its first."""
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line += data.count(b"\n", 0, error.start)
        raise InputError(
            f"{path}: line {line} is not UTF-8 text. Save the file in UTF-8, or name its encoding."
        ) from None
