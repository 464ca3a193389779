"""Every use of randomness that the seed of a fit decides, by name.

NumPy draws what is drawn once, on the host: JAX would compile a program for each shape, which takes
longer than many trainings. JAX draws what a training needs in every iteration.
"""

import jax
import jax.random as jr
import numpy as np
from jaxtyping import Array, Key

# A stream is a child of the seed, the one of its position, with numbers of its own.
_STREAMS = (
    "initial weights",
    "batches",
    "training noise",
    "latent noise",
    "golden rows",
    "held-out noise",
    "conditional weights",
    "conditional training",
)

_CHOICES: dict[str, tuple[int, ...]] = {
    "sampled rows": (),
    "compared rows": (),
    "calibration rows": (),
    "watched rows": (),
    "kept rows": (4,),
    "unseen rows": (5,),
    "fallback rows": (6,),
    "independent values": (7,),
}
"""The numbers that stand between the seed and the sizes where a choice of rows is seeded. Choices
with the same numbers and sizes draw alike. The numbers stay as they are: others would make every
seed choose other rows."""


def generator(seed: int, name: str, *parts: int) -> np.random.Generator:
    """Return NumPy's generator of one named stream of a seed, or of a numbered part of it."""
    return np.random.default_rng(_sequence(seed, name, parts))


def choice(seed: int, name: str, *sizes: int) -> np.random.Generator:
    """Return NumPy's generator of one named choice of rows; ``sizes`` are of the table and it."""
    return np.random.default_rng([seed, *_CHOICES[name], *sizes])


def stream(seed: int, name: str, *parts: int) -> Key[Array, ""]:
    """Return JAX's key of one named stream of a seed, or of a numbered part of it."""
    # Named, because a program that uses this library may have chosen another generator for itself.
    words = _sequence(seed, name, parts).generate_state(2)
    key: Key[Array, ""] = jr.wrap_key_data(jax.device_put(words), impl="threefry2x32")
    return key


def _sequence(seed: int, name: str, parts: tuple[int, ...]) -> np.random.SeedSequence:
    return np.random.SeedSequence(seed, spawn_key=(_STREAMS.index(name), *parts))
