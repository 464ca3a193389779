"""A GAN with a learned encoder, as a detector.

H. Zenati, C. S. Foo, B. Lecouat, G. Manek, V. R. Chandrasekhar, "Efficient GAN-based anomaly
detection" (EGBAD), 2018. Generator, encoder and a discriminator of pairs (row, latent variables)
are a bidirectional GAN; of its two scores this is the one by matching features.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from advae.core.adam import StepSize
from advae.core.arrays import ColumnsByRows, LatentByRows, Scalar, Vector
from advae.core.method import Terms
from advae.methods.base import NetworkMethod, TrainState, seen, total
from advae.methods.dense import Dense, dense_shapes, through

LEAK = 0.2
"""Slope of the leaky rectifiers of encoder and discriminator below 0."""

RESIDUAL_WEIGHT = 0.9
"""alpha: what the residual weighs in the score; the distance of features weighs the rest."""


class Discriminator(NamedTuple):
    """Tells pairs (x, E(x)) from pairs (G(z), z)."""

    of_row: Dense
    of_code: Dense
    joint: Dense
    head: Dense

    def __call__(
        self, x: ColumnsByRows, z: LatentByRows
    ) -> tuple[Float[Array, "features rows"], Vector]:
        """Return features of each pair, and the logit of its being (x, E(x)).

        NOTE[DIFF]: the paper's has dropout.
        """
        both = jnp.concatenate([leaky(self.of_row(x)), leaky(self.of_code(z))])
        features = leaky(self.joint(both))
        return features, self.head(features)[0]


class Networks(NamedTuple):
    """Encoder d -> h -> h -> k, generator k -> h -> h -> d, and discriminator."""

    encoder: tuple[Dense, ...]
    generator: tuple[Dense, ...]
    discriminator: Discriminator

    def encode(self, x: ColumnsByRows) -> LatentByRows:
        """Return E(x)."""
        return through(self.encoder, x, leaky)

    def generate(self, z: LatentByRows) -> ColumnsByRows:
        """Return G(z). NOTE[DIFF]: it ends in a sigmoid, since rows lie in [0, 1]."""
        return jax.nn.sigmoid(through(self.generator, z))


def leaky(x: Array) -> Array:
    """Return a leaky rectifier's output."""
    return jax.nn.leaky_relu(x, LEAK)


def discriminator_loss(model: Networks, x: ColumnsByRows, z: LatentByRows) -> Terms:
    """Return the cross-entropies that the discriminator minimises."""
    _, of_real = model.discriminator(x, model.encode(x))
    _, of_made = model.discriminator(model.generate(z), z)
    return {
        "discriminator_real": jnp.mean(jax.nn.softplus(-of_real)),
        "discriminator_made": jnp.mean(jax.nn.softplus(of_made)),
    }


def adversary_loss(model: Networks, x: ColumnsByRows, z: LatentByRows) -> Terms:
    """Return the cross-entropies that encoder and generator minimise: with the labels swapped."""
    _, of_real = model.discriminator(x, model.encode(x))
    _, of_made = model.discriminator(model.generate(z), z)
    return {
        "encoder_fooling": jnp.mean(jax.nn.softplus(of_real)),
        "generator_fooling": jnp.mean(jax.nn.softplus(-of_made)),
    }


class GAN(NetworkMethod):
    """The bidirectional GAN. NOTE[DIFF]: Adam's settings are ours, as for all methods."""

    @property
    def draws(self) -> tuple[int, int]:
        """Those for z."""
        return 1, self.latent

    def networks(self, members: int) -> Networks:
        """Return the shapes of the three networks."""
        d, h, k = self.columns, self.hidden, self.latent
        row, code = dense_shapes(members, d, h)[0], dense_shapes(members, k, h)[0]
        joint, head = dense_shapes(members, 2 * h, h, 1)
        return Networks(
            dense_shapes(members, d, h, h, k),
            dense_shapes(members, k, h, h, d),
            Discriminator(row, code, joint, head),
        )

    def step(
        self,
        state: TrainState,
        x: ColumnsByRows,
        shown: ColumnsByRows,
        noise: Float[Array, "1 latent rows"],
        settings: tuple[()],
        step_size: StepSize,
    ) -> tuple[TrainState, Terms]:
        """Move the discriminator, then encoder and generator. Rows are shown as they are."""
        del shown, settings
        z = noise[0]

        def discriminating(net: Discriminator) -> tuple[Scalar, Terms]:
            terms = discriminator_loss(state.model._replace(discriminator=net), x, z)
            return total(terms), terms

        gradient, terms = jax.grad(discriminating, has_aux=True)(state.model.discriminator)
        state = state.moved(step_size, discriminator=gradient)

        def fooling(model: Networks) -> tuple[Scalar, Terms]:
            terms = adversary_loss(model, x, z)
            return total(terms), terms

        gradients, fooled = jax.grad(fooling, has_aux=True)(state.model)
        makers = {"encoder": gradients.encoder, "generator": gradients.generator}
        return state.moved(step_size, **makers), terms | fooled

    def expected(self, member: Networks, x: ColumnsByRows) -> ColumnsByRows:
        """Return G(E(x))."""
        return member.generate(member.encode(x))

    def parts(self, member: Networks, x: ColumnsByRows, expected: ColumnsByRows) -> ColumnsByRows:
        """Return absolute residuals, of which most of the score is the sum."""
        del member
        return jnp.abs(x - expected)

    def surprise(self, member: Networks, x: ColumnsByRows) -> Vector:
        """Return 0.9 ||x - G(E(x))||_1 + 0.1 ||f(x, E(x)) - f(G(E(x)), E(x))||_1.

        f are the features of the discriminator.
        """
        code = member.encode(seen(x))
        made = member.generate(code)
        of_row, _ = member.discriminator(seen(x), code)
        of_made, _ = member.discriminator(made, code)
        residual = jnp.sum(jnp.abs(x - made), axis=0)
        matching = jnp.sum(jnp.abs(of_row - of_made), axis=0)
        return RESIDUAL_WEIGHT * residual + (1 - RESIDUAL_WEIGHT) * matching
