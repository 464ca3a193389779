"""Do new rows still come as training's did? Tests that may be looked at after every batch.

What is followed is shares of rows: of each column the rows below and above some quantiles of
training, in each frequent category, missing; and rows with high or low scores, and flagged ones. Of
each share training tells how great it is at most, but for chance and for what is not worth a word.
A test is a bet that it is greater now: the wealth of a gambler who stakes on one odds ratio is
multiplied, row by row, by the likelihood ratio. While the share is no greater, the wealth is a
nonnegative supermartingale, whatever the share depends on, and exceeds 1 / alpha with chance at
most alpha, ever (Ville's inequality). So nothing is lost by looking often.

A year of usual rows would ruin the gambler before anything happens. So another one begins with each
batch, the j-th with a capital of 1 / (j (j + 1)), which together is less than 1; the richest one
tells since when the rows are others. Of the gamblers on one column the mean counts, and columns
share alpha (Bonferroni). See Ramdas, Gruenwald, Vovk and Shafer 2023, "Game-theoretic statistics
and safe anytime-valid inference", and Shin, Ramdas and Rinaldo 2024, "E-detectors".
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import betaincinv, logsumexp, ndtr, ndtri

from advae.core.arrays import HostMatrix
from advae.detector.detector import Detector
from advae.detector.tally import group_counts
from advae.display.text import count, quote, share

ALPHA = 0.05
"""Chance that a stream of rows like training's is ever said to have drifted."""

TRAINING_DOUBT = 0.05
"""Chance that one of the shares of training's rows is not below its bound."""

TOLERANCE = 0.1
"""Standard deviations by which a normal column may move unmentioned."""

ODDS = (1.3, 2.0, 5.0)
"""Odds ratios that are bet on."""

SCORE_LEVELS = (0.05, 0.1, 0.25, 0.5, 0.75)
"""Shares of the calibration scores above the scores that rows are counted at."""

ENOUGH = 1000
"""Rows since a drift that a model can be fitted to again; or as many as it learned, if fewer."""


@dataclass(frozen=True)
class Mark:
    """A batch of rows: its number, when it was scored, what its first row is, rows before it."""

    number: int
    at: str
    place: str
    before: int


@dataclass(frozen=True)
class Drift:
    """Something that was found to have changed.

    Attributes
    ----------
    about
        ``"column"``, ``"score"`` or ``"flagged"``.
    column
        The column; empty for others.
    found
        When it was found, in UTC.
    since, place
        When the rows were scored with which the change began, and the first of them.
    rows
        Rows since then.
    before
        Rows before then.
    what
        One sentence.
    """

    about: str
    column: str
    found: str
    since: str
    place: str
    rows: int
    before: int
    what: str


class _Test(NamedTuple):
    """A share of rows, and its bound; ``cut`` and ``above`` for scores, ``groups`` for columns."""

    family: int
    what: str
    share: float
    bound: float


class _Family(NamedTuple):
    """What is said to have drifted: a column by its position, or None for scores."""

    about: str
    feature: int | None


class Follower:
    """Counts rows for the tests of one model.

    Parameters
    ----------
    detector
        What scores the rows. Dates and running numbers are not followed: new rows have others by
        nature. Scores are followed only if there are calibration scores.
    """

    def __init__(self, detector: Detector) -> None:
        self._detector = detector
        table = detector.table
        self.families: list[_Family] = []
        self._portions: list[Bool[np.ndarray, "groups"]] = []
        raw: list[tuple[int, str, float, int]] = []
        for number, feature in enumerate(table.features):
            if feature.name in detector.dated:
                continue
            for portion in feature.distribution.portions():
                raw.append((len(self.families), portion.what, portion.share, portion.rows))
                self._portions.append(portion.groups)
            self.families.append(_Family("column", number))
        known = detector.calibration_scores
        self._cuts: list[tuple[float, bool]] = []
        if len(known):
            for level in SCORE_LEVELS:
                cut = float(np.quantile(known, 1 - level))
                above, below = float((known > cut).mean()), float((known < cut).mean())
                raw.append((len(self.families), f"above {cut:.4g}", above, len(known)))
                self._cuts.append((cut, True))
                if cut < detector.threshold.value:  # a review lowers scores to the threshold
                    raw.append((len(self.families), f"below {cut:.4g}", below, len(known)))
                    self._cuts.append((cut, False))
            self.families.append(_Family("score", None))
            flagged = float((known > detector.threshold.value).mean())
            raw.append((len(self.families), "", flagged, len(known)))
            self._cuts.append((detector.threshold.value, True))
            self.families.append(_Family("flagged", None))
        doubt = TRAINING_DOUBT / max(len(raw), 1)
        self.tests = [_Test(f, what, at, _bound(at, rows, doubt)) for f, what, at, rows in raw]
        self._of_column = [self.families[test.family].feature for test in self.tests]
        self.key = _key(detector, len(self.tests))

    def count(
        self, encoded: HostMatrix, scores: Float[np.ndarray, "rows"]
    ) -> Int[np.ndarray, "tests"]:
        """Return how many rows are in the share of each test."""
        counts = group_counts(self._detector.table, encoded)
        found = [
            int(counts[feature][groups].sum())
            for feature, groups in zip(self._of_column, self._portions, strict=False)
            if feature is not None
        ]
        found += [int(((scores > c) if above else (scores < c)).sum()) for c, above in self._cuts]
        return np.array(found, np.int64)

    @property
    def enough(self) -> int:
        """Rows that a model can be fitted to again."""
        return min(ENOUGH, self._detector.summary.rows)

    def said(self, number: int, part: float, rows: int) -> tuple[str, str, str]:
        """Return what has drifted, if this test says so: about, column, and a sentence."""
        test = self.tests[number]
        about, feature = self.families[test.family]
        now = f"{share(part)} of {count(rows, 'row')}"
        if feature is None:
            what = "scores are" if about == "score" else "alarms are more frequent:"
            where = test.what if about == "score" else "flagged"
            return about, "", f"{what} {now} {where}, where {share(test.share)} would be"
        name = self._detector.table.feature_names[feature]
        what = f"{quote(name)}: {now} are {test.what}, where {share(test.share)} were"
        return about, name, what


