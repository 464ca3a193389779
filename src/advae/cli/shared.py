"""What several commands share: arguments, the steps before the work, and how to interrupt it."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from advae.cli import console
from advae.errors import InputError, quoted

if TYPE_CHECKING:
    from advae.detector.detector import Detector
    from advae.files.options import ReadOptions
    from advae.files.source import Source
    from advae.files.sql import Database, QuerySource
    from advae.tables.labels import LabelColumn

ADVANCED = "Advanced"
ELSEWHERE = "Databases and clusters"
"""Groups of options in the help."""

Data = Annotated[
    str,
    typer.Argument(
        metavar="DATA",
        help="Table: .csv, .tsv, .parquet, .ndjson, .arrow, .xlsx or .ods; - for standard input; "
        "a quoted glob for several files. fit and score also take the address of a database, such "
        "as sqlite:///FILE.",
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
    typer.Option(
        rich_help_panel=ELSEWHERE,
        metavar="SQL",
        help="What to read, if DATA is the address of a database.",
    ),
]
Ignore = Annotated[
    list[str] | None,
    typer.Option(metavar="COL", help="Column not to learn, such as an identifier."),
]
Only = Annotated[
    list[str] | None,
    typer.Option(metavar="COL", help="Column to learn; all that are not named so are ignored."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress and no summary.")]


def given_options(**values: object) -> list[str]:
    """Return the names of the options that were given, of all those whose values are named here.

    One that has its default is passed as None, False or an empty list.
    """
    return [
        f"--{name.replace('_', '-')}"
        for name, value in values.items()
        if value is not None and value is not False and value not in ([], ())
    ]


def check_none(given: list[str], why: str) -> None:
    """Refuse options that were given where they cannot be used."""
    if given:
        named = " and ".join(filter(None, (", ".join(given[:-1]), given[-1])))
        raise InputError(f"{why}, and cannot be used with {named}. Leave out {named}.")


def load_model(model: Path) -> "Detector":
    """Read and check a model file."""
    from advae.detector import model_file

    check_single(model)
    return model_file.load(model)


def check_single(model: Path) -> None:
    """Refuse a file that has a model for each segment."""
    from advae.tensorfile import is_bundle

    if is_bundle(model):
        raise InputError(
            f"{model} has a model for each segment, and this command takes a single model. score, "
            "info and report take such a file; Python's advae.load_bundle gives each model."
        )


def open_database(data: str, query: str | None) -> "Database | None":
    """Connect to the database whose address DATA is; None if it names files."""
    from advae.files.sql import Database, is_address

    if is_address(data):
        if query is None:
            raise _address_alone(data, "Say with --query what to read of it.")
        return Database(data)
    if query is not None:
        raise InputError(
            f"--query reads from a database, and {data} names files. Give an address, such as "
            "sqlite:///FILE, or leave out --query."
        )
    return None


FILES_ONLY = (
    "Give files here; fit, watch, and score with a single model read databases, with --query."
)


def _address_alone(data: str, advice: str = FILES_ONLY) -> InputError:
    from advae.files.sql import Address

    return InputError(f"{Address(data)}: the address of a database. {advice}")


def open_rows(
    detector: "Detector",
    data: str,
    keep: list[str],
    reading: "ReadOptions",
    queried: "QuerySource | None" = None,
    *,
    as_texts: bool = False,
    rowless: bool = False,
) -> "Source | QuerySource":
    """Open DATA as rows to score, and say once which of its columns are not used.

    With ``as_texts`` columns come as texts, so that one that cannot be read stops nothing yet;
    with ``rowless`` there may be columns and no rows. ``queried`` are rows of a database, opened
    already.
    """
    from advae.detector import rows
    from advae.errors import quoted_list
    from advae.files.sql import is_address
    from advae.tables.values import NAME_ANOTHER, check_columns

    if queried is None and is_address(data):
        raise _address_alone(data)
    source: Source | QuerySource
    if queried is not None:
        source = rows.open_queried(detector, queried, keep=keep, options=reading, as_texts=as_texts)
    else:
        source = rows.open_rows(
            detector, data, keep=keep, options=reading, as_texts=as_texts, rowless=rowless
        )
    if queried is None:
        where = "standard input" if data == "-" else data
        detector.check_columns(source.columns, where)
        check_columns(keep, source.columns, where, advice=NAME_ANOTHER)
    known = {*detector.table.feature_names, *keep, *detector.ignored}
    extra = [name for name in source.columns if name not in known]
    _say(source)
    if extra:
        console.remark(f"not used, since training did not have them: {quoted_list(extra)}")
    return source


def open_labelled(
    detector: "Detector",
    data: str,
    label: "LabelColumn | None",
    keep: list[str],
    reading: "ReadOptions",
) -> "Source | QuerySource":
    """Open DATA as rows to score and to measure by their labels; say if those were learned."""
    if label is None:
        return open_rows(detector, data, keep, reading)
    if label.name in detector.table.feature_names:
        console.remark(
            f"the model learned the label column {quoted(label.name)} as one of its features, so "
            "that what is measured here means nothing; fit again with --label or --ignore"
        )
    return open_rows(detector, data, [*keep, label.name], reading)


def _say(source: "Source | QuerySource") -> None:
    for note in source.notes:
        console.remark(note)


def open_table(data: str, label: "LabelColumn | None", reading: "ReadOptions") -> "Source":
    """Open DATA as rows to learn from; labels to compare with a word as they are written."""
    import polars as pl

    from advae.files.source import open_source
    from advae.files.sql import is_address

    if is_address(data):
        raise _address_alone(data)
    words = label is not None and label.normal is not None
    dtypes = {label.name: pl.String()} if label is not None and words else {}
    source = open_source(data, dtypes=dtypes, options=reading)
    _say(source)
    return source


def ignored_columns(
    source: "Source | QuerySource",
    ignore: list[str] | None,
    only: list[str] | None,
    label: "LabelColumn | None" = None,
) -> list[str]:
    """Return which columns are not to be learned, by --ignore or by --only."""
    from advae.tables.values import NAME_ANOTHER, check_columns

    if not only:
        return ignore or []
    if ignore:
        raise InputError("--only names the columns to learn, and --ignore others. Leave out one.")
    check_columns(only, source.columns, "DATA", advice=NAME_ANOTHER)
    learned = {*only, *([] if label is None else [label.name])}
    return [name for name in source.columns if name not in learned]


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

    Also one that would replace an input: ``inputs`` are paths, patterns of paths, - or addresses.
    """
    from advae.atomic import target_of

    target = target_of(output)
    if target.exists():
        replaced = target.stat()
        if any(os.path.samestat(replaced, each) for name in inputs for each in _read(name)):
            raise InputError(f"{output} is also an input. Write to another file.")


