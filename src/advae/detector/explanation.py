"""Why a row scored as it did: observed against expected, column by column, in the user's units."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from jaxtyping import Float, Int

from advae.display.text import count, number, shorten
from advae.errors import InputError
from advae.tables.frames import with_index
from advae.tables.values import shown_values

if TYPE_CHECKING:
    from advae.detector.detector import Detector

EXPECTED_DIGITS = 6
"""Significant digits of an expected number, if it has no more before the point."""

SHOWN = 3
"""Rows that an explanation shows of itself."""


@dataclass(frozen=True, eq=False, repr=False)
class Explanation:
    """What each original column adds to the score of each row.

    Parameters
    ----------
    score
        Anomaly scores, shape (rows,).
    contributions
        Each original column's part of the score, shape (rows, features), at least 0: in the paper
        its squared error; else see `advae.methods.advae.scoring`. A row's contributions add up to
        its score.
    expected
        What the model expects in the user's units, one column per original column: a number is an
        average, whole or not; a category, the likeliest; null, a missing value.
    observed
        The same columns as they are.
    kinds
        What each value is surprising by, most of all: ``"unusual value"``, by itself;
        ``"unusual for this row"``, given the rest of it; ``"far from all rows"``, the row as a
        whole. Texts, shape (rows, features); None where the score has one kind alone, the paper's.
    index
        That of the pandas frame which was explained, None of any other table.

    Examples
    --------
    >>> import numpy as np
    >>> import advae
    >>> normal = np.random.default_rng(0).normal(size=(300, 2))
    >>> detector = advae.fit_detector(normal, advae.Config(iterations=50))
    >>> explanation = detector.explain({"column_0": [0.0], "column_1": [9.0]})
    >>> explanation.top(1)["reason_1_observed"].item()
    '9'
    >>> parts = explanation.to_frame()
    >>> parts.columns
    ['column_0', 'column_1']
    >>> bool(np.isclose(parts.sum_horizontal().item(), explanation.score[0]))
    True
    """

    score: Float[np.ndarray, "rows"]
    contributions: Float[np.ndarray, "rows features"]
    expected: pl.DataFrame
    observed: pl.DataFrame
    kinds: np.ndarray | None = None
    index: Any = None

    def __repr__(self) -> str:
        rows, features = self.contributions.shape
        said = [f"Explanation of {count(rows, 'row')} and {count(features, 'column')}"]
        for row in np.argsort(-self.score, kind="stable")[:SHOWN].tolist():
            part = Explanation(
                self.score[[row]],
                self.contributions[[row]],
                self.expected[[row]],
                self.observed[[row]],
                None if self.kinds is None else self.kinds[[row]],
            )
            reason = part.top(1).row(0, named=True)
            name = row if self.index is None else self.index[row]
            seen, expected = (
                "missing" if (value := reason[f"reason_1_{part}"]) is None else shorten(value, 30)
                for part in ("observed", "expected")
            )
            of_kind = reason["reason_1_expected"] is None and reason.get("reason_1_kind")
            said.append(
                f"  row {name}: score {number(self.score[row])}, most by "
                f"{shorten(reason['reason_1'], 40)}: {seen}, {of_kind or f'expected {expected}'}"
            )
        if rows > SHOWN:
            said.append(f"  and {count(rows - SHOWN, 'row')} with lower scores")
        return "\n".join(said)

    def to_frame(self) -> Any:
        """Return the contributions, a column each, that add up to the score of their row.

        Returns
        -------
            A Polars frame; of a pandas frame a pandas one with its index.
        """
        frame = pl.DataFrame(
            {name: self.contributions[:, place] for place, name in enumerate(self.expected.columns)}
        )
        return with_index(frame, self.index)

    def top(self, count: int = 3) -> Any:
        """Return the columns that contributed most to each row, the largest first.

        Parameters
        ----------
        count
            How many columns to name, at least 1; there are never more than the table has.

        Returns
        -------
            For k from 1 to ``count``: ``reason_k``, the column; ``reason_k_contribution``, in the
            unit of the score; ``reason_k_observed``, as it is, and ``reason_k_expected``, as an
            estimate: as text, null where missing; ``reason_k_kind``, of ``kinds``, where there are
            any. The estimate is null, too, where it is what was observed: the kind says more then.
            A Polars frame; of a pandas frame a pandas one with its index.

        Raises
        ------
        InputError
            For a count below 1.
        """
        if count < 1:
            raise InputError(f"count is {count}; expected at least 1 column to name")
        names = np.array(self.expected.columns, object)
        # Stable, so that ties have one order.
        order = np.argsort(-self.contributions, axis=1, kind="stable")[:, :count]
        observed = _shown_at(self.observed, order)
        expected = _shown_at(self.expected, order, EXPECTED_DIGITS)
        rows = np.arange(len(order))
        kinds = None
        if self.kinds is not None:
            kinds = np.take_along_axis(self.kinds, order, axis=1)
            rounded = _shown_at(self.observed, order, EXPECTED_DIGITS)
            expected[rounded == expected] = None
        columns: dict[str, np.ndarray | pl.Series] = {}
        for rank in range(order.shape[1]):
            chosen, reason = order[:, rank], f"reason_{rank + 1}"
            columns[reason] = pl.Series(names[chosen], dtype=pl.String)
            columns[f"{reason}_contribution"] = self.contributions[rows, chosen]
            columns[f"{reason}_observed"] = pl.Series(observed[:, rank].tolist(), dtype=pl.String)
            columns[f"{reason}_expected"] = pl.Series(expected[:, rank].tolist(), dtype=pl.String)
            if kinds is not None:
                columns[f"{reason}_kind"] = pl.Series(kinds[:, rank].tolist(), dtype=pl.String)
        return with_index(pl.DataFrame(columns), self.index)


def _shown_at(
    frame: pl.DataFrame, order: Int[np.ndarray, "rows ranks"], digits: int | None = None
) -> np.ndarray:
    """Return as people write it what each row has in the columns of its ranks, (rows, ranks).

    Texts are made of these values alone: they are slow and large, and in a wide table few of all.
    """
    shown = np.empty(order.size, object)
    cells = np.argsort(order, axis=None, kind="stable")
    numbers, starts = np.unique(order.ravel()[cells], return_index=True)
    for place, own in zip(numbers, np.split(cells, starts[1:]), strict=False):
        values = frame.to_series(int(place))[own // order.shape[1]]
        shown[own] = shown_values(values.to_frame(), digits)[:, 0]
    return shown.reshape(order.shape)


def example_rows(detector: "Detector") -> pl.DataFrame:
    """Return a row such as training's: what the model expects in the middle of its ranges."""
    middle = np.zeros((1, detector.table.width), np.float32)
    middle[:, : detector.table.network_width] = 0.5
    decoded = detector.table.decode(detector.score_encoded(middle).expected)
    return decoded.with_columns(
        pl.lit(feature.profile.quantiles[len(feature.profile.quantiles) // 2]).alias(feature.name)
        for feature in detector.table.features
        if feature.profile.quantiles and decoded[feature.name].dtype.is_float()
    )
