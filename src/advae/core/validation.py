"""The error of rows that take no part in training.

NOTE[DIFF]: the paper trains for a fixed number of iterations. With ``Config.patience`` this error
ends a training early.
"""

from collections.abc import Iterable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from advae.config import Config
from advae.core.arrays import ColumnsByRows, HostMatrix, Scalar, Vector
from advae.core.compilation import compiled, shielded
from advae.core.method import Method, Tree
from advae.core.randomness import generator

VALIDATION_ERROR = "held_out_reconstruction"
"""Its name in a training's history."""

ROWS = 1024
"""Most rows measured."""

History = dict[str, list[float]]
"""A value of every quantity for each block of iterations, and ``"iteration"`` at its end."""


def best_block(history: History) -> int:
    """Return the position of the block after which the error was least; the first of equals."""
    errors = history[VALIDATION_ERROR]
    return errors.index(min(errors))


def exhausted(history: History, patience: int) -> bool:
    """Return whether the error last fell ``patience`` iterations ago; never for 0."""
    iterations = history["iteration"]
    if not patience or not iterations:
        return False
    return iterations[-1] - iterations[best_block(history)] >= patience


class ValidationRows:
    """Rows to see by when a model begins to learn the others by heart.

    The same rows and noise serve after every block, so that the curve is smooth, and in one
    shape, so that all tables of one width share the compiled program.

    Parameters
    ----------
    method
        What is trained.
    data
        Encoded rows, shape (rows, columns), at least one; a sample of more than `ROWS`.
    config
        Settings of the training.
    """

    def __init__(self, method: Method, data: HostMatrix, config: Config) -> None:
        rows = data[:: -(-len(data) // ROWS)]
        self._method = method
        self._rows = np.zeros((data.shape[1], ROWS), np.float32)
        self._rows[:, : len(rows)] = rows.T
        self._weights = (np.arange(ROWS) < len(rows)).astype(np.float32) / len(rows)
        draws = generator(config.seed, "held-out noise")
        self._noise = draws.standard_normal((*method.draws, ROWS), np.float32)

    @shielded
    def error(self, models: Iterable[Tree]) -> float:
        """Return `Method.error`, mean over the rows and the members of all ``models``."""
        errors = [
            _errors(model, self._rows, self._weights, self._noise, method=self._method)
            for model in models
        ]
        return float(np.concatenate(errors).mean())


@compiled
def _errors(
    model: Tree,
    x: ColumnsByRows,
    weights: Vector,
    noise: Float[Array, "kinds size rows"],
    method: Method,
) -> Float[Array, "members"]:
    def error(member: Tree) -> Scalar:
        return jnp.sum(weights * method.error(member, x, noise))

    errors: Float[Array, "members"] = jax.vmap(error)(model)
    return errors
