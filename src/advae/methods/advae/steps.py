"""One iteration of Algorithm 1: step 1 moves G and T, step 2 moves E.

Read this with ``losses.py`` and the paper beside it: that is the whole algorithm.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from advae.config import Variant
from advae.core.adam import Moments, StepSize, at_rest, descend
from advae.core.arrays import ColumnsByRows, Scalar
from advae.core.method import Terms
from advae.methods.advae.gaussian import Gaussian
from advae.methods.advae.losses import (
    Noise,
    Settings,
    encoder_loss,
    generator_transformer_loss,
    total,
    values,
)
from advae.methods.advae.networks import AdVAE, Encoder, Generator, Transformer


class TrainState(NamedTuple):
    """Everything that training changes; the leaves of an ensemble have a leading member axis."""

    model: AdVAE
    generator_transformer_moments: Moments[tuple[Generator, Transformer]]
    encoder_moments: Moments[Encoder]


def fresh_state(model: AdVAE) -> TrainState:
    """Return the state of untrained networks: their weights, and moments at zero."""
    return TrainState(model, at_rest((model.generator, model.transformer)), at_rest(model.encoder))


def train_step(
    state: TrainState,
    x: ColumnsByRows,
    shown: ColumnsByRows,
    noise: Noise,
    settings: Settings,
    step_size: StepSize,
    variant: Variant,
) -> tuple[TrainState, Terms]:
    """Do one iteration for one member: step 1 moves G and T, step 2 moves E (Algorithm 1).

    Parameters
    ----------
    state
        Weights and optimiser moments before the iteration.
    x
        Batch of encoded rows, shape (columns, rows).
    shown
        What the encoder sees of them: the rows themselves, or corrupted ones (`Corruption`).
    noise
        Standard normal draws, shapes (latent, rows). NOTE[DIFF]: both steps use the same ones.
        Algorithm 1 does not say; the encoder stands still in between, so z stays what it was.
    settings
        Weights and margins of the terms.
    step_size
        How far Adam moves now.
    variant
        Which terms act.

    Returns
    -------
    The state after the iteration, and the unweighted terms.
    """
    # E stands still in step 1, so step 2 starts from the same q: it is computed once, and its
    # vector-Jacobian product kept for the moment when E moves.
    q, pull_back = jax.vjp(lambda encoder: encoder(shown), state.model.encoder)
    state, terms_1 = generator_transformer_step(state, x, q, noise, settings, step_size, variant)
    state, terms_2 = encoder_step(
        state, x, q, lambda gradient: pull_back(gradient)[0], noise, settings, step_size, variant
    )
    return state, terms_1 | terms_2


def generator_transformer_step(
    state: TrainState,
    x: ColumnsByRows,
    q: Gaussian,
    noise: Noise,
    settings: Settings,
    step_size: StepSize,
    variant: Variant,
) -> tuple[TrainState, Terms]:
    """Do step 1: minimise L_G + lambda * L_T over G and T; gradients pass through E to G."""
    encoder, generator, transformer = state.model

    def objective(nets: tuple[Generator, Transformer]) -> tuple[Scalar, Terms]:
        loss = generator_transformer_loss(nets, encoder, x, q, noise, settings, variant)
        return total(loss), values(loss)

    before = generator, transformer
    gradient, terms = jax.grad(objective, has_aux=True)(before)
    after, moments = descend(before, gradient, state.generator_transformer_moments, step_size)
    return TrainState(AdVAE(encoder, *after), moments, state.encoder_moments), terms


def encoder_step(
    state: TrainState,
    x: ColumnsByRows,
    q: Gaussian,
    pull_back: Callable[[Gaussian], Encoder],
    noise: Noise,
    settings: Settings,
    step_size: StepSize,
    variant: Variant,
) -> tuple[TrainState, Terms]:
    """Do step 2: minimise L_E over E, with the updated G and T.

    ``q`` is E(x), and ``pull_back`` turns a gradient with respect to q into one with respect to E.
    """
    before, generator, transformer = state.model

    def objective(encoder: Encoder, q: Gaussian) -> tuple[Scalar, Terms]:
        loss = encoder_loss(encoder, (generator, transformer), x, q, noise, settings, variant)
        return total(loss), values(loss)

    (direct, through_q), terms = jax.grad(objective, argnums=(0, 1), has_aux=True)(before, q)
    gradient = jax.tree.map(jnp.add, direct, pull_back(through_q))
    after, moments = descend(before, gradient, state.encoder_moments, step_size)
    return TrainState(
        AdVAE(after, generator, transformer), state.generator_transformer_moments, moments
    ), terms
