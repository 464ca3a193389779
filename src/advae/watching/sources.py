"""What is new: files that were not scored yet, and rows of a query past a growing column."""

import glob
import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import polars as pl

from advae.detector.detector import Detector
from advae.detector.rows import open_rows
from advae.display.text import count
from advae.errors import InputError, quoted
from advae.files.options import ReadOptions
from advae.files.paths import FORMATS, TEXT_FORMATS, file_format, matching_paths
from advae.files.sql import Database, without_end
from advae.tables.values import check_columns
from advae.watching.state import Seen, State

AT_ONCE = 32_768
"""Most rows of a piece."""

SETTLED = 1.0
"""Seconds for which a file must not have changed to be read."""


class Piece(NamedTuple):
    """Rows that are scored together, and remembered together.

    Attributes
    ----------
    source
        The file, or the address of the database.
    identity
        What tells its content from that of another file of this name.
    rows
        The rows.
    first
        Position of the first of them in the file.
    numbers
        What each row is: its position, or its value of the growing column.
    remember
        Notes in a state that they were scored.
    """

    source: str
    identity: str
    rows: pl.DataFrame
    first: int
    numbers: pl.Series
    remember: Callable[[State], None]


class Unit(Protocol):
    """One file, or one query: what is wrong with it does not concern the others."""

    @property
    def name(self) -> str:
        """What it is called in messages."""

    def pieces(self) -> Iterator[Piece]:
        """Read what is new of it."""


class Source(Protocol):
    """Where rows come from."""

    @property
    def name(self) -> str:
        """What is watched, the same in each run."""

    def units(self, state: State, say: Callable[[str], None]) -> Iterator[Unit]:
        """Find what is new; say what is strange about it."""


class Files:
    """New files of a folder, or of a pattern.

    Parameters
    ----------
    data
        A folder, whose files of known formats are meant, or a pattern, or a file.
    detector
        Whose columns are read.
    keep
        Columns to carry along.
    options
        How the files are written.
    others
        Files that are no data, such as the state.
    """

    def __init__(
        self,
        data: str,
        detector: Detector,
        keep: Sequence[str],
        options: ReadOptions,
        others: Sequence[Path],
    ) -> None:
        self.name = data
        self._detector, self._keep, self._options = detector, list(keep), options
        self._others = {path.resolve() for path in others}
        path = Path(data)
        if not glob.has_magic(data) and not path.exists():
            raise InputError(f"{data}: no such file or folder. Check the name.")

    @property
    def paths(self) -> list[Path]:
        """The files that are there now, in the order of their names."""
        path = Path(self.name)
        if path.is_dir():
            found = [
                each
                for each in sorted(path.iterdir())
                if _has_format(each) and not each.name.startswith(".")
            ]
        else:
            found = list(matching_paths(self.name))
        return [each for each in found if each.is_file() and each.resolve() not in self._others]

    def units(self, state: State, say: Callable[[str], None]) -> Iterator[Unit]:
        """Yield files that are not scored, or not to the end, unless they are still written.

        A file whose beginning is what was scored goes on there; another content under a known name
        is a new file, unless it is that of a file which was renamed, see `_follow`.
        """
        new = [path for path in self.paths if not _known(path, state)]
        if not new:
            return
        before = {path: _stamp(path) for path in new}
        latest = max(stamp[1] for stamp in before.values() if stamp) if any(before.values()) else 0
        time.sleep(min(max(latest / 1e9 + SETTLED - time.time(), 0.0), SETTLED))
        _follow(new, state)
        waiting = 0
        for path in new:
            stamp = _stamp(path)
            if stamp is None:
                continue  # gone meanwhile
            if not stamp[0] or stamp != before[path]:
                waiting += 1
                continue
            try:
                digest = _digest(path, stamp[0])
                if digest is None or _stamp(path) != stamp:
                    waiting += 1
                    continue
                seen = self._before(path, stamp, digest, state, say)
            except InputError as error:
                yield _Unreadable(str(path), error)
                continue
            if not seen.whole:
                yield _File(path, seen, self)
        if waiting:
            say(f"{count(waiting, 'file')} empty or still being written, left for the next run")

    def _before(
        self,
        path: Path,
        stamp: tuple[int, int],
        digest: str,
        state: State,
        say: Callable[[str], None],
    ) -> Seen:
        """Return what is known of a file that is new or has changed."""
        name, now = str(path), Seen(*stamp, digest, digest, 0, False)
        old = state.files.get(name)
        if old is None:
            return now
        if old.fingerprint == digest:
            now = Seen(*stamp, digest, old.identity, old.rows, old.whole)
            state.files[name] = now
            return now
        grown = old.size < now.size and file_format(path) in TEXT_FORMATS
        if grown and _begins(path, old):
            return Seen(*stamp, digest, old.identity, old.rows, False)
        say(f"{path}: has another content than the one that was scored; it counts as a new file")
        return now

    def open(self, path: Path) -> Any:
        """Open a file as rows to score."""
        if not path.exists():
            raise FileNotFoundError(path)
        try:
            source = open_rows(self._detector, path, keep=self._keep, options=self._options)
            self._detector.check_columns(source.columns, str(path))
            check_columns(self._keep, source.columns, str(path))
        except InputError as error:
            if not Path(self.name).is_dir():
                raise
            pattern = Path(self.name) / "day-*.csv"
            raise InputError(
                f"{error} To leave out files that are no data, watch a quoted pattern that the "
                f"others match, such as '{pattern}', instead of the folder."
            ) from None
        return source


