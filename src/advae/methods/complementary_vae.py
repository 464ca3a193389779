"""A VAE whose anomaly prior is the complement of the normal prior: the rival assumption.

Y. Kawachi, Y. Koizumi, N. Harada, "Complementary set variational autoencoder for supervised anomaly
detection", ICASSP 2018; reference 25 of adVAE's paper, which holds against it that latent variables
of normal and anomalous rows overlap. Networks, sampling and divergence are those of adVAE, so that
the two differ by what they assume of anomalies.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from advae.config import Config
from advae.core.adam import StepSize
from advae.core.arrays import ColumnsByRows, HostMatrix, Scalar, Vector
from advae.core.method import Terms
from advae.methods.advae.gaussian import Gaussian, kld
from advae.methods.advae.losses import squared_error
from advae.methods.advae.networks import Encoder, Generator, Sizes, network_shapes
from advae.methods.base import NetworkMethod, TrainState, seen, total
from advae.methods.dense import float32_shape

WIDE = 10.0
"""Standard deviation of the wide Gaussian N_W = N(0, WIDE² I) in the anomaly prior."""


class Networks(NamedTuple):
    """Encoder and generator of adVAE."""

    encoder: Encoder
    generator: Generator


class Known(NamedTuple):
    """A member: its networks, and what a nat of KLD(q) weighs against a squared error."""

    model: Networks
    weight: Any


def kld_to_complement(q: Gaussian, z: Float[Array, "latent rows"]) -> Vector:
    """Return KLD(q || complement of the normal prior) in nats, estimated by one draw z of q.

    The complement has the density N_W(z) (1 - N(z) / N(0)) / Y, N being the standard normal
    density and Y = 1 - (1 + WIDE²)^(-k/2) what makes it integrate to 1.

    NOTE[DIFF]: the paper bounds the divergence. Of log(1 - N(z) / N(0)) the mean over q is taken by
    the draw that reconstructs the row; everything else is exact.
    """
    latent = q.mean.shape[0]
    spread = (q.variance + q.mean**2) / WIDE**2 - 1.0 - q.log_variance + 2.0 * math.log(WIDE)
    wide = 0.5 * jnp.sum(spread, axis=0)
    scale = math.log1p(-((1.0 + WIDE**2) ** (-latent / 2)))
    far = jnp.sum(z**2, axis=0) + 1e-6  # at z = 0 the density is 0
    return wide + scale - jnp.log(-jnp.expm1(-0.5 * far))


def made_anomalies(x: ColumnsByRows) -> ColumnsByRows:
    """Return rows that have each column from another row of the batch.

    NOTE[DIFF]: the paper is given labelled anomalies. Here training has normal rows alone, so
    anomalies are made of them: values that occur, in combinations that need not.
    """
    columns, rows = x.shape
    other = jnp.arange(rows) + 1 + jnp.arange(columns)[:, None]
    return jnp.take_along_axis(x, other % rows, axis=1)


def loss(model: Networks, x: ColumnsByRows, noise: Float[Array, "2 latent rows"]) -> Terms:
    """Return the terms of both evidence bounds: of rows, and of anomalies made of them."""
    made = made_anomalies(x)
    q, q_made = model.encoder(x), model.encoder(made)
    z, z_made = q.sample(noise[0]), q_made.sample(noise[1])
    return {
        "reconstruction": jnp.mean(squared_error(x, model.generator(z))),
        "kld": jnp.mean(kld(q)),
        "anomaly_reconstruction": jnp.mean(squared_error(made, model.generator(z_made))),
        "anomaly_kld": jnp.mean(kld_to_complement(q_made, z_made)),
    }


class ComplementaryVAE(NetworkMethod):
    """The VAE with two priors; ``lambda_`` weighs both divergences."""

    @property
    def draws(self) -> tuple[int, int]:
        """Those for z, and those for the z of the anomaly made."""
        return 2, self.latent

    def networks(self, members: int) -> Networks:
        """Return the shapes of adVAE's encoder and generator."""
        sizes = Sizes(self.columns, self.hidden, self.latent)
        return Networks(*network_shapes(sizes, members)[:2])

    def settings(self, config: Config) -> float:
        """Return the weight of the divergences."""
        return config.lambda_

    def step(
        self,
        state: TrainState,
        x: ColumnsByRows,
        shown: ColumnsByRows,
        noise: Float[Array, "2 latent rows"],
        settings: Scalar,
        step_size: StepSize,
    ) -> tuple[TrainState, Terms]:
        """Move both networks by the sum of both bounds. Rows are shown as they are."""
        del shown

        def objective(model: Networks) -> tuple[Scalar, Terms]:
            terms = loss(model, x, noise)
            return total(terms, kld=settings, anomaly_kld=settings), terms

        gradient, terms = jax.grad(objective, has_aux=True)(state.model)
        return state.moved(step_size, **gradient._asdict()), terms

    def error(
        self, model: Networks, x: ColumnsByRows, noise: Float[Array, "2 latent rows"]
    ) -> Vector:
        """Return ||x - x_r||² of each row."""
        x = seen(x)
        return squared_error(x, model.generator(model.encoder(x).sample(noise[0])))

    def learn(
        self,
        model: Networks,
        rows: HostMatrix,
        config: Config,
        member_rows: Int[np.ndarray, "members member_rows"] | None = None,
        ready: None = None,
    ) -> tuple[Known, Int[np.ndarray, "kept"]]:
        """Return the networks, and the weight of the divergence."""
        del rows, member_rows, ready
        return Known(model, np.full(config.members, config.lambda_, np.float32)), np.empty(0, int)

    def scorer_shapes(self, config: Config, stored: object) -> Known:
        """Return the shapes of the scorer."""
        del stored
        return Known(self.networks(config.members), float32_shape(config.members))

    def expected(self, member: Known, x: ColumnsByRows) -> ColumnsByRows:
        """Return the reconstruction from the mean of q."""
        return member.model.generator(member.model.encoder(x).mean)

    def surprise(self, member: Known, x: ColumnsByRows) -> Vector:
        """Return ||x - x_r||² + lambda KLD(q): the row's negated bound under the normal prior.

        NOTE[DIFF]: x_r is reconstructed from the mean of q, not from draws.
        """
        q = member.model.encoder(seen(x))
        weight: Scalar = member.weight
        return squared_error(x, member.model.generator(q.mean)) + weight * kld(q)
