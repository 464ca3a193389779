"""DAGMM: a Gaussian mixture of what an autoencoder makes of rows, and of how well it does.

B. Zong, Q. Song, M. R. Min, W. Cheng, C. Lumezanu, D. Cho, H. Chen, "Deep autoencoding Gaussian
mixture model for unsupervised anomaly detection", ICLR 2018.
"""

import math
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from advae.config import Config
from advae.core.adam import StepSize
from advae.core.arrays import ColumnsByRows, HostMatrix, Scalar, Vector
from advae.core.compilation import compiled, shielded, with_room
from advae.core.method import Terms
from advae.methods.base import NetworkMethod, TrainState, seen, total
from advae.methods.dense import Dense, dense_shapes, float32_shape, through

COMPONENTS, MOST_CODES, WIDTH = 4, 2, 10
"""Gaussians of the mixture, codes, and width of the network of memberships.

The paper has 2 or 4 Gaussians, 1 or 2 codes, and 10, each by data set."""

ENERGY_WEIGHT, VARIANCE_WEIGHT = 0.1, 0.005
"""lambda_1 and lambda_2 of the paper."""

LEAST_VARIANCE = 1e-5
"""NOTE[DIFF]: added to the variances of every Gaussian, so that its covariance can be inverted."""

MOST_ROWS = 2**16
"""NOTE[DIFF]: most training rows that the mixture of the score is taken over; the paper's is that
of the rows that are scored."""

Codes = Float[Array, "codes rows"]
Memberships = Float[Array, "components rows"]


class Mixture(NamedTuple):
    """A mixture of Gaussians."""

    share: Float[Array, "components"]
    mean: Float[Array, "components codes"]
    covariance: Float[Array, "components codes codes"]


class Networks(NamedTuple):
    """Encoder d -> h -> k, decoder k -> h -> d, and the network of memberships, all with tanh."""

    encoder: tuple[Dense, ...]
    decoder: tuple[Dense, ...]
    membership: tuple[Dense, ...]

    def reconstruct(self, x: ColumnsByRows) -> tuple[Codes, ColumnsByRows]:
        """Return the codes of rows, and what is made of them."""
        code = through(self.encoder, x, jnp.tanh)
        return code, through(self.decoder, code, jnp.tanh)

    def belong(self, z: Codes, kept: Float[Array, "width rows"] | float = 1.0) -> Memberships:
        """Return how much of each row belongs to each Gaussian; ``kept`` weighs hidden units."""
        first, head = self.membership
        return jax.nn.softmax(head(kept * jnp.tanh(first(z))), axis=0)


class Known(NamedTuple):
    """A member: its networks, and the mixture of its training rows."""

    model: Networks
    mixture: Mixture


def features(x: ColumnsByRows, code: Codes, made: ColumnsByRows) -> Codes:
    """Return codes, relative Euclidean distance and cosine similarity of rows."""
    distance = _norm(x - made) / _norm(x)
    cosine = jnp.sum(x * made, axis=0) / (_norm(x) * _norm(made))
    return jnp.concatenate([code, distance[None], cosine[None]])


def _norm(x: ColumnsByRows) -> Vector:
    return jnp.sqrt(jnp.sum(x**2, axis=0) + 1e-12)  # so that 0 has a gradient


def mixture(z: Codes, memberships: Memberships, weight: Vector | float = 1.0) -> Mixture:
    """Return shares, means and covariances of rows that belong in part; equation (5).

    ``weight``: of the rows; those of weight 0 do not count.
    """
    memberships = memberships * weight
    counts = jnp.sum(memberships, axis=1) + 1e-6  # a Gaussian may lose all rows
    mean = memberships @ z.T / counts[:, None]
    apart = z[None] - mean[:, :, None]
    spread = jnp.einsum("kr,kir,kjr->kij", memberships, apart, apart) / counts[:, None, None]
    covariance = spread + LEAST_VARIANCE * jnp.eye(len(z))
    return Mixture(counts / jnp.sum(counts), mean, covariance)


def energy(known: Mixture, z: Codes) -> tuple[Vector, Scalar]:
    """Return -log of the mixture's density at each row, and the least that it can be.

    Equation (6). The least is what it would be at the means of all Gaussians at once.
    """
    lower = jnp.linalg.cholesky(known.covariance)
    apart = z[None] - known.mean[:, :, None]
    solved = jax.vmap(partial(jax.scipy.linalg.solve_triangular, lower=True))(lower, apart)
    log_root = jnp.sum(jnp.log(jnp.diagonal(lower, axis1=1, axis2=2)), axis=1)
    highest = jnp.log(known.share) - log_root - 0.5 * len(z) * math.log(2 * math.pi)
    logs = highest[:, None] - 0.5 * jnp.sum(solved**2, axis=1)
    return -jax.nn.logsumexp(logs, axis=0), -jax.nn.logsumexp(highest)


