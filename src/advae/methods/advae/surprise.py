"""A score in nats: how surprising a row is, as a whole, by its values, and by what fits together.

NOTE[DIFF]: the paper's score is a squared residual. Here three surprises are joined,

    s = log(e^(w_L L) + e^M + e^(w_R R)),

the negative logarithm of the sum of their shares' inverses where all count in full: the share of
normal rows that score so high in one of three is what counts, and no factor can hide another.

- L, far from all rows: nats(N) + nats(D) / 2, of the residual N that networks and memory leave and
  of the squared distance D to the nearest row that is kept, see `reference`. The squares of columns
  that never varied in training are added to both.
- M, an unusual value: nats(|m|) of the norm over variables of m_j = -log of a share of rows: of a
  number the two-sided tail, of another value (k + 1/2) / (rows + 1), k the rows whose value is no
  more frequent than it. Of a number that no training row has, the share of such rows counts where
  it is smaller: as many as there are training rows with a value of their own (Good 1953), which are
  the k rows of a new category, too.
- R, unusual for this row: nats(|c|), c_j = -log p(x_j | the rest), see `conditional`.

nats(v) is -log of the share of normal rows with v or more. Beyond their 90th percentile a few rows
would decide, and nothing could be rarer than one of them: there it goes on along an exponential
tail whose scale was estimated from m excesses, log 10 + m log(1 + z / m), z = excess / mean excess
(the largest excesses count as the largest of the others); the excess of the logarithm of N and D,
which are squares, and of M and R themselves, which are logarithms already and of which 1 is worth
1 nat at most.

L and R both say what fits together, and in some tables one of them hardly can: w_L and w_R are 1
for the one that tells training rows better from rows whose values were drawn column by column, and
for the other as much less as it tells them worse, see `learn_weights`. M cannot tell such rows, and
counts in full.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from advae.core.arrays import HostMatrix, Matrix, shape_of
from advae.core.compilation import with_room
from advae.core.method import Members
from advae.methods.advae.classes import (
    CATEGORICAL,
    FREQUENCY,
    NUMBER,
    RARE,
    WHOLE,
    Classes,
    check_classes,
    extended,
    observed,
)
from advae.methods.advae.conditional import (
    MOST_PARTS,
    Conditional,
    conditional_shapes,
    parts_of,
)
from advae.methods.dense import float32_shape

FACTORS = ("residual", "distance", "values", "conditional")
"""Of which there are shares: N, D, M and R, in this order."""

KINDS = ("far from all rows", "unusual value", "unusual for this row")
"""What a row is surprising by: L, M and R."""

TAIL = 0.9
"""From which share of the normal rows on the tail is exponential."""

SMALLEST_EXCESS = 0.05
"""Of the logarithms of N and D, in the mean."""

CENSORED = 0.1
"""Share of the largest excesses whose size does not count."""

KNOTS = 512
"""Of a table of shares, and of a number's tails, about."""

MOST_KNOTS = 2**18
"""Of the tails of all numbers of a table: where there are more than 512 numbers, each has fewer."""

ALIKE = 0.001
"""Values of a factor that differ by less count as one in its table. Many rows can have one value,
which rounding spreads; between two knots within it the share would hang on the last bit."""

ODD = 0.1
"""Share of rows whose values do not belong together, among those that L and R have to tell."""

FLOOR = 1e-12
"""Least sum of squares whose logarithm is taken."""


class Shares(NamedTuple):
    """Tables of nats(v), each with a row for each of `FACTORS`.

    ``values``, ascending, and their ``nats``, shape (4, knots); ``top``, ``base`` and ``excess`` of
    the exponential tail, and the ``count`` of excesses that it was estimated from, (4,).
    ``weights``: how much the nats of each count, in (0, 1], the same for N and D, (4,).
    """

    values: Any
    nats: Any
    top: Any
    base: Any
    excess: Any
    count: Any
    weights: Any


class Marginal(NamedTuple):
    """How frequent values are among the training rows.

    ``counts``: rows of each class, (inputs,); but for numbers and missing values, rows of all
    classes of the variable that are no more frequent. ``knots``: values of each variable that is a
    number, ascending, padded by infinity, (numbers, knots); ``below`` and ``upto``: how many rows
    have less, and no more. ``rows``, how many there are, and ``own``, how many of them are the row
    itself, 0 or 1, both of shape (1,).
    """

    counts: Any
    knots: Any
    below: Any
    upto: Any
    rows: Any
    own: Any


