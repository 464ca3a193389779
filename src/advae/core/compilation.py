"""How programs are compiled, how many are kept, and JAX's settings while they run."""

from collections.abc import Callable, Hashable
from contextlib import ExitStack
from functools import lru_cache, partial, wraps
from typing import Any, ParamSpec, TypeVar

import jax
import numpy as np

Given = ParamSpec("Given")
Made = TypeVar("Made")

KEPT = 8
"""How many programs of a function are kept. JAX itself keeps all, 5 to 20 MB each: a process that
meets ever other tables would grow without end."""

_SETTINGS: dict[str, Any] = {
    "threefry_partitionable": True,
    "numpy_rank_promotion": "allow",
    "numpy_dtype_promotion": "standard",
    "default_matmul_precision": None,
    "enable_x64": False,
    "disable_jit": False,
    "debug_nans": False,
    "debug_infs": False,
    "transfer_guard_host_to_device": "allow",
    "transfer_guard_device_to_device": "allow",
    "transfer_guard_device_to_host": "allow",
}


def with_room(array: np.ndarray, axis: int = 0, step: int = 256, fill: float = 0) -> np.ndarray:
    """Return an array with more at the end of an axis, so that tables share compiled programs.

    To a multiple of ``step``, or of a quarter of the largest power of two below the length where
    that is more.
    """
    length = array.shape[axis]
    step = max(step, 1 << max(0, length.bit_length() - 3))
    ends = [(0, -length % step if at == axis else 0) for at in range(array.ndim)]
    return np.pad(array, ends, constant_values=fill)


def own_settings() -> ExitStack:
    """Return a block in which this thread has JAX's own settings, whatever its program chose.

    Other settings give other weights and scores, or refuse what is done here on purpose. The
    program keeps its settings everywhere else.
    """
    with ExitStack() as block:
        for name, own in _SETTINGS.items():
            # To enter all costs as much as a hundredth of the shortest scoring.
            if getattr(jax.config, f"jax_{name}") not in (own, None):
                block.enter_context(getattr(jax, name)(own))
        return block.pop_all()


def shielded(function: Callable[Given, Made]) -> Callable[Given, Made]:
    """Return the function with `own_settings` around it; nothing of the caller's may run in it."""

    @wraps(function)
    def call(*arguments: Given.args, **named: Given.kwargs) -> Made:
        with own_settings():
            return function(*arguments, **named)

    return call


def compiled(
    function: Callable[..., Made], *, keep: int = KEPT, donate: tuple[int, ...] = ()
) -> Callable[..., Made]:
    """Return the function compiled: a program for each combination of shapes, and of what is named.

    Arrays are given by position; what is given by name is part of the program. At level 2 of LLVM's
    optimiser instead of 3, programs compile in two thirds to four fifths of the time, and compute
    the same numbers as fast.

    Parameters
    ----------
    function
        Of arrays.
    keep
        How many programs, the last ones used, are kept.
    donate
        The positions whose buffers the results may take.
    """

    @lru_cache(maxsize=keep)
    def program(_shapes: Hashable, named: tuple[tuple[str, Any], ...]) -> Callable[..., Made]:
        # A function of its own, with which JAX forgets the program.
        own = partial(function, **dict(named))
        options = {"xla_backend_optimization_level": 2}
        return jax.jit(own, donate_argnums=donate, compiler_options=options)

    @wraps(function)
    def call(*arguments: Any, **named: Any) -> Made:
        shapes = tuple(getattr(leaf, "shape", ()) for leaf in jax.tree.leaves(arguments))
        return program(shapes, tuple(named.items()))(*arguments)

    return call
