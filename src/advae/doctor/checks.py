"""What is wrong with single columns of a training table."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from scipy.stats import rankdata
from sklearn.ensemble import IsolationForest

from advae.config import TREND
from advae.display.text import share
from advae.doctor.standstill import Run
from advae.errors import ColumnError, InputError, quoted
from advae.tables.columns import Column
from advae.tables.encoder import ColumnFit, misreading
from advae.tables.oddities import Oddities

MOST_HASHES = 4_000_000

STRANGE = 0.65
"""Isolation-forest score of a strange row; 0.5 is ordinary, 1 the most that can be."""


class CopyCounter:
    """Counts rows that repeat an earlier one, exactly up to `MOST_HASHES` different rows.

    With more it counts only rows whose hash lies in a part of all hashes, which shrinks as needed.
    Copies of a row have its hash, so that all of them are counted or none.
    """

    def __init__(self) -> None:
        self._kept = np.empty(0, np.uint64)
        self._counts = np.empty(0, np.int64)
        self._mask = np.uint64(0)
        self._waiting: list[NDArray[np.uint64]] = []

    def update(self, frame: pl.DataFrame) -> None:
        """Take in the next rows."""
        self._waiting.append(frame.hash_rows().to_numpy())
        # Sorted in many at a time: each time sorts all that is kept.
        if sum(map(len, self._waiting)) >= max(len(self._kept), MOST_HASHES // 4):
            self._settle()

    def share(self) -> float:
        """Return the share of rows that repeat an earlier one, in [0, 1)."""
        self._settle()
        rows = int(self._counts.sum())
        return (rows - len(self._kept)) / rows if rows else 0.0

    def _settle(self) -> None:
        arrived = np.concatenate([np.empty(0, np.uint64), *self._waiting])
        hashes = np.concatenate([self._kept, arrived])
        counts = np.concatenate([self._counts, np.ones(len(arrived), np.int64)])
        self._waiting = []
        while True:
            inside = (hashes & self._mask) == 0
            self._kept, where = np.unique(hashes[inside], return_inverse=True)
            self._counts = np.bincount(where, counts[inside], len(self._kept)).astype(np.int64)
            if len(self._kept) <= MOST_HASHES:
                return
            self._mask = (self._mask << np.uint64(1)) | np.uint64(1)


def separation(
    encoded: Float[np.ndarray, "rows width"], anomalous: Bool[np.ndarray, "rows"]
) -> Float[np.ndarray, "width"]:
    """Return how well each encoded column alone tells anomalies from normal rows.

    Parameters
    ----------
    encoded
        Encoded rows.
    anomalous
        Their labels, with both kinds among them.

    Returns
    -------
    The area under the ROC curve of the better direction, in [0.5, 1], shape (width,).
    """
    hits, rows = int(anomalous.sum()), len(anomalous)
    ranks = rankdata(encoded, axis=0)[anomalous].sum(axis=0)
    area: np.ndarray = (ranks - hits * (hits + 1) / 2) / (hits * (rows - hits))
    better: np.ndarray = np.maximum(area, 1 - area)
    return better


def strangeness(encoded: Float[np.ndarray, "rows width"]) -> Float[np.ndarray, "rows"]:
    """Return how easily an isolation forest sets each row apart, in (0, 1), shape (rows,).

    It needs no scaling, and says nothing about the share of anomalies: rows that resemble normal
    ones, or each other in large numbers, are not set apart. Measured on the 18 open sets with 5 %
    of their own anomalies mixed in, the rows above `STRANGE` are 13 % of the anomalies.
    """
    forest = IsolationForest(n_estimators=100, random_state=0).fit(encoded)
    scores: np.ndarray = -forest.score_samples(encoded)
    return scores


Severity = Literal["problem", "hint"]


@dataclass(frozen=True)
class Finding:
    """One thing about a table that its owner should know before fitting.

    Parameters
    ----------
    check
        Which check found it, the same word in every version: ``"identifier"``.
    severity
        ``"problem"``: fitting refuses the table, or learns what it should not. ``"hint"``: worth
        a look.
    columns
        The columns meant; empty for the table as a whole.
    message
        What was found, in one sentence.
    advice
        What to do about it, in one sentence.

    Examples
    --------
    >>> import numpy as np
    >>> from advae.doctor import examine
    >>> table = {"id": np.arange(300), "load": np.random.default_rng(0).normal(size=300)}
    >>> print(examine(table).findings[0].advice)
    Ignore it: it names the row, and says nothing about it.
    """

    check: str
    severity: Severity
    columns: tuple[str, ...]
    message: str
    advice: str


MOSTLY = 0.5
"""Share of missing values from which on a column is called mostly missing."""

SQUASHED = 0.02
"""Share of the range that nine tenths of the values must fill."""

FEWEST_IDENTIFIERS = 20
"""Rows from which on values that all differ mean something."""

DIFFERENT = 0.95
"""Least share of different values in a column of identifiers; not 1, since rows can be copied."""

GROWING = 0.9
"""Rank correlation with the number of the row from which on a column is said to grow or to fall."""

MOSTLY_ONE = 0.5
"""Share of one value, such as 0 of rain, from which on a long tail beside it is no problem."""

TAILED = 0.05
"""Share of the range below which nine tenths of the values are said to have a heavy tail."""

MOST_CODES, FEW_CODES, ROWS_A_CODE = 200, 4, 5
"""Most and fewest different numbers that seem codes, and fewest rows for each of them."""

FILLED = 0.1
"""Share of the whole numbers in their range that codes fill at most."""

APART = 4
"""A number seems a code if it is so many times as far from the others as these from each other."""

CODE_NAME = re.compile(
    r"(^|[_\W])(code|zip|zipcode|postcode|plz|mcc|sku|status|type|class|kind|category|branch|"
    r"store|shop|country|region|port|channel|currency|department)$|[a-z](Code|Type|Class|Status)$",
    re.ASCII | re.IGNORECASE,
)

IDENTIFIER_NAME = re.compile(
    r"(^|[_\W])(id|uuid|guid|key|index|rownum|row)$|[a-z]Id$|ID$", re.ASCII
)


class Extremes:
    """Finds the least and the greatest number of a column and their rows, as they pass."""

    def __init__(self) -> None:
        self.least = self.greatest = (np.nan, -1)

    def update(self, column: pl.Series, places: NDArray[np.int64]) -> None:
        """Take in the next values of a column, and the numbers of their rows."""
        if not column.dtype.is_numeric():
            return
        numbers = column.cast(pl.Float64).fill_null(np.nan).to_numpy()
        if np.isnan(numbers).all():
            return
        low, high = int(np.nanargmin(numbers)), int(np.nanargmax(numbers))
        if not self.least[0] <= numbers[low]:
            self.least = float(numbers[low]), int(places[low])
        if not self.greatest[0] >= numbers[high]:
            self.greatest = float(numbers[high]), int(places[high])

    def farthest(self, low: float, high: float) -> str:
        """Say which number lies farthest from those between two, and in which row."""
        below = low - self.least[0] > self.greatest[0] - high
        value, place = self.least if below else self.greatest
        return f"{value:g} in row {place}"


class ColumnWatch:
    """One column, as its rows pass.

    Parameters
    ----------
    name
        The column's name.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._fit = ColumnFit(name, hashed=False)
        self._oddities = Oddities()
        self._extremes = Extremes()
        self._refusal: InputError | None = None

    def update(
        self, values: pl.Series, places: NDArray[np.int64], normal: NDArray[np.bool_]
    ) -> None:
        """Take in the next rows [n], their numbers in the table [n], and which are normal [n]."""
        if self._refusal is not None:
            return
        self._oddities.watch(values.to_frame(), places)
        values, places = values.filter(pl.Series(normal)), places[normal]
        first = int(places[0]) if len(places) else 0
        try:
            self._fit.update(values, first)
        except ColumnError as refusal:
            row = refusal.row
            self._refusal = refusal if row is None else refusal.at(int(places[row - first]))
            return
        except InputError as refusal:
            self._refusal = refusal
            return
        self._extremes.update(values, places)

    def column(self) -> Column | None:
        """Return the encoder of the column, None where fitting would refuse it."""
        return None if self._refusal is not None or self._fit.crowded else self._fit.build()

    def findings(
        self, sample: pl.Series, places: NDArray[np.int64], run: Run | None, *, trend: bool
    ) -> Iterator[Finding]:
        """Yield what is wrong with the column.

        Parameters
        ----------
        sample
            A uniform sample of its values.
        places
            The numbers of their rows in the table.
        run
            Rows in which it stays the same for longer than is usual of it, if there are.
        trend
            Whether a fit would judge rows by their place in the training period.
        """
        if self._refusal is not None:
            advice = "Correct the values, or ignore the column."
            yield self._finding("unusable", "problem", str(self._refusal), advice)
            return
        said = self._oddities.said().get(self.name, "")
        try:
            self._oddities.check()
        except ColumnError as forms:
            said = forms.problem
        column = self.column()
        if column is None:
            yield self._crowded(sample, said)
            return
        profile = column.profile
        if column.caution in ("constant", "empty"):
            yield self._constant(column)
            return
        if profile.missing > MOSTLY * profile.rows:
            yield self._finding(
                "mostly-missing",
                "hint",
                f"{share(profile.missing / profile.rows)} of the values are missing",
                "Missing values are learned as such; leave the column out if chance decides on "
                "them.",
            )
        if column.texts and (said := said or misreading(column.texts)):
            known, texts = len(column.texts), self._fit.different
            learned = f"{texts:,} texts, each learned as a category"
            if texts > known:
                learned = (
                    f"{texts:,} texts: {known:,} learned as a category each, "
                    f"{texts - known:,} too rare for one"
                )
            yield self._finding(
                "misread", "problem", learned, f"The column {quoted(self.name)} {said}"
            )
        if sample.dtype.is_numeric():
            yield from self._number(column, sample, places, run, trend)
        if column.caution == "dated" and not trend:
            yield self._finding(
                "time",
                "hint",
                "dates: learned by the place in the day, week and year, not by the date itself",
                f"Fit with {TREND} if rows before or after the training period should score "
                "higher for that.",
            )

    def _finding(self, check: str, severity: Severity, message: str, advice: str) -> Finding:
        return Finding(check, severity, (self.name,), message, advice)

    def _crowded(self, sample: pl.Series, said: str) -> Finding:
        count = f"{sample.n_unique():,} different texts in {len(sample):,} rows"
        hint = self._fit.hint(said)
        if hint:
            return self._finding("misread", "problem", count, f"The column {hint}")
        if _all_differ(sample):
            return self._finding(
                "identifier",
                "problem",
                "texts that hardly ever repeat, so the column names the row",
                "Ignore it when fitting, and keep it beside the scores.",
            )
        return self._finding(
            "many-categories",
            "problem",
            f"{count}, too many to learn one by one",
            "Hash them, or ignore the column.",
        )

    def _constant(self, column: Column) -> Finding:
        advice = "Ignore it if that should not count."
        if column.caution == "empty":
            message = "no value in any row; a row with a value will score higher"
            return self._finding("empty", "hint", message, advice)
        value = column.decode(column.typical[None])[0]
        shown = f"{value:g}" if isinstance(value, float) else quoted(value)
        message = f"always {shown}; a row with another value will score higher"
        return self._finding("constant", "hint", message, advice)

    def _number(
        self,
        column: Column,
        sample: pl.Series,
        places: NDArray[np.int64],
        run: Run | None,
        trend: bool,
    ) -> Iterator[Finding]:
        profile, ordered = column.profile, column.caution == "ordered"
        known = sample.drop_nulls().cast(pl.Float64).drop_nans()
        low, high = profile.quantiles[0], profile.quantiles[-1]
        whole = bool((known == known.round()).all())
        dense = high - low < 2 * profile.rows
        if whole and _all_differ(known) and (ordered or dense or IDENTIFIER_NAME.search(self.name)):
            yield self._finding(
                "identifier",
                "problem",
                "whole numbers that hardly ever repeat, so the column seems to number the rows",
                "Ignore it: it names the row, and says nothing about it.",
            )
            return
        if ordered and not trend:
            yield self._finding(
                "order",
                "hint",
                "the rows are sorted by it, as if it told when they came: its size is not judged, "
                "since that of new rows would lie beyond",
                f"If the file is only sorted by it, shuffle the rows, or fit with {TREND}.",
            )
        elif not ordered:
            growing = list(self._growing(sample, places))
            yield from growing
            if not growing and run is not None:
                yield stuck(
                    self.name,
                    run,
                    "If it was stuck, leave these rows out: they would be learned as normal.",
                )
        if whole and self._seems_coded(known):
            few = ", ".join(f"{each:g}" for each in known.unique().sort().head(3))
            yield self._finding(
                "coded",
                "hint",
                f"{known.n_unique()} different whole numbers ({few}, ...), as codes are: learned "
                "as amounts, of which neighbours are alike",
                "If they are codes, give them as text, such as c5411, so that each is a category.",
            )
        code = _code_for_missing(known)
        if code is not None:
            often = float(np.mean(known.to_numpy() == code))
            yield self._finding(
                "code",
                "problem",
                f"{code:g} stands in {share(often)} of the rows, far from all other values",
                "If it is a code for a missing value, leave those fields empty.",
            )
            return
        body = profile.quantiles[1], profile.quantiles[-2]
        middle = body[1] - body[0]
        if not 0 < middle < TAILED * (high - low):
            return
        filled, farthest = share(middle / (high - low)), self._extremes.farthest(*body)
        mostly_one = known.unique_counts().to_numpy().max() > MOSTLY_ONE * len(known)
        if middle < SQUASHED * (high - low) and not mostly_one:
            yield self._finding(
                "outliers",
                "problem",
                f"the range {low:g} to {high:g} is set by a few values, such as {farthest}: nine "
                f"tenths of them fill {filled} of it, and their differences hardly count",
                f"Check the extreme values; if they are right, give {_shrunk(low)}.",
            )
        else:
            yield self._finding(
                "heavy-tail",
                "hint",
                f"nine tenths of the values fill {filled} of the range {low:g} to {high:g}: the "
                f"few far ones, such as {farthest}, can decide scores alone",
                f"If ratios count and not differences, give {_shrunk(low)}.",
            )

    def _growing(self, sample: pl.Series, places: NDArray[np.int64]) -> Iterator[Finding]:
        values = sample.cast(pl.Float64).fill_nan(None)
        known = values.is_not_null().to_numpy()
        if known.sum() < FEWEST_IDENTIFIERS or values.n_unique() < FEWEST_IDENTIFIERS:
            return
        ranks = rankdata(values.drop_nulls().to_numpy()), rankdata(places[known])
        correlation = float(np.corrcoef(*ranks)[0, 1])
        if abs(correlation) >= GROWING:
            verb = "grow" if correlation > 0 else "fall"
            yield self._finding(
                "grows",
                "problem",
                f"the values {verb} along the table (rank correlation {correlation:.2f} with the "
                "number of the row), so new rows will lie beyond training",
                "If it only counts up, ignore it or give its difference to the row before; if the "
                "file is only sorted by it, shuffle the rows.",
            )

    def _seems_coded(self, known: pl.Series) -> bool:
        """Return whether whole numbers seem to name kinds of things."""
        different = known.unique().sort()
        if not FEW_CODES <= len(different) <= min(MOST_CODES, len(known) / ROWS_A_CODE):
            return False
        low, high = float(different[0]), float(different[-1])
        sparse = low >= 100 and len(different) <= FILLED * (high - low + 1)
        even = different.diff().drop_nulls().n_unique() == 1
        return bool(CODE_NAME.search(self.name)) or (sparse and not even)


