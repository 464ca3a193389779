"""The arrays of a tree by name, as files hold them, and back."""

from pathlib import Path
from typing import TypeVar

import jax
import numpy as np

from advae.errors import ModelFileError

Tree = TypeVar("Tree")


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
    found: list[np.ndarray] = []
    for leaf_path, leaf in leaves:
        name = _name(leaf_path)
        array = arrays.get(name)
        if array is None or array.shape != leaf.shape or array.dtype != leaf.dtype:
            have = "missing" if array is None else f"{array.dtype}{list(array.shape)}"
            raise ModelFileError(
                f"{path}: array {name!r} is {have}, expected {leaf.dtype}{list(leaf.shape)}; "
                "the file is damaged or was edited"
            )
        found.append(array)
    tree: Tree = jax.tree_util.tree_unflatten(structure, found)
    return tree


def _name(path: tuple[object, ...]) -> str:
    return jax.tree_util.keystr(path, simple=True, separator=".")
