"""A PostgreSQL server of Debian's package, on loopback, with a data folder of its own."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import adbc_driver_postgresql.dbapi
import polars as pl

PASSWORD = "a secret, 100%"
QUOTED = "a%20secret%2C%20100%25"


def program(name: str) -> str | None:
    """Return the path of one of PostgreSQL's programs, which Debian keeps off the PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return shutil.which(name) or (str(found[-1]) if found else None)


class Server:
    """A server, and how tests ask it; ended by its own process id."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="advae-postgres-"))
        self._as_user: list[str] = []
        if os.getuid() == 0:  # which the server refuses to be
            shutil.chown(self.folder, "postgres", "postgres")
            self._as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        secret = self.folder / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        make = ["-D", self.folder / "data", "-U", "advae", "-A", "scram-sha-256", "-N"]
        command = [*self._as_user, program("initdb"), *make, f"--pwfile={secret}"]
        subprocess.run(command, check=True, capture_output=True, cwd=self.folder)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.place = f"127.0.0.1:{self.port}/postgres"
        self.address = f"postgresql://advae:{QUOTED}@{self.place}"
        self.start()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        settings = ["-c", "fsync=off", "-c", "unix_socket_directories="]
        place = ["-D", self.folder / "data", "-h", "127.0.0.1", "-p", str(self.port)]
        self._process = subprocess.Popen(
            [*self._as_user, program("postgres"), *place, *settings],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self.folder,
        )
        for _ in range(200):
            try:
                self.ask("select 1")
                return
            except adbc_driver_postgresql.dbapi.Error:
                time.sleep(0.05)
        raise RuntimeError("PostgreSQL does not answer")

    def stop(self) -> None:
        """Stop it at once, whoever is connected."""
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait(30)

    def remove(self) -> None:
        """Stop it, and delete all that it had."""
        self.stop()
        shutil.rmtree(self.folder)

    def ask(self, query: str) -> pl.DataFrame:
        """Return the rows of a query."""
        with (
            adbc_driver_postgresql.dbapi.connect(self.address) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(query)
            return pl.DataFrame(cursor.fetch_arrow_table())

    def put(self, table: str, frame: pl.DataFrame) -> None:
        """Make a table of a frame."""
        with (
            adbc_driver_postgresql.dbapi.connect(self.address) as connection,
            connection.cursor() as cursor,
        ):
            rows = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
            cursor.adbc_ingest(table, rows, mode="replace")
            connection.commit()

    def tell(self, statement: str) -> None:
        """Run a statement."""
        with (
            adbc_driver_postgresql.dbapi.connect(self.address) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(statement)
            connection.commit()
