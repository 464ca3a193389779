"""Where an interrupted training stood, on disk, so that it can go on to the same result."""

import hashlib
import json
import math
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from advae import tensorfile
from advae.config import Config
from advae.core.arrays import HostMatrix, named_leaves, replace_leaves
from advae.core.method import Method
from advae.core.training import Snapshot
from advae.core.validation import VALIDATION_ERROR
from advae.errors import ModelFileError
from advae.tables.encoder import TableEncoder

CHECKPOINT_SECONDS = 2.0
"""Least time between two checkpoints."""

OnBlock = Callable[[Snapshot], None]

_KIND = "checkpoint"


def fingerprint(config: Config, table: TableEncoder, *encoded: HostMatrix) -> str:
    """Return what tells a training from those with other settings, rows or versions."""
    settings = [config.to_json(), table.to_json(), version("advae"), version("jax")]
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for rows in encoded:
        digest.update(rows.tobytes())
    return digest.hexdigest()


def saving(path: Path, fingerprint: str, then: OnBlock | None) -> OnBlock:
    """Return a block handler that writes checkpoints, `CHECKPOINT_SECONDS` or more apart.

    It always writes one after the first and the last block, and when an exception ends training.
    """
    saved = -math.inf

    def on_block(snapshot: Snapshot) -> None:
        nonlocal saved
        try:
            if then is not None:
                then(snapshot)
        except BaseException:
            save(path, snapshot, fingerprint)  # stopped here: lose nothing
            raise
        if snapshot.finished or time.monotonic() - saved >= CHECKPOINT_SECONDS:
            save(path, snapshot, fingerprint)
            saved = time.monotonic()

    return on_block


def save(path: Path, snapshot: Snapshot, fingerprint: str) -> None:
    """Write a checkpoint; the file is the old one or the complete new one at every moment."""
    record = {
        "kind": _KIND,
        "fingerprint": fingerprint,
        "iteration": snapshot.iteration,
        "history": snapshot.history,
    }
    arrays = named_leaves({"state": snapshot.state, "best": snapshot.best})
    tensorfile.write(path, record, arrays)


def load(path: Path, method: Method, config: Config, fingerprint: str) -> Snapshot:
    """Return the training that ``save`` wrote.

    Parameters
    ----------
    path
        The checkpoint.
    method, config
        What is trained, and the settings of the training that is to go on.
    fingerprint
        Of the data and settings of that training.

    Raises
    ------
    ModelFileError
        If the file is damaged, or belongs to other data or settings.
    """
    record, arrays = tensorfile.read(path, _KIND)
    if record.get("fingerprint") != fingerprint:
        raise ModelFileError(
            f"checkpoint {path} comes from other data, settings or versions, so its training "
            "cannot go on with these. Fit without resuming to start again."
        )
    history = record["history"]
    state = method.initial_state(config)
    best = state.model if config.patience and VALIDATION_ERROR in history else None
    found: dict[str, Any] = replace_leaves({"state": state, "best": best}, arrays, path)
    return Snapshot(record["iteration"], (found["state"],), history, found["best"])
