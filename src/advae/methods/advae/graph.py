"""The score as a graph of operators, for `advae.export`: what `scoring.score_block` computes.

`scoring`, `reference`, `classes`, `conditional` and `surprise` say what it means. Here rows are
never padded, and hidden parts, members and classes stand side by side instead of in loops.
"""

from typing import Any, NamedTuple

import jax
import numpy as np

from advae.core.arrays import HostMatrix
from advae.core.method import ScoredInGraph
from advae.graph import Graph, Value
from advae.methods.advae.classes import CATEGORICAL, MOMENTS, NUMBER, Classes
from advae.methods.advae.conditional import Conditional, parts_of
from advae.methods.advae.networks import INPUT_RANGE, AdVAE, Encoder, Generator
from advae.methods.advae.reference import DOUBT, SAME, Factors, Memory, Whitening
from advae.methods.advae.scoring import Scorer
from advae.methods.advae.surprise import FLOOR, Marginal, Shares, Surprise, unseen_shares
from advae.methods.dense import Dense

AT_ONCE = 25
"""Most points of latent noise that stand side by side: each has all rows."""


def in_graph(graph: Graph, scorer: Scorer, x: Value, width: int) -> ScoredInGraph:
    """Write down the scores of encoded rows [n, width]."""
    scorer = jax.tree.map(np.asarray, scorer)
    columns = scorer.model.sizes.columns
    varied = x if columns == width else x.take(np.arange(columns), axis=1)
    seen = varied.clip(*INPUT_RANGE)
    memory = scorer.reference.memory
    error, nearest = (None, None) if memory is None else _recall(graph, memory, seen)
    squares = []
    for member in range(len(scorer.model.encoder.layers[0].bias)):
        own, whitening = jax.tree.map(
            lambda leaf, member=member: leaf[member], (scorer.model, scorer.reference.whitening)
        )
        expected = _expected(graph, own, seen, scorer.latent_noise)
        expected = expected if error is None else expected + error
        residual = _weighed(varied - expected, whitening)
        squares.append(residual * residual)
    residual = graph.total(squares) / float(len(squares))
    distance = None
    if nearest is not None:
        difference = varied - nearest
        distance = difference * difference
    if scorer.surprise is not None:
        never = x.take(np.arange(columns, width), axis=1) if width > columns else None
        novel = None if never is None else never * never
        return _in_nats(graph, scorer.surprise, x, novel, residual, distance, width)
    if distance is not None:
        residual = _geometric_mean(graph, residual, distance)
    return ScoredInGraph(residual.sum(1), residual)


def _affine(x: Value, layer: Any) -> Value:
    product: Value = x @ layer.weight
    return product + np.asarray(layer.bias)


def _encoded(graph: Graph, encoder: Encoder, x: Value) -> tuple[Value, Value]:
    """Return mean and deviation of each row's latent variables."""
    first, second, head = encoder.layers
    hidden = graph.op("Relu", _affine(graph.op("Relu", _affine(x, first)), second))
    mean, log_variance = graph.split("Split", _affine(hidden, head), outputs=2, axis=1)
    bounded = graph.op("Min", log_variance, np.float32(80.0))
    return mean, graph.op("Exp", bounded * 0.5)


def _expected(graph: Graph, model: AdVAE, seen: Value, noise: HostMatrix) -> Value:
    """Return the mean of G(mu + sigma * eps_l) over the points, some of them at a time."""
    mean, deviation = _encoded(graph, model.encoder, seen)
    points, latent = noise.shape
    together = next(size for size in range(min(AT_ONCE, points), 0, -1) if points % size == 0)
    groups = noise.reshape(-1, together, latent)
    mean, deviation = mean.widened(1), deviation.widened(1)

    def tangents(inner: Graph, group: Value) -> Value:
        return _tangents(inner, model.generator, mean + deviation * group).sum(1)

    if len(groups) == 1:
        total = tangents(graph, graph.constant(groups[0]))
    else:
        total = graph.scan(
            lambda inner, state, group: state + tangents(inner, group),
            seen * 0.0,
            groups,
            model.sizes.columns,
        )
    return total * float(0.5 / points) + 0.5


def _tangents(graph: Graph, generator: Generator, z: Value) -> Value:
    """Return tanh of half of what comes before the sigmoid, see `scoring`."""
    first, second, head = generator.layers
    hidden = graph.op("Relu", _affine(graph.op("Relu", _affine(z, first)), second))
    return graph.op("Tanh", _affine(hidden, Dense(0.5 * head.weight, 0.5 * head.bias)))


