"""The three networks of adVAE: encoder E, generator G and Gaussian transformer T (Figure 4)."""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from advae.core.arrays import ColumnsByRows, LatentByRows
from advae.methods.advae.gaussian import Gaussian
from advae.methods.dense import Dense, Turned, dense_shapes, first_weights

INPUT_RANGE = (-1.0, 2.0)
"""NOTE[DIFF]: after training the encoder sees values clipped to this range, and the residual uses
them as they are. Training rows lie in [0, 1] and are untouched; a value far outside would otherwise
overflow in the encoder. The score still rises without bound with the value."""


class Sizes(NamedTuple):
    """The sizes that fix the shape of every weight.

    ``columns`` is d, the width of an encoded row; ``hidden`` is h; ``latent`` is k.
    """

    columns: int
    hidden: int
    latent: int


class Encoder(NamedTuple):
    """E: rows in [0, 1] to the Gaussian of their latent variables; d -> h -> h -> 2k, ReLU."""

    layers: tuple[Dense, Dense, Dense]

    def __call__(self, x: ColumnsByRows) -> Gaussian:
        """Return q = N(mean, exp(log_variance)) for each row."""
        first, second, head = self.layers
        mean, log_variance = jnp.split(head(jax.nn.relu(second(jax.nn.relu(first(x))))), 2, axis=0)
        return Gaussian(mean, log_variance)


class Generator(NamedTuple):
    """G: latent variables to rows in [0, 1]; k -> h -> h -> d, ReLU, last sigmoid."""

    layers: tuple[Dense, Dense, Dense]

    def __call__(self, z: LatentByRows) -> ColumnsByRows:
        """Return the reconstruction of each row."""
        return jax.nn.sigmoid(activations(self.layers, z)[-1])


def activations(
    layers: tuple[Dense, Dense, Dense] | tuple[Turned, Turned, Turned], z: LatentByRows
) -> tuple[Array, Array, ColumnsByRows]:
    """Return what comes out of each layer of a generator; out of the last, before the sigmoid."""
    first, second, head = layers
    low = jax.nn.relu(first(z))
    high = jax.nn.relu(second(low))
    return low, high, head(high)


class Transformer(NamedTuple):
    """T: the Gaussian of a normal row to a nearby anomalous one; 2k -> 2k -> 2k -> 2k, sigmoid."""

    layers: tuple[Dense, Dense, Dense]

    def __call__(self, q: Gaussian) -> Gaussian:
        """Return q_T from the concatenation of q's mean and log-variance."""
        first, second, head = self.layers
        both = jnp.concatenate([q.mean, q.log_variance], axis=0)
        hidden = jax.nn.sigmoid(second(jax.nn.sigmoid(first(both))))
        mean, log_variance = jnp.split(head(hidden), 2, axis=0)
        return Gaussian(mean, log_variance)


class AdVAE(NamedTuple):
    """The three networks. Scoring uses the encoder and the generator; T serves training only."""

    encoder: Encoder
    generator: Generator
    transformer: Transformer

    @property
    def sizes(self) -> Sizes:
        """The sizes of the networks, also when the leaves carry a leading member axis."""
        columns, hidden = self.encoder.layers[0].weight.shape[-2:]
        latent = self.generator.layers[0].weight.shape[-2]
        return Sizes(columns, hidden, latent)


def network_shapes(sizes: Sizes, members: int) -> AdVAE:
    """Return the shapes of the leaves of ``members`` networks, stacked on a leading axis."""
    d, h, k = sizes

    def layers(*widths: int) -> tuple[Dense, Dense, Dense]:
        first, second, head = dense_shapes(members, *widths)
        return first, second, head

    return AdVAE(
        Encoder(layers(d, h, h, 2 * k)),
        Generator(layers(k, h, h, d)),
        Transformer(layers(2 * k, 2 * k, 2 * k, 2 * k)),
    )


def initialise(sizes: Sizes, generators: Sequence[np.random.Generator]) -> AdVAE:
    """Return untrained networks, one for each generator, stacked on a leading axis."""
    model: AdVAE = first_weights(network_shapes(sizes, len(generators)), generators)
    return model


def on_both(net: Any, first: Array, second: Array) -> tuple[Any, Any]:
    """Return what a network makes of two batches: one pass has half the operations of two."""
    leaves, structure = jax.tree.flatten(net(jnp.concatenate([first, second], axis=1)))
    halves = zip(*(jnp.split(leaf, 2, axis=1) for leaf in leaves), strict=True)
    one, other = (jax.tree.unflatten(structure, half) for half in halves)
    return one, other


@jax.custom_vjp
def frozen_on_both(
    generator: Generator, z: LatentByRows, z_T: LatentByRows
) -> tuple[ColumnsByRows, ColumnsByRows]:
    """Return G(z) and G(z_T), with a gradient for z alone.

    The gradient is written out: JAX by itself would send zeros back through G(z_T).
    """
    x_r, x_Tr = on_both(generator, z, z_T)
    return x_r, x_Tr


_FrozenKept = tuple[Generator, Array, Array, ColumnsByRows]


def _frozen_forward(
    generator: Generator, z: LatentByRows, z_T: LatentByRows
) -> tuple[tuple[ColumnsByRows, ColumnsByRows], _FrozenKept]:
    (low, high, logits), (_, _, logits_T) = on_both(partial(activations, generator.layers), z, z_T)
    x_r = jax.nn.sigmoid(logits)
    return (x_r, jax.nn.sigmoid(logits_T)), (generator, low, high, x_r)


def _frozen_backward(
    kept: _FrozenKept, gradients: tuple[ColumnsByRows, ColumnsByRows]
) -> tuple[None, LatentByRows, None]:
    generator, low, high, x_r = kept
    first, second, head = generator.layers
    of_head = gradients[0] * x_r * (1.0 - x_r)
    of_high = jnp.where(high > 0, head.weight @ of_head, 0.0)
    of_low = jnp.where(low > 0, second.weight @ of_high, 0.0)
    return None, first.weight @ of_low, None


frozen_on_both.defvjp(_frozen_forward, _frozen_backward)
