"""Where files are written: what is replaced, what is refused, and what stays as it was."""

import os
import re
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from unittest.mock import Mock

import polars as pl
import pytest
from command_line import Run
from hostile_files import good_table

import advae
from advae.atomic import replacing
from advae.errors import InputError
from advae.files.paths import expand_paths
from advae.files.sink import write_frames

LONG = "x" * 300


def by_stream(path: Path) -> None:
    with replacing(path) as stream:
        stream.write(b"new")


def by_frames(path: Path) -> None:
    write_frames([good_table()], path)


@pytest.fixture(params=[by_stream, by_frames])
def write(request: pytest.FixtureRequest) -> Callable[[Path], None]:
    return request.param


@pytest.fixture(scope="module")
def detector() -> advae.Detector:
    config = advae.Config(iterations=20, hidden=8, batch_size=16, points=4, surprise=False)
    return advae.fit_detector(good_table(), config)


@pytest.fixture
def files(detector: advae.Detector, tmp_path: Path) -> tuple[Path, Path]:
    """Return a model and a table, alone in a folder."""
    model, data = tmp_path / "good.advae", tmp_path / "good.csv"
    advae.save(detector, model)
    good_table().write_csv(data)
    return model, data


def test_a_pipe_is_refused_and_stays(write: Callable[[Path], None], tmp_path: Path) -> None:
    pipe, link = tmp_path / "pipe.csv", tmp_path / "link.csv"
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    for path in (pipe, link):
        with pytest.raises(InputError, match=f"cannot write {path}: it is a device, a pipe"):
            write(path)
        assert path.is_fifo()
    assert link.is_symlink()
    assert len(list(tmp_path.iterdir())) == 2


def test_a_link_stays_a_link(write: Callable[[Path], None], tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "old.csv").write_text("old")
    for name in ("old.csv", "none yet.csv"):
        link = tmp_path / f"link to {name}"
        link.symlink_to(Path("elsewhere") / name)
        write(link)
        assert link.is_symlink()
        assert (folder / name).read_text() not in ("", "old")
    assert len(list(folder.iterdir())) == 2
    (tmp_path / "a.csv").symlink_to("b.csv")
    (tmp_path / "b.csv").symlink_to("a.csv")
    with pytest.raises(InputError, match=r"Too many levels of symbolic links\. Choose another"):
        write(tmp_path / "a.csv")
    (tmp_path / "c.csv").symlink_to("nowhere/c.csv")
    with pytest.raises(InputError, match=r"folder .*/nowhere does not exist"):
        write(tmp_path / "c.csv")


@pytest.mark.parametrize("mode", [0o600, 0o664])
def test_permissions_stay(write: Callable[[Path], None], tmp_path: Path, mode: int) -> None:
    path = tmp_path / "a.csv"
    path.write_text("old")
    path.chmod(mode)
    write(path)
    assert path.read_text() != "old"
    assert path.stat().st_mode & 0o777 == mode