def _bound(part: float, rows: int, doubt: float) -> float:
    """Return what a share is at most, given that of some training rows, and a little more."""
    found = part * rows
    most = betaincinv(found + 1, max(rows - found, 1e-9), 1 - doubt) if part < 1 else 1.0
    return float(ndtr(ndtri(most) + TOLERANCE))


def _key(detector: Detector, tests: int) -> str:
    """Tell columns as training had them from others; a review does not change them."""
    text = json.dumps([detector.table.to_json(), tests], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Evidence:
    """What the rows so far say about drift.

    Parameters
    ----------
    follower
        Whose tests these are.
    """

    def __init__(self, follower: Follower) -> None:
        self._follower = follower
        self._bounds = np.array([test.bound for test in follower.tests])
        shape = (len(follower.tests), len(ODDS))
        self._wealth = np.full(shape, -np.inf)
        self._start = np.zeros(shape, np.int64)
        self._found = np.zeros(shape, np.int64)
        self._marks: dict[int, Mark] = {}
        self.batches = 0
        self.rows = 0
        self.drifts: list[Drift] = []
        self.told: list[str] = []

    def update(
        self, found: Int[np.ndarray, "tests"], rows: int, at: str, place: str
    ) -> list[Drift]:
        """Take in a batch of rows and return what is now found to have drifted, for the first time.

        Parameters
        ----------
        found
            What `Follower.count` counted.
        rows
            The rows, at least one.
        at
            When they were scored, in UTC.
        place
            What the first of them is.
        """
        self.batches += 1
        number = self.batches
        capital = -np.log(number) - np.log(number + 1)
        anew = self._wealth < capital
        self._wealth[anew], self._start[anew], self._found[anew] = capital, number, 0
        self._marks[number] = Mark(number, at, place, self.rows)
        self._found += found[:, None]
        self.rows += rows
        bound = np.clip(self._bounds, 1e-12, 1 - 1e-12)[:, None]
        odds = bound / (1 - bound) * np.array(ODDS)
        staked = odds / (1 + odds)
        inside, outside = found[:, None], rows - found[:, None]
        self._wealth += inside * np.log(staked / bound)
        self._wealth += outside * np.log((1 - staked) / (1 - bound))
        self._marks = {key: self._marks[key] for key in np.unique(self._start).tolist()}
        news = self._news(at)
        self.drifts += news
        return news

    def _news(self, at: str) -> list[Drift]:
        families, known = self._follower.families, {(d.about, d.column) for d in self.drifts}
        of_test = np.array([test.family for test in self._follower.tests])
        news = []
        for number in range(len(families)):
            own = np.flatnonzero(of_test == number)
            wealth = self._wealth[own]
            evidence = float(logsumexp(wealth) - np.log(wealth.size))
            if evidence < np.log(len(families) / ALPHA):
                continue
            test, bet = np.unravel_index(int(wealth.argmax()), wealth.shape)
            test = own[test]
            mark = self._marks[int(self._start[test, bet])]
            rows = self.rows - mark.before
            about, column, what = self._follower.said(
                int(test), float(self._found[test, bet]) / rows, rows
            )
            if (about, column) not in known:
                news.append(Drift(about, column, at, mark.at, mark.place, rows, mark.before, what))
        return news

    def advice(self) -> list[str]:
        """Say, once for each drift of the columns, that there are rows enough to fit again."""
        enough, said = self._follower.enough, []
        for drift in self.drifts:
            name = f"{drift.about} {drift.column}"
            rows = self.rows - drift.before
            if name in self.told or rows < enough:
                continue
            self.told.append(name)
            said.append(
                f"if the rows from {drift.place} on are normal, fit again on them: "
                f"{count(rows, 'row')} so far"
            )
        return list(dict.fromkeys(said))

    def to_json(self) -> dict[str, Any]:
        """Return all of it, made of plain values."""
        return {
            "key": self._follower.key,
            "batches": self.batches,
            "rows": self.rows,
            # One without a gambler would be -inf, which JSON has no word for.
            "wealth": np.round(self._wealth, 6).tolist() if self.batches else [],
            "start": self._start.tolist(),
            "found": self._found.tolist(),
            "marks": [asdict(mark) for mark in self._marks.values()],
            "drifts": [asdict(drift) for drift in self.drifts],
            "told": self.told,
        }

    @classmethod
    def restored(cls, follower: Follower, data: dict[str, Any] | None) -> "Evidence":
        """Undo `to_json`; begin anew if it is of other columns."""
        made = cls(follower)
        if data is None or data["key"] != follower.key or not data["batches"]:
            return made
        made.batches, made.rows, made.told = data["batches"], data["rows"], list(data["told"])
        made._wealth = np.array(data["wealth"])
        made._start, made._found = np.array(data["start"]), np.array(data["found"])
        made._marks = {each["number"]: Mark(**each) for each in data["marks"]}
        made.drifts = [Drift(**each) for each in data["drifts"]]
        return made


def sentences(drifts: Sequence[Drift]) -> list[str]:
    """Say what has drifted, and in which rows."""
    return [
        f"{drift.what}; in rows from {drift.place} on, scored {drift.since}" for drift in drifts
    ]
