"""Where an interrupted training stood, on disk, so that it can go on to the same result."""

from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np
from jaxtyping import Array

from advae import tensorfile
from advae.config import VARIANTS, Config
from advae.errors import ModelFileError
from advae.held_out import HELD_OUT
from advae.networks import Sizes
from advae.steps import term_names
from advae.training import Snapshot, state_shapes

_KIND = "checkpoint"
Tree = TypeVar("Tree")


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


def named_leaves(tree: object) -> dict[str, np.ndarray]:
    """Return the arrays of a tree by their path, ``model.encoder.layers.0.weight``."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {_name(path): np.asarray(leaf) for path, leaf in leaves}


def replace_leaves(template: Tree, arrays: dict[str, np.ndarray], path: Path) -> Tree:
    """Return ``template`` with its leaves taken from ``arrays``, which must match in shape.

    Raises
    ------
    ModelFileError
        If an array is missing, or has another shape or type.
    """
    leaves, structure = jax.tree_util.tree_flatten_with_path(template)
    found: list[Array] = []
    for leaf_path, leaf in leaves:
        name = _name(leaf_path)
        array = arrays.get(name)
        if array is None or array.shape != leaf.shape or array.dtype != leaf.dtype:
            have = "missing" if array is None else f"{array.dtype}{list(array.shape)}"
            raise ModelFileError(
                f"{path}: array {name!r} is {have}, expected {leaf.dtype}{list(leaf.shape)}; "
                "the file is damaged or was edited"
            )
        found.append(jax.numpy.asarray(array))
    tree: Tree = jax.tree_util.tree_unflatten(structure, found)
    return tree


def _name(path: tuple[object, ...]) -> str:
    return jax.tree_util.keystr(path, simple=True, separator=".")
