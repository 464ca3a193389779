"""Files of named arrays and one JSON record: safetensors underneath, checksummed, written whole.

Nothing in such a file can run. Reading one needs no JAX.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as to_bytes

from advae.atomic import replacing
from advae.errors import ModelFileError

FORMAT_VERSION = 7
"""Of what is written in records and arrays. Files of another version are refused."""

LARGEST_FILE = 4 * 2**30
"""Bytes. A larger file is refused unread: no table model comes near it."""

_KEY = "advae"


def write(path: Path, record: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays and a JSON record as one file, the same bytes for the same content.

    The record says under ``kind`` what the file is, such as ``"model"``.
    """
    record = {"format_version": FORMAT_VERSION} | dict(record)
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    text = json.dumps({"record": record, "checksum": _checksum(record, arrays)}, sort_keys=True)
    with replacing(path) as stream:
        stream.write(to_bytes(arrays, metadata={_KEY: text}))


def read(path: str | Path, kind: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return the record and the arrays of a file, after checking its checksum.

    Parameters
    ----------
    path
        The file.
    kind
        What it should be, for messages: ``"model"``.

    Raises
    ------
    ModelFileError
        If it is missing, too large, damaged, altered, of a later version, or not such a file.
    """
    path = Path(path)
    envelope = _envelope(path, kind)
    record = envelope["record"]
    try:
        with safe_open(path, framework="numpy") as content:
            arrays = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, TypeError) as error:
        raise ModelFileError(f"{path} is damaged: {error}. Restore it or fit again.") from None
    if envelope.get("checksum") != _checksum(record, arrays):
        raise ModelFileError(
            f"{path} was altered or damaged after it was written: its checksum does not match. "
            "Restore it or fit again."
        )
    found = record.get("format_version")
    if not isinstance(found, int) or isinstance(found, bool) or found < 1:
        raise ModelFileError(f"{path} has no valid format version. Restore it or fit again.")
    if found < FORMAT_VERSION:
        raise ModelFileError(
            f"{path} has format version {found}, of an advae before the first release; this one "
            f"reads {FORMAT_VERSION}. Fit again."
        )
    if found > FORMAT_VERSION:
        raise ModelFileError(
            f"{path} has format version {found}, this advae reads up to {FORMAT_VERSION}. "
            "Upgrade advae."
        )
    return record, arrays


def is_bundle(path: str | Path) -> bool:
    """Return whether a file looks like a bundle, which has such files in it."""
    try:
        with Path(path).open("rb") as stream:
            return stream.read(4) == b"PK\x03\x04"
    except OSError:
        return False


def is_single(path: str | Path) -> bool:
    """Return whether a file looks like a single model; `read` tells whether it is sound."""
    try:
        _envelope(Path(path), "model")
    except ModelFileError:
        return False
    return True


def check_single(path: str | Path) -> None:
    """Refuse a bundle where a single model is needed.

    Raises
    ------
    ModelFileError
        It says what reads a bundle.
    """
    if is_bundle(path):
        raise ModelFileError(
            f"{path} has a model for each segment. advae.load_bundle reads it and gives each model."
        )


def fingerprint(content: bytes) -> str:
    """Return 16 hexadecimal digits that tell a file from others, by its bytes."""
    return hashlib.sha256(content).hexdigest()[:16]


def _envelope(path: Path, kind: str) -> dict[str, Any]:
    try:
        status = path.stat()
    except FileNotFoundError:
        raise ModelFileError(f"{kind} file {path} does not exist. Check the path.") from None
    except OSError as error:
        raise ModelFileError(f"cannot read {kind} file {path}: {error.strerror}") from None
    if not path.is_file():
        raise ModelFileError(f"{path} is not a file. Give the path of an advae {kind} file.")
    size = status.st_size
    if size > LARGEST_FILE:
        raise ModelFileError(
            f"{path} has {size} bytes, more than the {LARGEST_FILE} that an advae {kind} file "
            "can have. Check the path."
        )
    foreign, advice = f"{path} is not an advae {kind} file", "Give a file that advae wrote."
    try:
        with safe_open(path, framework="numpy") as content:
            metadata = content.metadata() or {}
    except PermissionError:
        raise ModelFileError(f"no permission to read {path}") from None
    except (SafetensorError, OSError) as error:
        raise ModelFileError(f"{foreign}, or is cut short ({error}). {advice}") from None
    try:
        envelope: dict[str, Any] = json.loads(metadata[_KEY])
        if isinstance(envelope["record"], dict) and envelope["record"]["kind"] == kind:
            return envelope
    except (KeyError, TypeError, ValueError, RecursionError):
        pass
    raise ModelFileError(f"{foreign}. {advice}")


def _checksum(record: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256(json.dumps(record, sort_keys=True).encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
