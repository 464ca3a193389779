"""Training: blocks of iterations compiled into one program, and the members of an ensemble."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Int, Key

from advae.config import Config
from advae.core.adam import StepSize, step_sizes
from advae.core.arrays import HostMatrix
from advae.core.batches import Batches, corruption_of, draw_batches
from advae.core.compilation import compiled, shielded, with_room
from advae.core.method import Method, State, Tree
from advae.core.randomness import stream
from advae.core.validation import VALIDATION_ERROR, History, ValidationRows, best_block, exhausted
from advae.errors import TrainingError
from advae.parallel import check_process, workers


@partial(compiled, donate=(0,))
def _run_block(
    state: State,
    batches: Batches,
    key: Key[Array, ""],
    settings: Tree,
    step_sizes: StepSize,
    iterations: Int[Array, ""] | int,
    method: Method,
) -> tuple[State, dict[str, Float[Array, "members"]]]:
    """Do the first ``iterations`` of a block; return the state and the sums of the terms."""
    members, length, _, rows = batches.x.shape
    kinds, size = method.draws
    shape = kinds, members, size, rows
    # Drawn for the whole block at once, in long rows, because a generator that fills short rows
    # loses its vector instructions: on a CPU that is the difference between 3 and 20 ns a draw.
    draws = jr.normal(key, (length, math.prod(shape)), np.float32)
    step = jax.vmap(method.step, in_axes=(0, 0, 0, 1, None, None))

    def iterate(i: Array | int, state: State) -> tuple[State, dict[str, Float[Array, "members"]]]:
        batch = jax.tree.map(lambda whole: whole[:, i], batches)
        shown = batch.x if batch.shown is None else batch.shown
        step_size = StepSize(*(part[i] for part in step_sizes))
        noise = draws[i].reshape(shape)
        done: tuple[State, dict[str, Array]] = step(
            state, batch.x, shown, noise, settings, step_size
        )
        return done

    _, terms = jax.eval_shape(partial(iterate, 0), state)

    def add(i: Array, carry: tuple[State, Array]) -> tuple[State, Array]:
        state, sums = carry
        state, terms = iterate(i, state)
        return state, sums + jnp.stack(list(terms.values()))

    sums = jnp.zeros((len(terms), members), np.float32)
    end: tuple[State, Array] = jax.lax.fori_loop(0, iterations, add, (state, sums))
    return end[0], dict(zip(terms, end[1], strict=True))


@dataclass(frozen=True)
class Snapshot:
    """Training at the end of a block.

    Parameters
    ----------
    iteration
        Iterations done so far.
    parts
        The state in groups of members. Its buffers are reused by the next block: read them at
        once.
    history
        ``"iteration"``, and for each loss term its unweighted mean over each block and the
        members; `VALIDATION_ERROR` where there are such rows.
    best
        With ``Config.patience``, the members' models at the block with the lowest error of the
        validation rows; None without, and before the first block.
    finished
        Whether the training has ended.
    planned
        Iterations of a training that nothing ends before.
    """

    iteration: int
    parts: tuple[State, ...]
    history: History
    best: Tree | None = None
    finished: bool = False
    planned: int = 0

    @property
    def state(self) -> State:
        """The state of all members, stacked on a leading axis."""
        joined: State = _joined(self.parts)
        return joined

    @property
    def model(self) -> Tree:
        """What training arrived at: the best model where it is kept."""
        return self.state.model if self.best is None else self.best


def block_length(method: Method, config: Config) -> int:
    """Return how many iterations one compiled block has: 10 to 200, at most 16 MB of input."""
    floats = config.members * config.batch_size * method.floats_per_row
    return min(200, max(10, 2**22 // floats))


def learning_rates(config: Config, iterations: int) -> Float[np.ndarray, "iterations"]:
    """Return the learning rate of each of so many iterations.

    NOTE[DIFF]: the paper's is constant; the ``default`` preset lets it fall to 0.
    """
    if config.schedule == "constant":
        return np.full(iterations, config.learning_rate, np.float32)
    done = np.arange(iterations) / iterations
    return (config.learning_rate * 0.5 * (1.0 + np.cos(np.pi * done))).astype(np.float32)


def fit(
    method: Method,
    data: HostMatrix,
    config: Config,
    *,
    validation: Float[np.ndarray, "validation columns"] | None = None,
    member_rows: Int[np.ndarray, "members member_rows"] | None = None,
    resume: Snapshot | None = None,
    on_block: Callable[[Snapshot], None] | None = None,
) -> Snapshot:
    """Train on normal rows.

    Parameters
    ----------
    method
        What is trained.
    data
        Encoded normal rows in [0, 1], shape (rows, columns), at least one row and column.
    config
        Settings; one seed gives bit-identical results on one machine.
    validation
        Encoded normal rows that take no part, shape (validation rows, columns); their error
        (`Method.error`) joins the history, and with ``config.patience`` decides when training
        ends. None, or no row, for none: then all iterations are done.
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
    check_process()
    watched = None
    if validation is not None and len(validation):
        watched = ValidationRows(method, validation, config)
    if resume is None:
        resume = Snapshot(0, (method.initial_state(config),), {"iteration": []})
    done, history, best = resume.iteration, resume.history, resume.best
    patience = config.patience if watched is not None else 0
    planned = config.iterations_for(len(data) if member_rows is None else member_rows.shape[1])
    settings = replace(config, iterations=planned)
    groups = [
        _Group(method, data, settings, planned, members, resume, member_rows)
        for members in _member_groups(config.members)
    ]
    # The first group's first block by itself, so that it is compiled once.
    alone = 1
    finished = done >= planned or exhausted(history, patience)
    while not finished:
        count = min(block_length(method, config), planned - done)
        advance = partial(_Group.advance, count=count)
        first = [advance(group) for group in groups[:alone]]
        sums = [*first, *workers().map(advance, groups[alone:])]
        alone, done = 0, done + count
        means = {
            name: np.concatenate([part[name] for part in sums]).mean() / count for name in sums[0]
        }
        _check_finite(means, done)
        if watched is not None:
            means[VALIDATION_ERROR] = watched.error(group.state.model for group in groups)
        history = {"iteration": [*history["iteration"], done]} | {
            name: [*history.get(name, ()), float(mean)] for name, mean in means.items()
        }
        if patience and best_block(history) == len(history[VALIDATION_ERROR]) - 1:
            best = _joined(tuple(group.state.model for group in groups))
        finished = done >= planned or exhausted(history, patience)
        if on_block is not None:
            parts = tuple(group.state for group in groups)
            on_block(Snapshot(done, parts, history, best, finished, planned))
    parts = tuple(group.state for group in groups)
    return Snapshot(done, parts, history, best, finished, planned)


