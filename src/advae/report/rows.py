"""The most anomalous rows: what was observed, what was expected, and how unusual that is."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from advae.core.threshold import p_values
from advae.detector.counterfactual import (
    counterfactuals,
    not_flagged_with,
    shown_estimates,
)
from advae.detector.detector import Detector
from advae.display.text import share, shorten
from advae.tables.columns import Column, OnePart
from advae.tables.sampling import Highest

CELLS = 60
"""Columns shown of a row; in wider tables the others are summed up."""


LEAST_PART = 0.01
"""Part of the score below which nothing is said of what a value is surprising by: it hardly is."""


@dataclass(frozen=True)
class Cell:
    """One column of one row.

    Attributes
    ----------
    column
        Position of the column in the table.
    observed, expected
        Values in the user's own units; None where missing.
    brief
        The observed value, a number with as few digits as the expected one; None where missing.
    contribution
        What the column adds to the row's score.
    observed_at, expected_at
        Where the two stand among the column's bars: [0, 1] inside, None where missing.
    direction
        ``"higher"``, ``"lower"``, ``"later"``, ``"earlier"``, ``"differs"``, ``"missing"``,
        ``"present"`` or ``"same"``, seen from what was expected.
    kind
        What the value is surprising by, of `Explanation.kinds`; empty where scores have no kinds,
        and where the column adds less than `LEAST_PART` of the score.
    remark
        How unusual the observed value was in training, or which cycle of a time counts most.
    """

    column: int
    observed: str | None
    expected: str | None
    brief: str | None
    contribution: float
    observed_at: float | None
    expected_at: float | None
    direction: str
    kind: str
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


@dataclass(frozen=True)
class Listed:
    """Flagged rows in few columns, the highest score first.

    Attributes
    ----------
    headings
        Of the columns that stand beside ``kept`` and perhaps ``label``: ``"score"`` and so on.
    rows
        Position in the table, kept values, label where there are labels, score, p-value, with what
        values it would not be flagged, then the column that contributes most, its observed and
        expected value, and its kind of surprise.
    """

    headings: tuple[str, ...]
    rows: tuple[tuple[str | int | float, ...], ...]


def view_listed(detector: Detector, listed: Highest) -> Listed:
    """Return the flagged rows that were gathered."""
    reasons = [
        name
        for name in ("reason_1", "reason_1_observed", "reason_1_expected", "reason_1_kind")
        if name in listed
    ]
    labelled = ["label"] if "anomalous" in listed else []
    headings = (*labelled, "anomaly_score", "p_value", "not_flagged_with", *reasons)
    chances = p_values(detector.reference_scores, listed.scores)
    cleared = not_flagged_with(detector, listed["encoded"]) if len(listed) else []
    rows = [
        (
            int(listed["row"][rank]),
            *listed["kept"][rank],
            *(["anomaly" if listed["anomalous"][rank] else "normal"] if labelled else []),
            float(f"{score:.6g}"),
            float(f"{chance:.3g}"),
            cleared[rank] or "",
            *(listed[name][rank] for name in reasons),
        )
        for rank, (score, chance) in enumerate(zip(listed.scores, chances, strict=True))
    ]
    return Listed(headings, tuple(rows))


def view_rows(detector: Detector, top: Highest) -> tuple[RowView, ...]:
    """Explain the rows gathered in ``top``, the highest score first.

    Parameters
    ----------
    detector
        What scored them.
    top
        With ``row``, ``encoded``, ``observed`` and ``kept`` (texts), and perhaps ``anomalous``.
    """
    table, encoded = detector.table, top["encoded"]
    scored = detector.score_encoded(encoded)
    contributions = table.group(scored.contributions)
    expected = shown_estimates(table, scored.expected)
    kinds = detector.kinds_of(scored)
    order = np.argsort(-contributions, axis=1, kind="stable")[:, :CELLS]
    explainers = [
        _Explainer(number, column, list(table.places[number]))
        for number, column in enumerate(table.features)
    ]
    cells = {
        number: explainers[number].cells(
            encoded, scored.expected, scored.contributions, top["observed"], expected, kinds
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
        # Where a row stays flagged, changes after its lowest score are dropped: they raised it.
        best = int(np.argmin([scores[row], *each.scores]))
        if not each.normal and best < len(each.scores):
            again = counterfactuals(detector, encoded[row : row + 1], max(best, 1))[0]
            found[row] = again if best else replace(again, columns=())
    return [
        Remedy(
            tuple(zip(each.columns, map(_shown, each.values.values()), strict=True)),
            each.scores[-1],
            each.normal,
        )
        if each.columns
        else None
        for each in found
    ]


@dataclass(frozen=True)
class _Explainer:
    """Makes the cells of one column."""

    number: int
    column: Column
    places: list[int]

    def cells(
        self,
        encoded: Float[np.ndarray, "rows width"],
        expected: Float[np.ndarray, "rows width"],
        contributions: Float[np.ndarray, "rows width"],
        observed_texts: np.ndarray,
        expected_texts: np.ndarray,
        kinds: np.ndarray | None,
    ) -> list[Cell]:
        column, distribution = self.column, self.column.distribution
        seen, added = encoded[:, self.places], contributions[:, self.places]
        part = added.sum(axis=1)
        telling = part >= LEAST_PART * contributions.sum(axis=1)
        wanted = column.settled(expected[:, self.places])
        absent = [text is None for text in observed_texts[:, self.number]]
        seen_at = np.where(absent, np.nan, column.positions(seen))
        seen_places = distribution.places(seen_at)
        wanted_places = distribution.places(column.positions(wanted))
        # Compared as the expected value is shown: no 50.0071 is higher than a 50.01.
        rounded = column.in_texts(column.rounded(column.decode(seen)), column.digits)
        cells = []
        for row in range(len(seen)):
            observed = _shown(observed_texts[row, self.number])
            hoped = _shown(expected_texts[row, self.number])
            if observed is None:
                direction = "same" if hoped is None else "missing"
            elif hoped is None:
                direction = "present"
            else:
                direction = column.direction(seen[row], wanted[row], alike=rounded[row] == hoped)
            kind = str(kinds[row, self.number]) if kinds is not None and telling[row] else ""
            cells.append(
                Cell(
                    column=self.number,
                    observed=observed,
                    expected=hoped,
                    brief=_shown(rounded[row])
                    if column.kind == "number" and observed
                    else observed,
                    contribution=float(part[row]),
                    observed_at=_place(seen_places[row]),
                    expected_at=_place(wanted_places[row]),
                    direction=direction,
                    kind=kind,
                    remark=self._remark(float(seen_at[row]), added[row]),
                )
            )
        return cells

    def _remark(self, position: float, added: OnePart) -> str:
        profile = self.column.profile
        if not np.isnan(position):
            return self.column.standing(position, added)
        if not profile.missing:
            return "never missing in training"
        return f"missing in {share(profile.missing / profile.rows)} of training rows"


def _shown(text: str | None) -> str | None:
    return None if text is None else shorten(text)


def _place(place: float) -> float | None:
    return None if np.isnan(place) else float(np.clip(place, -1.0, 2.0))
