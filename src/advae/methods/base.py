"""What methods of a few networks share: sizes, first weights, steps, and members' mean scores."""

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from advae.config import Config
from advae.core.adam import StepSize, at_rest, descend
from advae.core.arrays import ColumnsByRows, Matrix, Scalar, Vector
from advae.core.method import Method, Scored, State, Terms, Tree
from advae.core.randomness import generator
from advae.methods.advae.networks import INPUT_RANGE
from advae.methods.dense import first_weights


class TrainState(NamedTuple):
    """The networks by name, and the moments of their optimisers by the same names."""

    model: Any
    moments: Any

    def moved(self, step_size: StepSize, **gradients: Tree) -> "TrainState":
        """Return the state after a step of Adam for the networks of these names."""
        model, moments = self
        for name, gradient in gradients.items():
            net, own = descend(getattr(model, name), gradient, getattr(moments, name), step_size)
            model, moments = model._replace(**{name: net}), moments._replace(**{name: own})
        return TrainState(model, moments)


def fresh_state(model: Any) -> TrainState:
    """Return the state of untrained networks."""
    return TrainState(model, type(model)(*map(at_rest, model)))


def total(terms: Terms, **weights: Scalar | float) -> Scalar:
    """Return the sum of terms, of which those that are named have weights other than 1."""
    parts = [weights.get(name, 1.0) * term for name, term in terms.items()]
    return jnp.sum(jnp.stack(parts))


def uniform(noise: Array) -> Array:
    """Return uniform draws in [0, 1] made of standard normal ones."""
    return jax.scipy.stats.norm.cdf(noise)


@dataclass(frozen=True)
class NetworkMethod(Method):
    """A method of a few networks, whose score is a mean of its members' scores.

    A method of this kind says what its networks are (`networks`), how they move (`step`), what
    each member expects of a row (`expected`), and how surprising the row is to it (`surprise`).
    A member is what `learn` returns, without the member axis: the networks, unless a method says
    otherwise. Arrays have a column for each row, and rows are as they come: training's lie in
    [0, 1], and what may be far outside is clipped (`seen`) before it enters an encoder.

    ``columns``, ``hidden``, ``latent``: sizes of the networks, see ``Config``.
    """

    columns: int
    hidden: int
    latent: int

    @classmethod
    def of(cls, columns: int, config: Config) -> Self:
        """Return the method with these settings for rows of so many encoded columns."""
        return cls(columns, *config.network_sizes(columns))

    @property
    def floats_per_row(self) -> int:
        """Columns and draws."""
        return self.columns + math.prod(self.draws)

    def settings(self, config: Config) -> Tree:
        """Return no numbers: the weights of these objectives are their papers'."""
        del config
        return ()

    @abstractmethod
    def networks(self, members: int) -> Any:
        """Return the shapes of the networks of so many members: a named tuple."""

    @abstractmethod
    def expected(self, member: Any, x: ColumnsByRows) -> ColumnsByRows:
        """Return what a member expects of rows that are `seen`."""

    @abstractmethod
    def surprise(self, member: Any, x: ColumnsByRows) -> Vector:
        """Return how surprising rows are to a member, at least 0."""

    def parts(self, member: Any, x: ColumnsByRows, expected: ColumnsByRows) -> ColumnsByRows:
        """Return in what proportions columns share a row's score, at least 0.

        The squares of what is observed less what is expected, as in adVAE's score.
        """
        del member
        return (x - expected) ** 2

    def initial_state(self, config: Config) -> State:
        """Return untrained networks, and optimisers at rest."""
        members = range(config.members)
        draws = [generator(config.seed, "initial weights", member) for member in members]
        return fresh_state(first_weights(self.networks(config.members), draws))

    def error(self, model: Any, x: ColumnsByRows, noise: Float[Array, "kinds size rows"]) -> Vector:
        """Return the squared distance of each row from what is expected of it."""
        del noise
        x = seen(x)
        return jnp.sum((x - self.expected(model, x)) ** 2, axis=0)

    def score(self, scorer: Any, x: Matrix, units: Float[Array, "rows columns"] | None) -> Scored:
        """Return the members' mean score, shared out among the columns by `parts`."""

        def of_member(member: Any) -> tuple[Vector, ColumnsByRows, ColumnsByRows]:
            rows = x.T
            expected = self.expected(member, seen(rows))
            if units is not None:
                rows = expected + units.T * (rows - expected)
            parts = self.parts(member, rows, expected)
            whole = jnp.sum(parts, axis=0)
            shares = jnp.where(whole > 0, parts / jnp.where(whole > 0, whole, 1), 1 / self.columns)
            score = self.surprise(member, rows)
            return score, score * shares, expected

        means = (jnp.mean(each, axis=0).T for each in jax.vmap(of_member)(scorer))
        return Scored(*means)

    def summary(self, config: Config) -> str:
        """Return the method's name and the sizes of its networks."""
        return f"{config.method}, {self.hidden} wide, {self.latent} latent"


def seen(x: ColumnsByRows) -> ColumnsByRows:
    """Return rows as an encoder sees them, see `INPUT_RANGE`."""
    return jnp.clip(x, *INPUT_RANGE)