def loss(model: Networks, x: ColumnsByRows, kept: Float[Array, "width rows"]) -> Terms:
    """Return the terms of the objective, equation (7); the mixture is that of the batch."""
    code, made = model.reconstruct(x)
    z = features(x, code, made)
    found = mixture(z, model.belong(z, kept))
    energies, _ = energy(found, z)
    variances = jnp.diagonal(found.covariance, axis1=1, axis2=2)
    return {
        "reconstruction": jnp.mean(jnp.sum((x - made) ** 2, axis=0)),
        "energy": jnp.mean(energies),
        "inverse_variance": jnp.sum(1.0 / variances),
    }


@compiled
def _mixture_of(model: Networks, x: ColumnsByRows, weight: Vector) -> Mixture:
    z = features(x, *model.reconstruct(x))
    return mixture(z, model.belong(z), weight)


class DAGMM(NetworkMethod):
    """DAGMM.

    NOTE[DIFF]: encoder and decoder have one hidden layer, ``hidden`` wide; the paper's have up to
    three of other widths for each data set. Codes are at most `MOST_CODES`, as the paper's,
    whatever ``latent`` says.
    """

    @property
    def codes(self) -> int:
        """How many codes there are."""
        return min(self.latent, MOST_CODES)

    @property
    def draws(self) -> tuple[int, int]:
        """One for each hidden unit of the network of memberships: its sign drops the unit."""
        return 1, WIDTH

    def networks(self, members: int) -> Networks:
        """Return the shapes of the three networks."""
        d, h, k = self.columns, self.hidden, self.codes
        return Networks(
            dense_shapes(members, d, h, k),
            dense_shapes(members, k, h, d),
            dense_shapes(members, k + 2, WIDTH, COMPONENTS),
        )

    def step(
        self,
        state: TrainState,
        x: ColumnsByRows,
        shown: ColumnsByRows,
        noise: Float[Array, "1 width rows"],
        settings: tuple[()],
        step_size: StepSize,
    ) -> tuple[TrainState, Terms]:
        """Move all networks. Rows are shown as they are; half of the hidden units are dropped."""
        del shown, settings
        kept = 2.0 * (noise[0] > 0)

        def objective(model: Networks) -> tuple[Scalar, Terms]:
            terms = loss(model, x, kept)
            weights = {"energy": ENERGY_WEIGHT, "inverse_variance": VARIANCE_WEIGHT}
            return total(terms, **weights), terms

        gradient, terms = jax.grad(objective, has_aux=True)(state.model)
        return state.moved(step_size, **gradient._asdict()), terms

    def error(
        self, model: Networks, x: ColumnsByRows, noise: Float[Array, "1 width rows"]
    ) -> Vector:
        """Return the squared error of each row's reconstruction."""
        del noise
        x = seen(x)
        return jnp.sum((x - model.reconstruct(x)[1]) ** 2, axis=0)

    @shielded
    def learn(
        self,
        model: Networks,
        rows: HostMatrix,
        config: Config,
        member_rows: Int[np.ndarray, "members member_rows"] | None = None,
        ready: None = None,
    ) -> tuple[Known, Int[np.ndarray, "kept"]]:
        """Return the networks, and the mixture of the rows that each member saw."""
        del ready
        found = []
        for member in range(config.members):
            own = rows if member_rows is None else rows[member_rows[member]]
            own = own[:: -(-len(own) // MOST_ROWS)]
            weight = with_room(np.ones(len(own), np.float32))
            # Room that is filled with 1 has a norm, unlike 0.
            x = np.ascontiguousarray(with_room(own, fill=1).T)
            nets = jax.tree.map(lambda leaf, member=member: np.asarray(leaf)[member], model)
            found.append(_mixture_of(nets, x, weight))
        mixtures: Mixture = jax.tree.map(lambda *parts: np.stack(parts), *found)
        return Known(model, mixtures), np.empty(0, int)

    def scorer_shapes(self, config: Config, stored: object) -> Known:
        """Return the shapes of the scorer."""
        del stored
        members, size = config.members, self.codes + 2
        shares, means = float32_shape(members, COMPONENTS), float32_shape(members, COMPONENTS, size)
        covariances = float32_shape(members, COMPONENTS, size, size)
        return Known(self.networks(members), Mixture(shares, means, covariances))

    def expected(self, member: Known, x: ColumnsByRows) -> ColumnsByRows:
        """Return the reconstruction."""
        return member.model.reconstruct(x)[1]

    def surprise(self, member: Known, x: ColumnsByRows) -> Vector:
        """Return the energy above the least there can be.

        NOTE[DIFF]: the paper's is the energy itself, which orders rows alike and may be below 0.
        """
        z = features(x, *member.model.reconstruct(seen(x)))
        energies, least = energy(member.mixture, z)
        return jnp.maximum(energies - least, 0.0)

    def summary(self, config: Config) -> str:
        """Return the method's name and the sizes of its networks."""
        return f"{config.method}, {self.hidden} wide, {self.codes} codes, {COMPONENTS} Gaussians"
