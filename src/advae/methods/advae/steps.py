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
from advae.methods.advae.gaussian import Gaussian
from advae.methods.advae.losses import (
    EncoderTerms,
    GeneratorTransformerTerms,
    Noise,
    Settings,
    encoder_terms,
    generator_transformer_terms,
    re_encode,
    reconstruct,
    reconstruct_frozen,
)
from advae.methods.advae.networks import AdVAE, Encoder, Generator, Transformer


class TrainState(NamedTuple):
    """Everything that training changes; the leaves of an ensemble have a leading member axis."""

    model: AdVAE
    generator_transformer_moments: Moments[tuple[Generator, Transformer]]
    encoder_moments: Moments[Encoder]


class Terms(NamedTuple):
    """The unweighted loss terms of one iteration."""

    generator_transformer: GeneratorTransformerTerms
    encoder: EncoderTerms


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
) -> tuple[TrainState, dict[str, Scalar]]:
    """Do one iteration for one member: step 1 moves G and T, step 2 moves E (Algorithm 1).

    Parameters
    ----------
    state
        Weights and optimiser moments before the iteration.
    x
        Batch of encoded rows, shape (columns, rows).
    noise
        Standard normal draws, shapes (latent, rows). NOTE[DIFF]: both steps use the same ones.
        Algorithm 1 does not say; the encoder stands still in between, so z stays what it was.
    settings
        Weights and margins of the terms.
    step_size
        How far Adam moves now.
    variant
        Which terms act.
    shown
        What the encoder sees in place of the batch; see `corruption`. None for the batch itself.

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
    terms = jax.tree.leaves(Terms(terms_1, terms_2))
    return state, dict(zip(term_names(variant), terms, strict=True))


def generator_transformer_step(
    state: TrainState,
    x: ColumnsByRows,
    q: Gaussian,
    noise: Noise,
    settings: Settings,
    step_size: StepSize,
    variant: Variant,
) -> tuple[TrainState, GeneratorTransformerTerms]:
    """Do step 1: minimise L_G + lambda * L_T over G and T; gradients pass through E to G."""
    encoder = state.model.encoder

    def objective(nets: tuple[Generator, Transformer]) -> tuple[Scalar, GeneratorTransformerTerms]:
        generator, transformer = nets
        q_T = transformer(q) if variant.transforms else None
        made = reconstruct(generator, q, q_T if variant.generator_discriminates else None, noise)
        seen = None if made.x_Tr is None else re_encode(encoder, made.x_r, made.x_Tr)
        terms = generator_transformer_terms(x, q, q_T, made, seen, settings)
        return terms.total(settings), terms

    nets = (state.model.generator, state.model.transformer)
    gradient, terms = jax.grad(objective, has_aux=True)(nets)
    nets, moments = descend(nets, gradient, state.generator_transformer_moments, step_size)
    model = AdVAE(encoder, *nets)
    return TrainState(model, moments, state.encoder_moments), terms


def encoder_step(
    state: TrainState,
    x: ColumnsByRows,
    q: Gaussian,
    pull_back: Callable[[Gaussian], Encoder],
    noise: Noise,
    settings: Settings,
    step_size: StepSize,
    variant: Variant,
) -> tuple[TrainState, EncoderTerms]:
    """Do step 2: minimise L_E over E, with the updated G and T.

    ``q`` is E(x), and ``pull_back`` turns a gradient with respect to q into one with respect to E.
    """
    _, generator, transformer = state.model

    def objective(encoder: Encoder, q: Gaussian) -> tuple[Scalar, EncoderTerms]:
        q_T = transformer(q) if variant.encoder_discriminates else None
        made = reconstruct_frozen(generator, q, q_T, noise)
        seen = None
        if made.x_Tr is not None:
            # Algorithm 1 detaches the reconstructions before they are encoded again.
            seen = re_encode(encoder, *jax.lax.stop_gradient((made.x_r, made.x_Tr)))
        terms = encoder_terms(x, q, made, seen, settings)
        if not variant.stochastic:
            terms = terms._replace(kld=None)  # a plain autoencoder has no prior
        return terms.total(settings), terms

    (direct, through_q), terms = jax.grad(objective, argnums=(0, 1), has_aux=True)(
        state.model.encoder, q
    )
    gradient = jax.tree.map(jnp.add, direct, pull_back(through_q))
    encoder, moments = descend(state.model.encoder, gradient, state.encoder_moments, step_size)
    model = AdVAE(encoder, generator, transformer)
    return TrainState(model, state.generator_transformer_moments, moments), terms


def term_names(variant: Variant) -> tuple[str, ...]:
    """Return the names of the terms that a variant has, in the order of the leaves of `Terms`."""
    step_1 = ["generator_reconstruction"]
    if variant.generator_discriminates:
        step_1 += ["generator_kld_r", "generator_margin_x", "generator_margin_z"]
    if variant.transforms:
        step_1 += ["transformer_kld"]
    step_2 = ["encoder_reconstruction"]
    if variant.stochastic:
        step_2 += ["encoder_kld"]
    if variant.encoder_discriminates:
        step_2 += ["encoder_margin_z_r", "encoder_margin_z_Tr"]
    return (*step_1, *step_2)
