"""What a model file says about itself, read without JAX."""

from pathlib import Path
from typing import Any

from advae import tensorfile
from advae.errors import ModelFileError

FORMAT_VERSION = 4
KIND = "model"


def read_info(path: str | Path) -> dict[str, Any]:
    """Return what a model file says about itself, without running anything.

    Raises
    ------
    ModelFileError
        If the file is missing, damaged, of a later version, or not a model.
    """
    # With the arrays, because the checksum is over both: a damaged record says wrong things.
    record, _ = tensorfile.read(Path(path), KIND)
    check_version(record, Path(path))
    return record


def check_version(record: dict[str, Any], path: Path) -> None:
    """Refuse a record of a version that this advae does not read."""
    found = record.get("format_version")
    if not isinstance(found, int) or isinstance(found, bool) or found < 1:
        raise ModelFileError(f"{path} has no valid format version. Restore it or fit again.")
    if found < FORMAT_VERSION:
        raise ModelFileError(
            f"{path} has format version {found}, written before the first release. Fit again."
        )
    if found > FORMAT_VERSION:
        raise ModelFileError(
            f"{path} has format version {found}, this advae reads up to {FORMAT_VERSION}. "
            "Upgrade advae."
        )
