"""Random streams: every use of randomness has a key of its own, derived from one seed by name."""

import jax.random as jr
from jaxtyping import Array, Key

# A stream's key is the seed's key folded with the stream's position.
_STREAMS = ("initial weights", "batches", "training noise", "latent noise", "golden rows")


def stream(seed: int, name: str) -> Key[Array, ""]:
    """Return the key of one named random stream of a seed."""
    return jr.fold_in(jr.key(seed), _STREAMS.index(name))