def _recall(graph: Graph, memory: Memory, x: Value) -> tuple[Value, Value]:
    """Return what `reference.recall` does: the error expected, and the nearest row.

    Every pass over the closeness to all rows costs as much as a product, so one product gives the
    negated squared distances, in bandwidths.
    """
    rows, errors, bandwidth = map(np.asarray, memory)
    centre = rows.mean(axis=0)
    kept = rows - centre
    squares = np.square(kept).sum(axis=1)
    ones = np.ones((len(kept), 1), np.float32)
    x = x - centre
    own_square = graph.op("ReduceSumSquare", x, axes=[1], keepdims=1)
    beside = np.concatenate([2.0 * kept, -squares[:, None], -ones], axis=1) / bandwidth
    one = own_square * 0.0 + 1.0
    closeness = graph.concat([x, one, own_square]) @ np.ascontiguousarray(beside.T)
    values, places = graph.split("TopK", closeness, np.asarray([2]), outputs=2, axis=1)
    best, itself = (each.take(np.asarray([0]), axis=1) for each in (values, places))
    twin = graph.constant(kept).take(itself.reshape(-1))
    apart = graph.op("ReduceSumSquare", x - twin, axes=[1], keepdims=1)
    same = ~(apart > (own_square + float(squares.mean())) * SAME)
    nearest = same.where(places.take(np.asarray([1]), axis=1), itself)
    replaced = same.where(np.float32(-np.inf), best)
    others = graph.op("ScatterElements", closeness, itself, replaced, axis=1)
    weights = graph.op("Exp", graph.op("Min", others, np.float32(0.0)))
    sums = weights @ np.concatenate([errors, ones], axis=1)
    columns = kept.shape[1]
    whole = sums.take(np.asarray([columns]), axis=1)
    error = sums.take(np.arange(columns), axis=1) / (whole + DOUBT)
    return error, graph.constant(kept).take(nearest.reshape(-1)) + centre


def _weighed(residual: Value, whitening: Whitening | None) -> Value:
    if whitening is None:
        return residual
    if isinstance(whitening, Factors):
        into, back = np.asarray(whitening.into), np.asarray(whitening.back)
        return residual * np.asarray(whitening.diagonal) + (residual @ into) @ back
    return residual @ np.asarray(whitening)


def _geometric_mean(graph: Graph, first: Value, second: Value) -> Value:
    """Return what `reference.geometric_mean` does of two factors."""
    sums = [each.sum(1, keep=True) for each in (first, second)]
    roots = [graph.op("Sqrt", total) for total in sums]
    shares = [
        squares / (total > 0.0).where(total, 1.0)
        for squares, total in zip((first, second), sums, strict=True)
    ]
    return roots[0] * roots[1] * (shares[0] + shares[1]) / 2.0


def _in_nats(
    graph: Graph,
    known: Surprise,
    x: Value,
    novel: Value | None,
    residual: Value,
    distance: Value | None,
    width: int,
) -> ScoredInGraph:
    """Return what `surprise.joined` does; squares of columns that never varied are ``novel``."""
    classes = Classes(*known.classes)
    read = _read(graph, classes, x)
    unusual = _rarity(graph, classes, known.marginal, read)
    if known.conditional is None:
        unfit = unusual * 0.0
    else:
        members = range(len(known.conditional.bias))
        nets = (Conditional(*(part[member] for part in known.conditional)) for member in members)
        found = [_unlikelihood(graph, classes, net, read) for net in nets]
        unfit = graph.total(found) / float(len(found))
    far = residual if novel is None else graph.concat([residual, novel])
    near = far
    if distance is not None:
        near = distance if novel is None else graph.concat([distance, novel])
    squares = [far, near, unusual * unusual, unfit * unfit]
    sums = [each.sum(1, keep=True) for each in squares]
    logs = [graph.op("Log", graph.op("Max", total, np.float32(FLOOR))) for total in sums[:2]]
    norms = [graph.op("Sqrt", total) for total in sums[2:]]
    surprises = _nats(graph, known.shares, graph.concat([*logs, *norms]))
    of_far, of_near, of_unusual, of_unfit = graph.split("Split", surprises, outputs=4, axis=1)
    of_near = of_near * 0.5
    kinds = graph.concat([of_far + of_near, of_unusual, of_unfit])
    score = graph.op("ReduceLogSumExp", kinds, axes=[1], keepdims=1)
    counted = graph.op("Max", kinds, np.float32(1e-6))
    weights = counted / counted.sum(1, keep=True) * score
    by_far, by_unusual, by_unfit = graph.split("Split", weights, outputs=3, axis=1)
    part = of_far / graph.op("Max", of_far + of_near, np.float32(1e-6))
    variables = len(classes.sizes)
    shares = [
        (total > 0.0).where(each / (total > 0.0).where(total, 1.0), np.float32(1.0 / count))
        for each, total, count in zip(squares, sums, [width] * 2 + [variables] * 2, strict=True)
    ]
    homes = np.zeros((variables, width), np.float32)
    homes[np.arange(variables), classes.home] = 1.0
    at_home = (shares[2] * by_unusual + shares[3] * by_unfit) @ homes
    one = graph.constant(1.0)
    whole = (shares[0] * part + shares[1] * (one - part)) * by_far + at_home
    return ScoredInGraph(score.reshape(-1), whole)


