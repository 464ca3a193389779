"""Array types with shapes, the names of axes, and the arrays of a tree by name.

``rows``: table rows or the rows of a batch. ``columns``: encoded columns, d in the paper.
``latent``: latent variables, k. ``points``: latent noise vectors of the score, L.
``members``: networks of an ensemble. All arrays are float32 unless a docstring says otherwise.

Outside the networks an array has a row for each row of the table. Inside them, from a batch to its
losses and the gradients of the weights, it has a column for each (`ColumnsByRows`, `LatentByRows`):
rows are many and fill the vectors of a processor, latent variables and the columns of a table are
few. On a CPU that makes an iteration of narrow networks a third shorter.
"""

from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import jax
import numpy as np
from jaxtyping import Array, Float

from advae.errors import ModelFileError

Vector: TypeAlias = Float[Array, "rows"]
Matrix: TypeAlias = Float[Array, "rows columns"]
ColumnsByRows: TypeAlias = Float[Array, "columns rows"]
LatentByRows: TypeAlias = Float[Array, "latent rows"]
Points: TypeAlias = Float[Array, "points latent"]
Scalar: TypeAlias = Float[Array, ""]
HostVector: TypeAlias = Float[np.ndarray, "rows"]
HostMatrix: TypeAlias = Float[np.ndarray, "rows columns"]

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


def shape_of(shape: tuple[int, ...], dtype: Any) -> Any:
    """Return what stands for an array where only its shape and type are known."""
    return jax.ShapeDtypeStruct(shape, dtype)  # type: ignore[no-untyped-call]