def test_names_that_no_file_can_have(write: Callable[[Path], None], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot write .*: File name too long. Choose another"):
        write(tmp_path / f"{LONG}.csv")
    with pytest.raises(InputError, match=r"cannot write .*: its name is not UTF-8. Choose another"):
        write(tmp_path / os.fsdecode(b"\xff.csv"))
    assert list(tmp_path.iterdir()) == []
    longest = tmp_path / f"{'x' * 251}.csv"
    write(longest)
    assert longest.exists()


def test_names_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read: File name too long"):
        expand_paths(tmp_path / f"{LONG}.csv")
    odd = tmp_path / os.fsdecode(b"\xff.csv")
    odd.write_text("a,b\n1,2\n")
    for given in (odd, tmp_path / "*.csv"):
        with pytest.raises(InputError, match=r"'.*udcff.csv': the name .* is not UTF-8. Rename"):
            expand_paths(given)


def test_threshold_keeps_permissions_and_links(run: Run, files: tuple[Path, Path]) -> None:
    model, _ = files
    model.chmod(0o600)
    link = model.with_name("link.advae")
    link.symlink_to(model.name)
    assert run("threshold", link, "--value", 3).code == 0
    assert link.is_symlink()
    assert model.stat().st_mode & 0o777 == 0o600
    assert advae.load(model).threshold.value == 3


def test_outputs_are_refused_before_the_work(run: Run, files: tuple[Path, Path]) -> None:
    model, data = files
    folder = model.parent
    pipe, odd = folder / "pipe.csv", folder / os.fsdecode(b"\xff.csv")
    os.mkfifo(pipe)
    longer = folder / f"{LONG}.csv"
    # A name that is short enough, but not with ".checkpoint" after it.
    long_model = folder / ("x" * 250)
    before = sorted(folder.iterdir())
    for output, message in {
        pipe: "it is a device, a pipe or a socket",
        odd: "its name is not UTF-8",
        longer: "File name too long",
    }.items():
        for words in (
            ("fit", data, "--iterations", "50"),
            ("score", model, data),
            ("threshold", model, "--value", "1"),
        ):
            done = run(*words, "-o", output)
            assert done.code == 2
            assert re.fullmatch(rf"error: cannot write [^\n]*{message}[^\n]*\n", done.err)
    done = run("report", model, data, "-o", folder / f"{LONG}.html")
    assert (done.code, done.out) == (2, "")
    assert "File name too long" in done.err
    done = run("fit", data, "--iterations", "50", "-o", long_model)
    assert done.code == 2
    assert "File name too long" in done.err
    assert sorted(folder.iterdir()) == before
    assert pipe.is_fifo()


def test_a_folder_not_to_be_written_to_is_refused_before_the_work(
    run: Run, files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, data = files
    # The superuser may write everywhere.
    monkeypatch.setattr("advae.atomic.os.access", lambda _, mode: mode != os.W_OK)
    monkeypatch.setattr("advae.detector.model_file.load", Mock(side_effect=AssertionError))
    old, new = data.with_name("old.html"), data.with_name("new.html")
    old.touch()
    for words in (("fit", data), ("score", model, data), ("report", model, data)):
        for output in (old, new):
            done = run(*words, "-o", output)
            message = f"error: cannot write {output}: no permission for folder {data.parent}."
            assert (done.code, done.err[: len(message)]) == (2, message)


def test_odd_names_of_inputs_are_one_error(run: Run, files: tuple[Path, Path]) -> None:
    model, data = files
    odd = data.rename(data.with_name(os.fsdecode(b"\xff.csv")))
    long = model.with_name(f"{LONG}.csv")
    for words in (
        ("score", model, odd),
        ("report", model, odd, "-o", model.with_name("r.html")),
        ("doctor", odd),
        ("doctor", long),
        ("score", model, long),
        ("score", long, odd),
    ):
        done = run(*words)
        assert done.code == 2, words
        assert re.fullmatch(r"error: [^\n]*\n", done.err), done.err


def test_a_model_may_have_an_odd_name(run: Run, files: tuple[Path, Path]) -> None:
    model, data = files
    odd = model.rename(model.with_name(os.fsdecode(b"\xff.advae")))
    report = model.with_name("r.html")
    for words in (("info", odd), ("score", odd, data), ("report", odd, data, "-o", report)):
        done = run(*words)
        assert done.code == 0, done.err
    assert "?.advae" in report.read_text()


def test_a_pattern_does_not_hide_that_an_output_is_an_input(
    run: Run, files: tuple[Path, Path]
) -> None:
    model, data = files
    content = data.read_bytes()
    for words in (("score", model, "*.csv"), ("fit", "g*.csv")):
        command, *others, pattern = words
        done = run(command, *others, data.parent / pattern, "-o", data)
        assert done.code == 2
        assert f"error: {data} is also an input. Write to another file" in done.err
        assert data.read_bytes() == content
    assert pl.read_csv(data).height == good_table().height


def test_standard_input_and_the_file_of_a_database_are_inputs(
    run: Run, files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, data = files
    database = data.with_name("rows.db")
    with sqlite3.connect(database) as connection:
        connection.execute("create table t (a)")
    before = database.read_bytes(), data.read_bytes()
    with data.open() as rows:
        monkeypatch.setattr("sys.stdin", rows)
        for words in (("score", model, "-"), ("fit", "-")):
            done = run(*words, "-o", data)
            assert done.code == 2
            assert done.err == f"error: {data} is also an input. Write to another file.\n"
    words = ("fit", f"sqlite:///{database}", "--query", "select * from t", "-o", database)
    assert run(*words).err == f"error: {database} is also an input. Write to another file.\n"
    assert (database.read_bytes(), data.read_bytes()) == before


def test_errors_call_standard_input_by_its_name(
    run: Run, files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    model, data = files
    lines = data.read_text().splitlines(keepends=True)
    texts = {
        "": "standard input: the file is empty",
        "".join([*lines[:2], lines[2].rstrip("\n") + ",1\n"]): "standard input: line 3",
        "other\n1\n": "standard input has 'other'",
    }
    for number, (text, said) in enumerate(texts.items()):
        path = tmp_path / f"{number}.csv"
        path.write_text(text)
        with path.open() as rows:
            monkeypatch.setattr("sys.stdin", rows)
            done = run("score", model, "-")
        assert done.code == 2
        assert said in done.err
        assert "/" not in done.err


def test_of_two_writers_at_a_time_one_has_the_file(tmp_path: Path) -> None:
    path, both = tmp_path / "t.parquet", Barrier(2)

    def write(value: int) -> None:
        def frames() -> Iterator[pl.DataFrame]:
            for _ in range(3):
                both.wait()
                yield pl.DataFrame({"a": [value] * 1000})

        write_frames(frames(), path)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write, (1, 2)))
    values = pl.read_parquet(path)["a"]
    assert (values.len(), values.n_unique()) == (3000, 1)
    assert list(tmp_path.iterdir()) == [path]


def test_the_umask_of_other_threads_is_left_alone(
    write: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "umask", Mock(side_effect=AssertionError("all threads share it")))
    write(tmp_path / "new.csv")


@pytest.mark.parametrize("refused", ["open", "fsync"])
def test_a_folder_that_cannot_be_synced_is_written_to(
    refused: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = getattr(os, refused)

    def on_files_alone(asked: str | Path | int, *options: int) -> int | None:
        if os.path.isdir(asked):  # noqa: PTH112 - also of a descriptor
            raise OSError(22, "Invalid argument")
        opened: int | None = real(asked, *options)
        return opened

    monkeypatch.setattr(os, refused, on_files_alone)
    path = tmp_path / "out"
    by_stream(path)
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["out"]  # noqa: PTH208
