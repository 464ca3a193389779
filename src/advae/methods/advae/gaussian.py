"""Diagonal Gaussians: sampling and the two Kullback-Leibler divergences of adVAE."""

from typing import NamedTuple

import jax.numpy as jnp

from advae.core.arrays import LatentByRows, Vector


class Gaussian(NamedTuple):
    """A Gaussian with diagonal covariance for each row; one column of the arrays belongs to a row.

    Parameters
    ----------
    mean
        Shape (latent, rows).
    log_variance
        Natural logarithm of the variances, shape (latent, rows).
    """

    mean: LatentByRows
    log_variance: LatentByRows

    @property
    def deviation(self) -> LatentByRows:
        """The standard deviations, at most exp(40)."""
        return jnp.exp(0.5 * self._bounded)

    @property
    def variance(self) -> LatentByRows:
        """The variances, at most exp(80)."""
        return jnp.exp(self._bounded)

    @property
    def _bounded(self) -> LatentByRows:
        """The log-variances, so that no exponential overflows.

        NOTE[DIFF]: the paper has no bound. Nothing holds those of a plain autoencoder, which no
        term sees, nor those of a reconstruction whose divergence is beyond its margin: an infinite
        one would make the gradient of that term NaN, which is 0 there.
        """
        return jnp.minimum(self.log_variance, 80.0)

    def sample(self, noise: LatentByRows) -> LatentByRows:
        """Return ``mean + standard deviation * noise`` for standard normal noise."""
        return self.mean + self.deviation * noise


def kld(q: Gaussian) -> Vector:
    """Return KLD(q || N(0, I)) in nats, summed over the latents, at least 0; equation (5).

    The paper prints (5) with its sign flipped; this is the divergence itself.
    """
    terms = q.variance + q.mean**2 - 1.0 - q.log_variance
    return 0.5 * jnp.sum(terms, axis=0)


def kld_between(q: Gaussian, p: Gaussian) -> Vector:
    """Return KLD(q || p) in nats, summed over the latents, at least 0; equation (9)."""
    log_ratio = p.log_variance - q.log_variance
    # Exponentials of differences: of two variances each can overflow where their ratio does not.
    spread = jnp.exp(-log_ratio) + (q.mean - p.mean) ** 2 * jnp.exp(-p.log_variance)
    return 0.5 * jnp.sum(log_ratio + spread - 1.0, axis=0)
