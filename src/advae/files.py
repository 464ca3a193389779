"""Which files are meant, and what formats their extensions stand for."""

import glob
import os
from collections.abc import Sequence
from pathlib import Path

from advae.errors import InputError
from advae.values import quoted

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
}
TEXT_FORMATS = ("csv", "ndjson")
"""Formats that do not say the types of their columns; they may be compressed with gzip."""


def expand_paths(data: Data) -> tuple[Path, ...]:
    """Return the files that a path, a pattern or a list of them stands for.

    Raises
    ------
    InputError
        For a folder, a missing file, a pattern without a match, or an empty list.
    """
    if not isinstance(data, str | os.PathLike):
        if not data:
            raise InputError("the list of files is empty. Name at least one file.")
        return tuple(path for item in data for path in expand_paths(item))
    path = Path(data)
    if path.is_dir():
        raise InputError(f"{path}: this is a folder. Give its files, for instance '{path}/*.csv'.")
    if path.exists():
        return (path,)
    if not glob.has_magic(str(path)):
        raise InputError(f"{path}: no such file. Check the name and the folder.")
    matches = sorted(glob.glob(str(path), recursive=True))  # noqa: PTH207 - may be absolute
    if not matches:
        raise InputError(f"{path}: no file matches this pattern. Check it, and quote it.")
    return tuple(Path(match) for match in matches)


def file_format(path: Path) -> str:
    """Return the format that a file's extension stands for, one of the values of `FORMATS`.

    Raises
    ------
    InputError
        For an extension that stands for none.
    """
    compressed = path.suffix.lower() == ".gz"
    kind = FORMATS.get(Path(path.stem if compressed else path.name).suffix.lower())
    if kind is None or (compressed and kind not in TEXT_FORMATS):
        raise InputError(
            f"{path}: unknown file extension {quoted(path.suffix)}. Known are "
            f"{', '.join(FORMATS)}; text files may end in .gz too."
        )
    return kind
