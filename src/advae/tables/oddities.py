"""Columns of texts that were not all written with care.

Some would hold numbers, dates or truths, were it not for a few of them; in others one text is
written in two ways.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from advae.errors import ColumnError, quoted
from advae.tables.encoder import WRITTEN, written_like
from advae.tables.values import date_forms, folded, parse_times, two_forms

FEW = 0.1
"""Up to this share of odd values a column is called one of numbers, dates or truths."""

NAMED = 3
TRIED_ROWS = 5000
"""After so many rows, a kind that most values are not of is given up."""

SPELLED = 1000
"""Of so many different texts in a column, those are told that differ only in case or blanks."""


class Oddities:
    """Watches the columns of texts of a table, batch by batch."""

    def __init__(self) -> None:
        self._columns: dict[str, _Column] = {}

    def watch(self, frame: pl.DataFrame, places: NDArray[np.int64]) -> None:
        """Take in the next rows [n]; ``places`` are their numbers in the table."""
        for values in frame.iter_columns():
            if values.dtype == pl.String:
                self._columns.setdefault(values.name, _Column(values.name)).update(values, places)

    def check(self, left_out: Sequence[str] = ()) -> None:
        """Refuse a column of dates in two forms, unless its texts are hashed.

        Raises
        ------
        ColumnError
            Names the column and both forms.
        """
        for name, column in self._columns.items():
            if name not in left_out and (said := column.spoilt_dates()):
                raise ColumnError(quoted(name), None, said)

    def said(self) -> dict[str, str]:
        """Return what to say of columns, such as "holds numbers, except for ..."."""
        found = {name: column.said() for name, column in self._columns.items()}
        return {name: said for name, said in found.items() if said}


class _Column:
    """One column of texts."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._rows = 0
        self._kinds = ["numbers", "dates", "truths"]
        self._fitting = dict.fromkeys(self._kinds, 0)
        self._distinct: dict[str, set[str]] = {kind: set() for kind in self._kinds}
        self._odd: dict[str, dict[str, int]] = {kind: {} for kind in self._kinds}
        self._forms: dict[str, str] = {}
        self._spelled: dict[str, str] = {}
        self._alike: dict[str, tuple[str, str]] = {}

    def update(self, values: pl.Series, places: NDArray[np.int64]) -> None:
        if len(self._spelled) < SPELLED and not {"case", "blanks"} <= self._alike.keys():
            for text in values.alias("text").drop_nulls().unique(maintain_order=True):
                known = self._spelled.setdefault(folded(text), text)
                if known != text and folded(text) not in ("", "true", "false"):
                    self._alike.setdefault(_difference(known, text), (known, text))
        if not self._kinds:
            return
        rows = pl.DataFrame({"text": values.alias("text").str.strip_chars()}).with_row_index("row")
        rows = rows.filter(pl.col("text") != "")
        if not rows.height:
            return
        self._rows += rows.height
        tally = rows.group_by("text").agg(pl.len().alias("count"), pl.col("row").min()).sort("row")
        for kind in list(self._kinds):
            suits = _SUITS[kind](tally["text"]).fill_null(value=False)
            fitting = tally.filter(suits)
            self._fitting[kind] += int(fitting["count"].sum())
            if len(self._distinct[kind]) < NAMED:
                self._distinct[kind] |= set(fitting["text"].head(NAMED))
            odd = self._odd[kind]
            for row, text in tally.filter(~suits).select("row", "text").head(NAMED).iter_rows():
                if len(odd) < NAMED and text not in odd:
                    odd[text] = int(places[row])
            if self._rows >= TRIED_ROWS and 2 * self._fitting[kind] < self._rows:
                self._kinds.remove(kind)
        if "dates" in self._kinds:
            self._forms = date_forms(tally["text"]) | self._forms

    def spoilt_dates(self) -> str:
        """Say that the column holds dates in two forms; nothing if it does not."""
        odd = self._rows - self._fitting["dates"]
        if "dates" not in self._kinds or len(self._forms) < 2 or odd > FEW * self._rows:
            return ""
        return two_forms(self._forms)

    def said(self) -> str:
        """Say what the column holds but for some texts; nothing where that is texts."""
        for kind in self._kinds:
            odd = self._rows - self._fitting[kind]
            several = len(self._distinct[kind]) >= (1 if kind == "truths" else NAMED)
            if not odd or not several or 2 * odd >= self._rows:
                continue
            named = ", ".join(
                f"{quoted(text)} (row {row})" for text, row in self._odd[kind].items()
            )
            if kind == "numbers" and all(map(WRITTEN.match, self._odd[kind])):
                return written_like(named)
            if odd <= FEW * self._rows:
                return (
                    f"holds {kind}, except for texts such as {named}: correct them, or leave those "
                    "fields empty, to have it read so."
                )
            return (
                f"holds {kind} in {self._fitting[kind]:,} of {self._rows:,} rows, and in the "
                f"others texts such as {named}: correct them, or leave fields empty where "
                "they stand for missing values."
            )
        pairs = ", or in ".join(
            f"{difference}, such as {quoted(one)} and {quoted(other)}"
            for difference, (one, other) in self._alike.items()
        )
        return f"holds texts that differ only in {pairs}." if pairs else ""


def _difference(one: str, other: str) -> str:
    """Say in what two spellings of a text differ."""
    if one.casefold() == other.casefold():
        return "case"
    return "blanks" if one.split() == other.split() else "case and blanks"


def _are_numbers(texts: pl.Series) -> pl.Series:
    return texts.cast(pl.Float64, strict=False).is_not_null()


def _are_dates(texts: pl.Series) -> pl.Series:
    plain = parse_times(texts, "datetime").is_not_null()
    return plain | parse_times(texts, "datetime", zoned=True).is_not_null()


def _are_truths(texts: pl.Series) -> pl.Series:
    return texts.str.to_lowercase().is_in(["true", "false"])


_SUITS = {"numbers": _are_numbers, "dates": _are_dates, "truths": _are_truths}
