"""The reference's weights as our networks."""

import jax
import jax.numpy as jnp

from advae.config import VARIANTS
from advae.core import scoring
from advae.methods.advae.method import AdVAEMethod
from advae.methods.advae.networks import AdVAE, Encoder, Generator, Transformer
from advae.methods.advae.scoring import PAPER, Scorer
from advae.methods.dense import Dense


def our_layers(layers):
    return tuple(Dense(jnp.asarray(weight.T), jnp.asarray(bias)) for weight, bias in layers)


def our_model(weights):
    return AdVAE(
        Encoder(our_layers(weights.encoder)),
        Generator(our_layers(weights.generator)),
        Transformer(our_layers(weights.transformer)),
    )


def members(weights):
    """Return our networks with one member, float32, for scoring."""
    return jax.tree.map(lambda leaf: leaf[None].astype(jnp.float32), our_model(weights))


def method_for(model, variant="adVAE"):
    """Return the method of networks with members."""
    return AdVAEMethod(model.sizes, VARIANTS[variant])


def score_rows(model, noise, x, reference=PAPER):
    """Score rows by networks with members."""
    return scoring.score_rows(method_for(model), Scorer(model, noise, reference), x)


def learn(model, rows, config, member_rows=None):
    """Return what scoring knows of rows, and the positions of those kept."""
    return method_for(model).learn(model, rows, config, member_rows)
