"""MO-GAAL: several generators make rows that a discriminator learns to tell from normal ones.

Y. Liu, Z. Li, C. Zhou, Y. Jiang, J. Sun, M. Wang, X. He, "Generative adversarial active learning
for unsupervised outlier detection", IEEE TKDE 2019.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from advae.config import Config
from advae.core.adam import StepSize
from advae.core.arrays import ColumnsByRows, HostMatrix, Scalar, Vector
from advae.core.method import Terms
from advae.core.randomness import generator
from advae.methods.base import NetworkMethod, TrainState, fresh_state, total, uniform
from advae.methods.dense import Dense, dense_shapes, first_weights, float32_shape, through

GENERATORS = 10
"""How many there are, k of the paper."""

GENERATOR_RATE = 0.01
"""Learning rate of the generators in units of the discriminator's."""

GENERATOR_ITERATIONS = 1 / 3
"""Share of the iterations in which generators move; in the others the discriminator does alone."""

POINTS = 8
"""Places on the way from the mean row to a row at which slopes are taken for contributions."""


class Networks(NamedTuple):
    """Generators d -> d -> d, stacked on an axis behind that of members, and discriminator."""

    generators: tuple[Dense, Dense]
    discriminator: tuple[Dense, ...]

    def generate(self, u: ColumnsByRows) -> Float[Array, "generators columns rows"]:
        """Return what each generator makes of uniform draws."""

        def one(layers: tuple[Dense, Dense]) -> ColumnsByRows:
            first, second = layers
            return jax.nn.relu(second(jax.nn.relu(first(u))))

        made: Array = jax.vmap(one)(self.generators)
        return made

    def judge(self, x: ColumnsByRows) -> Vector:
        """Return the logit of each row's being a real one."""
        return through(self.discriminator, x)[0]


class State(NamedTuple):
    """The state of the networks, and how many iterations are done."""

    nets: TrainState
    done: Any

    @property
    def model(self) -> Networks:
        """The networks."""
        nets: Networks = self.nets.model
        return nets


class Known(NamedTuple):
    """A member: its networks, and the mean of its training rows."""

    model: Networks
    mean: Any


def discriminator_loss(model: Networks, x: ColumnsByRows, u: ColumnsByRows) -> Terms:
    """Return the cross-entropies that the discriminator minimises."""
    of_made = jax.vmap(model.judge)(model.generate(u))
    return {
        "discriminator_real": jnp.mean(jax.nn.softplus(-model.judge(x))),
        "discriminator_made": jnp.mean(jax.nn.softplus(of_made)),
    }


def generator_loss(model: Networks, x: ColumnsByRows, u: ColumnsByRows) -> Terms:
    """Return the cross-entropy of D(G_i(u)) against generator i's target, mean over generators.

    The targets are the quantiles 0, 1 / k, ..., (k - 1) / k of D(x) over the batch, without
    gradient: each generator is to make rows like another part of the real ones.
    NOTE[DIFF]: the paper takes the quantiles over all rows.
    """
    of_real = jax.lax.stop_gradient(jax.nn.sigmoid(model.judge(x)))
    targets = jnp.quantile(of_real, jnp.arange(GENERATORS) / GENERATORS)[:, None]
    of_made = jax.vmap(model.judge)(model.generate(u))
    entropies = targets * jax.nn.softplus(-of_made) + (1 - targets) * jax.nn.softplus(of_made)
    return {"generator_entropy": jnp.mean(entropies)}


