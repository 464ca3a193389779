"""The anomaly score, equations (11) and (12), and what it knows of the training rows.

`reference` has what the ``default`` preset does with the residual beyond the paper.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from advae.config import VARIANTS, Config
from advae.core.arrays import ColumnsByRows, HostMatrix, Matrix, Points
from advae.core.method import Method, Scored
from advae.core.randomness import choice
from advae.core.scoring import score_rows
from advae.core.training import diverged
from advae.methods.advae import reference as references
from advae.methods.advae.gaussian import Gaussian
from advae.methods.advae.latent import latent_noise
from advae.methods.advae.networks import (
    INPUT_RANGE,
    AdVAE,
    Generator,
    Sizes,
    float32_shape,
    network_shapes,
)
from advae.methods.advae.reference import (
    Memory,
    Reference,
    Whitening,
    geometric_mean,
    recall,
    remember,
    weighed,
    whitening,
    whitening_of,
)

RESIDUAL_ROWS = 20_000
"""Most training rows whose residuals are measured."""

PAPER = Reference()
"""The paper's score: nothing is known of the training rows besides the networks."""


class Scorer(NamedTuple):
    """All that a score is computed from.

    ``model``: members stacked on a leading axis; their squared residuals are averaged.
    ``latent_noise``: shape (points, latent), shared by all rows. ``reference``: what is known of
    the training rows.
    """

    model: AdVAE
    latent_noise: Any
    reference: Reference = PAPER

    def padded(self) -> "Scorer":
        """Return the scorer with `reference.padded`."""
        return self._replace(reference=references.padded(self.reference))

    def strangers(self, members: slice, absent: Int[np.ndarray, "absent"]) -> "Scorer":
        """Return the scorer with these members alone, and a memory that lacks some rows."""
        model, weights = jax.tree.map(
            lambda leaf: np.asarray(leaf)[members], (self.model, self.reference.whitening)
        )
        fewer = references.without(self.reference, absent)
        return Scorer(model, self.latent_noise, fewer._replace(whitening=weights))


def score_block(
    scorer: Scorer, x: Matrix, units: Float[Array, "rows columns"] | None = None
) -> Scored:
    """Score one block of rows by the members of the model, one after the other.

    With a reference that knows nothing, the score is the paper's,
    s(x) = ||x - mean over l of G(mu + sigma * eps_l)||^2.

    NOTE[DIFF]: the paper has one network; of several the squared residuals are averaged.

    Parameters
    ----------
    scorer
        Networks, noise and reference.
    x
        Encoded rows, shape (rows, columns).
    units
        Of the columns in each row: what a difference counts. None for 1.
    """
    model, noise, reference = scorer
    seen = jnp.clip(x, *INPUT_RANGE)
    recalled = None if reference.memory is None else recall(reference.memory, seen, units)

    def in_units(difference: Matrix) -> Matrix:
        return difference if units is None else units * difference

    def add_member(
        sums: tuple[Matrix, Matrix], one: tuple[AdVAE, Whitening | None]
    ) -> tuple[tuple[Matrix, Matrix], None]:
        member, whitening = one
        expected = _expected(member.generator, member.encoder(seen.T), noise)
        if recalled is not None:
            expected += recalled.error
        residual = weighed(in_units(x - expected), whitening)
        squares, expectations = sums
        return (squares + residual**2, expectations + expected), None

    zeros = jnp.zeros_like(x)
    (squares, expected), _ = jax.lax.scan(add_member, (zeros, zeros), (model, reference.whitening))
    members = jax.tree.leaves(model)[0].shape[0]
    contributions, expected = squares / members, expected / members
    if recalled is not None:
        contributions = geometric_mean(contributions, in_units(x - recalled.nearest) ** 2)
        expected = jnp.clip(expected, 0.0, 1.0)
    return Scored(jnp.sum(contributions, axis=1), contributions, expected)


def _expected(generator: Generator, q: Gaussian, noise: Points) -> Matrix:
    """Return the mean of G(mu + sigma * eps_l) over the points, one point at a time.

    The same arithmetic as ``Generator``, with all that is the same for every point outside of the
    loop: the weights' transposes, and the constants of the sigmoid, (1 + tanh(v / 2)) / 2.
    """
    first, second, head = generator.layers
    mean, deviation = q.mean, q.deviation
    weights = first.weight.T, second.weight.T, 0.5 * head.weight.T
    biases = first.bias[:, None], second.bias[:, None], 0.5 * head.bias[:, None]

    def add_point(
        total: ColumnsByRows, point: Float[Array, "latent"]
    ) -> tuple[ColumnsByRows, None]:
        z = mean + deviation * point[:, None]
        hidden = jax.nn.relu(weights[0] @ z + biases[0])
        hidden = jax.nn.relu(weights[1] @ hidden + biases[1])
        return total + jnp.tanh(weights[2] @ hidden + biases[2]), None

    zeros = jnp.zeros((head.bias.shape[0], mean.shape[1]), mean.dtype)
    total, _ = jax.lax.scan(add_point, zeros, noise)
    return 0.5 + (0.5 / len(noise)) * total.T


