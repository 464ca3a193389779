"""The three networks of adVAE: encoder E, generator G and Gaussian transformer T (Figure 4)."""

import itertools
import math
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, Key

from advae._types import Code, Upright
from advae.gaussian import Gaussian


class Sizes(NamedTuple):
    """The sizes that fix the shape of every weight.

    ``columns`` is d, the width of an encoded row; ``hidden`` is h; ``latent`` is k.
    """

    columns: int
    hidden: int
    latent: int


class Dense(eqx.Module):
    """An affine layer: ``weight.T @ x + bias``, for ``x`` with a column for each row."""

    weight: Float[Array, "inputs outputs"]
    bias: Float[Array, "outputs"]

    def __call__(self, x: Float[Array, "inputs rows"]) -> Float[Array, "outputs rows"]:
        """Apply the layer to every row."""
        return _affine(x, self.weight, self.bias)


@jax.custom_vjp
def _affine(
    x: Float[Array, "inputs rows"],
    weight: Float[Array, "inputs outputs"],
    bias: Float[Array, "outputs"],
) -> Float[Array, "outputs rows"]:
    """Return ``weight.T @ x + bias``.

    Its slopes are written out for the speed of XLA on a CPU: as JAX derives them, the slope of the
    weight comes transposed, and Adam reads it against the order of the memory; the slope of the
    bias is a sum over rows, which as a product is faster.
    """
    return weight.T @ x + bias[:, None]


_Kept = tuple[Float[Array, "inputs rows"], Float[Array, "inputs outputs"]]


def _affine_forward(
    x: Float[Array, "inputs rows"],
    weight: Float[Array, "inputs outputs"],
    bias: Float[Array, "outputs"],
) -> tuple[Float[Array, "outputs rows"], _Kept]:
    return _affine(x, weight, bias), (x, weight)


def _affine_backward(
    kept: _Kept, slope: Float[Array, "outputs rows"]
) -> tuple[Float[Array, "inputs rows"], Float[Array, "inputs outputs"], Float[Array, "outputs"]]:
    x, weight = kept
    ones = jnp.ones((slope.shape[1], 1), slope.dtype)
    # Not x @ slope.T, whose transposition takes longer than the product.
    of_weight = jax.lax.dot_general(x, slope, (((1,), (1,)), ((), ())))
    return weight @ slope, of_weight, (slope @ ones)[:, 0]


_affine.defvjp(_affine_forward, _affine_backward)


class Encoder(eqx.Module):
    """E: rows in [0, 1] to the Gaussian of their latent variables; d -> h -> h -> 2k, ReLU."""

    layers: tuple[Dense, Dense, Dense]

    def __call__(self, x: Upright) -> Gaussian:
        """Return q = N(mean, exp(log_variance)) for each row."""
        first, second, head = self.layers
        mean, log_variance = jnp.split(head(jax.nn.relu(second(jax.nn.relu(first(x))))), 2, axis=0)
        return Gaussian(mean, log_variance)


class Generator(eqx.Module):
    """G: latent variables to rows in [0, 1]; k -> h -> h -> d, ReLU, last sigmoid."""

    layers: tuple[Dense, Dense, Dense]

    def __call__(self, z: Code) -> Upright:
        """Return the reconstruction of each row."""
        first, second, head = self.layers
        return jax.nn.sigmoid(head(jax.nn.relu(second(jax.nn.relu(first(z))))))


class Transformer(eqx.Module):
    """T: the Gaussian of a normal row to a nearby anomalous one; 2k -> 2k -> 2k -> 2k, sigmoid."""

    layers: tuple[Dense, Dense, Dense]

    def __call__(self, q: Gaussian) -> Gaussian:
        """Return q_T from the concatenation of q's mean and log-variance."""
        first, second, head = self.layers
        both = jnp.concatenate([q.mean, q.log_variance], axis=0)
        hidden = jax.nn.sigmoid(second(jax.nn.sigmoid(first(both))))
        mean, log_variance = jnp.split(head(hidden), 2, axis=0)
        return Gaussian(mean, log_variance)


class AdVAE(eqx.Module):
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


def initialise(sizes: Sizes, key: Key[Array, ""]) -> AdVAE:
    """Return networks with Kaiming-uniform weights and zero biases.

    Kaiming-uniform for rectifiers (He et al. 2015): variance 2 / inputs.
    """
    d, h, k = sizes
    widths = ((d, h, h, 2 * k), (k, h, h, d), (2 * k, 2 * k, 2 * k, 2 * k))
    shapes = [pair for net in widths for pair in itertools.pairwise(net)]
    # One draw for all layers: a draw takes a tenth of a second to compile.
    draws = jr.uniform(key, (sum(map(math.prod, shapes)),), minval=-1.0, maxval=1.0)
    layers, first = [], 0
    for inputs, outputs in shapes:
        own = draws[first : first + inputs * outputs].reshape(inputs, outputs)
        layers.append(Dense((6.0 / inputs) ** 0.5 * own, jnp.zeros(outputs)))
        first += inputs * outputs
    encoder, generator, transformer = (
        (layers[n], layers[n + 1], layers[n + 2]) for n in range(0, 9, 3)
    )
    return AdVAE(Encoder(encoder), Generator(generator), Transformer(transformer))


def initialise_members(sizes: Sizes, members: int, key: Key[Array, ""]) -> AdVAE:
    """Return ``members`` independently initialised networks, stacked on a leading axis."""
    keys = jax.vmap(lambda member: jr.fold_in(key, member))(jnp.arange(members))
    model: AdVAE = jax.vmap(lambda own: initialise(sizes, own))(keys)
    return model
