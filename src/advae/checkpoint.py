"""Where an interrupted training stood, on disk, so that it can go on to the same result."""

from pathlib import Path
from typing import Any

from advae import tensorfile
from advae.config import VARIANTS, Config
from advae.errors import ModelFileError
from advae.held_out import HELD_OUT
from advae.leaves import named_leaves, replace_leaves
from advae.networks import Sizes
from advae.steps import term_names
from advae.training import Snapshot, state_shapes

_KIND = "checkpoint"


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


def load(path: Path, config: Config, sizes: Sizes, fingerprint: str) -> Snapshot:
    """Return the training that ``save`` wrote.

    Parameters
    ----------
    path
        The checkpoint.
    config, sizes
        Settings and network sizes of the training that is to go on.
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
            "cannot go on with these; fit without --resume to start again"
        )
    history = record["history"]
    expected = {"iteration", *term_names(VARIANTS[config.variant])}
    if history.keys() - {HELD_OUT} != expected:
        raise ModelFileError(f"checkpoint {path} has a foreign history; fit without --resume")
    state = state_shapes(sizes, config)
    best = state.model if config.patience and HELD_OUT in history else None
    found: dict[str, Any] = replace_leaves({"state": state, "best": best}, arrays, path)
    return Snapshot(record["iteration"], (found["state"],), history, found["best"])
