"""The rows of a block of iterations, and what the encoder sees of them."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Int, Key

from advae._types import Matrix
from advae.compilation import compiled
from advae.corruption import Damage, corrupt


class Batches(NamedTuple):
    """Rows to train on, and what the encoder sees of them; None where it sees the rows."""

    x: Float[Array, "members iterations columns rows"]
    shown: Float[Array, "members iterations columns rows"] | None


@compiled
def draw_batches(
    data: Matrix,
    member_rows: Int[Array, "members member_rows"] | None,
    key: Key[Array, ""],
    members: int,
    length: int,
    rows: int,
    damage: Damage | None,
) -> Batches:
    """Return the batches of a block of iterations.

    Apart from the training program, so that another number of rows recompiles only this.

    Parameters
    ----------
    data
        Training rows, shape (rows, columns).
    member_rows
        Positions of the rows that each member may see, also as strangers; None for all.
    key
        Of the randomness.
    members, length, rows
        How many members, iterations, and rows of a batch.
    damage
        What is done to what the encoder sees; None for nothing.
    """

    def draw(key: Key[Array, ""], shape: tuple[int, ...]) -> Int[Array, "members *shape"]:
        if member_rows is None:
            return jr.randint(key, (members, *shape), 0, data.shape[0], np.int32)
        drawn = jr.randint(key, (members, *shape), 0, member_rows.shape[1], np.int32)
        found: Array = jax.vmap(lambda own, positions: own[positions])(member_rows, drawn)
        return found

    x = data[draw(key, (length, rows))].swapaxes(2, 3)
    if damage is None:
        return Batches(x, None)
    others, damaging = jr.split(jr.fold_in(key, 1))
    columns = data.shape[1]
    strangers = data[draw(others, (length, columns, rows)), jnp.arange(columns)[:, None]]
    return Batches(x, corrupt(x, strangers, damage, damaging))
