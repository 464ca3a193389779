"""``advae watch``: each alarm once, whatever happens to files, outlets, the state and the run."""

import http.server
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from command_line import Run

import advae
from advae.detector.detector import Threshold
from advae.watching import sources

NAMES = ["a", "b", "c"]
NEW = (4, 5)


def rows(count: int, seed: int, shift: float = 0.0) -> pl.DataFrame:
    """Return normal rows, every tenth with an anomaly."""
    x = np.random.default_rng(seed).normal(size=(count, 3))
    x[:, 2] = x[:, 0] + 0.1 * x[:, 2] + shift
    x[::10, 1] = 30 + seed
    return pl.DataFrame(x, NAMES, orient="row")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a model that flags nothing but the anomalies, and another such one."""
    folder = tmp_path_factory.mktemp("models")
    x = np.random.default_rng(9).normal(size=(600, 3))
    x[:, 2] = x[:, 0] + 0.1 * x[:, 2]
    train = pl.DataFrame(x, NAMES, orient="row")
    config = advae.Config(iterations=200, surprise=False)
    detector = advae.fit_detector(train, config)
    normal = float(detector.anomaly_score(rows(2000, 1)[1::10]).max())
    odd = float(detector.anomaly_score(rows(100, 1)[::10]).min())
    assert normal < odd
    for name, part in (("m.advae", 0.5), ("other.advae", 0.6)):
        value = normal + part * (odd - normal)
        advae.save(detector.with_threshold(Threshold("given", None, value)), folder / name)
    return folder


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sources, "SETTLED", 0.0)
    Path("in").mkdir()
    return tmp_path


def told(folder: Path) -> list[dict]:
    """Return the alarms in a folder."""
    texts = [path.read_text() for path in sorted(folder.glob("*.ndjson"))]
    return [json.loads(line) for text in texts for line in text.splitlines()]


def places(alarms: list[dict]) -> list[tuple[str, int]]:
    return sorted((Path(alarm["source"]).name, alarm["row"]) for alarm in alarms)


def expected(heights: dict[str, int]) -> list[tuple[str, int]]:
    return sorted((name, row) for name, n in heights.items() for row in range(0, n, 10))


def test_each_alarm_once_in_a_folder(run: Run, here: Path, models: Path) -> None:
    watch = ("watch", models / "m.advae", "in", "--state", "s.json", "--to", "out", "--keep", "id")
    for number in range(3):
        frame = rows(25, number).with_columns(pl.Series("id", [f"0{i}" for i in range(25)]))
        frame.write_csv(f"in/{number}.csv")
    done = run(*watch)
    assert done.code in NEW, done.err
    assert "75 new rows in 3 sources, 9 flagged" in " ".join(done.err.split())
    first = told(Path("out"))
    assert places(first) == expected({f"{n}.csv": 25 for n in range(3)})
    assert {alarm["reason_1"] for alarm in first} == {"b"}
    assert {alarm["id"] for alarm in first} == {"00", "010", "020"}
    assert len({alarm["alarm"] for alarm in first}) == 9
    assert run(*watch).code == 0
    rows(30, 7).with_columns(id=pl.lit("x")).write_parquet("in/4.parquet")
    assert run(*watch).code in NEW
    assert len(told(Path("out"))) == 12
    assert len(list(Path("out").iterdir())) == 4


def test_a_stray_file_of_a_folder_is_told_how_to_leave_out(
    run: Run, here: Path, models: Path
) -> None:
    rows(20, 3).write_csv("in/day-1.csv")
    Path("in/notes.txt").write_text("hello\n")
    advice = "watch a quoted pattern that the others match, such as 'in/day-*.csv', instead of"
    for _ in "ab":
        done = run("watch", models / "m.advae", "in", "--state", "s.json")
        assert done.code == 2
        said = " ".join(done.err.split())
        assert f"no rows. Give it rows. To leave out files that are no data, {advice}" in said
    assert "error" not in run("watch", models / "m.advae", "in/day-*.csv", "--state", "t.json").err
    done = run("watch", models / "m.advae", "in/notes*", "--state", "u.json")
    assert "no rows. Give it rows.\n" in done.err


def test_a_file_that_grows_is_scored_from_where_it_ended(
    run: Run, here: Path, models: Path
) -> None:
    watch = ("watch", models / "m.advae", "in/*.csv", "--state", "s.json", "--to", "out")
    whole = rows(60, 3)
    whole[:30].write_csv("in/a.csv")
    assert run(*watch).code in NEW
    whole.write_csv("in/a.csv")
    assert run(*watch).code in NEW
    assert places(told(Path("out"))) == expected({"a.csv": 60})
    # Touched, or renamed: no other rows.
    os.utime("in/a.csv", (1, 1))
    assert run(*watch).code == 0
    Path("in/a.csv").rename("in/b.csv")
    assert run(*watch).code == 0


@pytest.mark.parametrize("names", ["log.csv log-1.csv log-2.csv", "a.csv b.csv c.csv"])
@pytest.mark.parametrize("grown", [False, True])
def test_a_log_that_is_rotated_is_scored_once(
    run: Run, here: Path, models: Path, names: str, *, grown: bool
) -> None:
    watch = ("watch", models / "m.advae", "in", "--state", "s.json", "--to", "out")
    log, first, second = (Path("in") / name for name in names.split())
    height = 40 if grown else 30
    logs = [rows(40, 3), rows(40, 4), rows(10, 3)]  # the last one is how the first one begins

    def look(new: int) -> None:
        done = run(*watch)
        assert done.code in (NEW if new else (0,)), done.err
        assert f"{new} new row" in done.err
        assert "another content" not in " ".join(done.err.split())

    logs[0][:30].write_csv(log)
    look(30)
    logs[0][:height].write_csv(log)  # and no look before it is rotated
    log.rename(first)
    logs[1][:30].write_csv(log)
    look(height - 30 + 30)
    logs[1][:height].write_csv(log)
    first.rename(second)
    log.rename(first)
    log.touch()  # nothing in it yet
    look(height - 30)
    logs[2].write_csv(log)
    look(10)
    alarms = told(Path("out"))
    assert len({alarm["alarm"] for alarm in alarms}) == len(alarms) == 2 * height // 10 + 1


def test_a_file_that_shrinks_is_a_new_one_and_one_that_vanishes_is_no_error(
    run: Run, here: Path, models: Path
) -> None:
    watch = ("watch", models / "m.advae", "in", "--state", "s.json", "--to", "out")
    rows(50, 3).write_csv("in/a.csv")
    rows(50, 4).write_csv("in/b.csv")
    run(*watch)
    rows(20, 5).write_csv("in/a.csv")
    Path("in/b.csv").unlink()
    done = run(*watch)
    assert done.code in NEW
    assert "another content" in " ".join(done.err.split())
    assert len(told(Path("out"))) == 10 + 2
    rows(50, 4).write_csv("in/b.csv")  # back again, as after a drive was away
    assert run(*watch).code == 0


def test_a_file_being_written_is_left(
    run: Run, here: Path, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = ("watch", models / "m.advae", "in", "--state", "s.json", "--to", "out")
    rows(50, 3).write_csv("in/a.csv")
    Path("in/empty.csv").touch()
    text = Path("in/a.csv").read_text()

    def write_on(_: float) -> None:
        with Path("in/a.csv").open("a") as stream:
            stream.write(text.partition("\n")[2])

    monkeypatch.setattr(sources.time, "sleep", write_on)
    done = run(*watch)
    assert done.code == 0
    assert "2 files empty or still being written" in " ".join(done.err.split())
    monkeypatch.setattr(sources.time, "sleep", lambda _: None)
    assert run(*watch).code in NEW
    assert places(told(Path("out"))) == expected({"a.csv": 100})


def test_a_bad_file_does_not_keep_others_from_being_scored(
    run: Run, here: Path, models: Path
) -> None:
    watch = ("watch", models / "m.advae", "in", "--state", "s.json", "--to", "out")
    Path("in/a.csv").write_text("a,b,c\n1,2,x\n")
    Path("in/b.csv").write_text("a,b\n1,2\n")
    rows(20, 3).write_csv("in/c.csv")
    done = run(*watch)
    assert done.code == 2
    assert "in/a.csv" in done.err
    assert "in/b.csv" in done.err
    assert places(told(Path("out"))) == expected({"c.csv": 20})
    rows(20, 4).write_csv("in/a.csv")
    Path("in/b.csv").unlink()
    assert run(*watch).code in NEW
    assert places(told(Path("out"))) == expected({"a.csv": 20, "c.csv": 20})


def test_a_file_that_cannot_be_read_does_not_keep_others_from_being_scored(
    run: Run, here: Path, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = ("watch", models / "m.advae", "in", "--state", "s.json", "--to", "out")
    for number, name in enumerate("abc"):
        rows(20, number).write_csv(f"in/{name}.csv")
    readable = Path.open

    def open_others(path: Path, *args: Any, **kwargs: Any) -> Any:
        if path.name == "b.csv":  # not by its mode, which root does not heed
            raise PermissionError(13, "Permission denied")
        return readable(path, *args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", open_others)
        done = run(*watch)
    assert done.code == 2
    assert "in/b.csv: cannot be read: Permission denied." in done.err
    assert places(told(Path("out"))) == expected({"a.csv": 20, "c.csv": 20})
    assert run(*watch).code in NEW
    assert places(told(Path("out"))) == expected({"a.csv": 20, "b.csv": 20, "c.csv": 20})


def test_another_model_is_said_and_scores_new_files_alone(
    run: Run, here: Path, models: Path
) -> None:
    rest = ("in", "--state", "s.json", "--to", "out")
    rows(20, 3).write_csv("in/a.csv")
    run("watch", models / "m.advae", *rest)
    rows(20, 4).write_csv("in/b.csv")
    done = run("watch", models / "other.advae", *rest)
    assert done.code in NEW
    assert "the model is another" in " ".join(done.err.split())
    alarms = told(Path("out"))
    assert places(alarms) == expected({"a.csv": 20, "b.csv": 20})
    assert len({alarm["model"] for alarm in alarms}) == 2
    assert "another" not in run("watch", models / "other.advae", *rest).err


@pytest.mark.parametrize("name", ["alarm", "source", "model", "event"])
def test_a_kept_column_takes_the_place_of_none_that_alarms_have(
    run: Run, here: Path, models: Path, name: str
) -> None:
    rows(20, 3).with_columns(pl.lit("kept").alias(name)).write_csv("in/a.csv")
    done = run(*("watch", models / "m.advae", "in", "--state", "s.json", "--keep", name, "--json"))
    assert (done.code, done.out) == (2, "")
    assert f"column '{name}' cannot be kept" in " ".join(done.err.split())
    assert not Path("s.json").exists()


@pytest.mark.parametrize("damage", ["cut", "altered", "other", "later"])
def test_a_damaged_state_is_one_error(run: Run, here: Path, models: Path, damage: str) -> None:
    watch = ("watch", models / "m.advae", "in", "--state", "s.json", "--to", "out")
    rows(20, 3).write_csv("in/a.csv")
    run(*watch)
    text = Path("s.json").read_text()
    texts = {
        "cut": text[:100],
        "altered": text.replace('"rows": 20', '"rows": 10'),
        "other": "[1, 2]",
        "later": text.replace('"version": 1', '"version": 2'),
    }
    Path("s.json").write_text(texts[damage])
    done = run(*watch)
    assert (done.code, done.out) == (2, "")
    assert done.err.count("error") == 1
    assert "s.json" in done.err
    assert "name another" in done.err
    assert Path("s.json").read_text() == texts[damage]
    assert len(told(Path("out"))) == 2


def test_rows_of_a_database_past_a_column_go_into_a_table(
    run: Run, here: Path, models: Path
) -> None:
    def add(frame: pl.DataFrame) -> None:
        with sqlite3.connect("d.db") as database:
            database.execute("create table if not exists r (id integer primary key, a, b, c)")
            database.executemany("insert into r (a, b, c) values (?, ?, ?)", frame.rows())

    watch = ("watch", models / "m.advae", "sqlite:///d.db", "--query", "select * from r")
    watch = (*watch, "--since", "id", "--state", "s.json", "--to", "alarms")
    add(rows(50, 3))
    assert run(*watch).code in NEW
    assert run(*watch).code == 0
    before = Path("s.json").read_text()
    add(rows(30, 4))
    assert run(*watch).code in NEW
    Path("s.json").write_text(before)  # as after a kill before the state was written
    assert run(*watch).code in NEW
    with sqlite3.connect("d.db") as database:
        found = database.execute('select "row" from alarms order by "row"').fetchall()
    assert [row for (row,) in found] == [*range(1, 51, 10), *range(51, 81, 10)]
    assert "--since" in run(*watch[:5], "--state", "t.json").err
    assert "another source" in run(*watch[:4], "select a, b, c, id from r", *watch[5:]).err


class Receiver(http.server.BaseHTTPRequestHandler):
    answers: list[int]
    batches: list[tuple[str, dict]]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        answer = self.answers.pop(0) if self.answers else 204
        if answer < 300:
            self.batches.append((self.headers["Idempotency-Key"], body))
        self.send_response(answer)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[tuple[type[Receiver], str]]:
    made = type("Made", (Receiver,), {"answers": [], "batches": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), made)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield made, f"http://127.0.0.1:{server.server_address[1]}/hook?token=hidden"
    server.shutdown()
    server.server_close()


def test_a_webhook_is_tried_again_and_then_next_time(
    run: Run, here: Path, models: Path, receiver: tuple[type[Receiver], str]
) -> None:
    made, address = receiver
    watch = ("watch", models / "m.advae", "in", "--state", "s.json", "--to", address, "--json")
    rows(20, 3).write_csv("in/a.csv")
    made.answers.extend([503])
    assert run(*watch).code in NEW
    assert len(made.batches) == 1
    rows(20, 4).write_csv("in/b.csv")
    made.answers.extend([403])
    done = run(*watch)
    assert done.code == 2
    assert "answers 403" in done.err
    assert "hidden" not in done.err
    assert len(made.batches) == 1
    done = run(*watch)
    assert done.code in NEW
    assert json.loads(done.out)["alarms"] == 2
    assert places([a for _, body in made.batches for a in body["alarms"]]) == expected(
        {"a.csv": 20, "b.csv": 20}
    )
    assert len({key for key, _ in made.batches}) == 2
    assert run(*watch).code == 0


def test_names_of_many_bytes_are_cut(run: Run, here: Path, models: Path) -> None:
    watch = ("watch", models / "m.advae", "in", "--state", "s.json", "--to", "out")
    for number, end in enumerate("一二"):  # which the names of the alarms' files have no more
        rows(20, number).write_csv(f"in/{'漢' * 81}{end}.csv")
    done = run(*watch)
    assert done.code in NEW, done.err
    assert len(told(Path("out"))) == 4
    assert {path.name.split(".")[0] for path in Path("out").iterdir()} == {"漢" * 50}


def test_alarms_are_valid_json_whatever_is_kept(
    run: Run, here: Path, models: Path, receiver: tuple[type[Receiver], str]
) -> None:
    kept = pl.Series("z", [[1.5, float("nan")], [float("-inf"), None]] * 10)
    frame = rows(20, 3).with_columns(kept, x=pl.lit(float("nan")), y=pl.lit(float("inf")))
    frame.write_parquet("in/a.parquet")
    made, address = receiver
    watch = ("watch", models / "m.advae", "in", "--json")
    watch = (*watch, "--keep", "x", "--keep", "y", "--keep", "z")

    def strict(text: str) -> dict:
        return json.loads(text, parse_constant=lambda name: pytest.fail(name))

    done = run(*watch, "--state", "s.json")
    assert done.code in NEW
    run(*watch, "--state", "t.json", "--to", "out")
    run(*watch, "--state", "u.json", "--to", address)
    lines = [line for path in Path("out").iterdir() for line in path.read_text().splitlines()]
    ways = [done.out.splitlines()[:2], lines, map(json.dumps, made.batches[0][1]["alarms"])]
    for alarms in ways:
        first, _ = map(strict, alarms)
        assert (first["x"], first["y"], first["z"]) == (None, None, [1.5, None])


def test_alarms_are_lines_on_standard_output(run: Run, here: Path, models: Path) -> None:
    watch = ("watch", models / "m.advae", "in", "--state", "s.json")
    rows(20, 3).write_csv("in/a.csv")
    done = run(*watch, "--json")
    assert done.code == 4
    events = [json.loads(line) for line in done.out.splitlines()]
    assert [event["event"] for event in events] == ["alarm", "alarm", "run"]
    rows(20, 4).write_csv("in/b.csv")
    assert run(*watch).out.startswith("in/b.csv, row 0: ")


def test_drift_is_said_once_with_the_rows_to_fit_again_on(
    run: Run, here: Path, models: Path
) -> None:
    watch = ("watch", models / "m.advae", "in", "--state", "s.json", "--to", "out", "--json")
    rows(2000, 3).select("a", pl.lit(0.1).alias("b"), "c").write_csv("in/00.csv")
    run(*watch)
    events = []
    for number in range(1, 4):
        rows(700, number, shift=2.0).write_csv(f"in/0{number}.csv")
        done = run(*watch)
        events.append([json.loads(line) for line in done.out.splitlines()])
        moved = [e for e in events[-1] if e["event"] == "drift" and e["column"] == "c"]
        assert bool(moved) == (number == 1)
        if moved:
            assert done.code == 5
            assert "01.csv, row 0" in moved[0]["place"]
            assert "“c”" in moved[0]["what"]
    advice = [e["what"] for each in events for e in each if e["event"] == "advice"]
    begun = "if the rows from in/01.csv, row 0 on are normal, fit again on them: "
    assert {f"{begun}{count} rows so far" for count in ("700", "1,400")} & {*advice}


def test_drift_tells_the_date_of_the_first_row(run: Run, here: Path) -> None:
    def dated(count: int, seed: int, shift: float = 0.0) -> pl.DataFrame:
        days = pl.datetime_range(
            pl.datetime(2024, seed, 1), pl.datetime(2024, seed, 28), "27m", eager=True
        )
        return rows(count, seed, shift).with_columns(when=days[:count])

    config = advae.Config(iterations=50, surprise=False)
    advae.save(advae.fit_detector(dated(600, 1), config), "m.advae")
    dated(700, 5, shift=3.0).write_csv("in/a.csv")
    done = run("watch", "m.advae", "in", "--state", "s.json", "--to", "out")
    assert "in rows from in/a.csv, row 0 (when 2024-05-01T00:00:00.000000) on" in done.err


def test_wrong_use_is_one_error(run: Run, here: Path, models: Path) -> None:
    model = models / "m.advae"
    rows(20, 3).write_csv("in/a.csv")
    state = ("--state", "s.json")
    assert "no such file or folder" in run("watch", model, "none", *state).err
    assert "--every is 5" in run("watch", model, "in", *state, "--every", "5").err
    assert "folder of SOURCE" in run("watch", model, "in", *state, "--to", "in").err
    assert "--since" in run("watch", model, "in", *state, "--since", "a").err
    said = run("watch", model, "sqlite:///d.db", *state, "--since", "id").err
    assert "Say with --query what to read of it.\n" in said
    from advae.watching.state import alone

    with alone(Path("s.json")):
        assert "another advae watch" in run("watch", model, "in", *state).err


def start(*arguments: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "advae", *map(str, arguments)])


@pytest.mark.slow
def test_no_kill_loses_or_doubles_an_alarm(here: Path, models: Path) -> None:
    rng = random.Random(0)
    heights = {f"{n:03}.csv": 10 + n % 30 for n in range(40)}
    for number, (name, height) in enumerate(heights.items()):
        rows(height, number).write_csv(f"in/{name}")
    watch = ("watch", models / "m.advae", "in", "--state", "s.json", "--to", "out", "--quiet")
    kills = 0
    for _ in range(10):
        process = start(*watch)
        deadline = time.monotonic() + 60
        # From the first sign of work on: importing takes most of the time.
        signs = len(list(here.glob("out/*"))) + here.joinpath("s.json").exists()
        while process.poll() is None and time.monotonic() < deadline:
            if len(list(here.glob("out/*"))) + here.joinpath("s.json").exists() > signs:
                break
        time.sleep(rng.uniform(0, 0.05))
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.wait()
        assert all(line.endswith("\n") for p in here.glob("out/*.ndjson") for line in p.open())
    assert kills
    assert start(*watch).wait() in (0, *NEW)
    assert places(told(Path("out"))) == expected(heights)
    assert start(*watch).wait() == 0


@pytest.mark.slow
def test_every_looks_again_until_a_signal(here: Path, models: Path) -> None:
    rows(20, 3).write_csv("in/a.csv")
    process = start(
        *("watch", models / "m.advae", "in", "--state", "s.json", "--to", "out", "--every", "0.2s")
    )
    deadline = time.monotonic() + 120
    while len(told(Path("out"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    rows(20, 4).write_csv("in/b.csv")
    while len(told(Path("out"))) < 4 and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    assert places(told(Path("out"))) == expected({"a.csv": 20, "b.csv": 20})
