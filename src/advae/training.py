"""Training: blocks of iterations compiled into one program, for all members at once."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Int, Key

from advae._types import HostMatrix, Matrix
from advae.config import VARIANTS, Config, Variant
from advae.errors import TrainingError
from advae.losses import Noise, Settings
from advae.networks import Sizes, initialise_members
from advae.steps import TrainState, fresh_state, term_names, train_step
from advae.streams import stream


@partial(jax.jit, static_argnums=(0, 1))
def _initial_state(sizes: Sizes, members: int, key: Key[Array, ""]) -> TrainState:
    state: TrainState = jax.vmap(fresh_state)(initialise_members(sizes, members, key))
    return state


def initial_state(sizes: Sizes, config: Config) -> TrainState:
    """Return untrained members, stacked on a leading axis."""
    state: TrainState = _initial_state(
        sizes, config.members, stream(config.seed, "initial weights")
    )
    return state


@partial(jax.jit, static_argnames="variant", donate_argnames="state")
def _run_block(
    state: TrainState,
    batches: Float[Array, "members iterations rows columns"],
    key: Key[Array, ""],
    settings: Settings,
    learning_rates: Float[Array, "iterations"],
    iterations: int,
    variant: Variant,
) -> tuple[TrainState, Float[Array, "terms members"]]:
    """Do the first ``iterations`` of a block; return the state and the sums of the terms."""
    members, length, rows, _ = batches.shape
    shape = (2, members, rows, state.model.sizes.latent)
    # Drawn for the whole block at once, in long rows, because a generator that fills short rows
    # loses its vector instructions: on a CPU that is the difference between 3 and 20 ns a draw.
    draws = jr.normal(key, (length, math.prod(shape)))
    step = jax.vmap(partial(train_step, variant=variant), in_axes=(0, 0, 0, None, None))

    def iterate(i: Array, carry: tuple[TrainState, Array]) -> tuple[TrainState, Array]:
        state, sums = carry
        noise = draws[i].reshape(shape) if variant.stochastic else jnp.zeros(shape)
        state, terms = step(state, batches[:, i], Noise(*noise), settings, learning_rates[i])
        return state, sums + jnp.stack(jax.tree.leaves(terms))

    sums = jnp.zeros((len(term_names(variant)), members))
    end: tuple[TrainState, Array] = jax.lax.fori_loop(0, iterations, iterate, (state, sums))
    return end


@partial(jax.jit, static_argnames=("members", "length", "rows"))
def _draw_batches(
    data: Matrix,
    member_rows: Int[Array, "members member_rows"] | None,
    key: Key[Array, ""],
    members: int,
    length: int,
    rows: int,
) -> Float[Array, "members length rows columns"]:
    # Apart from the training program, so that another number of rows recompiles only this.
    if member_rows is None:
        return data[jr.randint(key, (members, length, rows), 0, data.shape[0])]
    drawn = jr.randint(key, (members, length, rows), 0, member_rows.shape[1])
    return data[jax.vmap(lambda own, positions: own[positions])(member_rows, drawn)]


@dataclass(frozen=True)
class Snapshot:
    """Training at the end of a block.

    Parameters
    ----------
    iteration
        Iterations done so far.
    state
        Networks and optimisers. Its buffers are reused by the next block: read it at once.
    history
        ``"iteration"``, and for each loss term its unweighted mean over each block and the
        members.
    """

    iteration: int
    state: TrainState
    history: dict[str, list[float]]


def block_length(sizes: Sizes, config: Config) -> int:
    """Return how many iterations one compiled block has: 10 to 200, at most 16 MB of input."""
    floats = config.members * config.batch_size * (sizes.columns + 2 * sizes.latent)
    return min(200, max(10, 2**22 // floats))


def learning_rates(config: Config) -> Float[np.ndarray, "iterations"]:
    """Return the learning rate of every iteration."""
    if config.schedule == "constant":
        return np.full(config.iterations, config.learning_rate, np.float32)
    done = np.arange(config.iterations) / config.iterations
    return (config.learning_rate * 0.5 * (1.0 + np.cos(np.pi * done))).astype(np.float32)


def fit(
    data: HostMatrix,
    config: Config,
    *,
    member_rows: Int[np.ndarray, "members member_rows"] | None = None,
    resume: Snapshot | None = None,
    on_block: Callable[[Snapshot], None] | None = None,
) -> Snapshot:
    """Train on normal rows.

    Parameters
    ----------
    data
        Encoded normal rows in [0, 1], shape (rows, columns), at least one row and column.
    config
        Settings; one seed gives bit-identical results on one machine.
    member_rows
        Positions of the rows that each member may see, shape (members, rows of each); all rows
        when None.
    resume
        Where an interrupted training with the same data and settings stood.
    on_block
        Called after every block; an exception from it ends the training.

    Returns
    -------
    The end of the training.

    Raises
    ------
    TrainingError
        If a loss stops being finite.
    """
    variant = VARIANTS[config.variant]
    sizes = Sizes(data.shape[1], *config.network_sizes(data.shape[1]))
    settings = Settings(config.gamma, config.lambda_, config.margin_x, config.margin_z)
    names = term_names(variant)
    length = block_length(sizes, config)
    rates = np.pad(learning_rates(config), (0, length))
    rows = jnp.asarray(data, jnp.float32)
    batch_key, noise_key = stream(config.seed, "batches"), stream(config.seed, "training noise")
    draw = partial(
        _draw_batches,
        rows,
        None if member_rows is None else jnp.asarray(member_rows),
        members=config.members,
        length=length,
        rows=config.batch_size,
    )
    if resume is None:
        resume = Snapshot(0, initial_state(sizes, config), {n: [] for n in ("iteration", *names)})
    done, state, history = resume.iteration, resume.state, resume.history
    batches = draw(jr.fold_in(batch_key, done))
    while done < config.iterations:
        count = min(length, config.iterations - done)
        state, sums = _run_block(
            state,
            batches,
            jr.fold_in(noise_key, done),
            settings,
            rates[done : done + length],
            count,
            variant,
        )
        done += count
        batches = draw(jr.fold_in(batch_key, done))  # queued before the wait for this block
        means = dict(zip(names, np.asarray(sums).mean(axis=1) / count, strict=True))
        _check_finite(means, done)
        history = {"iteration": [*history["iteration"], done]} | {
            name: [*history[name], float(mean)] for name, mean in means.items()
        }
        if on_block is not None:
            on_block(Snapshot(done, state, history))
    return Snapshot(done, state, history)


def _check_finite(means: dict[str, np.floating], iteration: int) -> None:
    broken = [name for name, mean in means.items() if not np.isfinite(mean)]
    if broken:
        raise TrainingError(
            f"training diverged: {', '.join(broken)} stopped being finite by iteration "
            f"{iteration}; lower learning_rate, gamma or lambda_"
        )
