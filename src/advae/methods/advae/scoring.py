"""The anomaly score, equations (11) and (12), and what it knows of the training rows.

`reference` has what the ``default`` preset does with the residual beyond the paper.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from advae.config import VARIANTS, Config
from advae.core.arrays import ColumnsByRows, HostMatrix, Matrix
from advae.core.method import Members, Method, Scored
from advae.core.randomness import choice
from advae.core.scoring import score_rows
from advae.core.training import diverged
from advae.methods.advae import reference as references
from advae.methods.advae import surprise as surprises
from advae.methods.advae.classes import extended, independent, learn_classes
from advae.methods.advae.conditional import train
from advae.methods.advae.gaussian import Gaussian
from advae.methods.advae.latent import latent_noise
from advae.methods.advae.networks import (
    INPUT_RANGE,
    AdVAE,
    Generator,
    Sizes,
    activations,
    network_shapes,
)
from advae.methods.advae.reference import (
    Memory,
    Recalled,
    Reference,
    Whitening,
    geometric_mean,
    recall,
    remember,
    weighed,
    whitening,
    whitening_of,
)
from advae.methods.advae.surprise import (
    Prepared,
    Shares,
    Surprise,
    joined,
    learn_shares,
    learn_weights,
)
from advae.methods.dense import Dense, float32_shape
from advae.variables import Variable

RESIDUAL_ROWS = 20_000
"""Most training rows whose residuals are measured."""

MOST_VARIABLES = 256
"""Of a table that conditional networks learn: their cost grows with the square of these."""

UNSEEN = 0.15
"""Share of the training rows that conditional networks do not see, for the shares of R."""

FEWEST_UNSEEN, MOST_UNSEEN = 50, 4000
"""How many those may be; of a small table a third."""

PAPER = Reference()
"""The paper's score: nothing is known of the training rows besides the networks."""


class Scorer(NamedTuple):
    """All that a score is computed from.

    ``model``: members stacked on a leading axis; their squared residuals are averaged.
    ``latent_noise``: shape (points, latent), shared by all rows. ``reference``: what is known of
    the training rows. ``surprise``: what a score in nats is computed from; None for the geometric
    mean of `reference`. `prepared` turns it into what the compiled score is given.
    """

    model: AdVAE
    latent_noise: Any
    reference: Reference = PAPER
    surprise: Any = None

    def prepared(self) -> "Scorer":
        """Return the scorer with `reference.tiles_of` its memory and `surprise.prepared`."""
        memory, known = self.reference.memory, self.surprise
        tiles = None if memory is None else references.tiles_of(memory)
        return self._replace(
            reference=self.reference._replace(memory=tiles),
            surprise=None if known is None else surprises.prepared(known),
        )

    def strangers(self, members: Members, absent: Int[np.ndarray, "absent"]) -> "Scorer":
        """Return the scorer with these members alone, and a memory that lacks some rows.

        For rows of the training table as if they were new: none of them counts itself.
        """
        model, weights = jax.tree.map(
            lambda leaf: np.asarray(leaf)[members], (self.model, self.reference.whitening)
        )
        fewer = references.without(self.reference, absent)
        known = None if self.surprise is None else surprises.strangers(self.surprise, members)
        return Scorer(model, self.latent_noise, fewer._replace(whitening=weights), known)


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
    model, noise, reference, surprise = scorer
    x, whole = x[:, : model.sizes.columns], x
    if units is not None:
        units = units[:, : model.sizes.columns]
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
    if surprise is not None:
        return _in_nats(surprise, whole, units, contributions, expected, recalled)
    if recalled is not None:
        contributions = geometric_mean(contributions, in_units(x - recalled.nearest) ** 2)
        expected = jnp.clip(expected, 0.0, 1.0)
    return Scored(jnp.sum(contributions, axis=1), contributions, expected)


