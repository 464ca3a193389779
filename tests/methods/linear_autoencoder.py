"""A second method, as small as one can be: a linear autoencoder with Adam."""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from advae.core.adam import Moments, at_rest, descend
from advae.core.method import Method, Scored
from advae.core.randomness import generator


class Model(NamedTuple):
    """Rows are expected at ``middle + up @ down @ (row - middle)``."""

    down: np.ndarray
    up: np.ndarray
    middle: np.ndarray

    def __call__(self, x):
        middle = self.middle[:, None]
        return middle + self.up @ (self.down @ (x - middle))


class State(NamedTuple):
    model: Model
    moments: Moments


@dataclass(frozen=True)
class LinearAutoencoder(Method):
    columns: int
    latent: int
    draws = 0, 0

    @classmethod
    def of(cls, columns, config):
        return cls(columns, config.network_sizes(columns)[1])

    @property
    def floats_per_row(self):
        return self.columns

    def settings(self, config):
        return ()

    def initial_state(self, config):
        shapes = (self.latent, self.columns), (self.columns, self.latent), (self.columns,)
        model = Model(*(np.empty((config.members, *shape), np.float32) for shape in shapes))
        for member in range(config.members):
            drawn = generator(config.seed, "initial weights", member)
            for weights in model:
                weights[member] = 0.3 * drawn.standard_normal(weights[member].shape)
        return State(model, at_rest(model))

    def step(self, state, x, shown, noise, settings, step_size):
        def loss(model):
            return jnp.mean(jnp.sum((x - model(shown)) ** 2, axis=0))

        error, gradient = jax.value_and_grad(loss)(state.model)
        model, moments = descend(state.model, gradient, state.moments, step_size)
        return State(model, moments), {"reconstruction": error}

    def error(self, model, x, noise):
        return jnp.sum((x - model(x)) ** 2, axis=0)

    def score(self, scorer, x, units):
        expected = jax.vmap(lambda member: member(x.T).T)(scorer)
        differences = (x - expected) * (1 if units is None else units)
        contributions = jnp.mean(differences**2, axis=0)
        return Scored(contributions.sum(axis=1), contributions, jnp.mean(expected, axis=0))

    def summary(self, config):
        return f"linear autoencoder, {self.latent} latent"
