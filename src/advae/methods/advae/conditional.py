"""A network that tells how likely each value of a row is, given the rest of the row.

NOTE[DIFF]: not in the paper. Some variables of a row are hidden, and the network gives each of the
others' classes (`classes`) a probability: for a variable j with classes k,

    log p(k) = f_k + o_k + a_j u_k + b_j u_k^2 - log of the sum over j's classes,

f the logarithm of a class's frequency, o, a and b outputs of the network, u the coordinate of a
number's bin: a discretised normal distribution that free logits correct. In training the share of
hidden variables is uniform in (0, 1), at least one, and the loss is the mean of -log p over them.
Afterwards one part of the variables is hidden at a time, and

    c_j = -log p(x_j | all variables of the row but those of j's part).

A part is one variable, in a table of up to `MOST_PARTS`; in a wider one the parts are so many.
"""

from functools import partial
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Int, Key

from advae.config import Config
from advae.core.adam import Moments, StepSize, at_rest, descend, step_sizes
from advae.core.arrays import HostMatrix
from advae.core.compilation import compiled, shielded, with_room
from advae.core.randomness import generator, stream
from advae.methods.advae.classes import CATEGORICAL, Classes, observed
from advae.methods.dense import float32_shape

FEW, HIDDEN_OF_FEW = 8, 16
HIDDEN = 128
MANY, HIDDEN_OF_MANY = 16, 64
"""Width of the layers. Of up to `FEW` variables a wide network knows the rows by heart, unless they
are `MANY_ROWS`: then these have the middle width. So have those of more than `MANY` variables,
where a score takes as many passes."""

MANY_ROWS = 10_000

MOST_PARTS = 32

INPUTS_STEP = 32
"""In training there is room for a multiple of so many classes."""

BATCH = 128
BLOCK = 500
"""Iterations of one call of the compiled program."""

PASSES = 10
"""Over the rows of a large table, at least, with up to twice the usual iterations."""

LEARNING_RATE = 0.002
DECAY = 0.03
"""Decoupled weight decay, in units of the learning rate (Loshchilov and Hutter 2019)."""


class Conditional(NamedTuple):
    """The weights; with members, each leads with an axis of them.

    ``inputs``: of every class that is seen, shape (inputs, hidden). ``hidden_marks`` and
    ``coordinates``: of the mark that a variable is hidden, and of its u, (variables, hidden).
    ``bias``; ``middle`` (hidden, hidden) and ``middle_bias``. ``head``, (hidden, inputs), and
    ``head_bias``, to which f is added after training; ``slopes``, (2, hidden, variables), and
    ``slopes_bias``, of a and b.
    """

    inputs: Any
    hidden_marks: Any
    coordinates: Any
    bias: Any
    middle: Any
    middle_bias: Any
    head: Any
    head_bias: Any
    slopes: Any
    slopes_bias: Any


class Rows(NamedTuple):
    """Rows to learn from: as `classes.extended` has them, and their classes."""

    whole: Any
    classes: Any


class Plan(NamedTuple):
    """What the loss knows of the classes, as `Classes` has it: data of the compiled program.

    ``members``: shape (inputs, variables), 1 where a class is of a variable. ``prior``: the
    logarithm of the frequency of each class, (inputs,).
    """

    source: Any
    low: Any
    width: Any
    last: Any
    missing: Any
    starts: Any
    u: Any
    first: Any
    step: Any
    members: Any
    prior: Any


def parts_of(variables: int) -> Int[np.ndarray, "variables"]:
    """Return the part of each variable, from 0.

    Variables that stand beside each other, and often say the same, are of different parts.
    """
    return np.arange(variables, dtype=np.int32) % MOST_PARTS


def plan_of(classes: Classes, targets: Int[np.ndarray, "rows variables"]) -> Plan:
    """Return what the loss knows of the classes, and of how frequent they are in some rows."""
    possible = len(targets) + 0.5 * classes.sizes[classes.owner]
    prior = np.log((_counts(classes, targets) + 0.5) / possible).astype(np.float32)
    members = np.eye(len(classes.sizes), dtype=np.float32)[classes.owner]
    return Plan(
        *(classes.source, classes.low, classes.width, classes.last, classes.missing),
        classes.starts.astype(np.int32),
        *classes.coordinates,
        members,
        prior,
    )


def seen_inputs(plan: Plan, whole: Float[Array, "rows extended"]) -> Float[Array, "rows inputs"]:
    """Return what the network reads of rows where nothing is hidden."""
    read = jnp.clip((whole[:, plan.source] - plan.low) / plan.width, 0.0, 1.0)
    gone = whole[:, plan.missing] @ plan.members.T
    return jnp.where(plan.last, read, read * (1.0 - gone))