class _Read(NamedTuple):
    """Rows as classes in a graph.

    ``inputs``: what the conditional network reads, float32 [n, inputs]; ``chosen``: the class of
    each variable, int64 [n, variables]; ``gone``: whether its value is missing, bool
    [n, variables]; ``numbers``: those judged by their tails, float32 [n, numbers].
    """

    inputs: Value
    chosen: Value
    gone: Value
    numbers: Value | None


def _read(graph: Graph, classes: Classes, x: Value) -> _Read:
    """Write down how encoded rows become classes."""
    whole = _extended(graph, classes, x)
    raw = whole.take(classes.source, axis=1)
    marks = whole.take(classes.missing, axis=1)
    seen = ((raw - classes.low) / classes.width).clip(0.0, 1.0)
    last = classes.last.astype(np.float32)
    inputs = seen - seen * (marks.take(classes.owner, axis=1) * (1.0 - last))
    # An encoded category has one 1, at its place; a number is in the last bin that it reaches.
    place = np.arange(len(classes.source)) - classes.starts[classes.owner]
    categorical = np.isin(classes.rules, CATEGORICAL)[classes.owner] & ~classes.last
    binned = ~np.isin(classes.rules, CATEGORICAL)[classes.owner] & (place > 0) & ~classes.last
    member = np.eye(len(classes.sizes), dtype=np.float32)[classes.owner]
    reached = (~(raw < classes.low)).cast(np.float32)
    chosen = inputs @ (member * (place * categorical)[:, None].astype(np.float32))
    chosen = chosen + reached @ (member * binned[:, None])
    gone = marks > 0.5
    chosen = gone.where((classes.sizes - 1).astype(np.int64)[None], chosen.cast(np.int64))
    numbers = classes.source[classes.starts[classes.rules == NUMBER]]
    return _Read(inputs, chosen, gone, whole.take(numbers, axis=1) if len(numbers) else None)


def _extended(graph: Graph, classes: Classes, x: Value) -> Value:
    """Return what `classes.extended` does."""
    tiny = graph.op("Abs", x) < np.finfo(np.float32).tiny
    x = tiny.where(0.0, x)
    zeros = x.take(np.asarray([0]), axis=1) * 0.0
    if not len(classes.phases):
        return graph.concat([x, zeros])
    sine, cosine = (x.take(classes.phases[:, side], axis=1) * 2.0 - 1.0 for side in (0, 1))
    high, wide = (graph.op("Abs", each) for each in (sine, cosine))
    least, most = graph.op("Min", high, wide), graph.op("Max", high, wide)
    angle = graph.op("Atan", least / graph.op("Max", most, np.finfo(np.float32).tiny))
    angle = (high > wide).where(graph.constant(np.float32(np.pi / 2)) - angle, angle)
    angle = (cosine < 0.0).where(graph.constant(np.float32(np.pi)) - angle, angle)
    angle = (sine < 0.0).where(angle * -1.0, angle)
    turns = graph.op("Round", angle * np.float32(MOMENTS / (2 * np.pi)))
    turns = (turns < 0.0).where(turns + MOMENTS, turns) / MOMENTS
    return graph.concat([x, turns, zeros])


def _rarity(graph: Graph, classes: Classes, marginal: Marginal, read: _Read) -> Value:
    """Return m_j, [n, variables]."""
    rows, own = marginal.rows[0], marginal.own[0]
    half, one, two = map(np.float32, (0.5, 1.0, 2.0))
    frequent = (marginal.counts - own + half) / (rows - own + one)
    by_class = graph.constant(-np.log(np.minimum(frequent, one)))
    rarity = by_class.take(read.chosen + classes.starts.astype(np.int64))
    if read.numbers is None:
        return rarity
    # A number's share is one of few: between two of its knots, or at one.
    numbers, knots = marginal.knots.shape
    gap = np.arange(2 * knots + 1)
    first, after = gap // 2, (gap + 1) // 2
    missing = (classes.starts + classes.sizes - 1)[classes.rules == NUMBER]
    present = (rows - marginal.counts[missing] - own)[:, None]
    last = np.minimum(first, knots - 1)
    low = np.where(after > 0, marginal.upto[:, after - 1], 0.0) - own
    high = np.where(first < knots, present + own - marginal.below[:, last], 0.0) - own
    share = two * np.minimum(low, high) / np.maximum(present, one)
    share = np.clip(share, one / (present + one), one)
    unseen = unseen_shares(marginal)[:, None]
    by_gap = -np.log(np.where(gap % 2, share, np.minimum(share, unseen))).astype(np.float32)
    place = graph.search(marginal.knots, read.numbers)
    each = np.arange(numbers, dtype=np.int64)
    ends = np.pad(marginal.knots, ((0, 0), (0, 1)), constant_values=np.inf)
    end = graph.constant(ends.ravel()).take(place + each * (knots + 1))
    found = place * np.int64(2) + end.equals(read.numbers).cast(np.int64)
    tails = graph.constant(by_gap.ravel()).take(found + each * len(gap))
    is_number = classes.rules == NUMBER
    among = np.where(is_number, np.cumsum(is_number) - 1, 0)
    in_tail = graph.constant(is_number[None]) & ~read.gone
    return in_tail.where(tails.take(among, axis=1), rarity)


