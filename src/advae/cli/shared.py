"""What several commands share: arguments, the steps before the work, and how to interrupt it."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from advae.cli import console
from advae.errors import InputError, quoted

if TYPE_CHECKING:
    from advae.detector.detector import Detector
    from advae.files.source import Source
    from advae.files.sql import Database, QuerySource
    from advae.tables.labels import LabelColumn

Data = Annotated[
    str,
    typer.Argument(
        metavar="DATA",
        help="Table: .csv, .tsv, .parquet, .ndjson or .arrow; a quoted glob for several files. "
        "fit and score also take the address of a database, such as sqlite:///FILE.",
    ),
]
Model = Annotated[Path, typer.Argument(metavar="MODEL", help="Model file that fit wrote.")]
Label = Annotated[
    str | None,
    typer.Option(metavar="COL", help="Label column: 0/1, true/false or normal/anomaly."),
]
Normal = Annotated[
    str | None,
    typer.Option(metavar="VALUE", help="Label of normal rows, if another; the rest are anomalies."),
]
Query = Annotated[
    str | None,
    typer.Option(metavar="SQL", help="What to read, if DATA is the address of a database."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress and no summary.")]


def load_model(model: Path) -> "Detector":
    """Read and check a model file."""
    from advae.detector import model_file

    return model_file.load(model)


def open_database(data: str, query: str | None) -> "Database | None":
    """Connect to the database whose address DATA is; None if it names files."""
    from advae.files.sql import Database, is_address

    if is_address(data):
        if query is None:
            raise _address_alone(data)
        return Database(data)
    if query is not None:
        raise InputError(
            f"--query reads from a database, and {data} names files. Give an address, such as "
            "sqlite:///FILE, or leave out --query."
        )
    return None


def _address_alone(data: str) -> InputError:
    from advae.files.sql import Address

    return InputError(
        f"{Address(data)}: the address of a database. Say with --query what to read of it; fit "
        "and score have this option."
    )


def open_rows(
    detector: "Detector", data: str, keep: list[str], rows: "QuerySource | None" = None
) -> "Source | QuerySource":
    """Open DATA as rows to score, and say once which of its columns are not used.

    ``rows`` are those of a database, opened already.
    """
    import polars as pl

    from advae.errors import quoted_list
    from advae.files.source import open_source
    from advae.files.sql import is_address

    if rows is None and is_address(data):
        raise _address_alone(data)
    # Kept columns stay as they are written: "007" is not 7.
    dtypes = {name: pl.String() for name in keep} | detector.table.dtypes
    source = rows or open_source(data, dtypes=dtypes)
    known = {*detector.table.feature_names, *detector.ignored, *keep}
    extra = [name for name in source.columns if name not in known]
    if extra:
        console.remark(f"not used, since training did not have them: {quoted_list(extra)}")
    return source


def open_labelled(
    detector: "Detector", data: str, label: "LabelColumn | None", keep: list[str]
) -> "Source | QuerySource":
    """Open DATA as rows to score and to measure by their labels; say if those were learned."""
    if label is None:
        return open_rows(detector, data, keep)
    if label.name in detector.table.feature_names:
        console.remark(
            f"the model learned the label column {quoted(label.name)} as one of its features, so "
            "that what is measured here means nothing; fit again with --label or --ignore"
        )
    return open_rows(detector, data, [*keep, label.name])


def open_table(data: str, label: "LabelColumn | None") -> "Source":
    """Open DATA as rows to learn from; labels to compare with a word as they are written."""
    import polars as pl

    from advae.files.source import open_source
    from advae.files.sql import is_address

    if is_address(data):
        raise _address_alone(data)
    if label is None or label.normal is None:
        return open_source(data)
    return open_source(data, dtypes={label.name: pl.String()})


def label_column(label: str | None, normal: str | None) -> "LabelColumn | None":
    """Return what --label and --normal say of the labels."""
    from advae.tables.labels import LabelColumn

    if label is None:
        if normal is not None:
            raise InputError("--normal says which labels of a column are normal. Add --label COL.")
        return None
    return LabelColumn(label, normal)


def check_output(output: Path, *inputs: str) -> None:
    """Refuse an output that could not be written, before minutes are spent on it.

    Also one that would replace an input: ``inputs`` are paths, or patterns of paths.
    """
    from advae.atomic import target_of
    from advae.files.paths import matching_paths

    target = target_of(output)
    read = [path for name in inputs for path in matching_paths(name)]
    if target.exists() and any(target.samefile(path) for path in read):
        raise InputError(f"{output} is also an input. Write to another file.")


_SIGNALS = [
    signal.Signals[name]
    for name in ("SIGINT", "SIGTERM", "SIGHUP")
    if name in signal.Signals.__members__  # Windows has no SIGHUP
]


class Interrupt:
    """Whether somebody asked to stop, and whether that waits for the next safe moment.

    While ``deferred``, a first signal only sets ``requested``; otherwise, and at the second one,
    KeyboardInterrupt is raised at once.
    """

    def __init__(self) -> None:
        self.deferred = False
        self.requested = False

    def __call__(self, _signal: int, _frame: FrameType | None) -> None:
        """Take a signal."""
        if not self.deferred or self.requested:
            raise KeyboardInterrupt
        self.requested = True


@contextmanager
def interruptible() -> Iterator[Interrupt]:
    """Treat SIGTERM and SIGHUP like Ctrl-C inside the block, all through the Interrupt given.

    A signal that is ignored stays ignored, as nohup and shells want it for what runs on its own.
    """
    interrupt = Interrupt()
    names = [name for name in _SIGNALS if signal.getsignal(name) != signal.SIG_IGN]
    before = [signal.signal(name, interrupt) for name in names]
    try:
        yield interrupt
    finally:
        for name, handler in zip(names, before, strict=True):
            signal.signal(name, handler)