def log_likelihoods(
    net: Conditional,
    plan: Plan,
    whole: Float[Array, "rows extended"],
    classes: Int[Array, "rows variables"],
    hidden: Float[Array, "rows variables"],
) -> Float[Array, "rows variables"]:
    """Return log p of each value of one member, where some variables are hidden (1) and some not.

    Values that are seen have one too, which means nothing.
    """
    read = seen_inputs(plan, whole)
    # As a piecewise linear encoding adds up to how far a number is among its bins.
    u = plan.first + plan.step * ((read * ~plan.last) @ plan.members)
    shown = 1.0 - hidden
    first = (
        (read * (shown @ plan.members.T)) @ net.inputs
        + hidden @ net.hidden_marks
        + (u * shown) @ net.coordinates
        + net.bias
    )
    second = jax.nn.relu(jax.nn.relu(first) @ net.middle + net.middle_bias)
    a, b = (second @ net.slopes[side] + net.slopes_bias[side] for side in (0, 1))
    # Products with `members` everywhere: the slope of a gather is a scatter, slow on a CPU.
    of_variable = plan.members.T
    logits = second @ net.head + net.head_bias + plan.prior
    logits += a @ (of_variable * plan.u) + b @ (of_variable * plan.u**2)
    logits -= jax.lax.stop_gradient(logits.max(axis=1, keepdims=True))
    wholes = jnp.log(jnp.exp(logits) @ plan.members + 1e-30)
    theirs = (classes + plan.starts).astype(np.float32) @ of_variable
    observed = theirs == jnp.arange(logits.shape[1])
    likelihoods: Float[Array, "rows variables"] = (
        jnp.where(observed, logits, 0.0) @ plan.members - wholes
    )
    return likelihoods


def loss(
    net: Conditional,
    plan: Plan,
    whole: Float[Array, "rows extended"],
    classes: Int[Array, "rows variables"],
    hidden: Float[Array, "rows variables"],
) -> Float[Array, ""]:
    """Return the mean over rows of the mean -log p of their hidden variables."""
    each = log_likelihoods(net, plan, whole, classes, hidden)
    return -jnp.mean(jnp.sum(each * hidden, axis=1) / jnp.sum(hidden, axis=1))


State: TypeAlias = tuple[Conditional, Moments[Conditional]]


