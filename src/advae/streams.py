"""Random streams: every use of randomness has a key of its own, derived from one seed by name."""

import jax.random as jr
from jaxtyping import Array, Key

# A stream's key is the seed's key folded with the stream's position.
_STREAMS = (
    "initial weights",
    "batches",
    "training noise",
    "latent noise",
    "golden rows",
    "held-out noise",
)


def stream(seed: int, name: str) -> Key[Array, ""]:
    """Return the key of one named random stream of a seed."""
    # JAX would take the last 32 bits of a longer seed for the whole.
    key = jr.fold_in(jr.key(seed & 0xFFFFFFFF), seed >> 32)
    return jr.fold_in(key, _STREAMS.index(name))
