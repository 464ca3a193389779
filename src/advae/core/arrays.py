"""Shape-annotated array aliases, and the axis names used throughout.

``rows``: table rows or the rows of a batch. ``columns``: encoded columns, d in the paper.
``latent``: latent variables, k. ``points``: latent noise vectors of the score, L.
``members``: networks of an ensemble. All arrays are float32 unless a docstring says otherwise.

Outside the networks an array has a row for each row of the table. Inside them, from a batch to its
losses and the gradients of the weights, it has a column for each (`ColumnsByRows`, `LatentByRows`):
rows are many and fill the vectors of a processor, latent variables and the columns of a table are
few. On a CPU that makes an iteration of narrow networks a third shorter.
"""

from typing import Any, TypeAlias

import jax
import numpy as np
from jaxtyping import Array, Float

Vector: TypeAlias = Float[Array, "rows"]
Matrix: TypeAlias = Float[Array, "rows columns"]
ColumnsByRows: TypeAlias = Float[Array, "columns rows"]
LatentByRows: TypeAlias = Float[Array, "latent rows"]
Points: TypeAlias = Float[Array, "points latent"]
Scalar: TypeAlias = Float[Array, ""]
HostVector: TypeAlias = Float[np.ndarray, "rows"]
HostMatrix: TypeAlias = Float[np.ndarray, "rows columns"]


def shape_of(shape: tuple[int, ...], dtype: Any) -> Any:
    """Return what stands for an array where only its shape and type are known."""
    return jax.ShapeDtypeStruct(shape, dtype)  # type: ignore[no-untyped-call]