def learn(
    method: Method,
    model: AdVAE,
    rows: HostMatrix,
    config: Config,
    member_rows: Int[np.ndarray, "members member_rows"] | None = None,
) -> tuple[Scorer, Int[np.ndarray, "kept"]]:
    """Return the scorer of trained members, and the positions of the rows that it keeps.

    Parameters
    ----------
    method
        That of the model.
    model
        Trained members, stacked on a leading axis.
    rows
        Encoded training rows, shape (rows, columns).
    config
        ``whiten``, ``memory``, ``seed`` and the settings of the latent noise decide.
    member_rows
        Positions of the rows that each member saw; None for all.
    """
    noise = latent_noise(config, model.sizes.latent)
    matrices = None
    if config.whiten:
        every = -(-len(rows) // RESIDUAL_ROWS)
        found = [
            _member_whitening(
                method,
                Scorer(_member(model, member), noise),
                rows[::every] if member_rows is None else rows[member_rows[member][::every]],
            )
            for member in range(config.members)
        ]
        matrices = jax.tree.map(lambda *leaves: np.stack(leaves), *found)
    if not config.memory:
        return Scorer(model, noise, Reference(matrices)), np.empty(0, int)
    kept = np.arange(len(rows))
    if len(rows) > config.memory:
        drawn = choice(config.seed, "kept rows").permutation(len(rows))
        kept = np.sort(drawn[: config.memory])
    rows = rows[kept]
    errors = rows - score_rows(method, Scorer(model, noise), rows).expected
    return Scorer(model, noise, Reference(matrices, remember(rows, errors))), kept


def _member(model: AdVAE, number: int) -> AdVAE:
    member: AdVAE = jax.tree.map(lambda leaf: leaf[number : number + 1], model)
    return member


def _member_whitening(method: Method, member: Scorer, rows: HostMatrix) -> Whitening:
    residuals = rows - score_rows(method, member, rows).expected
    if not np.isfinite(residuals).all():
        # The terms of the last block do not know of the last step.
        raise diverged("the reconstructions of the training rows are not finite")
    return whitening(residuals)


def warm_up(
    method: Method,
    rows: int,
    config: Config,
    member_rows: Int[np.ndarray, "members member_rows"] | None = None,
) -> None:
    """Compile what `learn` of ``rows`` training rows, and then the score, will need.

    By scoring a row of zeros with what has the right shapes.
    """
    untrained: AdVAE = method.initial_state(config).model
    columns = untrained.sizes.columns
    noise = latent_noise(config, untrained.sizes.latent)
    row = np.zeros((1, columns), np.float32)
    matrices = memory = None
    if config.whiten:
        score_rows(method, Scorer(_member(untrained, 0), noise), row)
        own = rows if member_rows is None else member_rows.shape[1]
        measured = len(range(0, own, -(-rows // RESIDUAL_ROWS)))
        matrices = whitening_of(_zeros, config.members, columns, measured)
    if config.memory:
        score_rows(method, Scorer(untrained, noise), row)
        kept = np.zeros((min(rows, config.memory), columns), np.float32)
        memory = Memory(kept, kept, np.ones(1, np.float32))
    score_rows(method, Scorer(untrained, noise, Reference(matrices, memory)), row)


def _zeros(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.float32)


def scorer_shapes(sizes: Sizes, config: Config, stored: Mapping[str, np.ndarray]) -> Scorer:
    """Return the shapes of the arrays of a scorer, where a file has ``stored`` arrays."""
    columns, points = sizes.columns, config.points if VARIANTS[config.variant].stochastic else 1
    whitening = memory = None
    if config.whiten:
        factor = stored.get("reference.whitening.back")
        # Where there are no factors, more rows than give any.
        measured = columns if factor is None else math.prod(factor.shape[1:2])
        whitening = whitening_of(float32_shape, config.members, columns, measured)
    if config.memory:
        rows = float32_shape(len(stored.get("reference.memory.rows", ())), columns)
        memory = Memory(rows, rows, float32_shape(1))
    return Scorer(
        network_shapes(sizes, config.members),
        float32_shape(points, sizes.latent),
        Reference(whitening, memory),
    )
