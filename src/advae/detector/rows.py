"""Files of new rows, read as the training file was."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import polars as pl

from advae.errors import ConfigError
from advae.files.options import ReadOptions
from advae.files.paths import Data
from advae.files.source import Source, open_source
from advae.files.sql import QuerySource
from advae.tables.frames import names_given

if TYPE_CHECKING:
    from advae.detector.detector import Detector


def open_rows(
    detector: "Detector",
    data: Data,
    *,
    keep: Sequence[str] = (),
    options: ReadOptions | None = None,
    as_texts: bool = False,
    rowless: bool = False,
) -> Source:
    """Open files of rows to score.

    Parameters
    ----------
    detector
        Whose columns are read, and no others; of text files as the types that training had.
    data
        See `advae.files.source.open_source`.
    keep
        Columns to carry along, read from text files as they are written.
    options
        What differs from how the training file was written.
    as_texts
        Whether all columns of text files are read as they are written, so that a value that
        cannot be used stops nothing yet.
    rowless
        Whether there may be columns and no rows.

    Raises
    ------
    InputError
        See `advae.files.source.open_source`.
    """
    learned, dtypes, options = _types(detector, keep, options, as_texts=as_texts)
    return open_source(
        data,
        dtypes=dtypes,
        only=[*learned, *keep],
        optional=[each.name for each in detector.table.features if each.profile.missing],
        pointed=[name for name, dtype in learned.items() if dtype.is_numeric()],
        options=options,
        rowless=rowless,
    )


def open_queried(
    detector: "Detector",
    source: QuerySource,
    *,
    keep: Sequence[str] = (),
    options: ReadOptions | None = None,
    as_texts: bool = False,
) -> QuerySource:
    """Return a query whose columns of mixed values are read as those of files: see `open_rows`."""
    _, dtypes, options = _types(detector, keep, options, as_texts=as_texts)
    return source.reading(dtypes, options)


def _types(
    detector: "Detector", keep: Sequence[str], options: ReadOptions | None, *, as_texts: bool
) -> tuple[dict[str, pl.DataType], dict[str, pl.DataType], ReadOptions]:
    """Return the types of learned columns, of all to read, and how they are written."""
    options = detector.reading if options is None else detector.reading.updated(options)
    learned = detector.table.dtypes if as_texts else text_types(detector, options)
    # Kept columns stay as they are written: "007" is not 7.
    texts = dict.fromkeys([*keep, *(learned if as_texts else ())], pl.String())
    return learned, learned | texts, options


def text_types(detector: "Detector", options: ReadOptions) -> dict[str, pl.DataType]:
    """Return the types to read a detector's columns of a text file as."""
    types = detector.table.dtypes
    if options.date_format is not None:
        dated = {each.name: each.dated_dtype for each in detector.table.features}
        types |= {name: dtype for name, dtype in dated.items() if dtype is not None}
    return types


def read_table(
    data: Data,
    *,
    detector: "Detector | None" = None,
    keep: Sequence[str] = (),
    **options: Any,
) -> pl.DataFrame:
    r"""Read a table from files as the command line does.

    Parameters
    ----------
    data
        A path, a pattern such as ``"day-*.csv"``, or a list of either.
    detector
        For rows that it is to score: its columns are read as those of its training file were.
    keep
        Further columns to read then, as they are written.
    **options
        How the files are written: see `ReadOptions`, such as ``separator=";"``, ``decimal=","``.

    Returns
    -------
        All rows, in order; without a detector columns have the type that all their values suit.

    Raises
    ------
    InputError
        For files that are missing, unreadable, empty, damaged, of different formats or columns.
    ConfigError
        For an option that cannot be.

    Warns
    -----
    UserWarning
        Of what is read otherwise than one may think, such as dates whose day may be their month.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import advae
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "sales.csv"
    ...     _ = path.write_text("day;amount\n31.12.2026;1,5\n01.01.2027;-\n")
    ...     advae.read_table(path, separator=";", decimal=",", null=["-"]).rows()
    [(datetime.date(2026, 12, 31), 1.5), (datetime.date(2027, 1, 1), None)]
    """
    with _options_named():
        said = ReadOptions(**options)
    if detector is None:
        source = open_source(data, options=said)
    else:
        source = open_rows(detector, data, keep=names_given(keep), options=said)
    for note in source.notes:
        warnings.warn(note, stacklevel=2)
    return source.read()


@contextmanager
def _options_named() -> Iterator[None]:
    try:
        yield
    except TypeError as error:
        known = ", ".join(ReadOptions.__dataclass_fields__)
        raise ConfigError(f"{error}; known are {known}") from None
