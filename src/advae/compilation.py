"""How programs are compiled."""

from functools import partial

import jax

compiled = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 2})
"""``jax.jit`` at level 2 of LLVM's optimiser instead of 3: programs compile in two thirds to four
fifths of the time, and compute the same numbers as fast."""
