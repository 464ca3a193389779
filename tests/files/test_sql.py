"""Databases: queries are scored as files are; scores are written once, or not at all."""

import os
import re
import shlex
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pytest
from command_line import ANY_MODEL, Run
from postgres_server import PASSWORD, QUOTED, Server, program

import advae
from advae.files.sql import Address, Database

pytestmark = pytest.mark.engines
QUERY = "select * from payments"
INTO = ("--query", QUERY, "--into", "t", "--key", "id")
LONG = (
    "select i as id, i * 791 % 20000 / 1000.0 as amount, 'card' as kind, "
    "date '2024-01-01' as day\nfrom generate_series(1, 400000) as i"
)


def payments(rows: int = 3000) -> pl.DataFrame:
    rng = np.random.default_rng(0)
    return pl.DataFrame(
        {
            "id": np.arange(rows),
            "amount": rng.gamma(2, 10, rows),
            "kind": rng.choice(["card", "cash", None], rows),
            "day": pl.Series(rng.integers(19_700, 19_800, rows)).cast(pl.Date),
        }
    )


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    if program("initdb") is None:
        pytest.skip("PostgreSQL is not installed")
    server = Server()
    try:
        server.put("payments", payments())
        yield server
    finally:
        server.remove()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the payments in files and databases, a model, and their scores."""
    folder, table = tmp_path_factory.mktemp("databases"), payments()
    table.write_parquet(folder / "payments.parquet")
    with closing(sqlite3.connect(folder / "a.sqlite")) as database:
        database.execute("create table payments (id integer, amount real, kind text, day date)")
        texts = table.with_columns(pl.col("day").cast(pl.String))
        database.executemany("insert into payments values (?, ?, ?, ?)", texts.rows())
        database.commit()
    with closing(duckdb.connect(str(folder / "a.duckdb"))) as database:
        database.register("payments_", table.to_arrow())
        database.execute("create table payments as select * from payments_")
    detector = advae.fit_detector(table, advae.Config(iterations=100), ignored=["id"])
    advae.save(detector, folder / "model.advae")
    scored = detector.score_batches(table, keep=["id"], explain=2)
    pl.concat(scored).write_parquet(folder / "scores.parquet")
    return folder


@pytest.fixture(params=["postgresql", "sqlite", "duckdb"])
def address(request: pytest.FixtureRequest, folder: Path) -> str:
    """Return the address of a database that has the payments."""
    if request.param == "postgresql":
        return request.getfixturevalue("server").address
    return f"{request.param}:///{folder / 'a.'}{request.param}"


def rows_of(address: str, query: str) -> pl.DataFrame:
    return pl.concat(Database(address).query(query).batches())


def test_a_query_scores_as_a_file_does(
    run: Run, folder: Path, tmp_path: Path, address: str
) -> None:
    out = tmp_path / "scores.parquet"
    query = f"{QUERY} order by id;"
    words = ("--query", query, "-o", out, "--keep", "id", "--explain", 2, "--quiet")
    done = run("score", folder / "model.advae", address, *words)
    assert (done.code, done.err) == (0, "")
    found = pl.read_parquet(out)
    assert found.equals(pl.read_parquet(folder / "scores.parquet"))


def test_a_query_trains_as_a_file_does(
    run: Run, folder: Path, tmp_path: Path, address: str
) -> None:
    words = ("--iterations", 50, "--ignore", "id", "--ignore", "day", "--quiet")
    for data, query in ((folder / "payments.parquet", ()), (address, ("--query", QUERY))):
        out = tmp_path / f"{len(query)}.advae"
        assert run("fit", data, *query, "-o", out, *words).code == 0
    assert (tmp_path / "0.advae").read_bytes() == (tmp_path / "2.advae").read_bytes()
    assert PASSWORD.encode() not in (tmp_path / "2.advae").read_bytes()


def test_scores_are_written_once_however_often(run: Run, folder: Path, address: str) -> None:
    query = f"{QUERY} order by id"
    words = ("--query", query, "--into", "scores", "--key", "id", "--explain", 2, "--quiet")
    for _ in range(2):
        done = run("score", folder / "model.advae", address, *words)
        assert (done.code, done.out, done.err) == (0, "", "")
    wanted = pl.read_parquet(folder / "scores.parquet").drop("row")
    found = rows_of(address, "select * from scores order by id")
    assert len(found["model"].unique()) == 1
    # SQLite has no type for truths.
    found = found.drop("model").with_columns(pl.col("is_anomaly").cast(pl.Boolean))
    assert found.equals(wanted)
    # Another model's scores stand beside them.
    other = folder / "other.advae"
    assert run("threshold", folder / "model.advae", "--value", 1, "-o", other).code == 0
    assert run("score", other, address, *words).code == 0
    counts = rows_of(address, "select model, count(*) as n from scores group by model")
    assert counts["n"].to_list() == [3000, 3000]


@pytest.mark.parametrize("key", ["kind", "day"])
def test_keys_that_tell_no_rows_apart_write_nothing(
    run: Run, folder: Path, address: str, key: str
) -> None:
    words = ("--query", QUERY, "--into", f"by_{key}", "--key", key, "--quiet")
    done = run("score", folder / "model.advae", address, *words)
    assert done.code == 2
    assert f"the key {key!r} does not tell rows apart" in done.err
    with pytest.raises(advae.InputError, match=f"by_{key}"):
        rows_of(address, f"select * from by_{key}")


def test_a_table_of_other_columns_is_left_alone(run: Run, folder: Path, address: str) -> None:
    words = ("--query", QUERY, "--into", "payments", "--key", "id", "--quiet")
    done = run("score", folder / "model.advae", address, *words)
    assert done.code == 2
    assert "table 'payments' lacks columns 'anomaly_score', 'is_anomaly', 'model'" in done.err
    assert rows_of(address, QUERY).height == 3000


def test_a_stop_while_scores_are_written_leaves_the_table_as_it_was(address: str) -> None:
    def frames() -> Iterator[pl.DataFrame]:
        yield pl.DataFrame({"id": [1], "anomaly_score": [0.5]})
        raise KeyboardInterrupt

    database = Database(address)
    database.write([pl.DataFrame({"id": [0], "anomaly_score": [0.1]})], "stopped", ["id"], "m")
    with pytest.raises(KeyboardInterrupt):
        database.write(frames(), "stopped", ["id"], "m")
    assert rows_of(address, "select id, model from stopped").rows() == [(0, "m")]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("select * from nowhere", "nowhere"),
        ("selec", "the query cannot be run"),
        ("delete from payments", "the query cannot be run"),
        ("select 1 as a, 2 as a", "several columns 'a'"),
        (f"{QUERY} where 1 = 0", "the query returns no rows"),
        ("select id from payments", "missing columns"),
    ],
)
def test_a_wrong_query_is_one_error(
    run: Run, folder: Path, address: str, query: str, said: str
) -> None:
    done = run("score", folder / "model.advae", address, "--query", query, "--quiet")
    lines = [line for line in done.err.splitlines() if not line.startswith("note")]
    assert (done.code, len(lines)) == (2, 1)
    assert said in lines[0]
    assert PASSWORD not in done.err
    assert QUOTED not in done.err


def test_small_numbers_are_written(address: str) -> None:
    types = (pl.Int8, pl.Int16, pl.Int32, pl.UInt8, pl.UInt16, pl.UInt32, pl.Float32)
    frame = pl.DataFrame([pl.Series(str(dtype), [1, 2], dtype) for dtype in types])
    Database(address).write([frame], "small", ["Int8"], "m")
    assert rows_of(address, "select * from small").rows() == [(1,) * 7 + ("m",), (2,) * 7 + ("m",)]


def test_a_column_gets_its_type_from_its_first_value(address: str) -> None:
    def part(ids: list[int], late: object, never: object = None) -> pl.DataFrame:
        return pl.DataFrame({"never": never, "id": ids, "late": late, "last": [0.5] * len(ids)})

    empty = [part([1, 2], None), part([3], None)]
    Database(address).write(
        [*empty, part([4], 7), part([5], None), part([6], 9)], "nulls", ["id"], "m"
    )
    query = "select never, id, late, last from nulls order by id"
    late = [None, None, None, 7, None, 9]
    assert rows_of(address, query).rows() == [(None, n, late[n - 1], 0.5) for n in range(1, 7)]
    Database(address).write(empty, "nulls", ["id"], "m")
    Database(address).write([part([7], None, "a")], "nulls", ["id"], "m")
    assert rows_of(address, query)["never"].to_list() == [None] * 6 + ["a"]
    with pytest.raises(advae.InputError, match="key 'late' does not tell rows apart"):
        Database(address).write(empty, "keyless", ["late"], "m")


def test_mixed_values_of_sqlite_are_read_as_those_of_a_text_file(run: Run, tmp_path: Path) -> None:
    bad = {70_000: "abc", 70_003: "x"}
    rows = [
        (n, "" if n == 5 else n * 7 % 13, n % 5, bad.get(n, n % 4), "a" if n == 9 else 1.5)
        for n in range(70_010)
    ]
    with closing(sqlite3.connect(tmp_path / "m.db")) as database:
        database.execute("create table t (id, qty, price, late, odd)")
        database.executemany("insert into t values (?, ?, ?, ?, ?)", rows)
        database.commit()
    names = ["id", "qty", "price", "late", "odd"]
    for path, some in (("train.csv", rows[:300]), ("new.csv", rows)):
        lines = [",".join(map(str, row)) for row in (names, *some)]
        (tmp_path / path).write_text("\n".join(lines) + "\n")
    address = f"sqlite:///{tmp_path / 'm.db'}"
    query, ignored = "select * from t order by id", ("--ignore", "id", "--ignore", "odd")
    learn = (*ANY_MODEL, *ignored, "--quiet", "-o")
    data = {"f": (tmp_path / "train.csv",), "d": (address, "--query", f"{query} limit 300")}
    for name, words in data.items():
        assert run("fit", *words, *learn, tmp_path / f"{name}.advae").code == 0
    assert (tmp_path / "f.advae").read_bytes() == (tmp_path / "d.advae").read_bytes()
    model = tmp_path / "d.advae"
    done = run("score", model, address, "--query", query, "--quiet")
    assert done.code == 2
    assert "column 'late', row 70000" in done.err.splitlines()[-1]
    assert "'abc' is not a number" in done.err.splitlines()[-1]
    for how in ("flag", "skip"):
        scores = []
        for place in ((address, "--query", query), (tmp_path / "new.csv",)):
            out = tmp_path / "out.csv"
            words = ("--keep", "odd", "--on-error", how, "--quiet", "-o", out)
            assert run("score", model, *place, *words).code == 0
            scores.append(out.read_text())
        assert scores[0] == scores[1]


def test_types_of_postgresql(server: Server) -> None:
    table = rows_of(
        server.address,
        """select '12345678901234.5'::numeric(20, 2) as exact, 1.5::numeric as n,
        'd9428888-122b-11e1-b85c-61cd3cbb3210'::uuid as u, '1 day 2 min'::interval as span,
        '{"a": 1}'::jsonb as j, '2024-01-02 03:04:05+00'::timestamptz as at, true as yes""",
    )
    assert table.cast({"exact": pl.String, "at": pl.String}).row(0)[:3] == (
        "12345678901234.50",
        1.5,
        "d9428888-122b-11e1-b85c-61cd3cbb3210",
    )
    assert table["span"].dt.total_seconds().item() == 86520
    assert table["j"].item() == '{"a": 1}'
    assert table.schema["at"] == pl.Datetime("us", "UTC")


def test_nan_of_numeric_is_missing(run: Run, server: Server, tmp_path: Path) -> None:
    table = rows_of(
        server.address,
        """select * from (values ('NaN'::numeric(10, 2), 'NaN'::numeric, 'NaN'::numeric(40, 2)),
        (1.25, 1.5, 1e30)) as t(exact, n, long)""",
    )
    assert table.cast({"exact": pl.Float64}).rows() == [(None, None, None), (1.25, 1.5, 1e30)]
    query = (
        "select i, (case when i % 50 = 1 then 'NaN' else (i * 7 % 13)::text end)::numeric(10, 2) "
        "as x from generate_series(1, 200) as i"
    )
    model, out = tmp_path / "nan.advae", tmp_path / "nan.csv"
    words = ("--query", query, "--quiet", "-o")
    assert run("fit", server.address, *words, model, *ANY_MODEL).code == 0
    assert run("score", model, server.address, *words, out, "--keep", "x").code == 0
    assert pl.read_csv(out)["x"].null_count() == 4


@pytest.mark.parametrize(
    "end",
    ["-- of all", ";", "; -- it's all", ";\n/* ; */ -- ';\n", "where kind <> '; --x'", "-- a ;"],
)
def test_a_query_may_end_in_a_semicolon_or_a_comment(address: str, end: str) -> None:
    wanted = payments()["kind"].count() if "kind" in end else 3000
    assert rows_of(address, f"select id from payments {end}").height == wanted


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("'infinity'::timestamp", "after the year 9999"),
        ("'-infinity'::timestamptz", "before the year 1"),
        ("'infinity'::date", "after the year 9999"),
        ("'300000 years'::interval", "the duration is more than 10,000 years"),
        ("'-170000000 years'::interval", "the duration is more than 10,000 years"),
    ],
)
def test_times_without_end_are_one_error_where_they_are_used(
    run: Run, folder: Path, server: Server, tmp_path: Path, value: str, problem: str
) -> None:
    # The first row scores highest, so that it is shown in brief.
    query = (
        "select q.*, case when id = 0 then -1e9 else amount end as amount, "
        f"case when id = 0 then {value} end as far from (select id, kind, day from payments) as q "
        "join payments using (id) order by id"
    ).replace("q.*, ", "id, q.kind, q.day, ")
    words = (folder / "model.advae", server.address, "--query", query)
    done = run("score", *words, "--keep", "far", "-o", tmp_path / "x.ndjson")
    assert done.code == 2
    assert re.search(r"error: [^\n]*column 'far', row 0 [^\n]*" + problem, done.err)
    assert "panic" not in done.err
    assert run("score", *words, "-o", tmp_path / "x.csv").code == 0
    fit = ("--query", query, "-o", tmp_path / "m.advae", *ANY_MODEL, "--quiet")
    done = run("fit", server.address, *fit)
    assert (done.code, len(done.err.splitlines())) == (2, 1)
    assert "column 'far', row 0" in done.err
    assert run("fit", server.address, *fit, "--ignore", "far").code == 0


def score(
    folder: Path, address: str, *words: str, env: dict[str, str] | None = None
) -> "subprocess.Popen[str]":
    """Start the command in a process of its own."""
    command = [sys.executable, "-m", "advae", "score", str(folder / "model.advae"), address]
    return subprocess.Popen(
        [*command, *words, "--quiet"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | (env or {}),
    )


def test_a_wrong_password_and_a_silent_port(folder: Path, server: Server) -> None:
    for address, said in (
        (f"postgresql://advae:hunter2@{server.place}", "password authentication failed"),
        (f"postgresql://advae:hunter2@127.0.0.1:{server.port}/nowhere", "authentication failed"),
        ("postgresql://advae:hunter2@127.0.0.1:9/postgres", "Connection refused"),
    ):
        process = score(folder, address, "--query", QUERY)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out, len(err.splitlines())) == (2, "", 1)
        assert said in err
        assert "postgresql://advae:***@127.0.0.1" in err
        assert "hunter2" not in err


def test_passwords_come_from_the_environment_or_a_file(
    folder: Path, server: Server, tmp_path: Path
) -> None:
    lines = tmp_path / "passwords"
    lines.write_text(f"127.0.0.1:{server.port}:*:advae:{PASSWORD}\n")
    lines.chmod(0o600)
    for env in ({"PGPASSWORD": PASSWORD}, {"PGPASSFILE": str(lines)}):
        address = f"postgresql://advae@{server.place}"
        process = score(folder, address, "--query", f"{QUERY} limit 3", env=env)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, len(out.splitlines()), err) == (0, 4, "")


def wait_until_writing(server: Server) -> None:
    """Return when rows are on their way into the database."""
    watched = "select count(*) as n from pg_stat_progress_copy where command = 'COPY FROM'"
    for _ in range(3000):
        if server.ask(watched)["n"].item():
            return
        time.sleep(0.01)
    raise AssertionError("nothing was written")


def test_killed_in_the_middle_and_run_again(folder: Path, server: Server) -> None:
    words = ("--query", LONG, "--into", "killed", "--key", "id")
    process = score(folder, server.address, *words)
    wait_until_writing(server)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    tables = "select count(*) as n from pg_tables where tablename = 'killed'"
    assert server.ask(tables)["n"].item() == 0
    process = score(folder, server.address, *words)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out) == (0, ""), err
    counted = server.ask("select count(*) as n, count(distinct id) as ids from killed")
    assert counted.row(0) == (400_000, 400_000)


def test_the_server_restarted_in_the_middle(folder: Path, server: Server) -> None:
    words = ("--query", LONG, "--into", "restarted", "--key", "id")
    process = score(folder, server.address, *words)
    wait_until_writing(server)
    server.stop()
    out, err = process.communicate(timeout=60)
    server.start()
    assert (process.returncode, out, len(err.splitlines())) == (2, "", 1)
    assert "the connection was lost" in err
    assert PASSWORD not in err
    process = score(folder, server.address, *words)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out) == (0, ""), err
    counted = server.ask("select count(*) as n, count(distinct id) as ids from restarted")
    assert counted.row(0) == (400_000, 400_000)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://u:p@ss:w/rd@h:1/d", "postgresql://u:***@h:1/d"),
        ("postgresql://h/d?user=u&password=pw&sslmode=require", "postgresql://h/d?user=u&password=***&sslmode=require"),
        ("sqlite:///a.db", "sqlite:///a.db"),
        ("postgresql://u@h/d", "postgresql://u@h/d"),
    ],
)  # fmt: skip
def test_addresses_show_no_password(text: str, shown: str) -> None:
    address = Address(text)
    assert str(address) == shown
    assert "pw" not in repr(address)
    assert "p@ss" not in address.scrub(f"could not parse {text}")
    assert address.scrub("secret p@ss:w/rd") == (
        "secret ***" if "p@ss" in text else "secret p@ss:w/rd"
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("a.csv", "--query", QUERY), "--query reads from a database"),
        (("duckdb://", "--into", "t"), "--into writes into the database"),
        (("duckdb://", "--query", QUERY, "--into", "t"), "--into needs to know which columns"),
        (("duckdb://", "--query", QUERY, "--key", "id"), "Add --into TABLE"),
        (("duckdb://", *INTO), "duckdb:// is a database in memory"),
        (("duckdb:///:memory:", *INTO), "is a database in memory"),
        (("sqlite://", *INTO), "is a database in memory"),
        (("sqlite+pysqlite:///:memory:", *INTO), "is a database in memory"),
        (("sqlite:///no.db", *INTO[:3], "", *INTO[4:]), "--into is '', which names no table"),
        (("sqlite:///no.db", *INTO[:3], "main.", *INTO[4:]), "names no table"),
        (("duckdb://x:pw@y",), "duckdb://x:***@y: the address of a database"),
        (("sqlite:///no.db", "--query", QUERY), "no such file"),
        (("mysql://u:pw@h/d", "--query", QUERY), "MySQLdb"),
    ],
)
def test_options_of_which_one_needs_another(
    run: Run, folder: Path, words: tuple[str, ...], said: str
) -> None:
    done = run("score", folder / "model.advae", *words)
    assert done.code == 2
    assert said in done.err
    assert "pw" not in done.err


def test_commands_that_read_files_only_say_so(run: Run, folder: Path) -> None:
    done = run("evaluate", folder / "model.advae", "duckdb://x:pw@y", "--label", "l")
    assert done.code == 2
    assert "Give files here" in done.err
    assert "pw" not in done.err


def test_files_are_read_by_way_of_duckdb(run: Run, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "scores.csv"
    words = ("--query", f"select * from '{folder}/payments.parquet'", "-o", out, "--quiet")
    assert run("score", folder / "model.advae", "duckdb://", *words).code == 0
    assert pl.read_csv(out).height == 3000


def test_the_page_runs(
    run: Run, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    server.put("payments_of_two_years", payments().with_columns(year=2023 + pl.col("id") % 2))
    (tmp_path / "lake").mkdir()
    for path in ("lake/a.parquet", "new.parquet"):
        payments().write_parquet(path)
    page = (Path(__file__).parents[2] / "docs" / "databases.md").read_text()
    page = page.replace("postgresql://ada@db/shop", server.address)
    page = page.replace("from payments", "from payments_of_two_years")
    lines = re.findall(r"^\$ advae (.*)$", page, re.MULTILINE)
    assert len(lines) == 3
    for line in lines:
        words = [*shlex.split(line), *(["--iterations", "50"] if line.startswith("fit") else [])]
        assert run(*words).code == 0, line
    counted = server.ask("select count(*) as n from scores where p_value > 0")
    assert counted["n"].item() >= 1500
    names: dict[str, object] = {}
    code = "".join(re.findall(r"```python\n(.*?)```", page, re.DOTALL))
    exec(code.replace("connection.sql", "found = connection.sql"), names)
    assert names["found"].fetchall()[0][1] > 0
