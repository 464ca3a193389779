"""Cells of rows to score that cannot be read, or are not written as training's were."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import polars as pl

from advae.cli import console
from advae.cli.places import numbered
from advae.errors import ColumnError, quoted
from advae.tables.frames import check_free
from advae.tables.values import folded, respelled, truths_among

if TYPE_CHECKING:
    from advae.files.source import Source
    from advae.files.sql import QuerySource
    from advae.tables.encoder import TableEncoder

OnError = Literal["stop", "flag", "skip"]
LISTED = 20
MARK = "unreadable"


class Places:
    """Keeps the numbers of rows that are scored, and finds cells that cannot be read.

    Parameters
    ----------
    table
        What reads the rows.
    source
        Where they come from; of several files, rows are counted in each.
    on_error
        What a cell that cannot be read does: "stop" raises its error, "flag" takes it for missing
        and names its column in the output, "skip" leaves out its row.
    keep
        Columns to carry along: they come out as they are, also where they cannot be read.
    """

    def __init__(
        self,
        table: "TableEncoder",
        source: "Source | QuerySource",
        on_error: OnError,
        keep: Sequence[str] = (),
    ) -> None:
        self._table, self._source, self._on_error = table, source, on_error
        self._kept: deque[tuple[np.ndarray, pl.Series, list[pl.Series]]] = deque()
        learned = {feature.name for feature in table.features}
        self._carried = [name for name in dict.fromkeys(keep) if name in learned]
        self._skipped: list[int] = []
        self.bad = 0
        self._categories = {each.name: each.texts for each in table.features if each.texts}

    def before(self, frames: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
        """Yield the rows that are to be scored."""
        first = 0
        for frame in frames:
            rows = np.arange(first, first + frame.height)
            height = frame.height if self._on_error == "flag" else 0
            marks = pl.Series(MARK, [""] * height, pl.String)
            first += frame.height
            read, bad = frame, dict[int, list[str]]()
            if self._on_error != "stop":
                read, bad = self._read(frame, int(rows[0]) if len(rows) else first)
                if self._on_error == "skip" and bad:
                    left = np.isin(np.arange(frame.height), list(bad), invert=True)
                    self._skipped += rows[~left].tolist()
                    read, rows = read.filter(pl.Series(left)), rows[left]
                elif bad:
                    places = sorted(bad)
                    names = pl.Series([", ".join(bad[place]) for place in places])
                    marks = marks.scatter(places, names)
            self._compare(read)
            # A time that cannot be read is one that no text could spell either.
            held = [frame[name] for name in self._carried if name in frame.columns]
            given = [each for each in held if bad and not each.dtype.is_temporal()]
            self._kept.append((rows, marks, given if self._on_error == "flag" else []))
            yield read

    def after(self, frames: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
        """Yield scored rows with their numbers and, of several files, the file that holds them."""
        for frame in frames:
            rows, marks, given = self._kept.popleft()
            for values in given:
                frame.replace_column(frame.get_column_index(values.name), values)
            if self._on_error == "flag":
                check_free(frame.columns, [MARK])
                frame.insert_column(1, marks.set(marks == "", None))
            yield numbered(frame, self._source, rows)

    def place(self, scored: int) -> tuple[Path | str, int]:
        """Return the file and the number of a row, by how many were scored before it."""
        # How many were left out before each of those left out, and so before all others.
        before = np.array(self._skipped, np.int64) - np.arange(len(self._skipped))
        left_out = int(np.searchsorted(before, scored, side="right"))
        return self._source.place(scored + left_out)

    @property
    def several(self) -> bool:
        """Whether a row takes the name of its file to be found."""
        return len(self._source.paths) > 1

    def say(self) -> None:
        """Say how many cells could not be read, and what that did."""
        if self.bad > LISTED:
            console.remark(f"{self.bad - LISTED:,} more values could not be read")
        if self._skipped:
            console.remark(f"{len(self._skipped):,} rows with such values were left out")

    def _read(self, frame: pl.DataFrame, first: int) -> tuple[pl.DataFrame, dict[int, list[str]]]:
        """Return rows with their bad cells empty, and the columns of these by their place."""
        found: dict[int, list[str]] = {}
        columns = {held.name: held for held in frame.iter_columns()}
        for feature in self._table.features:
            values = columns.get(feature.name)
            if values is None:
                continue
            bad: list[int] = []
            start = 0
            while start < len(values):
                left = values[start:]
                scratch = [np.empty(len(left), np.float32) for _ in feature.fixed]
                try:
                    feature.encode(left, scratch, first + start)
                    break
                except ColumnError as error:
                    if error.row is None:
                        raise
                    bad.append(error.row - first)
                    start = bad[-1] + 1
                    self._list(error)
            for place in bad:
                found.setdefault(place, []).append(feature.name)
            columns[feature.name] = values.scatter(bad, None) if bad else values
        return pl.DataFrame(columns), found

    def _compare(self, frame: pl.DataFrame) -> None:
        """Say once of a column that a text differs from a category in case or blanks alone."""
        for values in frame.iter_columns():
            known = self._categories.get(values.name)
            if known is None or values.dtype not in (pl.String, pl.Categorical, pl.Enum):
                continue
            texts = values.alias("text").cast(pl.String).drop_nulls().unique(maintain_order=True)
            texts = respelled(texts, truths_among(known))
            alike = {folded(text): text for text in known}
            for text in texts.filter(~texts.is_in(known)):
                if folded(text) in alike:
                    # The model knows neither rare texts nor those of rows that were held out.
                    console.remark(
                        f"{quoted(values.name)} holds {quoted(text)}, which training had rarely or "
                        f"never, but {quoted(alike[folded(text)])}: write it so if it is the same"
                    )
                    del self._categories[values.name]
                    break

    def _list(self, error: ColumnError) -> None:
        self.bad += 1
        if self.bad <= LISTED and error.row is not None:
            path, row = self._source.place(error.row)
            said = str(error.at(row)).removesuffix("Correct the value, or remove the row.").strip()
            console.remark(f"{path}: {said}")
