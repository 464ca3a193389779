"""The training of ``torch_peer`` for torch.compile: one program for a whole iteration.

Gradients and Adam are inside the program, which is called through C++. Compiling only the two
losses and leaving the rest to PyTorch was four times slower on a small network.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from benchmarks.speed.torch_peer import (
    DECAY_1,
    DECAY_2,
    EPSILON,
    LEARNING_RATE,
    Batch,
    Nets,
    Weights,
    encode,
    step_1_loss,
    step_2_loss,
)


class Moments(NamedTuple):
    """Adam's two moments of a network's gradient."""

    first: list[Tensor]
    second: list[Tensor]


State = tuple[Nets, Moments, Moments, Tensor]


def _iterate(state: State, batch: Batch, weights: Weights) -> State:
    """Do one iteration without side effects."""
    nets, moments_1, moments_2, done = state
    done = done + 1.0
    q = encode(nets.encoder, batch.x)

    def objective_1(moving: tuple[list[Tensor], list[Tensor]]) -> Tensor:
        return step_1_loss(Nets(nets.encoder, *moving), q, batch, weights)

    slope_G, slope_T = torch.func.grad(objective_1)((nets.generator, nets.transformer))
    moving = [*nets.generator, *nets.transformer]
    moved, moments_1 = _adam(moving, [*slope_G, *slope_T], moments_1, done)
    generator, transformer = moved[: len(slope_G)], moved[len(slope_G) :]

    def objective_2(encoder: list[Tensor]) -> Tensor:
        now = Nets(encoder, generator, transformer)
        return step_2_loss(now, encode(encoder, batch.x), batch, weights)

    slope = torch.func.grad(objective_2)(nets.encoder)
    encoder, moments_2 = _adam(nets.encoder, slope, moments_2, done)
    return Nets(encoder, generator, transformer), moments_1, moments_2, done


def _adam(
    parameters: list[Tensor], slopes: list[Tensor], moments: Moments, done: Tensor
) -> tuple[list[Tensor], Moments]:
    rate = LEARNING_RATE / (1.0 - DECAY_1**done)
    correction = 1.0 / (1.0 - DECAY_2**done)
    first = [DECAY_1 * m + (1.0 - DECAY_1) * g for m, g in zip(moments.first, slopes, strict=True)]
    second = [
        DECAY_2 * m + (1.0 - DECAY_2) * g * g for m, g in zip(moments.second, slopes, strict=True)
    ]
    moved = [
        p - rate * m / ((v * correction).sqrt() + EPSILON)
        for p, m, v in zip(parameters, first, second, strict=True)
    ]
    return moved, Moments(first, second)


def compiled_iteration() -> Callable[[State, Batch, Weights], State]:
    """Return the iteration as one program, compiled at its first call."""
    return torch.compile(_iterate, fullgraph=True, dynamic=False, options={"cpp_wrapper": True})


def train(
    iterate: Callable[[State, Batch, Weights], State],
    nets: Nets,
    drawn: Iterable[Batch],
    weights: Weights,
) -> Nets:
    """Train by an iteration without side effects."""
    torch.set_flush_denormal(True)

    def at_rest(parameters: list[Tensor]) -> Moments:
        return Moments(*([torch.zeros_like(p) for p in parameters] for _ in range(2)))

    moments = at_rest([*nets.generator, *nets.transformer]), at_rest(nets.encoder)
    state = (nets, *moments, torch.zeros(()))
    with torch.no_grad():
        for batch in drawn:
            state = iterate(state, batch, weights)
    return state[0]
