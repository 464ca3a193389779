"""What the encoder is shown of a training row: a damaged copy, to reconstruct the whole one from.

NOTE[DIFF]: the paper shows the row itself. A network wide enough to be accurate then learns to copy
any row, anomalies included. One that sees other rows' values in some columns must learn how the
columns depend on each other instead, and shows it where a row breaks the dependence. Scoring shows
rows as they are.
"""

from typing import NamedTuple

import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, Key

from advae.config import Config


class Damage(NamedTuple):
    """How much is done to a row.

    ``swap``: largest share of its values to replace, in [0, 1]; the share is uniform in [0, swap]
    for each row. ``noise``: standard deviation of the normal noise added.
    """

    swap: Float[Array, ""] | float
    noise: Float[Array, ""] | float


def damage_of(config: Config) -> Damage | None:
    """Return the damage that a training does; None for none, which costs nothing."""
    damage = Damage(config.swap, config.input_noise)
    return damage if any(damage) else None


def corrupt(
    x: Float[Array, "*batch columns rows"],
    strangers: Float[Array, "*batch columns rows"],
    damage: Damage,
    key: Key[Array, ""],
) -> Float[Array, "*batch columns rows"]:
    """Return rows with some values of other rows, and noise.

    Parameters
    ----------
    x
        Rows in [0, 1], shape (..., columns, rows).
    strangers
        The values to replace with: of each column, those of training rows drawn for each value.
    damage
        How much.
    key
        Of the randomness.
    """
    shares, chosen, added = jr.split(key, 3)
    share = damage.swap * jr.uniform(shares, (*x.shape[:-2], 1, x.shape[-1]), x.dtype)
    swapped = jnp.where(jr.uniform(chosen, x.shape, x.dtype) < share, strangers, x)
    return swapped + damage.noise * jr.normal(added, x.shape, x.dtype)
