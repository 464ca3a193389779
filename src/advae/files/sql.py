"""Tables in databases: the rows that a query returns, and a table of scores, in bounded memory.

PostgreSQL and DuckDB are read and written as Arrow, by their ADBC drivers: two million rows of ten
columns came out of PostgreSQL in 6 s, where psycopg took 17 and SQLAlchemy 37, and types are known
before the first row. SQLAlchemy takes every other address, SQLite's among them.
"""

import itertools
import re
import urllib.parse
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import polars as pl
import polars.selectors as cs

from advae.errors import AdVAEError, ColumnError, InputError, MissingExtraError, quoted, quoted_list
from advae.files.options import ReadOptions
from advae.files.text_types import TextReader, TypeFinder, nulled
from advae.parallel import rows_at_once
from advae.tables.frames import as_frame, merged

STAGING = "advae_scores_on_their_way"
"""A temporary table, which the database forgets with its connection."""

SQL_TYPES = {
    pl.Boolean: "BOOLEAN",
    pl.Float64: "DOUBLE PRECISION",
    pl.String: "TEXT",
    pl.Null: "TEXT",
    pl.Date: "DATE",
    pl.Datetime: "TIMESTAMP",
    pl.Time: "TIME",
}
"""Standard types of columns to write; `_sql_type` knows others."""

DRIVER_ERRORS = {"adbc_driver_manager.Error", "sqlalchemy.exc.SQLAlchemyError"}
"""Recognised by name, as neither library need be installed."""

BAD_KEY = re.compile(r"duplicate key|UNIQUE|NOT NULL|not-null", re.IGNORECASE)

LOST = re.compile(
    r"terminating connection|server closed the connection|connection .*(lost|closed)"
    r"|no connection to the server|could not receive data|Connection reset|SSL SYSCALL",
    re.IGNORECASE,
)

SECRETS = re.compile(r"([?&;][^=&;]*(?:pass|pwd|secret|token)[^=&;]*=)([^&;]*)", re.IGNORECASE)


LONGEST_SPAN = 2**63 - 1

COMMENTS = re.compile(r"'[^']*'|\"[^\"]*\"|(--[^\n]*|/\*.*?\*/)", re.DOTALL)
"""Names and texts, and as a group the comments between them."""


def is_address(data: object) -> bool:
    """Return whether a name of data is the address of a database, such as ``sqlite:///a.db``."""
    return isinstance(data, str) and re.match(r"[A-Za-z][\w+.-]*://", data) is not None


def without_end(query: str) -> str:
    """Return a query without the semicolon behind it, so that it can be a part of another one.

    A line break ends it: its last line may be a comment.
    """
    query = query.strip()
    bare = COMMENTS.sub(lambda found: " " * len(found[0]) if found[1] else found[0], query)
    end = bare.rstrip()
    return f"{query[: len(end) - 1] if end.endswith(';') else query}\n"


@dataclass(frozen=True)
class Address:
    """The address of a database, which shows itself without its passwords.

    Parameters
    ----------
    text
        As given, ``KIND://USER:PASSWORD@HOST:PORT/NAME``; all parts but the kind may be missing.
    """

    text: str = field(repr=False)

    @property
    def kind(self) -> str:
        """What comes before ``://``, in lower case."""
        return self.text.partition("://")[0].lower()

    @property
    def path(self) -> str:
        """The file of a database that is one; empty for one in memory."""
        return self.text.partition("://")[2].partition("?")[0].removeprefix("/")

    @property
    def holds_files(self) -> bool:
        """Whether such a database is a file, or in memory."""
        return self.kind.partition("+")[0] in ("sqlite", "duckdb")

    @property
    def in_memory(self) -> bool:
        """Whether the database ends with what reads it."""
        return self.holds_files and self.path in ("", ":memory:")

    def __str__(self) -> str:
        """Return the address with *** for its passwords."""
        kind, _, rest = self.text.partition("://")
        user, at, place = rest.rpartition("@")
        name, colon, _ = user.partition(":")
        hidden = f"{kind}://{name}{':***' if colon else ''}{at}{place}"
        return SECRETS.sub(r"\1***", hidden)

    def scrub(self, message: str) -> str:
        """Return a message of a driver without the passwords in the address."""
        user = self.text.partition("://")[2].rpartition("@")[0]
        secrets = [user.partition(":")[2], *(found[1] for found in SECRETS.findall(self.text))]
        message = message.replace(self.text, str(self))
        for secret in filter(None, secrets):
            for written in (secret, urllib.parse.unquote(secret)):
                message = message.replace(written, "***")
        return message