def _in_nats(
    known: Prepared,
    whole: Float[Array, "rows width"],
    units: Float[Array, "rows columns"] | None,
    residual: Matrix,
    expected: Matrix,
    recalled: Recalled | None,
) -> Scored:
    """Return the scores of `surprise`, from the squares that residuals leave in each column.

    Columns that never varied come last in ``whole``. They add their squares; so does a value in a
    column of unit 0, which all other rows have another value in.
    """
    columns = residual.shape[1]
    x, novel = whole[:, :columns], whole[:, columns:] ** 2
    distance = residual
    if recalled is not None:
        difference = x - recalled.nearest
        distance = (difference if units is None else units * difference) ** 2
        expected = jnp.clip(expected, 0.0, 1.0)
    if units is not None:
        alone = jnp.where(units == 0, 1.0, 0.0)
        residual, distance = residual + alone, distance + alone
    squares = (jnp.concatenate([each, novel], axis=1) for each in (residual, distance))
    score, by_kind, factors = joined(known, whole, *squares)
    expected = jnp.concatenate([expected, jnp.zeros_like(novel)], axis=1)
    return Scored(score, jnp.sum(by_kind, axis=2), expected, by_kind, factors)


def _expected(generator: Generator, q: Gaussian, noise: Any) -> Matrix:
    """Return the mean of G(mu + sigma * eps_l) over the points, one point at a time.

    The sigmoid of v is (1 + tanh(v / 2)) / 2; its constants are taken out of the loop.
    """
    first, second, head = generator.layers
    halved = Dense(0.5 * head.weight, 0.5 * head.bias)
    turned = first.turned(), second.turned(), halved.turned()
    mean, deviation = q.mean, q.deviation

    def add_point(
        total: ColumnsByRows, point: Float[Array, "latent"]
    ) -> tuple[ColumnsByRows, None]:
        *_, logits = activations(turned, mean + deviation * point[:, None])
        return total + jnp.tanh(logits), None

    zeros = jnp.zeros((head.bias.shape[0], mean.shape[1]), mean.dtype)
    total, _ = jax.lax.scan(add_point, zeros, noise)
    return 0.5 + (0.5 / len(noise)) * total.T


def learn(
    method: Method,
    model: AdVAE,
    rows: HostMatrix,
    config: Config,
    member_rows: Int[np.ndarray, "members member_rows"] | None = None,
    ready: Surprise | None = None,
) -> tuple[Scorer, Int[np.ndarray, "kept"]]:
    """Return the scorer of trained members, and the positions of the rows that it keeps.

    Parameters
    ----------
    method
        That of the model.
    model
        Trained members, stacked on a leading axis.
    rows
        Encoded training rows, shape (rows, columns); those that never varied come last.
    config
        ``whiten``, ``memory``, ``seed`` and the settings of the latent noise decide.
    member_rows
        Positions of the rows that each member saw; None for all.
    ready
        What `prepare` returned: surprises without shares.
    """
    whole, rows = rows, np.ascontiguousarray(rows[:, : model.sizes.columns])
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
    reference, kept = Reference(matrices), np.empty(0, int)
    if config.memory:
        kept = _kept(len(rows), config)
        errors = rows[kept] - score_rows(method, Scorer(model, noise), rows[kept]).expected
        reference = Reference(matrices, remember(rows[kept], errors))
    scorer = Scorer(model, noise, reference, ready)
    if ready is not None:
        shares = _shares(method, scorer, whole, config, member_rows)
        scorer = scorer._replace(surprise=ready._replace(shares=shares))
    return scorer, kept


def _kept(rows: int, config: Config) -> Int[np.ndarray, "kept"]:
    """Return the positions of the training rows to keep, ascending."""
    if rows <= config.memory:
        return np.arange(rows)
    drawn: Int[np.ndarray, "rows"] = choice(config.seed, "kept rows").permutation(rows)
    return np.sort(drawn[: config.memory])