class Surprise(NamedTuple):
    """All that the surprises are computed from, beside networks and memory.

    ``conditional`` is None in a table of too many variables: no row is then unusual by what fits
    together.
    """

    classes: Classes
    marginal: Marginal
    conditional: Conditional | None
    shares: Shares


def strangers(surprise: Surprise, members: Members) -> Surprise:
    """Return what these members make of training rows, none of which counts itself."""
    net = jax.tree.map(lambda leaf: np.asarray(leaf)[members], surprise.conditional)
    marginal = surprise.marginal._replace(own=np.ones(1, np.float32))
    return surprise._replace(conditional=net, marginal=marginal)


def shapes(stored: Mapping[str, np.ndarray], prefix: str, members: int) -> Surprise:
    """Return the shapes of the arrays of a `Surprise` that a file has under a prefix.

    Raises
    ------
    ValueError
        If classes or counts are none that could have been learned.
    """

    def arrays(name: str, kind: Any) -> Any:
        return kind(*(stored[f"{prefix}{name}.{field}"] for field in kind._fields))

    classes, marginal = arrays("classes", Classes), arrays("marginal", Marginal)
    check_classes(classes)
    _check_marginal(marginal, classes)
    inputs, variables = len(classes.source), len(classes.sizes)
    conditional = None
    if (bias := stored.get(f"{prefix}conditional.bias")) is not None:
        width = math.prod(bias.shape[1:2])  # which versions have chosen differently
        conditional = conditional_shapes(members, inputs, variables, width)
    knots, factors = float32_shape(*marginal.knots.shape), float32_shape(len(FACTORS))
    table = float32_shape(len(FACTORS), KNOTS)
    return Surprise(
        Classes(
            *(
                shape_of(array.shape, np.int32 if name in WHOLE else np.float32)
                for name, array in classes._asdict().items()
            )
        ),
        Marginal(float32_shape(inputs), knots, knots, knots, float32_shape(1), float32_shape(1)),
        conditional,
        Shares(table, table, *[factors] * (len(Shares._fields) - 2)),
    )


def _check_marginal(marginal: Marginal, classes: Classes) -> None:
    """Refuse counts of values that are not those of some rows."""
    knots, below, upto = marginal.knots, marginal.below, marginal.upto
    rows = float(marginal.rows.item())
    numbers = int(np.sum(classes.rules == NUMBER))
    if not (
        len(knots) == len(below) == len(upto) == numbers
        and np.all(knots[:, 1:] >= knots[:, :-1])
        and np.all(knots[:, 0] > -np.inf)
        and np.all(below <= upto)
        and all(np.all(each[:, 1:] >= each[:, :-1]) for each in (below, upto))
        and np.all((upto >= 0) & (upto <= rows))
        and np.all((marginal.counts >= 0) & (marginal.counts <= rows))
    ):
        raise ValueError("the counts of its values are not those of rows")


def no_shares() -> Shares:
    """Return tables before there are any: with them only the factors mean something."""
    table = np.zeros((len(FACTORS), KNOTS), np.float32)
    ones = np.ones(len(FACTORS), np.float32)
    return Shares(table, table, *[ones] * (len(Shares._fields) - 2))


def learn_shares(factors: Sequence[Float[np.ndarray, "rows"]]) -> Shares:
    """Return the tables for `FACTORS` of normal rows, as `Joined` has them, one row at least."""
    tables = [_table(np.asarray(v, np.float64), logarithmic=i < 2) for i, v in enumerate(factors)]
    arrays = [np.asarray(each, np.float32) for each in zip(*tables, strict=True)]
    return Shares(*[*arrays, np.ones(len(FACTORS), np.float32)])