def _read(name: str) -> Iterator[os.stat_result]:
    """Yield what the system says of each file that is read for a name of data."""
    from advae.files.paths import STANDARD_INPUT, matching_paths
    from advae.files.sql import Address, is_address

    if name == STANDARD_INPUT:
        with suppress(OSError):
            yield os.fstat(sys.stdin.fileno())
        return
    for path in matching_paths(Address(name).path if is_address(name) else name):
        with suppress(OSError):  # what cannot be looked at is said where it is read
            yield path.stat()


STOPPING = [
    signal.Signals[name]
    for name in ("SIGINT", "SIGTERM", "SIGHUP")
    if name in signal.Signals.__members__  # Windows has no SIGHUP
]


class Interrupt:
    """Whether somebody asked to stop, and whether that waits for the next safe moment.

    While ``deferred``, a first signal only sets ``requested``; otherwise, and at the second one,
    KeyboardInterrupt is raised, as soon as no module is being loaded.

    Parameters
    ----------
    output
        What the work is done with: it is over once another file stands under this name than does
        now.

    Attributes
    ----------
    over
        Whether the work is done, and only words are left: then a first signal changes nothing.
    outcome
        What is said behind "interrupted", such as where the work can go on.
    raised, told
        Of the class: whether any was, and whether that was said. Where it comes up, it can turn
        into another exception.
    """

    raised = told = False

    def __init__(self, output: Path | None = None) -> None:
        self.deferred = False
        self.requested = False
        self.over = False
        self.outcome = "" if output is None else "; nothing was written"
        self._output, self._before = output, _identity(output)

    def __call__(self, _signal: int, frame: FrameType | None) -> None:
        """Take a signal."""
        if _identity(self._output) != self._before:
            self.over, self._output, self._before, self.outcome = True, None, None, ""
        if self.over:
            self.over = False
        elif loads_module(frame):
            interrupt_later()  # libraries in C do not bear an exception while they are loaded
        elif not self.deferred or self.requested:
            Interrupt.raised = True
            raise KeyboardInterrupt
        else:
            self.requested = True


def _identity(path: Path | None) -> tuple[int, int] | None:
    """Return what tells the file that stands under a name from all others; None without one."""
    try:
        found = None if path is None else path.stat()
    except OSError:
        return None
    return None if found is None else (found.st_dev, found.st_ino)


def loads_module(frame: FrameType | None) -> bool:
    """Return whether a module is being loaded where a frame stands."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def interrupt_later() -> None:
    """Send an interruption again in a moment."""
    again = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT))
    again.daemon = True
    again.start()


@contextmanager
def interruptible(output: Path | None = None) -> Iterator[Interrupt]:
    """Treat SIGTERM and SIGHUP like Ctrl-C inside the block, all through the Interrupt given.

    A signal that is ignored stays ignored, as nohup and shells want it for what runs on its own.
    The block is what a command was asked for: where it ends well, an Interrupt that took signals
    before it is told that the work is over. So it is as soon as a new file stands under the name
    ``output``, where the block writes one.
    """
    interrupt = Interrupt(output)
    names = [name for name in STOPPING if signal.getsignal(name) != signal.SIG_IGN]
    before = [signal.signal(name, interrupt) for name in names]
    try:
        yield interrupt
        for handler in before:
            if isinstance(handler, Interrupt):
                handler.over = True
    except KeyboardInterrupt:
        Interrupt.told = True
        console.remark(f"interrupted{interrupt.outcome}")
        raise
    finally:
        for name, handler in zip(names, before, strict=True):
            signal.signal(name, handler)
