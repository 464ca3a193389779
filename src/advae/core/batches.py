"""The rows of a block of iterations, and what the encoder sees of them."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Int, Key

from advae.config import Config
from advae.core.arrays import Matrix
from advae.core.compilation import compiled


class Corruption(NamedTuple):
    """How much is done to the copy of a row that the encoder is shown, to reconstruct the row from.

    NOTE[DIFF]: the paper shows the row itself. A network wide enough to be accurate then learns to
    copy any row, anomalies included. One that sees other rows' values in some columns must learn
    how the columns depend on each other instead, and shows it where a row breaks the dependence.
    Scoring shows rows as they are.

    ``swap``: largest share of its values to replace, in [0, 1]; the share is uniform in [0, swap]
    for each row. ``noise``: standard deviation of the normal noise added.
    """

    swap: Float[Array, ""] | float
    noise: Float[Array, ""] | float


def corruption_of(config: Config) -> Corruption | None:
    """Return the corruption that a training does; None for none, which costs nothing."""
    corruption = Corruption(config.swap, config.input_noise)
    return corruption if any(corruption) else None


def corrupt(
    x: Float[Array, "*batch columns rows"],
    strangers: Float[Array, "*batch columns rows"],
    corruption: Corruption,
    key: Key[Array, ""],
) -> Float[Array, "*batch columns rows"]:
    """Return rows with some values of other rows, and noise.

    Parameters
    ----------
    x
        Rows in [0, 1], shape (..., columns, rows).
    strangers
        The values to replace with: of each column, those of training rows drawn for each value.
    corruption
        How much.
    key
        Of the randomness.
    """
    shares, chosen, added = jr.split(key, 3)
    share = corruption.swap * jr.uniform(shares, (*x.shape[:-2], 1, x.shape[-1]), x.dtype)
    swapped = jnp.where(jr.uniform(chosen, x.shape, x.dtype) < share, strangers, x)
    return swapped + corruption.noise * jr.normal(added, x.shape, x.dtype)


class Batches(NamedTuple):
    """Rows to train on, and what the encoder sees of them; None where it sees the rows."""

    x: Float[Array, "members iterations columns rows"]
    shown: Float[Array, "members iterations columns rows"] | None


@compiled
def draw_batches(
    data: Matrix,
    member_rows: Int[Array, "members member_rows"] | None,
    there: Int[Array, ""] | int,
    key: Key[Array, ""],
    members: int,
    length: int,
    rows: int,
    corruption: Corruption | None,
) -> Batches:
    """Return the batches of a block of iterations.

    Parameters
    ----------
    data
        Training rows, shape (rows, columns).
    member_rows
        Positions of the rows that each member may see, also as strangers; None for all.
    there
        How many rows, or positions of rows, are meant; those behind them are room
        (`compilation.with_room`).
    key
        Of the randomness.
    members, length, rows
        How many members, iterations, and rows of a batch.
    corruption
        What is done to what the encoder sees; None for nothing.
    """

    def draw(key: Key[Array, ""], shape: tuple[int, ...]) -> Int[Array, "members *shape"]:
        if member_rows is None:
            return jr.randint(key, (members, *shape), 0, there, np.int32)
        drawn = jr.randint(key, (members, *shape), 0, there, np.int32)
        found: Array = jax.vmap(lambda own, positions: own[positions])(member_rows, drawn)
        return found

    x = data[draw(key, (length, rows))].swapaxes(2, 3)
    if corruption is None:
        return Batches(x, None)
    others, corrupting = jr.split(jr.fold_in(key, 1))
    columns = data.shape[1]
    strangers = data[draw(others, (length, columns, rows)), jnp.arange(columns)[:, None]]
    return Batches(x, corrupt(x, strangers, corruption, corrupting))