def learn_weights(
    shares: Shares, clean: Float[np.ndarray, "rows factors"], odd: Float[np.ndarray, "odd factors"]
) -> Shares:
    """Return the tables with ``weights``.

    L and R are each asked for their average precision in telling odd rows from clean ones, where
    one row in ten is odd; the weight of each is in proportion to it, and that of the better one 1.

    Parameters
    ----------
    shares
        Tables without weights.
    clean
        `FACTORS` of training rows, as `Joined` has them.
    odd
        Those of rows whose values were drawn column by column.
    """
    (far, near, _, fit), (odd_far, odd_near, _, odd_fit) = (
        nats(shares, each.T.astype(np.float64), np) for each in (clean, odd)
    )
    whole = _precision(far + 0.5 * near, odd_far + 0.5 * odd_near)
    together = _precision(fit, odd_fit)
    best = max(whole, together)
    weights = np.asarray([whole, whole, best, together], np.float32) / np.float32(best)
    return shares._replace(weights=weights)


def _precision(clean: Float[np.ndarray, "rows"], odd: Float[np.ndarray, "odd"]) -> float:
    """Return the average precision of a score of which a share of `ODD` is of odd rows."""
    limits = np.unique(odd)[::-1]
    found, wrong = (
        1.0 - np.searchsorted(np.sort(each), limits, side="left") / len(each)
        for each in (odd, clean)
    )
    precision = ODD * found / (ODD * found + (1.0 - ODD) * wrong)
    return float(np.sum(np.diff(found, prepend=0.0) * precision))


def _table(
    values: Float[np.ndarray, "rows"], *, logarithmic: bool
) -> tuple[np.ndarray, np.ndarray, float, float, float, int]:
    """Return knots, their nats, and the tail, of one factor."""
    values = np.sort(values)
    rows = len(values)
    top = float(np.quantile(values, TAIL, method="inverted_cdf")) + ALIKE
    distinct, first = np.unique(values[values <= top], return_index=True)
    apart = _apart(distinct)
    distinct, first = distinct[apart], first[apart]
    at = np.unique(np.linspace(0, len(distinct) - 1, KNOTS).round().astype(int))
    knots, nats = distinct[at], -np.log((rows - first[at] + 0.5) / (rows + 1))
    missing = KNOTS - len(knots)
    above = values[values > top]
    least = SMALLEST_EXCESS if logarithmic else 1.0
    known = len(above) - int(CENSORED * len(above))
    excess = max(_mean_excess(above - top, known), least) if known else 1.0
    base = -np.log((len(above) + 0.5) / (rows + 1))
    return (
        np.pad(knots, (0, missing), mode="edge"),
        np.pad(nats, (0, missing), mode="edge"),
        top,
        # With many rows at the top, the share just above it is smaller than 1/10.
        max(base, -np.log(1 - TAIL)),
        excess,
        max(known, 1),
    )


def _apart(values: Float[np.ndarray, "distinct"]) -> list[int]:
    """Return the places of ascending values that are `ALIKE` none before them in the list."""
    places = [0]
    for place, value in enumerate(values):
        if value - values[places[-1]] >= ALIKE:
            places.append(place)
    return places


def _mean_excess(excesses: Float[np.ndarray, "above"], known: int) -> float:
    """Return the mean of ascending excesses, of which all but the first ``known`` are censored.

    The maximum of an exponential's likelihood where of these is known only that they are no
    smaller than the rest: a few anomalies among the training rows hardly move it.
    """
    total = excesses[:known].sum() + (len(excesses) - known) * excesses[known - 1]
    return float(total / known)


def nats(shares: Shares, factors: Any, xp: Any) -> Any:
    """Return -log of the share of normal rows that reach the values of each of `FACTORS`.

    Times its weight. Values of the first two are logarithms; shape (4, rows) in and out. ``xp`` is
    `jax.numpy`, or `numpy` where to compile for so many rows is not worth it.
    """

    def of_one(share: Shares, v: Any) -> Any:
        inside = xp.interp(v, share.values, share.nats)
        far = xp.maximum(v - share.top, 0.0) / share.excess
        beyond = share.base + share.count * xp.log1p(far / share.count)
        return xp.where(v <= share.top, inside, beyond) * share.weights

    if xp is np:
        return np.stack([of_one(Shares(*one), v) for *one, v in zip(*shares, factors, strict=True)])
    return jax.vmap(of_one)(Shares(*shares), factors)


