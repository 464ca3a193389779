"""A second adVAE in plain float64 NumPy, written from the paper's equations alone.

It shares no code with the package, so that an agreement between the two means something. It is
slow and meant to be read beside the paper (arXiv 1903.00904); equation numbers are the paper's.
Rows come first in every array: x is (n, d), means, log-variances and noise are (n, k).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from math import ceil, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

Array = NDArray[np.float64]
Layers = list[tuple[Array, Array]]
DiagonalGaussian = tuple[Array, Array]

# --- networks (Figure 4) ---


def relu(value: Array) -> Array:
    return np.where(value > 0, value, 0.0)


def sigmoid(value: Array) -> Array:
    # 1 / (1 + exp(-value)), in the form that cannot overflow.
    return 0.5 * (1.0 + np.tanh(0.5 * value))


def linear(value: Array) -> Array:
    return value


ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "relu": relu,
    "sigmoid": sigmoid,
    "linear": linear,
}


def mlp(layers: Layers, x: Array, hidden: str, output: str) -> Array:
    """Apply (weight (out, in), bias (out,)) layers to the rows of x."""
    value = np.asarray(x, dtype=np.float64)
    for weight, bias in layers[:-1]:
        value = ACTIVATIONS[hidden](value @ weight.T + bias)
    weight, bias = layers[-1]
    return ACTIVATIONS[output](value @ weight.T + bias)


def halves(value: Array) -> DiagonalGaussian:
    """Split a network's 2k outputs into mean and log-variance."""
    k = value.shape[-1] // 2
    return value[..., :k], value[..., k:]


def encoder(layers: Layers, x: Array) -> DiagonalGaussian:
    return halves(mlp(layers, x, "relu", "linear"))


def generator(layers: Layers, z: Array) -> Array:
    return mlp(layers, z, "relu", "sigmoid")


def transformer(layers: Layers, mean: Array, log_variance: Array) -> DiagonalGaussian:
    both = np.concatenate([mean, log_variance], axis=-1)
    return halves(mlp(layers, both, "sigmoid", "linear"))


def sample(q: DiagonalGaussian, noise: Array) -> Array:
    """Return mean + sigma * noise."""
    mean, log_variance = q
    return mean + np.exp(log_variance / 2) * noise


# --- quantities (4), (5), (9), one value per row ---


def kld(mean: Array, log_variance: Array) -> Array:
    """Return KLD(q || N(0, I)) in nats (5), with the sign that makes it non-negative."""
    return 0.5 * np.sum(np.exp(log_variance) + mean**2 - 1 - log_variance, axis=-1)


def kld_between(
    mean_q: Array, log_variance_q: Array, mean_p: Array, log_variance_p: Array
) -> Array:
    """Return KLD(q || p) in nats (9)."""
    sigma_q, sigma_p = np.exp(log_variance_q / 2), np.exp(log_variance_p / 2)
    terms = np.log(sigma_p / sigma_q) + (sigma_q**2 + (mean_q - mean_p) ** 2) / (2 * sigma_p**2)
    return np.sum(terms - 0.5, axis=-1)


def squared_error(a: Array, b: Array) -> Array:
    """Return the squared distance of matching rows, summed over the columns (4)."""
    return np.sum((a - b) ** 2, axis=-1)


def hinge(v: Array) -> Array:
    return np.maximum(0.0, v)


# --- the two training steps (6)-(10) ---


@dataclass(frozen=True)
class Weights:
    """The layers of the three networks."""

    encoder: Layers
    generator: Layers
    transformer: Layers


@dataclass(frozen=True)
class PassValues:
    """Everything one pass through E, T, G and E again computes."""

    q: DiagonalGaussian
    q_T: DiagonalGaussian
    z: Array
    z_T: Array
    x_r: Array
    x_Tr: Array
    q_r: DiagonalGaussian
    q_Tr: DiagonalGaussian


def random_weights(d: int, h: int, k: int, rng: np.random.Generator) -> Weights:
    """Draw weights of the paper's shapes, large enough that every layer matters."""

    def layers(*sizes: int) -> Layers:
        return [
            (rng.normal(size=(out, into)) / sqrt(into), 0.3 * rng.normal(size=out))
            for into, out in pairwise(sizes)
        ]

    return Weights(layers(d, h, h, 2 * k), layers(k, h, h, d), layers(2 * k, 2 * k, 2 * k, 2 * k))


def adversarial_pass(weights: Weights, x: Array, noise: Array, noise_T: Array) -> PassValues:
    q = encoder(weights.encoder, x)
    q_T = transformer(weights.transformer, *q)
    z = sample(q, noise)
    z_T = sample(q_T, noise_T)
    x_r = generator(weights.generator, z)
    x_Tr = generator(weights.generator, z_T)
    q_r = encoder(weights.encoder, x_r)
    q_Tr = encoder(weights.encoder, x_Tr)
    return PassValues(q, q_T, z, z_T, x_r, x_Tr, q_r, q_Tr)


