"""What each extra adds, tried with the installed package: ``python extras.py excel``.

Beside it lies ``m.advae``, a model of two columns, ``a`` around 50 and ``b`` from 0 to 9.
With ``--lacking``, in an environment without the extra: the error has to name it.
"""

import http.server
import json
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.request
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl

import advae

WORKBOOK = {
    "[Content_Types].xml": """<Types
      xmlns="http://schemas.openxmlformats.org/package/2006/content-types">
      <Default Extension="xml" ContentType="application/xml"/><Default Extension="rels"
      ContentType="application/vnd.openxmlformats-package.relationships+xml"/></Types>""",
    "_rels/.rels": """<Relationships
      xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="a"
      Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument"
      Target="xl/workbook.xml"/></Relationships>""",
    "xl/workbook.xml": """<workbook
      xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"
      xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"><sheets>
      <sheet name="new" sheetId="1" r:id="a"/></sheets></workbook>""",
    "xl/_rels/workbook.xml.rels": """<Relationships
      xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="a"
      Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet"
      Target="worksheets/sheet1.xml"/></Relationships>""",
    "xl/worksheets/sheet1.xml": """<worksheet
      xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>
      <row><c t="inlineStr"><is><t>a</t></is></c><c t="inlineStr"><is><t>b</t></is></c></row>
      <row><c><v>50</v></c><c><v>4.1</v></c></row><row><c><v>900</v></c><c><v>-3</v></c></row>
      </sheetData></worksheet>""",
}
NEW = pl.DataFrame({"a": [50.0, 900.0], "b": [4.1, -3.0]})
"""The second row is odd."""


def command(*words: str, codes: tuple[int, ...] = (0,)) -> str:
    """Run ``advae``; raise what it said where its code is none of these."""
    program = [sys.executable, "-m", "advae", *words]
    done = subprocess.run(program, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode not in codes:
        raise RuntimeError(f"advae {' '.join(words)} ended with {done.returncode}: {done.stderr}")
    return done.stdout + done.stderr


def flags(path: Path | str) -> list[bool]:
    """Return the flags of a file of scores."""
    found = pl.read_parquet(path) if str(path).endswith("parquet") else pl.read_csv(path)
    return found.sort("anomaly_score")["is_anomaly"].to_list()


def excel() -> None:
    """Score a sheet."""
    with zipfile.ZipFile("new.xlsx", "w") as book:
        for name, text in WORKBOOK.items():
            book.writestr(name, '<?xml version="1.0" encoding="UTF-8"?>' + text)
    command("score", "m.advae", "new.xlsx", "-o", "excel.csv")
    assert flags("excel.csv") == [False, True]


def onnx() -> None:
    """Export a model, and score with the file what advae scores alike."""
    command("export", "m.advae", "-o", "m.onnx")
    import onnxruntime

    session = onnxruntime.InferenceSession("m.onnx")
    columns = {each.name: NEW[each.name].to_numpy() for each in session.get_inputs()}
    found = session.run(["anomaly_score"], columns)
    scores = advae.load("m.advae").anomaly_score(NEW)
    assert np.allclose(np.ravel(found), scores, rtol=1e-4), found


def serve() -> None:
    """Ask a service."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [sys.executable, "-m", "advae", "serve", "m.advae", "--port", str(port)]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as service:
        for _ in range(600):
            if service.poll() is not None:
                raise RuntimeError(service.stderr.read() if service.stderr else "")
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                time.sleep(0.1)
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/v1/models/m/score",
            data=NEW.write_csv().encode(),
            headers={"Content-Type": "text/csv", "Accept": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=300) as answer:
                rows = json.load(answer)["rows"]
        finally:
            service.terminate()
    assert [row["is_anomaly"] for row in rows] == [False, True]


def mlflow() -> None:
    """Save a model, and load it again."""
    import advae.mlflow

    detector = advae.load("m.advae")
    advae.mlflow.save_model(detector, "saved")
    assert advae.mlflow.load_model("saved").threshold == detector.threshold


def sql() -> None:
    """Score rows of SQLite into a table."""
    database = sqlite3.connect("shop.db")
    database.execute("create table new (id integer, a real, b real)")
    database.executemany("insert into new values (?, ?, ?)", NEW.with_row_index().rows())
    database.commit()
    query = ("sqlite:///shop.db", "--query", "select * from new", "--into", "scores")
    command("score", "m.advae", *query, "--key", "id")
    assert database.execute("select is_anomaly from scores order by id").fetchall() == [(0,), (1,)]


def postgres() -> None:
    """See that the driver is there: where no server is, it says so."""
    address = ("postgresql://ada@127.0.0.1:9/shop", "--query", "select 1 as a")
    said = command("score", "m.advae", *address, codes=(2,))
    if "cannot be opened" not in said:
        raise RuntimeError(said)


def duckdb() -> None:
    """Score the rows of queries, as a command and in Python."""
    NEW.write_parquet("new.parquet")
    query = ("duckdb://", "--query", "select * from 'new.parquet'", "-o", "duckdb.csv")
    command("score", "m.advae", *query)
    assert flags("duckdb.csv") == [False, True]
    import duckdb

    import advae.sql

    connection = duckdb.connect()
    advae.sql.register(connection, advae.load("m.advae"))
    found = connection.sql("select advae_score(t) from 'new.parquet' as t").fetchall()
    assert found[0] < found[1]


def pyod() -> None:
    """Learn and flag as PyOD does."""
    from advae.pyod import AdVAE

    rows = np.random.default_rng(0).normal(size=(300, 2))
    detector = AdVAE(iterations=50, random_state=0).fit(rows)
    assert detector.predict(np.array([[0.0, 0.0], [9.0, -9.0]])).tolist() == [0, 1]


def watch() -> None:
    """Post an alarm to a web address."""
    heard: list[bytes] = []

    class Listener(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Listener)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    Path("inbox").mkdir()
    NEW.write_csv("inbox/new.csv")
    address = f"http://127.0.0.1:{server.server_port}/alarms"
    command("watch", "m.advae", "inbox", "--state", "watch.state", "--to", address, codes=(4,))
    assert len(heard) == 1
    assert b"anomaly_score" in heard[0]


def _engine(name: str) -> None:
    Path("lake").mkdir()
    for number in range(3):
        NEW.write_parquet(f"lake/{number}.parquet")
    command("score", "m.advae", "lake/*.parquet", "-o", "parts", "--engine", name, "--workers", "1")
    assert flags("parts/*.parquet") == [False] * 3 + [True] * 3


def ray() -> None:
    """Score files into parts on Ray."""
    _engine("ray")


def spark() -> None:
    """Score files into parts on Spark."""
    _engine("spark")


DEMONSTRATIONS: dict[str, Callable[[], None]] = {
    demonstration.__name__: demonstration
    for demonstration in (
        *(duckdb, excel, mlflow, onnx, postgres, pyod),
        *(ray, serve, spark, sql, watch),
    )
}


def main(extra: str, *, lacking: bool) -> None:
    """Demonstrate an extra; or see that its lack is said."""
    try:
        DEMONSTRATIONS[extra]()
    except Exception as error:
        if lacking and f"advae[{extra}]" in str(error):
            return
        raise
    if lacking:
        sys.exit(f"{extra} works without the extra")


if __name__ == "__main__":
    main(sys.argv[-1], lacking="--lacking" in sys.argv)