def learn_marginal(classes: Classes, rows: HostMatrix) -> Marginal:
    """Return how frequent the values of encoded training rows are, shape (rows, width)."""
    whole = extended(rows, classes.phases, np)
    targets = observed(classes, whole)
    counts = np.bincount((targets + classes.starts).ravel(), minlength=len(classes.source))
    frequencies = counts.copy()
    # The values that share a class because they are rare have about one row each.
    rare = (classes.starts + classes.sizes - 2)[classes.rules == RARE]
    frequencies[rare] = np.minimum(counts[rare], 1)
    for j in np.flatnonzero(classes.rules != NUMBER):
        own = slice(classes.starts[j], classes.starts[j] + classes.sizes[j] - 1)
        counts[own] = (frequencies[own] <= frequencies[own, None]) @ counts[own]
    numbers = int(np.sum(classes.rules == NUMBER))
    most = max(8, min(KNOTS, MOST_KNOTS // max(1, numbers)))
    tails = [
        _tails(whole[whole[:, gone] < 0.5, classes.source[start]], most)
        for start, rule, gone in zip(classes.starts, classes.rules, classes.missing, strict=True)
        if rule == NUMBER
    ]
    longest = max((len(values) for values, *_ in tails), default=1)
    knots = np.full((numbers, longest), np.inf, np.float32)
    below, upto = np.zeros((2, numbers, longest), np.float32)
    for number, (values, less, no_more) in enumerate(tails):
        own = slice(0, len(values))
        knots[number, own], below[number, own], upto[number, own] = values, less, no_more
        below[number, len(values) :] = upto[number, len(values) :] = no_more[-1]
    return Marginal(
        counts.astype(np.float32),
        *(knots, below, upto),
        np.full(1, len(rows), np.float32),
        np.zeros(1, np.float32),
    )


def _tails(
    values: Float[np.ndarray, "rows"], most: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return about ``most`` values of a number, and how many rows have less and no more.

    Near both ends every value is among them. At least one: a number may be missing everywhere.
    """
    if not len(values):
        return np.full(1, np.inf), np.zeros(1), np.zeros(1)
    distinct, counts = np.unique(values, return_counts=True)
    upto = np.cumsum(counts)
    at = np.arange(len(distinct))
    if len(distinct) > most:
        places = np.geomspace(1, len(values) / 2, most // 2).astype(int) - 1
        low = np.searchsorted(upto, places, side="right")
        high = np.searchsorted(upto, len(values) - 1 - places, side="right")
        at = np.unique(np.concatenate([low, high]))
    return distinct[at], upto[at] - counts[at], upto[at]


class Group(NamedTuple):
    """Variables of one rule and about one size, for a compiled loop over them.

    Every array leads with an axis of the variables; those of classes have as many as the largest
    variable of the group may have. ``part``: see `conditional.parts_of`. ``net``: the `Block` of
    each variable, with a member axis before that of the variables.
    """

    source: Any
    low: Any
    width: Any
    size: Any
    missing: Any
    home: Any
    part: Any
    counts: Any
    net: Any
    tails: "Tails | None"
    frequency: "Frequency | None"


class Block(NamedTuple):
    """The weights of one variable: what it adds to the first layer, and its logits."""

    inputs: Any
    start: Any
    mark: Any
    head: Any
    bias: Any


class Tails(NamedTuple):
    """Of `Marginal`, for numbers that are judged by their tails.

    ``unseen``: the share of rows whose value no training row has, (numbers,); 1 where not every
    value is a knot.
    """

    knots: Any
    below: Any
    upto: Any
    unseen: Any


class Frequency(NamedTuple):
    """Stands where numbers are judged by their frequency."""


class Prepared(NamedTuple):
    """`Surprise` for the compiled score."""

    groups: tuple[Group, ...]
    phases: Any
    layers: Any
    rows: Any
    own: Any
    shares: Shares


_SIZES = (4, 16, 64, 256, 1024, 2056)
"""Most classes of the variables of a group, the missing one included."""

KNOTS_STEP = 64
"""The compiled score has room for a multiple of so many knots."""

_STEP = 8
"""An array has a multiple of so many classes, that not each table has shapes of its own."""


def prepared(surprise: Surprise) -> Prepared:
    """Return what is computed with: variables in groups, with arrays of one shape in each."""
    classes, marginal, net, shares = surprise
    classes = Classes(*map(np.asarray, classes))
    first = None if net is None else tuple(map(np.asarray, (net.bias, net.middle, net.middle_bias)))
    groups = []
    number = np.cumsum(classes.rules == NUMBER) - 1
    for rules in (CATEGORICAL, (NUMBER,), (FREQUENCY,)):
        caps = np.asarray(_SIZES)[np.searchsorted(_SIZES, classes.sizes)]
        for cap in _SIZES:
            chosen = np.flatnonzero(np.isin(classes.rules, rules) & (caps == cap))
            if len(chosen):
                most = -(-int(classes.sizes[chosen].max()) // _STEP) * _STEP
                group = _group(surprise, classes, chosen, min(int(cap), most))
                if NUMBER in rules:
                    group = group._replace(tails=_tails_of(marginal, number[chosen]))
                elif FREQUENCY in rules:
                    group = group._replace(frequency=Frequency())
                groups.append(group)
    return Prepared(
        tuple(groups),
        np.asarray(classes.phases),
        first,
        *(np.asarray(marginal.rows), np.asarray(marginal.own)),
        shares,
    )


def _tails_of(marginal: Marginal, numbers: Int[np.ndarray, "numbers"]) -> Tails:
    """Return the tails of some numbers, with room."""
    knots, below, upto = (
        np.asarray(part)[numbers] for part in (marginal.knots, marginal.below, marginal.upto)
    )
    knots = with_room(knots, axis=1, step=KNOTS_STEP, fill=np.inf)
    room = np.broadcast_to(upto[:, -1:], (len(upto), knots.shape[1] - upto.shape[1]))
    below, upto = (np.concatenate([each, room], axis=1) for each in (below, upto))
    return Tails(knots, below, upto, unseen_shares(marginal)[numbers])


def unseen_shares(marginal: Marginal) -> Float[np.ndarray, "numbers"]:
    """Return ``unseen`` of `Tails` for all numbers, float32."""
    counts = np.asarray(marginal.upto) - np.asarray(marginal.below)
    there, rows = counts.sum(axis=1), np.asarray(marginal.upto)[:, -1]
    share = (np.sum(counts == 1, axis=1) + 0.5) / (rows + 1.0)
    # With values between the knots nobody knows which were there.
    known = (there == rows) & (rows > 0)
    return np.where(known, share, 1.0).astype(np.float32)


def _group(
    surprise: Surprise, classes: Classes, chosen: Int[np.ndarray, "variables"], cap: int
) -> Group:
    """Return the group of some variables that have up to ``cap`` classes."""
    marginal = surprise.marginal
    places = classes.starts[chosen, None] + np.arange(cap)
    inside = np.arange(cap) < classes.sizes[chosen, None]
    places = np.where(inside, places, 0)
    zeros = int(classes.missing.max(initial=0))  # any place: nothing is read of what is not there

    def of(array: np.ndarray, otherwise: float) -> np.ndarray:
        return np.where(inside, np.asarray(array)[..., places], otherwise).astype(array.dtype)

    return Group(
        source=of(classes.source, zeros),
        low=of(classes.low, np.inf),
        width=of(classes.width, 1.0),
        size=classes.sizes[chosen],
        missing=classes.missing[chosen],
        home=classes.home[chosen],
        part=parts_of(len(classes.sizes))[chosen],
        counts=of(np.asarray(marginal.counts), 0.0),
        net=_block(surprise.conditional, classes, chosen, places, inside),
        tails=None,
        frequency=None,
    )


def _block(
    net: Conditional | None,
    classes: Classes,
    chosen: Int[np.ndarray, "variables"],
    places: Int[np.ndarray, "variables classes"],
    inside: Bool[np.ndarray, "variables classes"],
) -> Any:
    """Return the weights of some variables; nothing without a network.

    ``places`` are those of their classes, as far as they are ``inside``.
    """
    if net is None:
        return ()
    net = Conditional(*map(np.asarray, net))
    u, first, step = classes.coordinates  # float32
    bins = inside & ~classes.last[places]
    along = net.coordinates[:, chosen]
    # Each bin adds its part of the coordinate.
    inputs = net.inputs[:, places] * inside[..., None]
    inputs = inputs + bins[..., None] * (step[chosen, None, None] * along[:, :, None, :])
    # The slopes of a number's coordinate are slopes of its classes.
    powers = np.where(inside, u[places] ** np.array([1, 2])[:, None, None], 0.0)
    head = np.moveaxis(net.head[:, :, places], 1, -1)
    head = head + np.einsum("pvc,mphv->mvch", powers, net.slopes[..., chosen])
    bias = net.head_bias[:, places]
    bias = bias + np.einsum("pvc,mpv->mvc", powers, net.slopes_bias[..., chosen])
    return Block(
        inputs=np.asarray(inputs, np.float32),
        start=np.asarray(first[chosen, None] * along, np.float32),
        mark=net.hidden_marks[:, chosen],
        head=np.ascontiguousarray(head, np.float32),
        bias=np.where(inside, bias, -1e30).astype(np.float32),
    )


class _Read(NamedTuple):
    """One variable of a block of rows: the network's inputs, class, and m_j."""

    inputs: Float[Array, "classes rows"]
    chosen: Int[Array, "rows"]
    surprise: Float[Array, "rows"]


def _read(group: Group, whole: Float[Array, "extended rows"], rows: Array, own: Array) -> _Read:
    """Read one variable of a group, whose arrays lack the axis of variables here."""
    places = jnp.arange(len(group.low))[:, None]
    gone = whole[group.missing] > 0.5
    raw = whole[group.source]
    inputs = jnp.clip((raw - group.low[:, None]) / group.width[:, None], 0.0, 1.0)
    inputs = jnp.where((places == group.size - 1) | ~gone, inputs, 0.0)
    if group.tails is None and group.frequency is None:
        chosen = jnp.argmax(jnp.where(places < group.size - 1, inputs, -1.0), axis=0)
    else:
        within = (places > 0) & (places < group.size - 1)
        chosen = jnp.sum((raw >= group.low[:, None]) & within, axis=0)
    chosen = jnp.where(gone, group.size - 1, chosen)
    frequent = (group.counts[chosen] - own + 0.5) / (rows - own + 1.0)
    if group.tails is None:
        return _Read(inputs, chosen, -jnp.log(jnp.minimum(frequent, 1.0)))
    knots, below, upto, unseen = group.tails
    value = raw[0]
    present = rows - group.counts[group.size - 1] - own
    first = jnp.searchsorted(knots, value, side="left")
    after = jnp.searchsorted(knots, value, side="right")
    low = jnp.where(after > 0, upto[after - 1], 0.0) - own
    last = jnp.minimum(first, len(knots) - 1)
    high = jnp.where(first < len(knots), present + own - below[last], 0.0) - own
    share = 2.0 * jnp.minimum(low, high) / jnp.maximum(present, 1.0)
    share = jnp.clip(share, 1.0 / (present + 1.0), 1.0)
    share = jnp.where(knots[last] == value, share, jnp.minimum(share, unseen))
    return _Read(inputs, chosen, -jnp.log(jnp.where(gone, jnp.minimum(frequent, 1.0), share)))


def columns_surprise(
    known: Prepared, x: Matrix
) -> tuple[Float[Array, "variables rows"], Float[Array, "variables rows"], Int[Array, "variables"]]:
    """Return m_j and c_j of a block of rows, and the encoded column that each counts for.

    Of several members c_j is the mean.
    """
    whole = extended(x, known.phases, jnp).T
    rows, own = known.rows[0], known.own[0]
    bare = [group._replace(net=()) for group in known.groups]
    reads = tuple(jax.lax.map(lambda one: _read(one, whole, rows, own), group) for group in bare)
    values = jnp.concatenate([read.surprise for read in reads])
    homes = jnp.concatenate([group.home for group in known.groups])
    if known.layers is None:
        return values, jnp.zeros_like(values), homes
    parts = tuple(group.part for group in known.groups)
    blocks = tuple(group.net for group in known.groups)
    conditional = jax.lax.map(
        lambda member: _one_member(reads, parts, *member), (blocks, *known.layers)
    )
    return values, jnp.mean(conditional, axis=0), homes


def _one_member(
    reads: tuple[_Read, ...],
    parts: tuple[Array, ...],
    blocks: tuple[Block, ...],
    bias: Array,
    middle: Array,
    middle_bias: Array,
) -> Float[Array, "variables rows"]:
    """Return c_j by one member.

    To hide a part of a row changes the first layer by what its variables add there: the rest of
    it is computed once.
    """
    added = [
        jnp.einsum("vch,vcr->vhr", block.inputs, read.inputs) + block.start[:, :, None]
        for read, block in zip(reads, blocks, strict=True)
    ]
    seen = bias[:, None] + sum(jnp.sum(each, axis=0) for each in added)
    hidden = jnp.concatenate(
        [block.mark[:, :, None] - each for each, block in zip(added, blocks, strict=True)]
    )
    part = jnp.concatenate(parts)
    several = len(part) > MOST_PARTS
    if several:
        hidden = jnp.zeros((MOST_PARTS, *hidden.shape[1:])).at[part].add(hidden)
    first = jax.nn.relu(seen + hidden)
    # A product for each part: one with all of them side by side would have to move them there.
    layer = jnp.broadcast_to(middle, (len(first), *middle.shape))
    second = jax.nn.relu(jnp.einsum("phk,phr->pkr", layer, first) + middle_bias[:, None])
    second = second[part] if several else second

    found, start = [], 0
    for read, block in zip(reads, blocks, strict=True):
        own = second[start : start + len(read.chosen)]
        start += len(own)
        logits = jnp.einsum("vch,vhr->vcr", block.head, own) + block.bias[:, :, None]
        is_class = jnp.arange(logits.shape[1])[:, None] == read.chosen[:, None]
        chosen = jnp.sum(jnp.where(is_class, logits, 0.0), axis=1)
        found.append(jnp.maximum(jax.nn.logsumexp(logits, axis=1) - chosen, 0.0))
    return jnp.concatenate(found)


class Joined(NamedTuple):
    """Scores of a block of rows.

    ``score``, (rows,). ``contributions`` by encoded column and kind, shape (rows, columns,
    `KINDS`), which add up to it: L, M and R share it in proportion to their nats, and columns share
    each as they do its sum of squares. (By the slopes of s the largest of the three would have
    nearly all of it, whichever columns the others know of.) ``factors``: those of `FACTORS`,
    (rows, 4), N and D as logarithms.
    """

    score: Array
    contributions: Array
    factors: Array


def joined(known: Prepared, x: Matrix, residual: Matrix, distance: Matrix) -> Joined:
    """Return the scores of rows, all of shape (rows, columns).

    Parameters
    ----------
    known
        What `prepared` returned.
    x
        Encoded rows.
    residual, distance
        The squares that add up to N and to D.
    """
    values, conditional, homes = columns_surprise(known, x)
    squares = values.T**2, conditional.T**2
    sums = [jnp.sum(each, axis=1) for each in (residual, distance, *squares)]
    logarithms = (jnp.log(jnp.maximum(total, FLOOR)) for total in sums[:2])
    factors = jnp.stack([*logarithms, *(jnp.sqrt(total) for total in sums[2:])])
    far, near, unusual, unfit = nats(known.shares, factors, jnp)
    near = 0.5 * near
    kinds = jnp.stack([far + near, unusual, unfit], axis=1)
    score = jax.nn.logsumexp(kinds, axis=1)
    counted = jnp.maximum(kinds, 1e-6)
    weights = score[:, None] * counted / jnp.sum(counted, axis=1, keepdims=True)
    whole = counted[:, 0]
    columns = x.shape[1]

    def shared(squares: Array, total: Array) -> Array:
        even = 1.0 / squares.shape[1]
        return jnp.where(
            total[:, None] > 0, squares / jnp.where(total > 0, total, 1.0)[:, None], even
        )

    def at_home(shares: Array) -> Array:
        return jnp.zeros((columns, len(x)), x.dtype).at[homes].add(shares.T).T

    of_far = shared(residual, sums[0]) * (far / whole)[:, None]
    of_far += shared(distance, sums[1]) * (1.0 - far / whole)[:, None]
    parts = [
        of_far,
        *(at_home(shared(each, total)) for each, total in zip(squares, sums[2:], strict=True)),
    ]
    contributions = jnp.stack(
        [w * part for w, part in zip(weights.T[..., None], parts, strict=True)], axis=2
    )
    return Joined(score, contributions, factors.T)