def iterations_for(rows: int, usual: int) -> int:
    """Return how many iterations a table of so many rows takes: ``usual``, or `PASSES`."""
    return max(1, min(2 * usual, max(usual, PASSES * rows // BATCH)))


@partial(compiled, donate=(0, 1))
def _train_block(
    net: Conditional,
    moments: Moments[Conditional],
    rows: Rows,
    seen: Int[Array, "seen"],
    there: Int[Array, ""] | int,
    plan: Plan,
    key: Key[Array, ""],
    sizes: StepSize,
    rates: Float[Array, "iterations"],
    count: Int[Array, ""] | int,
) -> State:
    """Do the first ``count`` iterations of a block of one member.

    It sees the rows at the first ``there`` positions of ``seen`` alone.
    """
    variables = len(plan.missing)

    def iterate(i: Array, carry: State) -> State:
        net, moments = carry
        drawn, shares, chosen = jr.split(jr.fold_in(key, i), 3)
        batch = seen[jr.randint(drawn, (BATCH,), 0, there, np.int32)]
        numbers = jr.uniform(chosen, (BATCH, variables))
        most = jnp.maximum(jr.uniform(shares, (BATCH, 1)), numbers.min(axis=1, keepdims=True))
        hidden = (numbers <= most).astype(np.float32)
        gradient = jax.grad(loss)(net, plan, rows.whole[batch], rows.classes[batch], hidden)
        norm = jnp.sqrt(sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(gradient)))
        gradient = jax.tree.map(lambda leaf: leaf / jnp.maximum(1.0, norm), gradient)
        size = StepSize(*(part[i] for part in sizes))
        moved, moments = descend(net, gradient, moments, size)
        decay = DECAY * rates[i]
        return jax.tree.map(lambda new, old: new - decay * old, moved, net), moments

    done: State = jax.lax.fori_loop(0, count, iterate, (net, moments))
    return done


@shielded
def train(
    classes: Classes,
    whole: HostMatrix,
    seen: Int[np.ndarray, "seen"],
    config: Config,
    member: int,
) -> Conditional:
    """Return one member trained on some of the rows.

    Parameters
    ----------
    classes
        Of the rows.
    whole
        Rows as `classes.extended` has them.
    seen
        Positions of the rows that it sees.
    config
        ``iterations``, of which half are usual here, and ``seed`` decide.
    member
        Its number.
    """
    usual = config.iterations_for(len(seen)) // 2
    seed, iterations = config.seed, iterations_for(len(seen), usual)
    targets = observed(classes, whole)
    plan = plan_of(classes, targets[seen])
    net, plan = _with_room(_initial(classes, targets[seen], seed, member), plan, whole.shape[1] - 1)
    rows, places = Rows(with_room(whole), with_room(targets)), with_room(seen.astype(np.int32))
    net, moments, rows, places, plan_there = jax.device_put(
        (net, at_rest(net), rows, places, plan), may_alias=False
    )
    done = np.arange(iterations) / iterations
    rates = (LEARNING_RATE * 0.5 * (1.0 + np.cos(np.pi * done))).astype(np.float32)
    rates = np.pad(rates, (0, BLOCK))
    sizes = step_sizes(rates)
    for first in range(0, iterations, BLOCK):
        block = slice(first, first + BLOCK)
        key = stream(seed, "conditional training", member, first)
        step_size = StepSize(*(part[block] for part in sizes))
        count = min(BLOCK, iterations - first)
        net, moments = _train_block(
            *(net, moments, rows, places, len(seen)),
            *(plan_there, key, step_size, rates[block], count),
        )
    weights: Conditional = jax.tree.map(np.asarray, net)
    own = slice(len(classes.source))
    return weights._replace(
        inputs=weights.inputs[own],
        head=np.ascontiguousarray(weights.head[:, own]),
        head_bias=(weights.head_bias + plan.prior)[own],
    )


def _with_room(net: Conditional, plan: Plan, nothing: int) -> tuple[Conditional, Plan]:
    """Return weights and plan with classes of no variable at the end; they change nothing.

    ``nothing`` is the place of the zeros that these read.
    """
    room = partial(with_room, step=INPUTS_STEP)
    return net._replace(
        inputs=room(net.inputs), head=room(net.head, 1), head_bias=room(net.head_bias)
    ), plan._replace(
        source=room(plan.source, fill=nothing),
        width=room(plan.width, fill=1.0),
        **{name: room(getattr(plan, name)) for name in ("low", "last", "u", "members", "prior")},
    )


def _initial(
    classes: Classes, targets: Int[np.ndarray, "rows variables"], seed: int, member: int
) -> Conditional:
    """Return untrained weights, Kaiming-normal; those of a class that no row has are 0."""
    draws = generator(seed, "conditional weights", member)
    inputs, variables = len(classes.source), len(classes.sizes)
    fan = inputs + 2 * variables
    width = _hidden(variables, len(targets))

    def drawn(*shape: int, fan: int, scale: float = 1.0) -> np.ndarray:
        return np.asarray(scale * np.sqrt(2 / fan) * draws.standard_normal(shape), np.float32)

    first = drawn(inputs, width, fan=fan)
    first[(_counts(classes, targets) == 0) & np.isin(classes.rules, CATEGORICAL)[classes.owner]] = (
        0.0
    )
    first[classes.last & (_counts(classes, targets) == 0)] = 0.0
    return Conditional(
        first,
        drawn(variables, width, fan=fan),
        drawn(variables, width, fan=fan),
        np.zeros(width, np.float32),
        drawn(width, width, fan=width),
        np.zeros(width, np.float32),
        drawn(width, inputs, fan=width, scale=0.1),
        np.zeros(inputs, np.float32),
        drawn(2, width, variables, fan=width, scale=0.1),
        np.zeros((2, variables), np.float32),
    )


def conditional_shapes(members: int, inputs: int, variables: int, width: int) -> Conditional:
    """Return the shapes of the weights for so many classes and variables."""
    each = (
        *((inputs, width), (variables, width), (variables, width), (width,)),
        *((width, width), (width,), (width, inputs), (inputs,)),
        *((2, width, variables), (2, variables)),
    )
    return Conditional(*(float32_shape(members, *shape) for shape in each))


def _hidden(variables: int, rows: int) -> int:
    if variables <= FEW and rows < MANY_ROWS:
        return HIDDEN_OF_FEW
    return HIDDEN if FEW < variables <= MANY else HIDDEN_OF_MANY


def _counts(
    classes: Classes, targets: Int[np.ndarray, "rows variables"]
) -> Int[np.ndarray, "inputs"]:
    """Return how many rows are of each class."""
    return np.bincount((targets + classes.starts).ravel(), minlength=len(classes.source))