def _unlikelihood(graph: Graph, classes: Classes, net: Conditional, read: _Read) -> Value:
    """Return c_j by one member, [n, variables]."""
    u, start, step = classes.coordinates
    owner, variables = classes.owner, len(classes.sizes)
    part = parts_of(variables)
    # Classes in the order of their parts, so that each part is a piece.
    order = np.argsort(part[owner], kind="stable")
    pieces = np.bincount(part[owner]).tolist()
    along = step[owner, None] * net.coordinates[owner]
    inputs = net.inputs + np.where(classes.last[:, None], 0.0, along).astype(np.float32)
    starts = start[:, None] * net.coordinates
    slopes = net.slopes[:, :, owner]
    head = net.head + u * slopes[0] + u**2 * slopes[1]
    bias = net.head_bias + u * net.slopes_bias[0, owner] + u**2 * net.slopes_bias[1, owner]
    ends = np.cumsum(pieces)[:-1]
    into = np.split(inputs[order], ends)
    heads, biases = np.split(head[:, order], ends, axis=1), np.split(bias[order], ends)
    seen = graph.split(
        "Split", read.inputs.take(order, axis=1), outputs=len(pieces), axis=1, split=pieces
    )
    added = [piece @ weights for piece, weights in zip(seen, into, strict=True)]
    whole = graph.total(added) + (net.bias + starts.sum(axis=0))
    logits = []
    for number, (own, out, shift) in enumerate(zip(added, heads, biases, strict=True)):
        hidden = (net.hidden_marks - starts)[part == number].sum(axis=0)
        first = graph.op("Relu", whole - own + hidden)
        second = graph.op("Relu", first @ net.middle + net.middle_bias)
        logits.append(second @ out.astype(np.float32) + shift.astype(np.float32))
    back = np.argsort(order)
    in_order = graph.concat(logits).take(back, axis=1)
    sizes = classes.sizes.tolist()
    each = graph.split("Split", in_order, outputs=variables, axis=1, split=sizes)
    wholes = graph.concat([graph.op("ReduceLogSumExp", own, axes=[1], keepdims=1) for own in each])
    places = read.chosen + classes.starts.astype(np.int64)
    chosen = graph.op("GatherElements", in_order, places, axis=1)
    return graph.op("Max", wholes - chosen, np.float32(0.0))


def _nats(graph: Graph, shares: Shares, values: Value) -> Value:
    """Return what `surprise.nats` does of all factors, [n, factors]."""
    factors, knots = shares.values.shape
    each = np.arange(factors, dtype=np.int64) * knots
    known, of_known = (graph.constant(table.ravel()) for table in (shares.values, shares.nats))
    # The first knot that is not less will do: between two of them the line is one.
    upper = graph.search(shares.values, values)
    upper = (upper < np.int64(1)).where(np.int64(1), upper)
    upper = (upper > np.int64(knots - 1)).where(np.int64(knots - 1), upper) + each
    lower = upper - np.int64(1)
    apart = known.take(upper) - known.take(lower)
    slope = (of_known.take(upper) - of_known.take(lower)) / (apart > 0.0).where(apart, 1.0)
    inside = of_known.take(lower) + (values - known.take(lower)) * slope
    inside = (values < shares.values[:, 0]).where(shares.nats[:, 0], inside)
    inside = (values > shares.values[:, -1]).where(shares.nats[:, -1], inside)
    above: Value = values > shares.top
    excess = graph.op("Max", values - shares.top, np.float32(0.0)) / shares.excess
    # In double precision: there is no log1p.
    one_more = (excess / shares.count).cast(np.float64) + np.float64(1.0)
    log1p: Value = graph.op("Log", one_more).cast(np.float32)
    beyond: Value = log1p * shares.count + shares.base
    weighed: Value = above.where(beyond, inside) * shares.weights
    return weighed
