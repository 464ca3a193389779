"""Shape-annotated array aliases, and the axis names used throughout.

``rows``: table rows or the rows of a batch. ``columns``: encoded columns, d in the paper.
``latent``: latent variables, k. ``points``: latent noise vectors of the score, L.
``members``: networks of an ensemble. All arrays are float32 unless a docstring says otherwise.
"""

from typing import TypeAlias

import numpy as np
from jaxtyping import Array, Float

Vector: TypeAlias = Float[Array, "rows"]
Matrix: TypeAlias = Float[Array, "rows columns"]
Latent: TypeAlias = Float[Array, "rows latent"]
Points: TypeAlias = Float[Array, "points latent"]
Scalar: TypeAlias = Float[Array, ""]
HostVector: TypeAlias = Float[np.ndarray, "rows"]
HostMatrix: TypeAlias = Float[np.ndarray, "rows columns"]
