"""Adam (Kingma and Ba 2015), written out."""

from typing import Generic, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from advae.core.arrays import Scalar

Nets = TypeVar("Nets")
"""A tree of weights."""

DECAY_1, DECAY_2, EPSILON = 0.9, 0.999, 1e-8
"""Of Adam: how much of the first and second moment stays, and what keeps a division finite."""


class Moments(NamedTuple, Generic[Nets]):
    """Adam's running means of the slope and of its square, in the shape of the weights."""

    slope: Nets
    square: Nets


class Descent(NamedTuple):
    """How far Adam moves in iteration t = 1, 2, ...; one number, or one for each iteration.

    ``rate``: learning rate / (1 - DECAY_1 ** t). ``unbias``: 1 / (1 - DECAY_2 ** t).
    """

    rate: Scalar | Float[Array, "iterations"] | Float[np.ndarray, "iterations"]
    unbias: Scalar | Float[Array, "iterations"] | Float[np.ndarray, "iterations"]


def descents(learning_rates: Float[np.ndarray, "iterations"]) -> Descent:
    """Return how far Adam moves in each iteration of a training, from its learning rates."""
    t = np.arange(1, len(learning_rates) + 1)
    parts = learning_rates / (1 - DECAY_1**t), 1 / (1 - DECAY_2**t)
    return Descent(*(part.astype(np.float32) for part in parts))


def _descend(
    nets: Nets, slope: Nets, moments: Moments[Nets], descent: Descent
) -> tuple[Nets, Moments[Nets]]:
    """Do a step of Adam (Kingma and Ba 2015, Algorithm 1)."""

    def moved(weight: Array, first: Array, second: Array) -> Array:
        return weight - descent.rate * first / (jnp.sqrt(descent.unbias * second) + EPSILON)

    first = jax.tree.map(lambda m, g: DECAY_1 * m + (1 - DECAY_1) * g, moments.slope, slope)
    second = jax.tree.map(lambda v, g: DECAY_2 * v + (1 - DECAY_2) * g**2, moments.square, slope)
    return jax.tree.map(moved, nets, first, second), Moments(first, second)
