"""A Wasserstein GAN with gradient penalty and an encoder, as a detector.

The GAN is that of I. Gulrajani, F. Ahmed, M. Arjovsky, V. Dumoulin, A. Courville, "Improved
training of Wasserstein GANs", 2017. That has no score; encoder and score are those of T. Schlegl,
P. Seeböck, S. M. Waldstein, G. Langs, U. Schmidt-Erfurth, "f-AnoGAN", 2019 (its ``izi_f``).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from advae.core.adam import StepSize
from advae.core.arrays import ColumnsByRows, LatentByRows, Scalar, Vector
from advae.core.method import Terms
from advae.methods.base import NetworkMethod, TrainState, seen, total, uniform
from advae.methods.dense import Dense, dense_shapes, through

PENALTY_WEIGHT = 10.0
"""Weight of the gradient penalty, lambda of the paper."""

CRITIC_STEPS = 5
"""Steps of the critic in an iteration, n_critic of the paper."""


class Networks(NamedTuple):
    """Critic d -> h -> h -> 1, generator k -> h -> h -> d, encoder d -> h -> h -> k."""

    critic: tuple[Dense, ...]
    generator: tuple[Dense, ...]
    encoder: tuple[Dense, ...]

    def generate(self, z: LatentByRows) -> ColumnsByRows:
        """Return G(z)."""
        return jax.nn.sigmoid(through(self.generator, z))

    def encode(self, x: ColumnsByRows) -> LatentByRows:
        """Return E(x)."""
        return through(self.encoder, x)

    def features(self, x: ColumnsByRows) -> Float[Array, "features rows"]:
        """Return what the last hidden layer of the critic makes of rows."""
        return jax.nn.relu(through(self.critic[:-1], x))

    def judge(self, x: ColumnsByRows) -> Vector:
        """Return the critic's value of each row."""
        return self.critic[-1](self.features(x))[0]


def critic_loss(model: Networks, x: ColumnsByRows, z: LatentByRows, share: Vector) -> Terms:
    """Return the terms of the critic's loss; ``share`` says where between rows slopes are taken."""
    made = model.generate(z)
    between = share * x + (1.0 - share) * made
    slopes = jax.grad(lambda rows: jnp.sum(model.judge(rows)))(between)
    norms = jnp.sqrt(jnp.sum(slopes**2, axis=0) + 1e-12)  # so that 0 has a gradient
    return {
        "critic_distance": jnp.mean(model.judge(made)) - jnp.mean(model.judge(x)),
        "critic_penalty": jnp.mean((norms - 1.0) ** 2),
    }


def generator_loss(model: Networks, z: LatentByRows) -> Terms:
    """Return the term of the generator's loss."""
    return {"generator_value": -jnp.mean(model.judge(model.generate(z)))}


def encoder_loss(model: Networks, x: ColumnsByRows) -> Terms:
    """Return the terms of the encoder's loss, means over columns and over features."""
    made = model.generate(model.encode(x))
    return {
        "reconstruction": jnp.mean((x - made) ** 2),
        "feature_reconstruction": jnp.mean((model.features(x) - model.features(made)) ** 2),
    }


class WGANGP(NetworkMethod):
    """The Wasserstein GAN.

    NOTE[DIFF]: the encoder learns in each iteration beside the GAN, which stands still for it; in
    the paper it learns when the GAN has ended. The critic sees the same rows in its five steps,
    with other z. Adam's settings are ours, as for all methods, and its corrections those of the
    iteration. Layers are dense.
    """

    @property
    def draws(self) -> tuple[int, int]:
        """For each step, z and the place between a row and one that is made."""
        return CRITIC_STEPS + 1, self.latent + 1

    def networks(self, members: int) -> Networks:
        """Return the shapes of the three networks."""
        d, h, k = self.columns, self.hidden, self.latent
        return Networks(
            dense_shapes(members, d, h, h, 1),
            dense_shapes(members, k, h, h, d),
            dense_shapes(members, d, h, h, k),
        )

    def step(
        self,
        state: TrainState,
        x: ColumnsByRows,
        shown: ColumnsByRows,
        noise: Float[Array, "steps drawn rows"],
        settings: tuple[()],
        step_size: StepSize,
    ) -> tuple[TrainState, Terms]:
        """Move the critic five times, then generator and encoder. Rows are shown as they are."""
        del shown, settings

        def critic_step(
            state: TrainState, drawn: Float[Array, "drawn rows"]
        ) -> tuple[TrainState, Terms]:
            def criticising(net: tuple[Dense, ...]) -> tuple[Scalar, Terms]:
                model = state.model._replace(critic=net)
                terms = critic_loss(model, x, drawn[:-1], uniform(drawn[-1]))
                return total(terms, critic_penalty=PENALTY_WEIGHT), terms

            gradient, terms = jax.grad(criticising, has_aux=True)(state.model.critic)
            return state.moved(step_size, critic=gradient), terms

        state, every = jax.lax.scan(critic_step, state, noise[:-1])

        def generating(net: tuple[Dense, ...]) -> tuple[Scalar, Terms]:
            terms = generator_loss(state.model._replace(generator=net), noise[-1, :-1])
            return total(terms), terms

        def encoding(net: tuple[Dense, ...]) -> tuple[Scalar, Terms]:
            terms = encoder_loss(state.model._replace(encoder=net), x)
            return total(terms), terms

        to_generator, generated = jax.grad(generating, has_aux=True)(state.model.generator)
        to_encoder, encoded = jax.grad(encoding, has_aux=True)(state.model.encoder)
        state = state.moved(step_size, generator=to_generator, encoder=to_encoder)
        return state, {name: term[-1] for name, term in every.items()} | generated | encoded

    def error(
        self, model: Networks, x: ColumnsByRows, noise: Float[Array, "steps drawn rows"]
    ) -> Vector:
        """Return the mean square of x - G(E(x)) over the columns of each row."""
        return super().error(model, x, noise) / self.columns

    def expected(self, member: Networks, x: ColumnsByRows) -> ColumnsByRows:
        """Return G(E(x))."""
        return member.generate(member.encode(x))

    def surprise(self, member: Networks, x: ColumnsByRows) -> Vector:
        """Return the mean squares of x - G(E(x)) and of f(x) - f(G(E(x))), added.

        f are the features of the critic.
        """
        made = self.expected(member, seen(x))
        of_row, of_made = member.features(seen(x)), member.features(made)
        return jnp.mean((x - made) ** 2, axis=0) + jnp.mean((of_row - of_made) ** 2, axis=0)