def generator_transformer_terms(
    values: PassValues, x: Array, margin_x: float, margin_z: float
) -> dict[str, float]:
    """Return the unweighted batch means of step 1; the hinges act per row."""
    per_row = {
        "reconstruction": squared_error(x, values.x_r),
        "kld_r": kld(*values.q_r),
        "margin_x": hinge(margin_x - squared_error(values.x_r, values.x_Tr)),
        "margin_z_T": hinge(margin_z - kld(*values.q_Tr)),
        "kld_transformer": kld_between(*values.q, *values.q_T),
    }
    return {name: float(np.mean(rows)) for name, rows in per_row.items()}


def encoder_terms(values: PassValues, x: Array, margin_z: float) -> dict[str, float]:
    """Return the unweighted batch means of step 2; the hinges act per row."""
    per_row = {
        "reconstruction": squared_error(x, values.x_r),
        "kld": kld(*values.q),
        "margin_z_r": hinge(margin_z - kld(*values.q_r)),
        "margin_z_Tr": hinge(margin_z - kld(*values.q_Tr)),
    }
    return {name: float(np.mean(rows)) for name, rows in per_row.items()}


def generator_transformer_total(terms: dict[str, float], gamma: float, lambda_: float) -> float:
    """Return L_G + lambda L_T."""
    generator_loss = (
        terms["reconstruction"]
        + gamma * terms["kld_r"]
        + terms["margin_x"]
        + gamma * terms["margin_z_T"]
    )
    return generator_loss + lambda_ * terms["kld_transformer"]


def encoder_total(terms: dict[str, float], gamma: float, lambda_: float) -> float:
    """Return L_E (10)."""
    return (
        terms["reconstruction"]
        + lambda_ * terms["kld"]
        + gamma * terms["margin_z_r"]
        + gamma * terms["margin_z_Tr"]
    )


def relative_margins(values: PassValues, x: Array, a: float, b: float) -> tuple[float, float]:
    """Return m_x = a * mean reconstruction error and m_z = b * mean KLD(q).

    They are numbers, not functions of the weights: hand them to a loss as they are.
    """
    margin_x = a * float(np.mean(squared_error(x, values.x_r)))
    margin_z = b * float(np.mean(kld(*values.q)))
    return margin_x, margin_z


def step1_loss(
    weights: Weights,
    x: Array,
    noise: Array,
    noise_T: Array,
    gamma: float,
    lambda_: float,
    margin_x: float,
    margin_z: float,
) -> float:
    """Return the loss of step 1; vary the generator and transformer only."""
    values = adversarial_pass(weights, x, noise, noise_T)
    terms = generator_transformer_terms(values, x, margin_x, margin_z)
    return generator_transformer_total(terms, gamma, lambda_)


def step2_loss(
    weights: Weights,
    frozen_x_r: Array,
    frozen_x_Tr: Array,
    x: Array,
    noise: Array,
    gamma: float,
    lambda_: float,
    margin_z: float,
) -> float:
    """Return the loss of step 2; vary the encoder only.

    The reconstructions that are encoded again are held at their given values (Algorithm 1), the
    reconstruction error follows the encoder through z.
    """
    q = encoder(weights.encoder, x)
    x_r = generator(weights.generator, sample(q, noise))
    per_row = (
        squared_error(x, x_r)
        + lambda_ * kld(*q)
        + gamma * hinge(margin_z - kld(*encoder(weights.encoder, frozen_x_r)))
        + gamma * hinge(margin_z - kld(*encoder(weights.encoder, frozen_x_Tr)))
    )
    return float(np.mean(per_row))


# --- gradients and Adam ---


def flatten(layers: Layers) -> Array:
    """Return all weights and biases in one vector: weight, bias, weight, bias, ..."""
    return np.concatenate([part.ravel() for layer in layers for part in layer])


def unflatten(vector: Array, like: Layers) -> Layers:
    """Undo ``flatten`` for layers of the same shapes."""
    layers, start = [], 0
    for weight, bias in like:
        middle, end = start + weight.size, start + weight.size + bias.size
        layers.append((vector[start:middle].reshape(weight.shape), vector[middle:end]))
        start = end
    if start != len(vector):
        raise ValueError(f"{len(vector)} values for layers with {start} weights")
    return layers


def with_generator_transformer(weights: Weights, vector: Array) -> Weights:
    """Replace the weights that step 1 moves: ``flatten(generator + transformer)``."""
    layers = unflatten(vector, weights.generator + weights.transformer)
    count = len(weights.generator)
    return replace(weights, generator=layers[:count], transformer=layers[count:])


def with_encoder(weights: Weights, vector: Array) -> Weights:
    """Replace the weights that step 2 moves: ``flatten(encoder)``."""
    return replace(weights, encoder=unflatten(vector, weights.encoder))