def _shrunk(least: float) -> str:
    """Name a scale of a column on which large numbers are closer, and which all of its have."""
    if least > 0:
        return "the column on a log scale"
    if least == 0:
        return "its square root (0 has no logarithm)"
    return "its cube root (numbers below 0 have no logarithm)"


def stuck(name: str, run: Run, advice: str) -> Finding:
    """Return the finding that a number stays the same for many rows."""
    usual = f"a number stays for at most {run.usual:,} rows"
    return Finding(
        "stuck",
        "hint",
        (name,),
        f"{run.value:g} in {run.rows:,} rows one after another{run.where}, rows {run.first} to "
        f"{run.last}; otherwise {usual if run.usual > 1 else 'neighbouring rows differ'}",
        advice,
    )


def _all_differ(values: pl.Series) -> bool:
    """Return whether nearly all values differ."""
    present = values.drop_nulls()
    return len(present) >= FEWEST_IDENTIFIERS and present.n_unique() >= DIFFERENT * len(present)


@np.errstate(over="ignore")  # what is infinitely far apart is far apart
def _code_for_missing(values: pl.Series) -> float | None:
    """Return the lowest or highest number if it is whole, frequent and far from all others.

    Numbers that double or triple, as processors and doses do, are each far from all smaller ones:
    the distance must also be more than `APART` times the largest between the others. Beside one to
    three others, as among codes of things, only what is usual counts: -1, 0, 99, 8888.
    """
    numbers, counts = np.unique(values.to_numpy(), return_counts=True)
    if len(numbers) < 3:
        return None
    gaps = np.diff(numbers)
    for end, rest, gap in ((0, numbers[1:], gaps[0]), (-1, numbers[:-1], gaps[-1])):
        often = counts[end] >= max(3, 0.002 * len(values))
        far = gap > rest[-1] - rest[0] and gap > APART * np.diff(rest).max()
        if often and far and numbers[end].is_integer():
            code = int(numbers[end])
            usual = code in (-1, 0) or set(str(abs(code))) in ({"8"}, {"9"})
            if usual or len(numbers) > 4:
                return float(code)
    return None