def _shares(
    method: Method,
    scorer: Scorer,
    whole: HostMatrix,
    config: Config,
    member_rows: Int[np.ndarray, "members member_rows"] | None,
) -> Shares:
    """Return the shares of the factors among training rows, and how much each counts.

    Those of R are of rows by the networks that never saw them: a network knows a small table by
    heart, and everything new would surprise it beyond measure. N and D need no such rows: damaged
    inputs keep networks from knowing theirs, and no row vouches for itself.
    """
    every = -(-len(whole) // RESIDUAL_ROWS)
    nothing = np.empty(0, int)
    itself = scorer.strangers(slice(None), nothing)
    factors = score_rows(method, itself, whole[::every]).factors.T
    draws = choice(config.seed, "independent values", len(whole))

    def clean_and_odd(
        scorer: Scorer, unseen: Int[np.ndarray, "unseen"], units: HostMatrix | None
    ) -> tuple[np.ndarray, np.ndarray]:
        odd = independent(scorer.surprise.classes, whole, len(unseen), draws)
        return tuple(
            score_rows(method, scorer, rows, units).factors for rows in (whole[unseen], odd)
        )

    if member_rows is None:
        found = [clean_and_odd(itself, _unseen(len(whole), config.seed), None)]
    else:
        groups: dict[bytes, list[int]] = {}
        for member, seen in enumerate(member_rows):
            groups.setdefault(seen.tobytes(), []).append(member)
        found = []
        for members in groups.values():
            unseen = np.setdiff1d(np.arange(len(whole)), member_rows[members[0]])
            # R knows no units; with them it is the program that scores rows out of fold.
            units = np.ones((len(unseen), whole.shape[1]), np.float32)
            found.append(clean_and_odd(scorer.strangers(members, nothing), unseen, units))
    clean, odd = (np.concatenate(each) for each in zip(*found, strict=True))
    return learn_weights(learn_shares([*factors[:3], clean[:, 3]]), clean, odd)


def _unseen(rows: int, seed: int) -> Int[np.ndarray, "unseen"]:
    """Return the positions of the training rows that no conditional network sees, ascending."""
    count = int(np.clip(UNSEEN * rows, min(FEWEST_UNSEEN, rows // 3), MOST_UNSEEN))
    drawn: Int[np.ndarray, "rows"] = choice(seed, "unseen rows", rows).permutation(rows)
    return np.sort(drawn[: max(1, count)])


def _member(model: AdVAE, number: int) -> AdVAE:
    member: AdVAE = jax.tree.map(lambda leaf: leaf[number : number + 1], model)
    return member


def _member_whitening(method: Method, member: Scorer, rows: HostMatrix) -> Whitening:
    residuals = rows - score_rows(method, member, rows).expected
    if not np.isfinite(residuals).all():
        # The terms of the last block do not know of the last step.
        raise diverged("the reconstructions of the training rows are not finite")
    return whitening(residuals)


def prepare(
    method: Method,
    rows: HostMatrix,
    config: Config,
    member_rows: Int[np.ndarray, "members member_rows"] | None,
    variables: Sequence[Variable],
) -> Surprise | None:
    """Return the surprises without shares, and compile what `learn` and the score will need.

    By scoring a row of zeros with what has the right shapes.
    """
    untrained: AdVAE = method.initial_state(config).model
    columns, ready = untrained.sizes.columns, None
    if config.surprise:
        ready = _surprise(rows, config, member_rows, variables)
    noise = latent_noise(config, untrained.sizes.latent)
    row = np.zeros((1, rows.shape[1]), np.float32)
    varied = row[:, :columns]
    matrices = memory = None
    if config.whiten:
        score_rows(method, Scorer(_member(untrained, 0), noise), varied)
        own = len(rows) if member_rows is None else member_rows.shape[1]
        measured = len(range(0, own, -(-len(rows) // RESIDUAL_ROWS)))
        matrices = whitening_of(_zeros, config.members, columns, measured)
    if config.memory:
        score_rows(method, Scorer(untrained, noise), varied)
        kept = np.zeros((min(len(rows), config.memory), columns), np.float32)
        memory = Memory(kept, kept, np.ones(1, np.float32))
    score_rows(method, Scorer(untrained, noise, Reference(matrices, memory), ready), row)
    return ready


def _surprise(
    rows: HostMatrix,
    config: Config,
    member_rows: Int[np.ndarray, "members member_rows"] | None,
    variables: Sequence[Variable],
) -> Surprise:
    """Learn frequencies, and a conditional network for each member; no shares yet."""
    classes = learn_classes(variables, rows)
    whole = extended(rows, classes.phases, np)
    seen = np.setdiff1d(np.arange(len(rows)), _unseen(len(rows), config.seed))
    marginal = surprises.learn_marginal(classes, rows)
    if len(classes.sizes) > MOST_VARIABLES:
        return Surprise(classes, marginal, None, surprises.no_shares())
    members = [
        train(
            classes,
            whole,
            seen if member_rows is None else member_rows[member],
            config,
            member,
        )
        for member in range(config.members)
    ]
    net = jax.tree.map(lambda *leaves: np.stack(leaves), *members)
    return Surprise(classes, marginal, net, surprises.no_shares())


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
    known = None
    if config.surprise:
        known = surprises.shapes(stored, "surprise.", config.members)
    return Scorer(
        network_shapes(sizes, config.members),
        float32_shape(points, sizes.latent),
        Reference(whitening, memory),
        known,
    )