class _Unreadable(NamedTuple):
    """A file that cannot be read, and why."""

    name: str
    reason: InputError

    def pieces(self) -> Iterator[Piece]:
        """Raise the reason."""
        raise self.reason


class _File:
    """A file whose rows from some row on are new."""

    def __init__(self, path: Path, seen: Seen, files: Files) -> None:
        self.name = str(path)
        self._path, self._seen, self._files = path, seen, files

    def pieces(self) -> Iterator[Piece]:
        """Read it piece by piece, each once it is known that the file did not change meanwhile.

        Raises
        ------
        InputError
            If it cannot be read.
        """
        source, seen = self._files.open(self._path), self._seen
        held: pl.DataFrame | None = None
        row = 0
        for batch in source.batches(AT_ONCE):
            new = batch[max(seen.rows - row, 0) :]
            row += batch.height
            if not new.height:
                continue
            if _stamp(self._path) != (seen.size, seen.changed):
                return  # it is still being written
            if held is not None:
                yield self._piece(held, row - new.height - held.height, whole=False)
            held = new
        if _stamp(self._path) == (seen.size, seen.changed):
            held = batch[:0] if held is None else held
            yield self._piece(held, row - held.height, whole=True)

    def _piece(self, rows: pl.DataFrame, first: int, *, whole: bool) -> Piece:
        now, last = self._seen, first + rows.height

        def remember(state: State) -> None:
            state.files[self.name] = Seen(
                now.size, now.changed, now.fingerprint, now.identity, last, whole
            )

        numbers = pl.Series("row", range(first, last), pl.Int64)
        return Piece(self.name, now.identity, rows, first, numbers, remember)


class Rows:
    """The rows of a query past the greatest value of a column that was scored.

    Parameters
    ----------
    database
        The database.
    query
        What to read of it.
    column
        A column whose values grow from row to row, such as a running number.
    detector
        Whose columns are read.
    keep
        Columns to carry along.
    """

    def __init__(
        self, database: Database, query: str, column: str, detector: Detector, keep: Sequence[str]
    ) -> None:
        query = without_end(query).removesuffix("\n")  # as states of earlier versions name it
        found, where = database.query(query).columns, str(database.address)
        detector.check_columns(found, where)
        check_columns([column, *keep], found, where)
        self.name = f"{database.address}, {query}, by {column}"
        self.database, self._query, self._column = database, query, column

    def units(self, state: State, say: Callable[[str], None]) -> Iterator["_Query"]:
        """Yield the query of the rows to come."""
        del say
        quoted_name = self._column.replace('"', '""')
        past = "" if state.position is None else f' WHERE "{quoted_name}" > {_sql(state.position)}'
        statement = f'SELECT * FROM ({self._query}\n) AS q{past} ORDER BY "{quoted_name}"'
        yield _Query(self.database, statement, self._column)