def numerical_gradient(
    f: Callable[[Array], float], vector: Array, indices: Sequence[int], step: float = 1e-6
) -> Array:
    """Return the central differences of f for these entries of the vector."""
    gradient = np.empty(len(indices))
    for position, index in enumerate(indices):
        above, below = vector.astype(np.float64), vector.astype(np.float64)
        above[index] += step
        below[index] -= step
        gradient[position] = (f(above) - f(below)) / (above[index] - below[index])
    return gradient


def adam_step(
    parameters: Array,
    gradient: Array,
    m: Array,
    v: Array,
    t: int,
    lr: float = 1e-3,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
) -> tuple[Array, Array, Array]:
    """Return the parameters and both moments after Adam's step number t = 1, 2, ..."""
    m = b1 * m + (1 - b1) * gradient
    v = b2 * v + (1 - b2) * gradient**2
    m_hat = m / (1 - b1**t)
    v_hat = v / (1 - b2**t)
    return parameters - lr * m_hat / (np.sqrt(v_hat) + eps), m, v


# --- score (11)-(12) ---


def mean_residual(
    encoder_layers: Layers, generator_layers: Layers, x: Array, latent_noise: Array
) -> Array:
    """Return x minus its mean reconstruction over the (L, k) noise that all rows share."""
    mean, log_variance = encoder(encoder_layers, x)
    reconstruction = np.empty(np.shape(x))
    for row in range(len(x)):
        z = sample((mean[row], log_variance[row]), latent_noise)
        reconstruction[row] = np.mean(generator(generator_layers, z), axis=0)
    return x - reconstruction


def contributions(
    encoder_layers: Layers, generator_layers: Layers, x: Array, latent_noise: Array
) -> Array:
    """Return each column's share (n, d) of the anomaly score; the shares add up to it."""
    return mean_residual(encoder_layers, generator_layers, x, latent_noise) ** 2


def anomaly_score(
    encoder_layers: Layers, generator_layers: Layers, x: Array, latent_noise: Array
) -> Array:
    """Return the squared norm (n,) of the mean residual."""
    return np.sum(contributions(encoder_layers, generator_layers, x, latent_noise), axis=-1)


# --- thresholds (13)-(16) and calibration ---


def silverman_bandwidth(scores: Array) -> float:
    """Return Silverman's bandwidth for one dimension (15)."""
    n, d = len(scores), 1
    if n < 2:
        raise ValueError(f"a bandwidth needs at least 2 scores, got {n}")
    return float((n * (d + 2) / 4) ** (-1 / (d + 4)) * np.std(scores, ddof=1))


def kde_cdf(scores: Array, value: float) -> float:
    """Return F(value) of the Gaussian kernel density estimate (14)."""
    return float(np.mean(ndtr((value - scores) / silverman_bandwidth(scores))))


def kde_threshold(scores: Array, alpha: float) -> float:
    """Return the s that solves F(s) = 1 - alpha (16), by bisection."""
    bandwidth = silverman_bandwidth(scores)
    if not (bandwidth > 0 and 0 < alpha < 1):
        raise ValueError(f"needs scores that differ and 0 < alpha < 1, got alpha = {alpha}")
    low, high = float(np.min(scores)) - 40 * bandwidth, float(np.max(scores)) + 40 * bandwidth
    while True:
        middle = (low + high) / 2
        if high - low <= 1e-12 * abs(middle) or middle in (low, high):
            return middle
        if kde_cdf(scores, middle) < 1 - alpha:
            low = middle
        else:
            high = middle


def conformal_threshold(calibration_scores: Array, alpha: float) -> float:
    """Return the ceil((n + 1)(1 - alpha))-th smallest score, or infinity if there is none.

    alpha is read as the decimal fraction it was written as: in floating point
    50 * (1 - 0.42) exceeds 29 and its ceiling would be one rank too high.
    """
    n = len(calibration_scores)
    rank = ceil((n + 1) * (1 - Fraction(str(float(alpha)))))
    if rank > n:
        return float("inf")
    return float(np.sort(calibration_scores)[rank - 1])


def p_values(calibration_scores: Array, scores: Array) -> Array:
    """Return (1 + the number of calibration scores >= s) / (n + 1) for every s."""
    n = len(calibration_scores)
    return np.array([(1 + np.sum(calibration_scores >= score)) / (n + 1) for score in scores])


def benjamini_hochberg(p: Array, q: float) -> NDArray[np.bool_]:
    """Return which hypotheses are rejected at false discovery rate q.

    Reject the j smallest p-values for the largest j with p_(j) <= j q / m.
    """
    m = len(p)
    order = np.argsort(p, kind="stable")
    below = np.flatnonzero(p[order] <= np.arange(1, m + 1) * q / m)
    rejected = np.zeros(m, dtype=np.bool_)
    if len(below):
        rejected[order[: below[-1] + 1]] = True
    return rejected
