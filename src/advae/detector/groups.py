"""Flagged rows in groups by what drives them, so that many alarms read as a few stories.

A flagged row is described by its parts of the score: each column that adds to it, and the way in
which its value departs from what is expected (higher, lower, missing, this or that category). Two
rows are as alike as these parts overlap, columns counted by the square roots of what they add, so
that the second and third reason have a say. Rows of a sample are joined by average linkage, as far
as groups are alike enough. Every row then belongs to the group whose mean it overlaps most, or to
none.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from jaxtyping import Float, Int

from advae.core.arrays import HostMatrix
from advae.display.text import LONGEST, quote, shorten
from advae.tables.sampling import Reservoir, Rows

if TYPE_CHECKING:
    from advae.detector.detector import Detector

SAMPLE = 2000
"""Flagged rows that groups are found among; of more, a uniform sample."""

LEADING = 8
"""Columns of a row that are compared: those that add most."""

MOST_GROUPS = 9
"""Groups told apart; the rows of smaller ones are like no others."""

FEWEST_ROWS, FEWEST_SHARE = 3, 0.02
"""A group has so many of the flagged rows at least."""

CUT = 0.65
"""How unlike the rows of two groups may be, on average, for these to be one."""

ALIKE = 1 / 3
"""What two rows with different categories in a column have in common there."""

PARTS = 400
"""Most parts that rows are compared by: in a wide table, those with the most weight."""

NAMED, NAMED_SHARE = 3, 0.1
"""Columns that a story names at most, and what each adds to the scores at least."""

AT_ONCE = 8192
"""Rows compared with the groups at a time."""


@dataclass(frozen=True)
class Driver:
    """A column that drives the alarms of a group.

    Attributes
    ----------
    column
        Its name.
    share
        Its mean share of the scores, in (0, 1].
    way
        How its values depart from what is expected: ``"higher"``, ``"lower"``, ``"later"``,
        ``"earlier"``, ``"differs"``, ``"missing"`` or ``"present"``.
    kind
        What most of its values are surprising by, see `Explanation.kinds`; empty without kinds.
    values
        What stands there, in words: a range of numbers, or the most frequent values.

    Examples
    --------
    >>> import numpy as np
    >>> import advae
    >>> normal = np.random.default_rng(0).normal(size=(300, 2))
    >>> detector = advae.fit_detector(normal, advae.Config(iterations=50))
    >>> (group,) = detector.groups(np.tile([[0.0, 9.0]], (5, 1))).groups
    >>> driver = group.drivers[0]
    >>> driver.column, driver.way, driver.values
    ('column_1', 'higher', '9')
    """

    column: str
    share: float
    way: str
    kind: str
    values: str

    def __str__(self) -> str:
        said = f"{quote(self.column)} {self.way}"
        return f"{said} ({self.values})" if self.values else said


@dataclass(frozen=True)
class Group:
    """Flagged rows that are alike in what drives them.

    Attributes
    ----------
    number
        From 1, the largest group first; 0 for the rows that are like no others.
    rows
        How many.
    first, last
        Positions of the first and the last of them in the table, from 0.
    since, until
        The least and the greatest date among them, as text; of a table without dates those of a
        number that rows are in the order of, with its name; empty where there is none.
    typical
        Position of the row that stands for the group: of the rows of the sample, if any, the one
        most like the others.
    highest
        The highest score.
    drivers
        The columns that drive its alarms, the strongest first; none for group 0.

    Examples
    --------
    >>> import numpy as np
    >>> import advae
    >>> normal = np.random.default_rng(0).normal(size=(300, 2))
    >>> detector = advae.fit_detector(normal, advae.Config(iterations=50))
    >>> (group,) = detector.groups(np.tile([[0.0, 9.0]], (5, 1))).groups
    >>> group.rows, group.first, group.last, group.story
    (5, 0, 4, '“column_1” higher (9)')
    """

    number: int
    rows: int
    first: int
    last: int
    since: str
    until: str
    typical: int
    highest: float
    drivers: tuple[Driver, ...]

    @property
    def story(self) -> str:
        """What is odd about these rows, in one sentence."""
        if not self.drivers:
            return "each for reasons of its own"
        return "; ".join(map(str, self.drivers))


@dataclass(frozen=True, eq=False)
class Groups:
    """The flagged rows of a table in groups.

    Attributes
    ----------
    rows
        Positions of the flagged rows in the table, ascending, shape (flagged,).
    numbers
        The group of each, shape (flagged,).
    groups
        The groups, the largest first, group 0 last.

    Examples
    --------
    >>> import numpy as np
    >>> import advae
    >>> normal = np.random.default_rng(0).normal(size=(300, 2))
    >>> detector = advae.fit_detector(normal, advae.Config(iterations=50))
    >>> new = np.concatenate([normal[:50], np.tile([[0.0, 9.0]], (5, 1))])
    >>> found = detector.groups(new)
    >>> found.rows_of(1)[-5:]
    array([50, 51, 52, 53, 54])
    >>> len(found.rows) == sum(group.rows for group in found.groups)
    True
    """

    rows: Int[np.ndarray, "flagged"]
    numbers: Int[np.ndarray, "flagged"]
    groups: tuple[Group, ...]

    def rows_of(self, number: int) -> Int[np.ndarray, "rows"]:
        """Return the positions of the rows of a group, ascending."""
        return np.asarray(self.rows[self.numbers == number])


class Grouper:
    """Takes in scored rows, batch by batch, and puts the flagged ones in groups.

    Of each flagged row some 100 bytes are held, whatever the width of the table.

    Parameters
    ----------
    detector
        What scores the rows.

    Attributes
    ----------
    sample
        Of flagged rows, uniform: ``row``, ``score``, ``frame`` with the columns of training, and
        what was given beside.

    Examples
    --------
    >>> import numpy as np
    >>> import advae
    >>> normal = np.random.default_rng(0).normal(size=(300, 2))
    >>> detector = advae.fit_detector(normal, advae.Config(iterations=50))
    >>> from advae.detector.groups import Grouper
    >>> grouper = Grouper(detector)
    >>> odd = np.tile([[0.0, 9.0]], (3, 1))
    >>> for _ in detector.score_batches([odd, odd], watch=grouper.update):
    ...     pass  # each batch could be written here
    >>> grouper.found().groups[0].rows
    6
    """

    def __init__(self, detector: "Detector") -> None:
        self._detector = detector
        self._kinds = np.array(detector.method.kinds or ("",), object)
        ways = [len(column.ways) for column in detector.table.features]
        # The parts of a column: one for every way, and before them one for any way.
        self._starts = np.cumsum([0, *(each + 1 for each in ways[:-1])])
        self._half = np.array([column.ways_alike for column in detector.table.features])
        self._dated = detector.table.dates
        self._held: dict[str, list[np.ndarray]] = {
            name: []
            for name in ("row", "score", "column", "weight", "way", "share", "kind", "date")
        }
        self.sample = Reservoir(SAMPLE, np.random.default_rng(0))

    def update(
        self,
        frame: pl.DataFrame,
        encoded: HostMatrix,
        scores: np.ndarray,
        first_row: int,
        beside: Rows | None = None,
    ) -> None:
        """Take in the next rows.

        Parameters
        ----------
        frame
            The rows, with the columns of training.
        encoded
            The same, as ``table.transform`` encodes them.
        scores
            Of these rows, shape (rows,).
        first_row
            Position of the first of them in the table.
        beside
            Further parts of the flagged rows among them, to be held of the sample.
        """
        flagged = np.flatnonzero(scores > self._detector.threshold.value)
        if not len(flagged):
            return
        table, encoded = self._detector.table, encoded[flagged]
        scored = self._detector.score_encoded(encoded)
        shares = table.group(scored.contributions)
        shares = shares / np.maximum(shares.sum(axis=1, keepdims=True), 1e-12)
        column = np.argsort(-shares, axis=1, kind="stable")[:, :LEADING]
        share = np.take_along_axis(shares, column, axis=1)
        ways = np.zeros_like(column)
        for number in np.unique(column).tolist():
            places = list(table.places[number])
            found = table.features[number].departures(
                encoded[:, places], scored.expected[:, places]
            )
            ways = np.where(column == number, found[:, None], ways)
        kinds = np.zeros_like(column)
        if scored.by_kind is not None:
            each = np.stack([table.group(part) for part in np.moveaxis(scored.by_kind, 2, 0)])
            kinds = np.take_along_axis(each.argmax(axis=0), column, axis=1)
        weight = np.sqrt(share)
        held = {
            "row": first_row + flagged,
            "score": scores[flagged],
            "column": column.astype(np.int32),
            "weight": (weight / weight.sum(axis=1, keepdims=True)).astype(np.float32),
            "way": ways.astype(np.int32),
            "share": share.astype(np.float32),
            "kind": kinds.astype(np.int8),
            "date": self._dates(frame, flagged),
        }
        for name, values in held.items():
            self._held[name].append(values)
        shown = frame[flagged][list(table.feature_names)]
        shown = shown.with_columns(pl.selectors.string().str.head(LONGEST + 1))
        place = np.arange(self.sample.seen, self.sample.seen + len(flagged))
        known = {"place": place, "row": held["row"], "score": held["score"], "frame": shown}
        self.sample.update(known | dict(beside or {}))

    def found(self) -> Groups:
        """Return the groups of all flagged rows so far."""
        if not self._held["row"]:
            nothing = np.empty(0, int)
            return Groups(nothing, nothing, ())
        held = {name: np.concatenate(parts) for name, parts in self._held.items()}
        sample = self.sample["place"]
        parts, weights = self._parts(held, sample)
        numbers, closeness = _grouped(parts, weights, sample)
        return Groups(held["row"], numbers, tuple(self._groups(held, numbers, closeness)))

    def _parts(
        self, held: dict[str, np.ndarray], sample: Int[np.ndarray, "sample"]
    ) -> tuple[Int[np.ndarray, "rows parts"], Float[np.ndarray, "rows parts"]]:
        """Return the parts of each row and their weights; part 0 stands for all that are rare.

        Weights of part 0 are 0: what no two rows of the sample share makes no rows alike.
        """
        start, half = self._starts[held["column"]], self._half[held["column"]]
        own = np.concatenate([start, start + 1 + held["way"]], axis=1)
        common = np.where(half, ALIKE, 0.0) * held["weight"]
        weights = np.concatenate([common, held["weight"] - common], axis=1)
        total = np.bincount(own[sample].ravel(), weights[sample].ravel())
        rows = np.bincount(own[sample].ravel())
        candidates = np.flatnonzero((total > 0) & (rows > 1))
        chosen = candidates[np.argsort(-total[candidates], kind="stable")[:PARTS]]
        number = np.zeros(max(len(total), int(own.max()) + 1), int)
        number[chosen] = np.arange(1, len(chosen) + 1)
        parts = number[own]
        return parts, np.where(parts > 0, weights, 0.0)

    def _groups(
        self,
        held: dict[str, np.ndarray],
        numbers: Int[np.ndarray, "rows"],
        closeness: Float[np.ndarray, "rows"],
    ) -> Iterator[Group]:
        for number in sorted(set(numbers.tolist()), key=lambda each: (each == 0, each)):
            own = np.flatnonzero(numbers == number)
            rows = held["row"][own]
            since, until = self._ends(held["date"][own])
            sampled = own[np.isin(own, self.sample["place"])]
            candidates = sampled if len(sampled) else own
            yield Group(
                number=number,
                rows=len(own),
                first=int(rows.min()),
                last=int(rows.max()),
                since=since,
                until=until,
                typical=int(held["row"][candidates[closeness[candidates].argmax()]]),
                highest=float(held["score"][own].max()),
                drivers=self._drivers(held, own) if number else (),
            )

    def _dates(self, frame: pl.DataFrame, rows: Int[np.ndarray, "rows"]) -> np.ndarray:
        """Return when these rows came, as a number; NaN where that is not known."""
        if self._dated is None:
            return np.full(len(rows), np.nan)
        return self._dated.reading.numbers(frame[self._dated.name][rows], 0)

    def _ends(self, dates: np.ndarray) -> tuple[str, str]:
        """Return the least and the greatest of some dates, as texts."""
        present = dates[~np.isnan(dates)]
        if self._dated is None or not len(present):
            return "", ""
        ends = self._dated.show(np.array([present.min(), present.max()]))
        since, until = map(shorten, self._dated.in_texts(ends))
        return (since if self._dated.caution == "dated" else f"{self._dated.name} {since}"), until

    def _drivers(
        self, held: dict[str, np.ndarray], own: Int[np.ndarray, "rows"]
    ) -> tuple[Driver, ...]:
        """Return the columns that drive the alarms of some rows."""
        features = self._detector.table.features
        column, parts = held["column"][own], held["share"][own]
        shares = np.bincount(column.ravel(), parts.ravel(), len(features)) / len(own)
        best = np.argsort(-shares, kind="stable")[:NAMED]
        named = [j for j in best.tolist() if shares[j] >= NAMED_SHARE] or best[:1].tolist()
        sampled = np.flatnonzero(np.isin(self.sample["place"], own))
        drivers, vague = list[Driver](), list[Driver]()
        for j in named:
            there = column == j
            ways = np.bincount(held["way"][own][there], parts[there])
            kinds = np.bincount(held["kind"][own][there], parts[there])
            way = features[j].ways[int(ways.argmax())]
            values = self.sample["frame"][sampled].to_series(j)
            telling = way == "missing" or features[j].telling(values)
            (drivers if telling else vague).append(
                Driver(
                    column=features[j].name,
                    share=float(shares[j]),
                    way="differs" if features[j].ways_alike and way != "missing" else way,
                    kind=str(self._kinds[int(kinds.argmax())]),
                    values="" if way == "missing" else features[j].in_words(values),
                )
            )
        return tuple(drivers or vague[:1])


def _grouped(
    parts: Int[np.ndarray, "rows parts"],
    weights: Float[np.ndarray, "rows parts"],
    sample: Int[np.ndarray, "sample"],
) -> tuple[Int[np.ndarray, "rows"], Float[np.ndarray, "rows"]]:
    """Return the group of each row, and how much of it the mean of its group shares."""
    width = int(parts.max()) + 1
    rows = _dense(parts[sample], weights[sample], width)
    labels = _clusters(rows)
    means = np.stack(
        [rows[labels == label].mean(axis=0) for label in range(1, labels.max() + 1)]
        or [np.zeros(width)]
    )
    numbers, closeness = np.empty(len(parts), int), np.empty(len(parts))
    for first in range(0, len(parts), AT_ONCE):
        own = slice(first, first + AT_ONCE)
        shared = _overlap(_dense(parts[own], weights[own], width), means)
        closeness[own] = shared.max(axis=1)
        numbers[own] = np.where(closeness[own] >= 1 - CUT, shared.argmax(axis=1) + 1, 0)
    sizes = np.bincount(numbers, minlength=len(means) + 1)
    order = np.argsort(-sizes[1:], kind="stable") + 1
    renamed = np.zeros(len(sizes), int)
    renamed[order] = np.arange(1, len(sizes))
    return np.asarray(renamed[numbers]), closeness


def _dense(
    parts: Int[np.ndarray, "rows parts"], weights: Float[np.ndarray, "rows parts"], width: int
) -> Float[np.ndarray, "rows width"]:
    dense = np.zeros((len(parts), width))
    np.add.at(dense, (np.arange(len(parts))[:, None], parts), weights)
    return dense


def _overlap(
    rows: Float[np.ndarray, "rows width"], others: Float[np.ndarray, "others width"]
) -> Float[np.ndarray, "rows others"]:
    """Return what rows and others share, the sum of the lesser weights: 1 for equal ones."""
    from scipy.spatial.distance import cdist

    both = rows.sum(axis=1)[:, None] + others.sum(axis=1)
    shared: Float[np.ndarray, "rows others"] = (both - cdist(rows, others, "cityblock")) / 2
    return shared


def _clusters(rows: Float[np.ndarray, "sample width"]) -> Int[np.ndarray, "sample"]:
    """Return the cluster of each row, from 1, the largest first; 0 for none."""
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    if len(rows) < FEWEST_ROWS:
        return np.zeros(len(rows), int)
    apart = np.clip(1 - _overlap(rows, rows), 0.0, None)
    np.fill_diagonal(apart, 0.0)
    joined = linkage(squareform(apart, checks=False), "average")
    return _large(fcluster(joined, CUT, "distance"))


def _large(labels: Int[np.ndarray, "rows"]) -> Int[np.ndarray, "rows"]:
    """Return clusters numbered by their size from 1; those that are no group become 0."""
    sizes = np.bincount(labels)
    least = max(FEWEST_ROWS, FEWEST_SHARE * len(labels))
    kept = np.argsort(-sizes, kind="stable")[:MOST_GROUPS]
    renamed = np.zeros(len(sizes), int)
    kept = kept[sizes[kept] >= least]
    renamed[kept] = np.arange(1, len(kept) + 1)
    return np.asarray(renamed[labels])