class _Connection(Protocol):
    """One connection, which is in a transaction at all times until `commit`."""

    def run(self, statement: str) -> None:
        """Run a statement that returns no rows."""

    def names(self, query: str) -> list[str]:
        """Return the names of a query's columns."""

    def rows(self, query: str, size: int, texts: Collection[str]) -> Iterator[pl.DataFrame]:
        """Return a query's rows in order, about ``size`` at a time; columns ``texts`` as such."""

    def mixed(self, query: str) -> list[str]:
        """Return the columns of a query whose values are of several types."""

    def append(self, table: str, frame: pl.DataFrame) -> None:
        """Append rows to a temporary table."""

    def name(self, name: str) -> str:
        """Return a name as statements have it."""

    def commit(self) -> None:
        """Make what was done durable, and visible to others."""

    def close(self) -> None:
        """Undo what was not committed, and leave."""


class Database:
    """A database at an address.

    Parameters
    ----------
    address
        ``postgresql://``, ``duckdb:///FILE``, ``sqlite:///FILE``, or any that SQLAlchemy knows. A
        password may stand in it; PostgreSQL also takes one from ``PGPASSWORD`` or from the file
        that ``PGPASSFILE`` names. No message has it.

    Raises
    ------
    InputError
        If there is no such database, or it lets nobody in.
    MissingExtraError
        If the library for such an address is not installed.
    """

    def __init__(self, address: str) -> None:
        self.address = Address(address)
        in_file = self.address.holds_files and not self.address.in_memory
        if in_file and not Path(self.address.path).is_file():  # which would be made
            raise InputError(f"{self.address}: no such file. Check the name and the folder.")
        advice = "Check the address, and whether the server answers."
        if self.address.kind.startswith("postgres"):
            advice += (
                " The password stands in the address, in PGPASSWORD, or in the file that "
                "PGPASSFILE names."
            )
        with self._failures("cannot be opened", advice):
            self._open = _opener(self.address)
            self._open().close()

    def query(self, query: str) -> "QuerySource":
        """Return the rows of one ``select`` as a source, like files.

        Raises
        ------
        InputError
            If the query cannot be run, or returns two columns of one name.
        """
        query = without_end(query)
        failing = self._failures("the query cannot be run", "Check it.")
        with failing, closing(self._open()) as connection:
            # As a part of another query: a statement that changes a table cannot be one.
            columns = connection.names(f"SELECT * FROM ({query}) AS q WHERE 1 = 0")
        return QuerySource(self, query, columns)

    def rows(self, query: str, size: int) -> Iterator[pl.DataFrame]:
        """Yield a query's rows in order, ``size`` at a time; values of several types as texts."""
        failing = self._failures("the query's rows cannot be read", "Check it.")
        with failing, closing(self._open()) as connection:
            yield from merged(connection.rows(query, size, connection.mixed(query)), size)

    def mixed(self, query: str) -> list[str]:
        """Return the columns that `rows` yields as texts, as their values are of several types."""
        failing = self._failures("the query's rows cannot be read", "Check it.")
        with failing, closing(self._open()) as connection:
            return connection.mixed(query)

    def part(self, query: str, names: Sequence[str]) -> str:
        """Return a query of some columns of another one."""
        with closing(self._open()) as connection:
            columns = ", ".join(f"q.{connection.name(name)}" for name in names)
        return f"SELECT {columns} FROM ({query}) AS q"

    def write(
        self, frames: Iterable[pl.DataFrame], table: str, key: Sequence[str], model: str
    ) -> int:
        """Write rows into a table in one transaction: all of them, or none.

        The table is made if there is none. Its rows of the same keys and model are replaced, so
        that writing again doubles nothing; those of other models stay.

        Parameters
        ----------
        frames
            The rows; the same columns in each frame, at least one frame.
        table
            Its name, maybe with that of its schema before a point.
        key
            Columns that tell the rows apart.
        model
            Fingerprint of the model, for the column ``model``.

        Returns
        -------
            The number of rows written.

        Raises
        ------
        InputError
            If keys are missing or not unique, the table has other columns, or the database fails.
        """
        marked = (_widened(frame).with_columns(pl.lit(model).alias("model")) for frame in frames)
        first = next(marked)
        failing = self._failures(
            f"table {quoted(table)} cannot be written", "It is as it was.", quoted_list(key)
        )
        with failing:
            with closing(self._open()) as connection:
                write = _Statements(connection, table, (*key, "model"))
                # Now, to fail before minutes are spent; this connection leaves nothing behind.
                connection.run(write.making(first.schema))
                lacking = set(first.columns) - set(connection.names(write.looking))
                if lacking:
                    raise InputError(
                        f"{self.address}: table {quoted(table)} lacks columns "
                        f"{quoted_list(sorted(lacking))}. Name another, or one that is to be made."
                    )
            with closing(self._open()) as connection:
                staged = {n: t for n, t in first.schema.items() if t != pl.Null or n in key}
                connection.run(write.staging(staged))
                rows = 0
                for frame in itertools.chain([first], marked):
                    # A column has a type from its first value on.
                    for name, dtype in frame.schema.items():
                        if dtype != pl.Null and name not in staged:
                            connection.run(write.widening(name, dtype))
                            staged[name] = dtype
                    connection.append(STAGING, _typed(frame, staged))
                    rows += frame.height
                connection.run(write.making({n: staged.get(n, pl.Null()) for n in first.columns}))
                connection.run(write.deleting)
                connection.run(write.inserting(staged))
                connection.commit()
        return rows

    @contextmanager
    def _failures(self, what: str, advice: str, key: str = "") -> Iterator[None]:
        """Make one message of a driver's error, without passwords; keys are those of rows."""
        try:
            yield
        except AdVAEError:
            raise
        except Exception as error:
            names = {f"{each.__module__}.{each.__name__}" for each in type(error).__mro__}
            # pyarrow, which reads for the drivers, makes errors of the system out of theirs.
            if not (names & DRIVER_ERRORS or (isinstance(error, OSError) and error.errno is None)):
                raise
            reason = self.address.scrub(_reason(error))
            if key and BAD_KEY.search(reason):
                what = f"{what}, because the key {key} does not tell rows apart"
                advice += " Name columns whose values are there and unique."
            if LOST.search(reason):
                what, advice = "the connection was lost", "Run it again when the server answers."
            raise InputError(f"{self.address}: {what}: {reason}. {advice}") from None


