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
    """Adam's running means of the gradient and of its square, in the shape of the weights."""

    gradient: Nets
    square: Nets


class StepSize(NamedTuple):
    """How far Adam moves in iteration t = 1, 2, ...; one number, or one for each iteration.

    ``rate``: learning rate / (1 - DECAY_1 ** t). ``unbias``: 1 / (1 - DECAY_2 ** t).
    """

    rate: Scalar | Float[Array, "iterations"] | Float[np.ndarray, "iterations"]
    unbias: Scalar | Float[Array, "iterations"] | Float[np.ndarray, "iterations"]


def step_sizes(learning_rates: Float[np.ndarray, "iterations"]) -> StepSize:
    """Return how far Adam moves in each iteration of a training, from its learning rates."""
    t = np.arange(1, len(learning_rates) + 1)
    parts = learning_rates / (1 - DECAY_1**t), 1 / (1 - DECAY_2**t)
    return StepSize(*(part.astype(np.float32) for part in parts))


def at_rest(nets: Nets) -> Moments[Nets]:
    """Return the moments before the first step: zeros."""
    zeros: Nets = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), nets)
    return Moments(zeros, zeros)


def descend(
    nets: Nets, gradient: Nets, moments: Moments[Nets], step_size: StepSize
) -> tuple[Nets, Moments[Nets]]:
    """Do a step of Adam (Kingma and Ba 2015, Algorithm 1)."""

    def moved(weight: Array, mean: Array, square: Array) -> Array:
        return weight - step_size.rate * mean / (jnp.sqrt(step_size.unbias * square) + EPSILON)

    mean = jax.tree.map(lambda m, g: DECAY_1 * m + (1 - DECAY_1) * g, moments.gradient, gradient)
    square = jax.tree.map(lambda v, g: DECAY_2 * v + (1 - DECAY_2) * g**2, moments.square, gradient)
    return jax.tree.map(moved, nets, mean, square), Moments(mean, square)