@shielded
def _joined(parts: tuple[Any, ...]) -> Any:
    """Return a copy of the members of all groups, stacked; the next block reuses their buffers."""
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)


def _member_groups(members: int) -> list[range]:
    """Return the members that train together in one program.

    On a CPU each trains by itself, in a thread of its own: networks of this size keep one core
    busy, and a batched matrix product is slower there than the single ones. Elsewhere all train
    in one batched program.
    """
    if jax.default_backend() == "cpu":
        return [range(member, member + 1) for member in range(members)]
    return [range(members)]


class _Group:
    """Members that train together, and where they stand."""

    @shielded
    def __init__(
        self,
        method: Method,
        data: HostMatrix,
        config: Config,
        iterations: int,
        members: range,
        start: Snapshot,
        member_rows: Int[np.ndarray, "members member_rows"] | None,
    ) -> None:
        own = slice(members.start, members.stop)
        # Cut by NumPy and moved as they are: JAX would compile a program for each shape. Not shared
        # with what was given, which may be used again: training writes over its state.
        cut = jax.tree.map(lambda leaf: np.asarray(leaf)[own], start.state)
        self.state: State = jax.device_put(cut, may_alias=False)
        self._done = start.iteration
        self._method, self._settings = method, method.settings(config)
        self._length = block_length(method, config)
        self._step_sizes = step_sizes(np.pad(learning_rates(config, iterations), (0, self._length)))
        self._seed, self._first = config.seed, members.start
        own_rows, there = None, len(data)
        if member_rows is not None:
            own_rows = with_room(np.asarray(member_rows[own], np.int32), axis=1)
            there = member_rows.shape[1]
        self._draw = partial(
            draw_batches,
            *jax.device_put((with_room(np.asarray(data, np.float32)), own_rows)),
            there,
            members=len(members),
            length=self._length,
            rows=config.batch_size,
            corruption=corruption_of(config),
        )
        self._batches = self._draw(self._key("batches"))

    @shielded
    def advance(self, count: int) -> dict[str, Float[np.ndarray, "members"]]:
        """Do the next ``count`` iterations, at most a block; return the sums of the terms."""
        self.state, sums = _run_block(
            self.state,
            self._batches,
            self._key("training noise"),
            self._settings,
            StepSize(*(part[self._done : self._done + self._length] for part in self._step_sizes)),
            count,
            method=self._method,
        )
        self._done += count
        # Queued before the wait for this block.
        self._batches = self._draw(self._key("batches"))
        return {name: np.asarray(each) for name, each in sums.items()}

    def _key(self, name: str) -> Key[Array, ""]:
        """Return the key of the block that begins here."""
        return stream(self._seed, name, self._first, self._done)


def diverged(what: str) -> TrainingError:
    """Return the error that says so, and what to do."""
    return TrainingError(f"training diverged: {what}. Lower learning_rate, gamma or lambda_.")


def _check_finite(means: dict[str, np.floating], iteration: int) -> None:
    broken = [name for name, mean in means.items() if not np.isfinite(mean)]
    if broken:
        raise diverged(f"{', '.join(broken)} stopped being finite by iteration {iteration}")
