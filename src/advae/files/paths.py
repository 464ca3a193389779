"""Which files are meant, and what formats their extensions stand for."""

import glob
import os
import re
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator, Sequence, Set
from pathlib import Path

from advae.errors import InputError, quoted

Data = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


FORMATS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".parquet": "parquet",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".arrow": "arrow",
    ".ipc": "arrow",
    ".feather": "arrow",
    ".xlsx": "workbook",
    ".xlsm": "workbook",
    ".xlsb": "workbook",
    ".xls": "workbook",
    ".ods": "workbook",
}
COMPRESSED = (".gz", ".zst", ".zstd")
ADVICE = {
    **dict.fromkeys((".zip", ".bz2", ".xz", ".7z", ".tar", ".tgz", ".rar"), "Unpack it."),
    ".json": "Write one object a line, and call it .ndjson.",
}
"""What to do about some files of other extensions."""

BEGINNINGS = {
    b"PK\x03\x04": "a ZIP archive, or a workbook. Unpack it, or let its name end in .xlsx or .ods",
    b"BZh": "compressed with bzip2. Unpack it",
    b"\xfd7zXZ": "compressed with xz. Unpack it",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook. Let its name end in .xls",
    b"PAR1": "a Parquet file. Let its name end in .parquet",
    b"ARROW1": "an Arrow file. Let its name end in .arrow",
    b"FEA1": "a Feather file of the first version. Write it as Parquet",
    b"SQLite format 3": "an SQLite database. Read a table of it in Python, or export it as CSV",
}
"""What a file is by its first bytes, and what to do when its name says something else."""

TEXT_FORMATS = ("csv", "ndjson")
"""Formats that do not say the types of their columns; they may be compressed."""


def expand_paths(data: Data) -> tuple[Path, ...]:
    """Return the files that a path, a pattern or a list of them stands for.

    Raises
    ------
    InputError
        For a folder, a pipe or device, a missing file, a pattern without a match, an empty list,
        what is no path, such as an open file, or a name that is not UTF-8.
    """
    if not isinstance(data, str | os.PathLike):
        # An open file would go on to its lines, and bytes to numbers.
        several = isinstance(data, Sequence | Set | Iterator) and not hasattr(data, "read")
        if not several or isinstance(data, bytes):
            raise InputError(
                f"expected the names of files, not {type(data).__name__}. Give a path, a pattern, "
                "or a list of either."
            )
        found = tuple(path for item in data for path in expand_paths(item))
        if not found:
            raise InputError("the list of files is empty. Name at least one file.")
        return found
    if data == STANDARD_INPUT:
        return (standard_input(),)
    path = Path(data)
    found = matching_paths(path)
    if found == (path,) and path.is_dir():
        raise InputError(f"{path}: this is a folder. Give its files, for instance '{path}/*.csv'.")
    if not found and not glob.has_magic(str(path)):
        raise InputError(f"{path}: no such file. Check the name and the folder.")
    if not found:
        raise InputError(f"{path}: no file matches this pattern. Check it, and quote it.")
    for each in found:
        _check_name(each)
        _check_kind(each)
    return found


def matching_paths(data: str | os.PathLike[str]) -> tuple[Path, ...]:
    """Return what a path or a pattern stands for, in the order of the names; maybe nothing.

    Raises
    ------
    InputError
        For a name that no file can have.
    """
    path = Path(data)
    try:
        if path.exists():
            return (path,)
        names = glob.glob(str(path), recursive=True)  # noqa: PTH207 - may be absolute
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}.") from None
    return tuple(Path(name) for name in sorted(names))


STANDARD_INPUT = "-"
"""Stands for standard input where a path is asked for."""


def standard_input() -> Path:
    """Write standard input to a temporary file, which a table needs that is read more than once.

    Its format is told from its first bytes; text that does not begin with "{" is delimited.
    """
    data = sys.stdin.buffer
    # Opened once more by its name, and gone with the process in any case.
    folder = tempfile.TemporaryDirectory(prefix="advae-")
    _FOLDERS.append(folder)
    path = Path(folder.name) / "standard input"
    with path.open("wb") as stream:
        shutil.copyfileobj(data, stream)
    with path.open("rb") as stream:
        beginning = stream.read(64)
    kinds = {b"PAR1": ".parquet", b"ARROW1": ".arrow", b"PK\x03\x04": ".xlsx"}
    found = (extension for mark, extension in kinds.items() if beginning.startswith(mark))
    text = ".ndjson" if beginning.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{") else ".csv"
    return path.rename(path.with_name(f"{path.name}{next(found, text)}"))


_FOLDERS: list[tempfile.TemporaryDirectory[str]] = []


def as_given(text: str) -> str:
    """Return a message with the temporary files of standard input under that name."""
    for folder in _FOLDERS:
        text = re.sub(re.escape(folder.name) + r"/(standard input)\.\w+", r"\1", text)
    return text


def forget_standard_input() -> None:
    """Remove its temporary files, in a process that will not end as others do."""
    for folder in _FOLDERS:
        folder.cleanup()


def _check_name(path: Path) -> None:
    try:
        str(path).encode()
    except UnicodeEncodeError:  # Polars takes no such names
        raise InputError(
            f"{str(path)!r}: the name of this file, or of a folder in it, is not UTF-8. Rename it."
        ) from None


def _check_kind(path: Path) -> None:
    try:
        mode = path.stat().st_mode
    except OSError:
        return  # said where it is read
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise InputError(
            f"{path}: this is a pipe, a device or a socket, and a table is read more than once. "
            "Write it to a file first."
        )


def file_format(path: Path) -> str:
    """Return the format that a file's extension stands for, one of the values of `FORMATS`.

    Raises
    ------
    InputError
        For an extension that stands for none.
    """
    compressed = path.suffix.lower() in COMPRESSED
    kind = FORMATS.get(Path(path.stem if compressed else path.name).suffix.lower())
    if kind is None or (compressed and kind not in TEXT_FORMATS):
        raise InputError(
            f"{path}: unknown file extension {quoted(path.suffix)}. Known are "
            f"{', '.join(FORMATS)}; text files may be compressed with gzip or Zstandard. "
            + ADVICE.get(path.suffix.lower(), "Convert the file, or rename it.")
        )
    return kind


def described(beginning: bytes, kind: str) -> str | None:
    """Say what a file is that is not of the format its name stands for; None where unknown."""
    for mark, what in BEGINNINGS.items():
        if beginning.startswith(mark):
            return None if what.endswith(f".{kind}") else what
    written = beginning.isascii() and "".join(beginning.decode().split()).isprintable()
    if kind not in TEXT_FORMATS and written:
        return "text. Let its name end in .csv, .tsv or .ndjson"
    return None
