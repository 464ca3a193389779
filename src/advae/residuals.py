"""What the networks leave unexplained, beside what they leave of normal rows like it.

NOTE[DIFF]: the paper's score is the plain squared norm of the residual, equation (12); the `paper`
preset keeps it. Here

    s(x) = ‖W (x − x̂ − e(x))‖₂ · ‖q(x) − q(n(x))‖₁

The first factor is the paper's residual, with x̂ the mean reconstruction, less the error e(x) that
is to be expected of x: the mean of the errors of training rows, each weighed by its closeness to
x. Networks leave some groups of normal rows worse than others; what they leave of x counts only as
far as it differs from what they leave of rows like it. Far from all training rows nothing is
expected, and the residual counts in full. W undoes the correlations that residuals of training
rows have: errors that usually come together count once, and one that breaks the pattern counts
more. The second factor is the distance to the nearest training row n(x), on columns that q
squashes; `memory` has both. The networks know the dependencies between columns, the rows know the
gaps between the groups of normal rows: each finds anomalies that the others miss. The score is the
geometric mean of two squared norms in units of the training ranges, a squared norm as the paper's
is; it needs no scale for its factors, where a sum does.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from advae._types import HostMatrix, Matrix
from advae.memory import Memory

SHRINKAGE = 0.1
"""Share of the identity in the correlations of residuals: a combination of columns in which
training rows have no residual at all weighs ten times as much as it would by itself."""


class Reference(NamedTuple):
    """What scoring knows of the training rows besides the networks; the paper's knows nothing.

    ``whitening``: W of each member, shape (members, columns, columns); None leaves residuals as
    they are. ``memory``: None expects no error, and leaves out the other factor.
    """

    whitening: Float[Array, "members columns columns"] | Float[np.ndarray, "m c c"] | None = None
    memory: Memory | None = None


def whitening(residuals: Float[np.ndarray, "rows columns"]) -> HostMatrix:
    """Return the symmetric matrix that undoes the correlations of usual residuals.

    The inverse square root of their correlations about 0, shrunk towards the identity by
    `SHRINKAGE`; shape (columns, columns), float32. Columns keep their scale: one that hardly ever
    varies would otherwise weigh so much that its rare other values decide every score.
    """
    r = residuals.astype(np.float64)
    covariance = r.T @ r / len(r)
    spread = np.sqrt(np.diagonal(covariance))
    spread = np.where(spread > 0, spread, 1.0)
    correlations = covariance / np.outer(spread, spread)
    np.fill_diagonal(correlations, 1.0)
    strengths, axes = np.linalg.eigh(correlations)
    strengths = (1 - SHRINKAGE) * np.maximum(strengths, 0.0) + SHRINKAGE
    return np.asarray((axes / np.sqrt(strengths)) @ axes.T, np.float32)


def padded(reference: Reference) -> Reference:
    """Return a reference whose memory has rows of NaN to the next power of two, at least 256.

    So that memories of different sizes share a few compiled programs.
    """
    if reference.memory is None:
        return reference
    rows, errors = np.asarray(reference.memory.rows), np.asarray(reference.memory.errors)
    missing = (0, max(256, 1 << (len(rows) - 1).bit_length()) - len(rows)), (0, 0)
    memory = reference.memory._replace(
        rows=np.pad(rows, missing, constant_values=np.nan), errors=np.pad(errors, missing)
    )
    return reference._replace(memory=memory)


def geometric_mean(*factors: Matrix) -> Matrix:
    """Return by column the geometric mean of squared norms, given the squares that add up to each.

    A column's part is the mean of its shares of the sums, in units of the whole: nothing is
    negative, and the parts add up to the whole.
    """
    sums = [jnp.sum(squares, axis=1, keepdims=True) for squares in factors]
    # Roots first: the product of the sums could overflow.
    whole = jnp.prod(jnp.stack([total ** (1 / len(sums)) for total in sums]), axis=0)
    # A norm of 0 makes the whole 0, whatever the other columns are.
    shares = [m / jnp.where(total > 0, total, 1) for m, total in zip(factors, sums, strict=True)]
    mean: Matrix = whole * sum(shares[1:], shares[0]) / len(shares)
    return mean
