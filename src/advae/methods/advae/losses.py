"""One adversarial pass and the nine named loss terms of adVAE, equations (4) to (10).

Every term is an unweighted mean over the rows of the batch, which are the columns of its arrays.
``total`` applies the weights, so history, reports and tests see the terms themselves. A term that a
variant leaves out is None, and costs nothing.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from advae.core.arrays import ColumnsByRows, LatentByRows, Scalar, Vector
from advae.methods.advae.gaussian import Gaussian, kld, kld_between
from advae.methods.advae.networks import Encoder, Generator, _frozen, _halves, _joined


class Noise(NamedTuple):
    """Standard normal draws for one batch, one of their own for every row and latent."""

    z: LatentByRows
    z_T: LatentByRows


class Reconstructions(NamedTuple):
    """What the generator makes of a batch: from the row's own Gaussian and from T's.

    ``x_Tr`` is None where no term discriminates.
    """

    x_r: ColumnsByRows
    x_Tr: ColumnsByRows | None


class ReEncoded(NamedTuple):
    """The encoder's view of the two reconstructions."""

    q_r: Gaussian
    q_Tr: Gaussian


class Settings(NamedTuple):
    """The numbers of the objective, in the paper's symbols: gamma, lambda, m_x and m_z.

    They are data of the compiled training program, not part of it: another value costs no
    compilation.

    NOTE[DIFF]: a margin can also grow with what the network does now. The paper's absolute margins
    mean something else for 5 columns than for 64, and for a wide network than for a narrow one.
    m_x = margin_x + relative_margin_x * mean of ||x - x_r||^2, and
    m_z = margin_z + relative_margin_z * mean of KLD(q), both means over the batch and without
    gradient. The paper has no relative part.
    """

    gamma: Scalar | float
    lambda_: Scalar | float
    margin_x: Scalar | float
    margin_z: Scalar | float
    relative_margin_x: Scalar | float = 0.0
    relative_margin_z: Scalar | float = 0.0


class GeneratorTransformerTerms(NamedTuple):
    """The terms of step 1, L_G + lambda * L_T, equations (6) to (9)."""

    reconstruction: Scalar
    kld_r: Scalar | None
    margin_x: Scalar | None
    margin_z: Scalar | None
    kld_transformer: Scalar | None

    def total(self, settings: Settings) -> Scalar:
        """Return the weighted sum that step 1 minimises."""
        gamma = settings.gamma
        return _weighted(self, (1.0, gamma, 1.0, gamma, settings.lambda_))


class EncoderTerms(NamedTuple):
    """The terms of step 2, L_E, equation (10)."""

    reconstruction: Scalar
    kld: Scalar | None
    margin_z_r: Scalar | None
    margin_z_Tr: Scalar | None

    def total(self, settings: Settings) -> Scalar:
        """Return the weighted sum that step 2 minimises."""
        gamma = settings.gamma
        return _weighted(self, (1.0, settings.lambda_, gamma, gamma))


def _weighted(terms: tuple[Scalar | None, ...], weights: tuple[Scalar | float, ...]) -> Scalar:
    present = [w * term for w, term in zip(weights, terms, strict=True) if term is not None]
    return jnp.sum(jnp.stack(present))


def squared_error(a: ColumnsByRows, b: ColumnsByRows) -> Vector:
    """Return ||a - b||^2 of each row, summed over the columns of the table; equation (4)."""
    return jnp.sum((a - b) ** 2, axis=0)


def hinge(v: Vector) -> Vector:
    """Return [v]+ = max(0, v) of each row."""
    return jnp.maximum(v, 0.0)


def reconstruct(
    generator: Generator, q: Gaussian, q_T: Gaussian | None, noise: Noise
) -> Reconstructions:
    """Return x_r = G(z) and, with ``q_T``, x_Tr = G(z_T)."""
    z = q.sample(noise.z)
    if q_T is None:
        return Reconstructions(generator(z), None)
    # One pass over both halves: the same arithmetic in half the operations.
    return Reconstructions(*_halves(generator(_joined(z, q_T.sample(noise.z_T)))))


def reconstruct_frozen(
    generator: Generator, q: Gaussian, q_T: Gaussian | None, noise: Noise
) -> Reconstructions:
    """Return the same, with slopes for ``q`` alone, by way of x_r: those that step 2 needs."""
    if q_T is None:
        return reconstruct(jax.lax.stop_gradient(generator), q, None, noise)
    return Reconstructions(*_frozen(generator, q.sample(noise.z), q_T.sample(noise.z_T)))


def re_encode(encoder: Encoder, x_r: ColumnsByRows, x_Tr: ColumnsByRows) -> ReEncoded:
    """Return the Gaussians q_r = E(x_r) and q_Tr = E(x_Tr)."""
    both = encoder(_joined(x_r, x_Tr))
    pairs = zip(_halves(both.mean), _halves(both.log_variance), strict=True)
    q_r, q_Tr = (Gaussian(mean, log_variance) for mean, log_variance in pairs)
    return ReEncoded(q_r, q_Tr)


def generator_transformer_terms(
    x: ColumnsByRows,
    q: Gaussian,
    q_T: Gaussian | None,
    made: Reconstructions,
    seen: ReEncoded | None,
    settings: Settings,
) -> GeneratorTransformerTerms:
    """Return the terms of step 1; without ``seen``, only those that need no discrimination."""
    reconstruction = jnp.mean(squared_error(x, made.x_r))
    transformed = None if q_T is None else jnp.mean(kld_between(q, q_T))
    if made.x_Tr is None or seen is None:
        return GeneratorTransformerTerms(reconstruction, None, None, None, transformed)
    distance = squared_error(made.x_r, made.x_Tr)
    error = jax.lax.stop_gradient(reconstruction)
    margin_x = settings.margin_x + settings.relative_margin_x * error
    return GeneratorTransformerTerms(
        reconstruction=reconstruction,
        kld_r=jnp.mean(kld(seen.q_r)),
        margin_x=jnp.mean(hinge(margin_x - distance)),
        margin_z=jnp.mean(hinge(_margin_z(jnp.mean(kld(q)), settings) - kld(seen.q_Tr))),
        kld_transformer=transformed,
    )


def encoder_terms(
    x: ColumnsByRows, q: Gaussian, made: Reconstructions, seen: ReEncoded | None, settings: Settings
) -> EncoderTerms:
    """Return the terms of step 2; without ``seen``, only those of a plain VAE."""
    reconstruction = jnp.mean(squared_error(x, made.x_r))
    prior = jnp.mean(kld(q))
    if seen is None:
        return EncoderTerms(reconstruction, prior, None, None)
    margin_z = _margin_z(prior, settings)
    return EncoderTerms(
        reconstruction=reconstruction,
        kld=prior,
        margin_z_r=jnp.mean(hinge(margin_z - kld(seen.q_r))),
        margin_z_Tr=jnp.mean(hinge(margin_z - kld(seen.q_Tr))),
    )


def _margin_z(prior: Scalar, settings: Settings) -> Scalar:
    return settings.margin_z + settings.relative_margin_z * jax.lax.stop_gradient(prior)
