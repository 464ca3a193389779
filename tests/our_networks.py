"""The reference's weights as our networks."""

import jax
import jax.numpy as jnp

from advae.methods.advae.networks import AdVAE, Dense, Encoder, Generator, Transformer


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
