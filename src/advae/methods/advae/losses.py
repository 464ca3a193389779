"""The two losses of adVAE, equations (4) to (10), term by term.

A loss is its terms by name, each with its weight. A term is the unweighted mean over the rows of
the batch, which are the columns of its arrays. A variant has some of the terms; those that it
leaves out are not computed.
"""

from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from advae.config import Variant
from advae.core.arrays import ColumnsByRows, LatentByRows, Scalar, Vector
from advae.core.method import Terms
from advae.methods.advae.gaussian import Gaussian, kld, kld_between
from advae.methods.advae.networks import Encoder, Generator, Transformer, frozen_on_both, on_both


class Noise(NamedTuple):
    """Standard normal draws for one batch, one of their own for every row and latent."""

    z: LatentByRows
    z_T: LatentByRows


class Settings(NamedTuple):
    """The numbers of the losses, in the paper's symbols: gamma, lambda, m_x and m_z.

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


class Term(NamedTuple):
    """A term of a loss, and what it weighs in it."""

    weight: Scalar | float
    value: Scalar


Loss: TypeAlias = dict[str, Term]


def total(loss: Loss) -> Scalar:
    """Return the weighted sum of a loss's terms, which its step minimises."""
    return jnp.sum(jnp.stack([term.weight * term.value for term in loss.values()]))


def values(loss: Loss) -> Terms:
    """Return the terms of a loss without their weights."""
    return {name: term.value for name, term in loss.items()}


def squared_error(a: ColumnsByRows, b: ColumnsByRows) -> Vector:
    """Return ||a - b||^2 of each row, summed over the columns of the table; equation (4)."""
    return jnp.sum((a - b) ** 2, axis=0)


def hinge(v: Vector) -> Vector:
    """Return [v]+ = max(0, v) of each row."""
    return jnp.maximum(v, 0.0)


def generator_transformer_loss(
    nets: tuple[Generator, Transformer],
    encoder: Encoder,
    x: ColumnsByRows,
    q: Gaussian,
    noise: Noise,
    settings: Settings,
    variant: Variant,
) -> Loss:
    """Return L_G + lambda * L_T, which step 1 minimises over G and T; equations (6) to (9)."""
    generator, transformer = nets
    gamma, lambda_ = settings.gamma, settings.lambda_
    z = q.sample(noise.z)
    if not variant.transforms:
        return {"generator_reconstruction": _mean(1.0, squared_error(x, generator(z)))}
    q_T = transformer(q)
    if not variant.generator_discriminates:
        return {
            "generator_reconstruction": _mean(1.0, squared_error(x, generator(z))),
            "transformer_kld": _mean(lambda_, kld_between(q, q_T)),
        }
    x_r, x_Tr = on_both(generator, z, q_T.sample(noise.z_T))
    q_r, q_Tr = on_both(encoder, x_r, x_Tr)
    reconstruction = _mean(1.0, squared_error(x, x_r))
    m_x = _margin(settings.margin_x, settings.relative_margin_x, reconstruction)
    m_z = _margin(settings.margin_z, settings.relative_margin_z, _mean(1.0, kld(q)))
    return {
        "generator_reconstruction": reconstruction,
        "generator_kld_r": _mean(gamma, kld(q_r)),
        "generator_margin_x": _mean(1.0, hinge(m_x - squared_error(x_r, x_Tr))),
        "generator_margin_z": _mean(gamma, hinge(m_z - kld(q_Tr))),
        "transformer_kld": _mean(lambda_, kld_between(q, q_T)),
    }


def encoder_loss(
    encoder: Encoder,
    nets: tuple[Generator, Transformer],
    x: ColumnsByRows,
    q: Gaussian,
    noise: Noise,
    settings: Settings,
    variant: Variant,
) -> Loss:
    """Return L_E, which step 2 minimises over E; equation (10). G and T have no gradient."""
    generator, transformer = nets
    if not variant.encoder_discriminates:
        z = q.sample(noise.z)
        loss = {"encoder_reconstruction": _mean(1.0, squared_error(x, generator(z)))}
        if variant.stochastic:  # a plain autoencoder has no prior
            loss["encoder_kld"] = _mean(settings.lambda_, kld(q))
        return loss
    q_T = transformer(q)
    x_r, x_Tr = frozen_on_both(generator, q.sample(noise.z), q_T.sample(noise.z_T))
    # Algorithm 1 detaches the reconstructions before they are encoded again.
    q_r, q_Tr = on_both(encoder, *jax.lax.stop_gradient((x_r, x_Tr)))
    reconstruction = _mean(1.0, squared_error(x, x_r))
    prior = _mean(settings.lambda_, kld(q))
    m_z = _margin(settings.margin_z, settings.relative_margin_z, prior)
    return {
        "encoder_reconstruction": reconstruction,
        "encoder_kld": prior,
        "encoder_margin_z_r": _mean(settings.gamma, hinge(m_z - kld(q_r))),
        "encoder_margin_z_Tr": _mean(settings.gamma, hinge(m_z - kld(q_Tr))),
    }


def _mean(weight: Scalar | float, rows: Vector) -> Term:
    return Term(weight, jnp.mean(rows))


def _margin(absolute: Scalar | float, relative: Scalar | float, of: Term) -> Scalar:
    return absolute + relative * jax.lax.stop_gradient(of.value)