class _Statements:
    """The statements that write rows into a table by way of `STAGING`."""

    def __init__(self, connection: _Connection, table: str, key: Sequence[str]) -> None:
        self._name, self._key = connection.name, key
        name = connection.name
        self._into = into = ".".join(map(name, table.split(".")))
        same = " AND ".join(f"{into}.{name(column)} = {STAGING}.{name(column)}" for column in key)
        self.looking = f"SELECT * FROM {into} WHERE 1 = 0"
        self.deleting = f"DELETE FROM {into} WHERE EXISTS (SELECT 1 FROM {STAGING} WHERE {same})"

    def staging(self, schema: Mapping[str, pl.DataType]) -> str:
        return f"CREATE TEMPORARY TABLE {STAGING} {self._body(schema)}"

    def widening(self, column: str, dtype: pl.DataType) -> str:
        return f"ALTER TABLE {STAGING} ADD COLUMN {self._name(column)} {_sql_type(column, dtype)}"

    def making(self, schema: Mapping[str, pl.DataType]) -> str:
        return f"CREATE TABLE IF NOT EXISTS {self._into} {self._body(schema)}"

    def inserting(self, names: Iterable[str]) -> str:
        columns = ", ".join(map(self._name, names))
        return f"INSERT INTO {self._into} ({columns}) SELECT {columns} FROM {STAGING}"

    def _body(self, schema: Mapping[str, pl.DataType]) -> str:
        defined = ", ".join(
            f"{self._name(column)} {_sql_type(column, dtype)}{' NOT NULL' * (column in self._key)}"
            for column, dtype in schema.items()
        )
        return f"({defined}, PRIMARY KEY ({', '.join(map(self._name, self._key))}))"


