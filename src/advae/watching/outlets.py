"""Where alarms go: a folder, a table, a web address. What is sent twice is there once."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import polars as pl

from advae.atomic import replacing
from advae.errors import InputError, MissingExtraError
from advae.files.sql import Database
from advae.watching.state import Batch

TRIES = 4
"""Times that a web address is tried again, after 0, 1, 2 and 4 seconds."""

SECONDS = 10.0
"""That a web address has to answer in, each time."""

NAME_BYTES = 150
"""Of a source's name that the name of its file of alarms has."""


class Outlet(Protocol):
    """Takes alarms, and may be given the same batch again."""

    def deliver(self, batches: Sequence[Batch]) -> None:
        """Bring batches to where they go."""


class Folder:
    """One file of JSON lines for each batch, named after its source and its key.

    Parameters
    ----------
    path
        The folder, which is made if it is not there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"cannot make folder {path}: {error.strerror}.") from None

    def deliver(self, batches: Sequence[Batch]) -> None:
        """Write the files, each whole or not at all."""
        for batch in batches:
            # Of an address, what comes last in it; cut, since names end at 255 bytes.
            name = Path(batch.source.partition("?")[0]).name.encode()[:NAME_BYTES]
            text = name.decode(errors="ignore") or "alarms"
            with replacing(self.path / f"{text}.{batch.key}.ndjson") as stream:
                for alarm in batch.alarms:
                    stream.write(f"{json.dumps(alarm, ensure_ascii=False)}\n".encode())


class Table:
    """A table with a row for each alarm, in the database that the rows come from.

    Parameters
    ----------
    database
        The database.
    name
        The table's name; it is made if there is none.
    """

    def __init__(self, database: Database, name: str) -> None:
        self._database, self._name = database, name

    def deliver(self, batches: Sequence[Batch]) -> None:
        """Write alarms in one transaction; those that are there are replaced."""
        for model in dict.fromkeys(batch.model for batch in batches):
            alarms = [each for batch in batches if batch.model == model for each in batch.alarms]
            rows = pl.DataFrame(alarms, infer_schema_length=None).drop("model")
            texts = [
                name
                for name, dtype in rows.schema.items()
                if dtype == pl.Null and not name.endswith("_contribution")
            ]
            rows = rows.cast(dict.fromkeys(texts, pl.String))
            rows = rows.with_columns(pl.selectors.by_dtype(pl.Null).cast(pl.Float64))
            self._database.write([rows], self._name, ["alarm"], model)


class Webhook:
    """A web address that each batch is posted to as JSON, with its key as ``Idempotency-Key``.

    Parameters
    ----------
    address
        ``http://`` or ``https://``; no message has more of it than the host.

    Raises
    ------
    InputError
        If it is no address.
    MissingExtraError
        If urllib3 is not installed.
    """

    def __init__(self, address: str) -> None:
        try:
            import urllib3
        except ImportError:
            raise MissingExtraError("a web address needs pip install 'advae[watch]'") from None
        try:
            host = urlsplit(address).hostname
        except ValueError:
            host = None
        if not host:
            raise InputError("the web address has no host. Check it.")
        self._address, self._host = address, host
        again = urllib3.Retry(
            TRIES,
            redirect=0,
            backoff_factor=0.5,
            status_forcelist=(408, 425, 429, 500, 502, 503, 504),
            allowed_methods=None,
            respect_retry_after_header=False,
            raise_on_status=False,
        )
        self._pool = urllib3.PoolManager(timeout=urllib3.Timeout(SECONDS), retries=again)
        self._failure = urllib3.exceptions.HTTPError

    def deliver(self, batches: Sequence[Batch]) -> None:
        """Post them one by one.

        Raises
        ------
        InputError
            If the address does not take one, after some tries.
        """
        for batch in batches:
            body = {
                "batch": batch.key,
                "source": batch.source,
                "model": batch.model,
                "alarms": batch.alarms,
            }
            try:
                answer = self._pool.request(
                    "POST", self._address, json=body, headers={
                        "Content-Type": "application/json", "Idempotency-Key": batch.key
                    }
                )  # fmt: skip
            except self._failure as error:
                reason = type(getattr(error, "reason", None) or error).__name__
                raise self._refused(reason) from None
            if not 200 <= answer.status < 300:
                raise self._refused(f"it answers {answer.status}")

    def _refused(self, reason: str) -> InputError:
        return InputError(
            f"{self._host}: alarms cannot be delivered ({reason}). They are kept, and the next run "
            "begins with them."
        )
