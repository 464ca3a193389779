"""Dense layers, of which all networks here are made: their shapes, first weights and gradients."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from advae.core.method import Tree


class Dense(NamedTuple):
    """An affine layer: ``weight.T @ x + bias``, for ``x`` with a column for each row."""

    weight: Float[Array, "inputs outputs"]
    bias: Float[Array, "outputs"]

    def __call__(self, x: Float[Array, "inputs rows"]) -> Float[Array, "outputs rows"]:
        """Apply the layer to every row."""
        return _affine(x, self.weight, self.bias)

    def turned(self) -> "Turned":
        """Return the layer for many calls."""
        return Turned(self.weight.T, self.bias[:, None])


class Turned(NamedTuple):
    """A `Dense` layer with its weight transposed once, not in each call: for a loop over calls."""

    weight: Float[Array, "outputs inputs"]
    bias: Float[Array, "outputs 1"]

    def __call__(self, x: Float[Array, "inputs rows"]) -> Float[Array, "outputs rows"]:
        """Apply the layer to every row."""
        return self.weight @ x + self.bias


@jax.custom_vjp
def _affine(
    x: Float[Array, "inputs rows"],
    weight: Float[Array, "inputs outputs"],
    bias: Float[Array, "outputs"],
) -> Float[Array, "outputs rows"]:
    """Return ``weight.T @ x + bias``.

    Its gradients are written out for the speed of XLA on a CPU: as JAX derives them, that of the
    weight comes transposed, and Adam reads it against the order of the memory; that of the bias is
    a sum over rows, which is faster as a product.
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
    kept: _Kept, gradient: Float[Array, "outputs rows"]
) -> tuple[Float[Array, "inputs rows"], Float[Array, "inputs outputs"], Float[Array, "outputs"]]:
    x, weight = kept
    ones = jnp.ones((gradient.shape[1], 1), gradient.dtype)
    # Not x @ gradient.T, whose transposition takes longer than the product.
    of_weight = jax.lax.dot_general(x, gradient, (((1,), (1,)), ((), ())))
    return weight @ gradient, of_weight, (gradient @ ones)[:, 0]


_affine.defvjp(_affine_forward, _affine_backward)


def float32_shape(*shape: int) -> Any:
    """Return what stands for a float32 array of this shape where only its shape is known."""
    return jax.ShapeDtypeStruct(shape, np.float32)  # type: ignore[no-untyped-call]


def dense_shapes(members: int, *widths: int) -> tuple[Dense, ...]:
    """Return the shapes of layers from each width to the next, of all members."""
    return tuple(
        Dense(float32_shape(members, inputs, outputs), float32_shape(members, outputs))
        for inputs, outputs in itertools.pairwise(widths)
    )


def first_weights(shapes: Tree, generators: Sequence[np.random.Generator]) -> Tree:
    """Return Kaiming-uniform weights and zero biases of these shapes, one for each generator.

    They are stacked on a leading axis. Kaiming-uniform for rectifiers (He et al. 2015): variance
    2 / inputs.
    """

    def drawn(leaf: jax.ShapeDtypeStruct) -> np.ndarray:
        if len(leaf.shape) < 3:
            return np.zeros(leaf.shape, np.float32)
        _, inputs, outputs = leaf.shape
        bound = (6.0 / inputs) ** 0.5
        weights = [own.uniform(-bound, bound, (inputs, outputs)) for own in generators]
        return np.asarray(weights, np.float32)

    return jax.tree.map(drawn, shapes)


def through(
    layers: Sequence[Dense],
    x: Float[Array, "inputs rows"],
    activation: Callable[[Array], Array] = jax.nn.relu,
) -> Float[Array, "outputs rows"]:
    """Return what comes out of the last layer, with an activation after each of the others."""
    for layer in layers[:-1]:
        x = activation(layer(x))
    return layers[-1](x)
