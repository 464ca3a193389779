"""Sheets of workbooks, read as texts, and then as delimited text is."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date, datetime, time
from pathlib import Path

import polars as pl

from advae.errors import InputError, MissingExtraError, quoted, quoted_list
from advae.files.options import ReadOptions
from advae.files.text_types import TextReader, TypeFinder, nulled


class WorkbookFile:
    """One sheet; its first row that is not empty names the columns.

    Parameters
    ----------
    path
        A workbook of Excel or OpenDocument.
    options
        Which sheet, and which words stand for missing values.

    Raises
    ------
    InputError
        For a file that is no workbook, a sheet that it lacks, or a header that is none.
    MissingExtraError
        Without the extra ``excel``.
    """

    def __init__(self, path: Path, options: ReadOptions, *, rowless: bool = False) -> None:
        self._path = path
        self.notes: list[str] = []
        self._reader = TextReader.of(options)
        rows = [[_text(cell) for cell in row] for row in _cells(path, options.sheet)]
        rows = [row for row in rows if any(row)]
        if len(rows) < (1 if rowless else 2):
            raise InputError(f"{path}: the sheet has no rows under a header. Give it rows.")
        header = rows[0]
        twice = {name for name in header if header.count(name) > 1}
        if "" in header or twice:
            fault = f"twice {quoted_list(sorted(twice))}" if twice - {""} else "an empty name"
            raise InputError(f"{path}: the header of the sheet holds {fault}. Name each column.")
        missing = list(options.missing)
        texts = pl.DataFrame(
            {name: pl.Series(held, dtype=pl.String) for name, *held in zip(*rows, strict=True)}
        )
        self._texts = pl.DataFrame(
            {held.name: nulled(held, missing) for held in texts.iter_columns()}
        )

    def types(
        self, given: Mapping[str, pl.DataType], only: Collection[str] | None
    ) -> dict[str, pl.DataType]:
        """Return the type of each column; see `DelimitedFile.types`."""
        names = self._texts.columns
        untyped = [n for n in names if n not in given and (only is None or n in only)]
        finder = TypeFinder(untyped, self._reader)
        finder.update(self._texts)
        found = finder.found()
        self.notes += finder.notes()
        return {name: given.get(name, found.get(name, pl.String())) for name in names}

    def batches(self, schema: Mapping[str, pl.DataType]) -> Iterator[pl.DataFrame]:
        """Read the rows as the types of ``schema``; see `DelimitedFile.batches`."""
        yield self._reader.typed(self._texts, schema, 0)


def _cells(path: Path, sheet: str | None) -> Sequence[Sequence[object]]:
    try:
        from python_calamine import CalamineError, CalamineWorkbook
    except ImportError:
        raise MissingExtraError(
            "reading workbooks needs the package python-calamine; pip install 'advae[excel]'"
        ) from None
    try:
        workbook = CalamineWorkbook.from_path(path)
        if sheet is not None and sheet not in workbook.sheet_names:
            raise InputError(
                f"{path}: no sheet {quoted(sheet)}; there are {quoted_list(workbook.sheet_names)}."
            )
        if not workbook.sheet_names:
            raise InputError(f"{path}: the workbook has no sheet. Save it again, with one.")
        name = workbook.sheet_names[0] if sheet is None else sheet
        return workbook.get_sheet_by_name(name).to_python()
    except CalamineError as error:
        raise InputError(
            f"{path}: damaged, or no workbook ({error}). Make or fetch it again."
        ) from None


def _text(cell: object) -> str:
    """Return a cell as a delimited file would hold it."""
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, float):
        return repr(cell).removesuffix(".0")
    return cell.isoformat() if isinstance(cell, date | datetime | time) else str(cell)