class _Query:
    """Rows in the order of a column."""

    def __init__(self, database: Database, statement: str, column: str) -> None:
        self.name = str(database.address)
        self._database, self._statement, self._column = database, statement, column

    def pieces(self) -> Iterator[Piece]:
        """Read them; rows with one value of the column are never parted.

        Raises
        ------
        InputError
            If the query fails, or a value of the column is missing.
        """
        held: pl.DataFrame | None = None
        for batch in self._database.rows(self._statement, AT_ONCE):
            values = batch[self._column]
            if values.null_count():
                raise InputError(
                    f"{self.name}: column {quoted(self._column)} has missing values, which tell no "
                    "order. Leave such rows out of the query."
                )
            batch = batch if held is None else pl.concat([held, batch], how="vertical_relaxed")
            last = batch[self._column] == batch[self._column][-1]
            held = batch.filter(last)
            if not last.all():
                yield self._piece(batch.filter(~last))
        if held is not None:
            yield self._piece(held)

    def _piece(self, rows: pl.DataFrame) -> Piece:
        values = rows[self._column]
        numbers = values if values.dtype.is_integer() else values.cast(pl.String)
        position = values[-1]
        plain = position if isinstance(position, int | float | str) else str(position)

        def remember(state: State) -> None:
            state.position = plain

        return Piece(self.name, "", rows, 0, numbers.alias("row"), remember)


def _sql(value: Any) -> str:
    """Return a value as a literal of SQL."""
    if isinstance(value, str):
        doubled = value.replace("'", "''")
        return f"'{doubled}'"
    return repr(value)


def _has_format(path: Path) -> bool:
    suffixes = [suffix.lower() for suffix in path.suffixes[-2:]]
    return any(suffix in FORMATS for suffix in suffixes) and _readable(path)


def _readable(path: Path) -> bool:
    try:
        file_format(path)
    except InputError:
        return False
    return True


def _known(path: Path, state: State) -> bool:
    """Return whether a file is as it was when all of it had been scored."""
    seen = state.files.get(str(path))
    return seen is not None and seen.whole and _stamp(path) == (seen.size, seen.changed)


def _follow(new: Sequence[Path], state: State) -> None:
    """Note under their new names files that were renamed: those of names that lost their content.

    The old name may have another content by now, as that of a log that is rotated, maybe one that
    had another name, too. So all are found before any is noted. A log may have grown before it was
    rotated; from a name that is gone nothing but the very content is followed, since a short
    content begins other files as well.
    """
    lost = {
        name: seen
        for name, seen in state.files.items()
        if _stamp(Path(name)) != (seen.size, seen.changed) and not _begins(Path(name), seen)
    }
    there, moved = {str(path) for path in new}, dict[str, str]()
    for path in new:
        name, stamp = str(path), _stamp(path)
        if stamp is None or (name in state.files and name not in lost):
            continue
        for old, seen in lost.items():
            fits = stamp[0] == seen.size or (stamp[0] > seen.size and old in there)
            if fits and old not in moved and _begins(path, seen):
                moved[old] = name
                break
    stay = {name: seen for name, seen in state.files.items() if name not in moved}
    state.files = stay | {name: lost[old] for old, name in moved.items()}


def _begins(path: Path, seen: Seen) -> bool:
    """Return whether a file begins with what was scored; one that cannot be read does not."""
    try:
        return _digest(path, seen.size) == seen.fingerprint
    except InputError:
        return False


def _stamp(path: Path) -> tuple[int, int] | None:
    """Return size and time of the last change; None if the file is gone."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns


def _digest(path: Path, size: int) -> str | None:
    """Return 16 digits that tell the first bytes of a file from others; None if it is shorter."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as stream:
            while size:
                block = stream.read(min(size, 1 << 20))
                if not block:
                    return None
                digest.update(block)
                size -= len(block)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}.") from None
    return digest.hexdigest()[:16]
