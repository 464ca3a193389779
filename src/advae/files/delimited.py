"""Text files of delimited columns, and how Polars is to read one once its `header` is known."""

import csv
import gzip
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import BinaryIO, cast

import polars as pl

from advae.errors import InputError
from advae.files import texts
from advae.files.blanks import MISSING_WORDS, unpadded
from advae.files.texts import GUESSED_ROWS
from advae.tables.frames import exactly

LONGEST_FIELD = 1 << 26
"""Characters; a quote that never ends would else take the rest of the file."""


@dataclass(frozen=True)
class Dialect:
    """How one file is written.

    Attributes
    ----------
    names
        The column names of its header, without blanks around.
    separator
        The character between fields.
    decimal_comma
        Whether 1,5 is one and a half; only where the separator is another.
    before, after
        Lines before the header, and blank lines after the last row, that are no part of the table.
        Of a long compressed file, the latter are not known: see `damage.rows_checked`.
    padded
        Whether names have blanks around, as in ``a, b``: then those of values do not count either.
    padded_numbers
        Whether numbers have. Without blanks around names, those of texts are part of the texts.
    rows
        How many rows there are, where it is known; see `counted`.
    """

    names: tuple[str, ...]
    separator: str
    decimal_comma: bool
    before: int = 0
    after: int = 0
    padded: bool = False
    padded_numbers: bool = False
    rows: int | None = None

    def counted(self, path: Path) -> "Dialect":
        """Return this with the number of rows, if blank lines come after them."""
        if not self.after:
            return self
        lines = self.scan(path, dict.fromkeys(self.names, pl.String()))
        count = lines.select(exactly(self.names[0]).len()).collect(engine="streaming").item()
        return replace(self, rows=count - self.after)

    def scan(
        self,
        path: Path,
        dtypes: Mapping[str, pl.DataType],
        *,
        infer_rows: int | None = GUESSED_ROWS,
    ) -> pl.LazyFrame:
        """Return the file's rows, lazily, under the names of its header.

        Columns without a given type take one that suits the first ``infer_rows`` rows, or all.
        """
        given = {name: dtypes[name] for name in self.names if name in dtypes}
        texts = [
            name
            for name in self.names
            if self.padded or (self.padded_numbers and name in given and given[name].is_numeric())
        ]
        known = [number for number in (infer_rows, self.rows) if number is not None]
        rows = pl.scan_csv(
            path,
            separator=self.separator,
            decimal_comma=self.decimal_comma,
            null_values=["", *MISSING_WORDS],
            schema_overrides=given | dict.fromkeys(texts, pl.String()),
            infer_schema_length=min(known, default=None),
            try_parse_dates=True,
            with_column_names=lambda _: list(self.names),
            skip_lines=self.before,
            n_rows=self.rows,
            glob=False,
        )
        if not texts:
            return rows
        return rows.with_columns(
            self.read_as(exactly(name), given.get(name, pl.String())) for name in texts
        )

    def read_as(self, text: pl.Expr, dtype: pl.DataType, *, strict: bool = True) -> pl.Expr:
        """Read texts of the file as a type; blanks around them do not count where they may not."""
        bare = unpadded(text) if self.padded or self.padded_numbers else text
        return texts.read_as(bare, dtype, decimal_comma=self.decimal_comma, strict=strict)

    def types_of_texts(self, rows: pl.LazyFrame, names: Sequence[str]) -> Mapping[str, pl.DataType]:
        """Return the types of columns that were read as texts, yet hold something else."""
        types = texts.TYPES if self.padded else texts.NUMBERS
        return texts.types_of_texts(rows, names, types, partial(self.read_as, strict=False))


def open_bytes(path: Path) -> BinaryIO:
    """Open a file, through gzip where its name says so."""
    return cast(BinaryIO, gzip.open(path)) if path.suffix.lower() == ".gz" else path.open("rb")


@contextmanager
def long_fields() -> Iterator[None]:
    """Let Python's reader take longer fields in the block: it stops at 128 KiB, Polars does not."""
    before = csv.field_size_limit(LONGEST_FIELD)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def wrong_encoding(path: Path, line: int) -> InputError:
    """Say that a text file is not in UTF-8."""
    return InputError(f"{path}: line {line} is not UTF-8 text. Save the file in UTF-8.")