class MOGAAL(NetworkMethod):
    """MO-GAAL.

    NOTE[DIFF]: the discriminator is ``hidden`` wide, the paper's as wide as the root of the number
    of rows. Every generator makes as many rows as the batch has. Adam moves the networks, the
    paper's SGD; the discriminator learns at the rate of all methods.
    """

    @property
    def draws(self) -> tuple[int, int]:
        """One for each column."""
        return 1, self.columns

    def networks(self, members: int) -> Networks:
        """Return the shapes of generators and discriminator."""
        d = self.columns
        weight = float32_shape(members, GENERATORS, d, d)
        layer = Dense(weight, float32_shape(members, GENERATORS, d))
        return Networks((layer, layer), dense_shapes(members, d, self.hidden, 1))

    def settings(self, config: Config) -> float:
        """Return the number of iterations in which generators move."""
        # Those that are asked for are named by now, whatever the rows.
        return config.iterations_for(0) * GENERATOR_ITERATIONS

    def initial_state(self, config: Config) -> State:
        """Return generators that give out what they are given, and a random discriminator."""
        shapes = self.networks(config.members)
        draws = [
            generator(config.seed, "initial weights", member) for member in range(config.members)
        ]
        same = np.eye(self.columns, dtype=np.float32)

        def unchanging(leaf: jax.ShapeDtypeStruct) -> np.ndarray:
            start = same if len(leaf.shape) == 4 else np.float32(0)
            return np.broadcast_to(start, leaf.shape).copy()

        model = Networks(
            jax.tree.map(unchanging, shapes.generators),
            first_weights(shapes.discriminator, draws),
        )
        return State(fresh_state(model), np.zeros(config.members, np.float32))

    def step(
        self,
        state: State,
        x: ColumnsByRows,
        shown: ColumnsByRows,
        noise: Float[Array, "1 columns rows"],
        settings: Scalar,
        step_size: StepSize,
    ) -> tuple[State, Terms]:
        """Move the discriminator, then the generators. Rows are shown as they are."""
        del shown
        u, nets = uniform(noise[0]), state.nets

        def discriminating(net: tuple[Dense, ...]) -> tuple[Scalar, Terms]:
            terms = discriminator_loss(nets.model._replace(discriminator=net), x, u)
            return total(terms), terms

        gradient, terms = jax.grad(discriminating, has_aux=True)(nets.model.discriminator)
        moved = nets.moved(step_size, discriminator=gradient)

        def generating(layers: tuple[Dense, Dense]) -> tuple[Scalar, Terms]:
            terms = generator_loss(moved.model._replace(generators=layers), x, u)
            return total(terms), terms

        gradient, generated = jax.grad(generating, has_aux=True)(moved.model.generators)
        slower = step_size._replace(rate=GENERATOR_RATE * step_size.rate)
        both = moved.moved(slower, generators=gradient)
        nets = jax.tree.map(
            lambda new, old: jnp.where(state.done < settings, new, old), both, moved
        )
        return State(nets, state.done + 1), terms | generated

    def error(
        self, model: Networks, x: ColumnsByRows, noise: Float[Array, "1 columns rows"]
    ) -> Vector:
        """Return -log D(x) of each row: nothing is reconstructed here."""
        del noise
        return jax.nn.softplus(-model.judge(x))

    def learn(
        self,
        model: Networks,
        rows: HostMatrix,
        config: Config,
        member_rows: Int[np.ndarray, "members member_rows"] | None = None,
        ready: None = None,
    ) -> tuple[Known, Int[np.ndarray, "kept"]]:
        """Return the networks, and the mean of the rows that each member saw."""
        del ready
        every = range(config.members)
        seen = [rows if member_rows is None else rows[member_rows[member]] for member in every]
        means = np.stack([own.mean(axis=0, dtype=np.float64) for own in seen])
        return Known(model, means.astype(np.float32)), np.empty(0, int)

    def scorer_shapes(self, config: Config, stored: object) -> Known:
        """Return the shapes of the scorer."""
        del stored
        return Known(self.networks(config.members), float32_shape(config.members, self.columns))

    def expected(self, member: Known, x: ColumnsByRows) -> ColumnsByRows:
        """Return the mean row: nothing is expected given the rest of a row."""
        return jnp.broadcast_to(member.mean[:, None], x.shape)

    def surprise(self, member: Known, x: ColumnsByRows) -> Vector:
        """Return -log D(x).

        NOTE[DIFF]: the paper's is 1 - D(x), which orders rows alike, but is 1 for everything that
        is far enough.
        """
        return jax.nn.softplus(-member.model.judge(x))

    def parts(self, member: Known, x: ColumnsByRows, expected: ColumnsByRows) -> ColumnsByRows:
        """Return integrated gradients without their signs (Sundararajan et al. 2017).

        Of the score, along the way from the mean row to the row.
        """
        way = x - expected

        def slopes(place: Any) -> ColumnsByRows:
            rows = expected + place * way
            found: Array = jax.grad(lambda rows: jnp.sum(self.surprise(member, rows)))(rows)
            return found

        places = (jnp.arange(POINTS) + 0.5) / POINTS
        return jnp.abs(way * jnp.mean(jax.vmap(slopes)(places), axis=0))

    def summary(self, config: Config) -> str:
        """Return the method's name and the sizes of its networks."""
        return f"{config.method}, {GENERATORS} generators, discriminator {self.hidden} wide"