def _typed(frame: pl.DataFrame, schema: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """Return the columns of a schema, those without a value as it types them."""
    columns = {name: frame[name] for name in schema}
    # Not a list of columns: Polars would rename one whose name is empty.
    return pl.DataFrame(
        {
            name: values.cast(pl.String() if schema[name] == pl.Null else schema[name])
            if values.dtype == pl.Null
            else values
            for name, values in columns.items()
        }
    )


def _widened(frame: pl.DataFrame) -> pl.DataFrame:
    """Return numbers with as many bytes as the columns that `_sql_type` makes for them."""
    small = cs.by_dtype(pl.Int8, pl.Int16, pl.Int32, pl.UInt8, pl.UInt16, pl.UInt32)
    return frame.cast({cs.by_dtype(pl.Float32): pl.Float64, small: pl.Int64})


def _sql_type(name: str, dtype: pl.DataType) -> str:
    if dtype.is_integer():
        return "BIGINT"
    if isinstance(dtype, pl.Decimal):
        return f"NUMERIC({dtype.precision}, {dtype.scale})"
    if isinstance(dtype, pl.Datetime) and dtype.time_zone is not None:
        return "TIMESTAMP WITH TIME ZONE"
    if type(dtype) in SQL_TYPES:
        return SQL_TYPES[type(dtype)]
    raise InputError(
        f"column {quoted(name)} holds values of type {dtype}, which cannot be written into a "
        "table. Leave the column out."
    )


class QuerySource:
    """The rows that a query returns, with the face of `advae.files.source.Source`.

    Attributes
    ----------
    columns
        The names of the columns, in order.
    """

    def __init__(self, database: Database, query: str, columns: Sequence[str]) -> None:
        self._database, self._query, self.columns = database, query, tuple(columns)
        self.notes: tuple[str, ...] = ()
        self._types: Mapping[str, pl.DataType] | None = None
        self._options = ReadOptions()

    def reading(self, types: Mapping[str, pl.DataType], options: ReadOptions) -> "QuerySource":
        """Return the source with columns of mixed values read as these types, others as texts."""
        source = QuerySource(self._database, self._query, self.columns)
        source._types, source._options = types, options
        return source

    def batches(self, rows: int = 65_536) -> Iterator[pl.DataFrame]:
        """Run the query and read its rows, with memory for a few batches at a time.

        Raises
        ------
        InputError
            If the query fails, or returns no rows.
        """
        size, first = rows_at_once(len(self.columns), rows), 0
        mixed = self._mixed_types(size)
        for batch in self._database.rows(self._query, size):
            yield self._typed(batch, mixed, first) if mixed else batch
            first += batch.height
        if not first:
            raise InputError(f"{self._database.address}: the query returns no rows.")

    def _mixed_types(self, size: int) -> dict[str, pl.DataType]:
        """Return the types of the columns that come as texts, as those of a text file are found."""
        names = self._database.mixed(self._query)
        if not names or self._types is not None:
            return {name: (self._types or {}).get(name, pl.String()) for name in names}
        finder = TypeFinder(names, self._reader)
        for batch in self._database.rows(self._database.part(self._query, names), size):
            texts = {n: nulled(batch[n].cast(pl.String), self._options.missing) for n in names}
            finder.update(pl.DataFrame(texts))
        return finder.now()

    def _typed(
        self, batch: pl.DataFrame, mixed: Mapping[str, pl.DataType], first: int
    ) -> pl.DataFrame:
        texts = {name: nulled(batch[name], self._options.missing) for name in mixed}
        read = self._reader.typed(pl.DataFrame(texts), mixed, first)
        columns = {name: batch[name] for name in batch.columns}
        return pl.DataFrame(columns | {name: read[name] for name in mixed})

    @property
    def _reader(self) -> TextReader:
        return TextReader.of(self._options)

    @property
    def paths(self) -> tuple[str]:
        """The address, where a file has its path."""
        return (str(self._database.address),)

    def place(self, row: int) -> tuple[str, int]:
        """Return the address, and the row."""
        return self.paths[0], row

    def places(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the number of each row's path, 0, and the rows."""
        return np.zeros(len(rows), int), rows

    @contextmanager
    def located(self) -> Iterator[None]:
        """Say in errors about a column's values that they are in rows of this query."""
        try:
            yield
        except ColumnError as error:
            raise InputError(f"{self._database.address}: {error}") from None


def _opener(address: Address) -> Callable[[], _Connection]:
    """Return what opens connections, each with a transaction of its own."""
    if address.kind in ("postgresql", "postgres", "duckdb"):
        try:
            import pyarrow  # noqa: F401 - the drivers need it, and do not say so

            if address.kind == "duckdb":
                from adbc_driver_duckdb import dbapi

                opened = dbapi.connect(address.path or ":memory:")
            else:
                from adbc_driver_postgresql import dbapi

                opened = dbapi.connect(address.text)
        except ImportError:
            raise _missing("duckdb" if address.kind == "duckdb" else "postgres", address) from None
        return lambda: _ArrowConnection(opened.adbc_clone())
    try:
        import sqlalchemy
    except ImportError:
        raise _missing("sql", address) from None
    try:
        engine = sqlalchemy.create_engine(address.text, poolclass=sqlalchemy.NullPool)
    except ImportError as error:
        raise InputError(f"{address}: {error}. Install the driver for such addresses.") from None
    if engine.dialect.name == "sqlite":
        # Python's own transactions of SQLite leave out statements that make tables.
        sqlalchemy.event.listen(engine, "connect", _without_own_transactions)
        sqlalchemy.event.listen(engine, "begin", lambda opened: opened.exec_driver_sql("BEGIN"))
    return lambda: _ValueConnection(engine.connect())


def _missing(extra: str, address: Address) -> MissingExtraError:
    return MissingExtraError(f"{address} needs pip install 'advae[{extra}]'")


def _without_own_transactions(connection: Any, _: object) -> None:
    connection.isolation_level = None


class _ArrowConnection:
    """A connection of an ADBC driver; closed, it forgets what was not committed."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def run(self, statement: str) -> None:
        with self._connection.cursor() as cursor:
            cursor.execute(statement)

    def names(self, query: str) -> list[str]:
        with self._connection.cursor() as cursor:
            cursor.execute(query)
            return list(cursor.fetch_record_batch().schema.names)

    def mixed(self, query: str) -> list[str]:
        del query  # a column has one type
        return []

    def rows(self, query: str, size: int, texts: Collection[str]) -> Iterator[pl.DataFrame]:
        del texts
        with self._connection.cursor() as cursor:
            cursor.execute(query)
            reader = cursor.fetch_record_batch()
            _check_names(reader.schema.names)
            for batch in reader:
                yield from _polars(batch).iter_slices(size)

    def append(self, table: str, frame: pl.DataFrame) -> None:
        rows = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
        with self._connection.cursor() as cursor:
            cursor.adbc_ingest(table, rows, mode="append", temporary=True)

    def name(self, name: str) -> str:
        doubled = name.replace('"', '""')
        return f'"{doubled}"'

    def commit(self) -> None:
        self._connection.commit()

    def close(self) -> None:
        with suppress(Exception):  # one that was lost
            self._connection.close()


def _check_names(names: Sequence[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(
            f"the query returns several columns {quoted(twice[0])}. Name them apart with AS."
        )


def _polars(batch: Any) -> pl.DataFrame:
    """Return an Arrow batch as a frame, of PostgreSQL's own types as texts or numbers."""
    import pyarrow as pa

    columns: dict[str, pl.Series] = {}
    for field_, values in zip(batch.schema, batch.columns, strict=True):
        name, dtype = field_.name, field_.type
        if pa.types.is_interval(dtype):
            spans = pl.Series(name, map(_span, values.to_pylist()), pl.Int64)
            columns[name] = spans.cast(pl.Duration("us"))
            continue
        plain = values.storage if isinstance(values, pa.ExtensionArray) else values
        column = pl.Series(name, plain)
        kind = getattr(dtype, "extension_name", "")
        if kind == "arrow.uuid":
            digits = column.bin.encode("hex")
            starts, lengths = (0, 8, 12, 16, 20), (8, 4, 4, 4, 12)
            parts = [digits.str.slice(*part) for part in zip(starts, lengths, strict=True)]
            column = pl.select(pl.concat_str(parts, separator="-")).to_series()
        elif getattr(dtype, "type_name", "") == "numeric":
            column = _decimal(column, field_.metadata)
        columns[name] = column
    return pl.DataFrame(columns)


def _span(interval: Any) -> int | None:
    """Return the microseconds of an interval as PostgreSQL counts them: all years are alike.

    What is longer than a column can hold is as long as it can: `check_times` refuses it where it
    is used.
    """
    if interval is None:
        return None
    years, months = divmod(interval.months, 12)
    hours = years * 8766 + (months * 30 + interval.days) * 24
    span: int = hours * 3_600_000_000 + interval.nanoseconds // 1000
    return min(max(span, -LONGEST_SPAN), LONGEST_SPAN)


def _decimal(texts: pl.Series, metadata: Mapping[bytes, bytes]) -> pl.Series:
    """Return PostgreSQL's numeric values, exact where the type says how many digits they have."""
    modifier = int(metadata.get(b"POSTGRESQL:typmod", b"-1")) - 4
    precision, scale = modifier >> 16, modifier & 0x7FF
    # Of any precision it can be NaN, which no decimal is; with none given, infinite as well.
    texts = texts.set(texts == "nan", None)
    if modifier < 0 or precision > 38 or scale > precision:
        return texts.cast(pl.Float64)
    return texts.cast(pl.Decimal(precision, scale))


class _ValueConnection:
    """A connection of SQLAlchemy, value by value."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def run(self, statement: str) -> None:
        self._connection.exec_driver_sql(statement)

    def names(self, query: str) -> list[str]:
        return list(self._connection.exec_driver_sql(query).keys())

    def mixed(self, query: str) -> list[str]:
        if self._connection.dialect.name != "sqlite":
            return []
        names = self.names(f"SELECT * FROM ({query}) AS q WHERE 1 = 0")
        held = ", ".join(f"group_concat(DISTINCT typeof(q.{self.name(name)}))" for name in names)
        (found,) = self._connection.exec_driver_sql(f"SELECT {held} FROM ({query}) AS q")
        kinds = [set((each or "").replace("real", "integer").split(",")) for each in found]
        several = [len(kind - {"", "null"}) > 1 for kind in kinds]
        return list(itertools.compress(names, several))

    def rows(self, query: str, size: int, texts: Collection[str]) -> Iterator[pl.DataFrame]:
        streaming = self._connection.execution_options(stream_results=True, max_row_buffer=size)
        result = streaming.exec_driver_sql(query)
        names = list(result.keys())
        _check_names(names)
        for rows in result.partitions(size):
            columns = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
            spelled = {
                name: pl.Series(name, map(_spelled, columns[name]), pl.String) for name in texts
            }
            yield as_frame(columns | spelled)

    def append(self, table: str, frame: pl.DataFrame) -> None:
        import sqlalchemy

        columns: list[Any] = [sqlalchemy.column(name) for name in frame.columns]
        into = sqlalchemy.table(table, *columns)
        self._connection.execute(sqlalchemy.insert(into), frame.to_dicts())

    def name(self, name: str) -> str:
        return str(self._connection.dialect.identifier_preparer.quote_identifier(name))

    def commit(self) -> None:
        self._connection.commit()

    def close(self) -> None:
        self._connection.close()


def _spelled(value: Any) -> str | None:
    """Return a value of SQLite as a text file has it."""
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return None if value is None else str(value)


def _reason(error: Exception) -> str:
    """Return the part of a driver's message that says what happened, on one line."""
    text = str(getattr(error, "orig", error))
    said = re.findall(r"(?:FATAL|ERROR|DETAIL): +(.*)", text)
    lines = said or re.sub(r"^[A-Z_]+: (\[libpq\] [\w ]+: )?", "", text).splitlines()[:1]
    return " ".join(lines).strip().rstrip(".:")
