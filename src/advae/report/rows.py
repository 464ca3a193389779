"""The most anomalous rows: what was observed, what was expected, and how unusual that is."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from advae.core.threshold import p_values
from advae.detector.counterfactual import counterfactuals
from advae.detector.detector import Detector
from advae.detector.explanation import shown_values
from advae.display.text import share, shorten
from advae.report.distributions import Distribution, ScaledDistribution
from advae.tables.columns import Column
from advae.tables.encoder import TableEncoder
from advae.tables.sampling import Highest

DIGITS = 4
"""Significant digits, if more do not stand before the point, and if these tell the numbers of
training apart."""


def shown_estimates(table: TableEncoder, encoded: Float[np.ndarray, "rows width"]) -> np.ndarray:
    """Return decoded values as texts, shape (rows, features), None where missing."""
    decoded = table.decode(encoded)
    shown = [
        shown_values(decoded[:, [number]], digits_of(column))
        for number, column in enumerate(table.features)
    ]
    return np.concatenate(shown, axis=1)


def digits_of(column: Column) -> int:
    """Return the digits that an estimate takes: of latitudes in one town, more than four."""
    return DIGITS + (0 if column.scaled is None else column.scaled.shared_digits)


CELLS = 60
"""Columns shown of a row; in wider tables the others are summed up."""

_OnePart = Float[np.ndarray, "encoded"]
"""The encoded columns of one feature in one row."""

_SIZES, _TIMES = ("higher", "lower"), ("later", "earlier")
_CYCLES = {"day": "time of day", "week": "day of the week", "year": "time of year"}


@dataclass(frozen=True)
class Cell:
    """One column of one row.

    Attributes
    ----------
    column
        Position of the column in the table.
    observed, expected
        Values in the user's own units; None where missing.
    contribution
        What the column adds to the row's score.
    observed_at, expected_at
        Where the two stand among the column's bars: [0, 1] inside, None where missing.
    direction
        ``"higher"``, ``"lower"``, ``"later"``, ``"earlier"``, ``"differs"``, ``"missing"``,
        ``"present"`` or ``"same"``, seen from what was expected.
    remark
        How unusual the observed value was in training, or which cycle of a time counts most.
    """

    column: int
    observed: str | None
    expected: str | None
    contribution: float
    observed_at: float | None
    expected_at: float | None
    direction: str
    remark: str


@dataclass(frozen=True)
class Remedy:
    """A few changes that make a row normal, as far as three go.

    Attributes
    ----------
    changes
        Position and new value of each column changed, the one that helps most first.
    score
        With all of them changed.
    normal
        Whether the row is then no longer flagged.
    """

    changes: tuple[tuple[int, str | None], ...]
    score: float
    normal: bool


@dataclass(frozen=True)
class RowView:
    """One of the most anomalous rows.

    Attributes
    ----------
    row
        Position in the scored table, from 0.
    score, p_value, flagged
        As ``Detector.score_batches`` gives them.
    anomalous
        Its label; None without labels.
    kept
        Values of the columns that were asked for.
    cells
        Columns, those that contribute most first.
    others
        How many columns are not among the cells.
    rest
        What those add to the score. All contributions add up to the score.
    remedy
        What would make it normal; None for a row that is not flagged, or whose score none lowers.
    """

    row: int
    score: float
    p_value: float
    flagged: bool
    anomalous: bool | None
    kept: tuple[str, ...]
    cells: tuple[Cell, ...]
    others: int
    rest: float
    remedy: Remedy | None


def view_rows(
    detector: Detector, top: Highest, distributions: Sequence[Distribution]
) -> tuple[RowView, ...]:
    """Explain the rows gathered in ``top``, the highest score first.

    Parameters
    ----------
    detector
        What scored them.
    top
        With ``row``, ``encoded``, ``observed`` and ``kept`` (texts), and perhaps ``anomalous``.
    distributions
        Of the detector's columns.
    """
    table, encoded = detector.table, top["encoded"]
    scored = detector.score_encoded(encoded)
    contributions = table.group(scored.contributions)
    expected = shown_estimates(table, scored.expected)
    order = np.argsort(-contributions, axis=1, kind="stable")[:, :CELLS]
    explainers = [
        _Explainer(number, column, distributions[number], list(table.places[number]))
        for number, column in enumerate(table.features)
    ]
    cells = {
        number: explainers[number].cells(
            encoded, scored.expected, scored.contributions, top["observed"], expected
        )
        for number in np.unique(order).tolist()
    }
    remedies = _remedies(detector, encoded, top.scores)
    chances = p_values(detector.reference_scores, top.scores)
    views = []
    for rank, score in enumerate(top.scores.tolist()):
        chosen = order[rank]
        views.append(
            RowView(
                row=int(top["row"][rank]),
                score=score,
                p_value=float(chances[rank]),
                flagged=score > detector.threshold.value,
                anomalous=bool(top["anomalous"][rank]) if "anomalous" in top else None,
                kept=tuple(top["kept"][rank]),
                cells=tuple(cells[number][rank] for number in chosen.tolist()),
                others=contributions.shape[1] - len(chosen),
                rest=float(np.delete(contributions[rank], chosen).sum()),
                remedy=remedies[rank],
            )
        )
    return tuple(views)


def _remedies(
    detector: Detector,
    encoded: Float[np.ndarray, "rows width"],
    scores: Float[np.ndarray, "rows"],
) -> list[Remedy | None]:
    found = counterfactuals(detector, encoded)
    for row, each in enumerate(found):
        # Of a row that stays flagged, as many changes as lower its score: one more can raise it.
        best = int(np.argmin([scores[row], *each.scores]))
        if not each.normal and best < len(each.scores):
            again = counterfactuals(detector, encoded[row : row + 1], max(best, 1))[0]
            found[row] = again if best else replace(again, columns=())
    changed = np.stack([each.encoded for each in found])
    values = shown_estimates(detector.table, changed)
    return [
        Remedy(
            tuple((column, _shown(values[row, column])) for column in each.columns),
            each.scores[-1],
            each.normal,
        )
        if each.columns
        else None
        for row, each in enumerate(found)
    ]


@dataclass(frozen=True)
class _Explainer:
    """Makes the cells of one column."""

    number: int
    column: Column
    distribution: Distribution
    places: list[int]

    def cells(
        self,
        encoded: Float[np.ndarray, "rows width"],
        expected: Float[np.ndarray, "rows width"],
        contributions: Float[np.ndarray, "rows width"],
        observed_texts: np.ndarray,
        expected_texts: np.ndarray,
    ) -> list[Cell]:
        seen, wanted = encoded[:, self.places], expected[:, self.places]
        wanted = self.column.as_shown(wanted)
        added = contributions[:, self.places]
        places = self.distribution.places(seen), self.distribution.places(wanted)
        groups = self.distribution.groups(seen), self.distribution.groups(wanted)
        # Compared as the expected value is shown: no 50.0071 is higher than a 50.01.
        rounded = shown_values(self.column.decode(seen).to_frame(), digits_of(self.column))[:, 0]
        cells = []
        for row in range(len(seen)):
            observed = _shown(observed_texts[row, self.number])
            hoped = _shown(expected_texts[row, self.number])
            group = len(self.distribution.labels) if observed is None else int(groups[0][row])
            direction = self._direction(seen[row], wanted[row], observed, hoped)
            if rounded[row] == hoped and direction in (*_SIZES, *_TIMES):
                direction = "same"
            if direction == "differs" and groups[0][row] == groups[1][row]:
                direction = "same"
            cells.append(
                Cell(
                    column=self.number,
                    observed=observed,
                    expected=hoped,
                    contribution=float(added[row].sum()),
                    observed_at=None if observed is None else _place(places[0][row]),
                    expected_at=_place(places[1][row]),
                    direction=direction,
                    remark=self._remark(seen[row], group, added[row]),
                )
            )
        return cells

    def _direction(
        self, seen: _OnePart, wanted: _OnePart, observed: str | None, expected: str | None
    ) -> str:
        if observed is None:
            return "same" if expected is None else "missing"
        if expected is None:
            return "present"
        if self.column.scaled is None:
            return "differs"
        up, down = self.column.scaled.directions
        return up if seen[0] > wanted[0] else down

    def _remark(self, seen: _OnePart, group: int, added: _OnePart) -> str:
        profile = self.column.profile
        if group == len(self.distribution.labels):
            if not profile.missing:
                return "never missing in training"
            return f"missing in {share(profile.missing / profile.rows)} of training rows"
        if isinstance(self.distribution, ScaledDistribution) and self.column.scaled is not None:
            cycle = self.column.scaled.leading_cycle(added)
            if cycle is not None:
                return f"the {_CYCLES[cycle]} counts most"
            return _rank(float(seen[0]), self.distribution, self.column.scaled.directions)
        if self.column.strange(seen[None])[0]:
            return (
                "rare or never seen in training" if self.column.rare else "never seen in training"
            )
        return f"found in {share(float(self.distribution.bars[group]))} of training rows"


def _rank(value: float, distribution: ScaledDistribution, words: tuple[str, str]) -> str:
    """Say where a scaled number or instant stands among training's."""
    more, less = words
    if value < 0 or value > 1:
        return f"{less if value < 0 else more} than every training row"
    if value in (0, 1):
        return "at the end of the training range"
    below = min(max(round(100 * distribution.share_below(value)), 1), 99)
    return f"{more} than {below}\u00a0% of training rows"


def _shown(text: str | None) -> str | None:
    return None if text is None else shorten(text)


def _place(place: float) -> float | None:
    return None if np.isnan(place) else float(np.clip(place, -1.0, 2.0))
