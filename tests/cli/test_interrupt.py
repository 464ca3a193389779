"""Signals: which ones stop a command, and what it then leaves behind."""

import importlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import Run
from hostile_files import good_table

from advae.cli import again_if_interrupted
from advae.cli.shared import Interrupt, interruptible

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class UnheededError(Exception):
    """A signal came through to whoever took it before."""


def unheeded(*_: object) -> None:
    raise UnheededError


@pytest.fixture(params=STOPPING)
def sent(request: pytest.FixtureRequest) -> Iterator[signal.Signals]:
    before = signal.signal(request.param, unheeded)
    yield request.param
    signal.signal(request.param, before)


def test_a_signal_stops_the_block_and_later_ones_go_where_they_went(sent: signal.Signals) -> None:
    with pytest.raises(KeyboardInterrupt), interruptible():
        os.kill(os.getpid(), sent)
    with pytest.raises(UnheededError):
        os.kill(os.getpid(), sent)


def test_what_is_ignored_stays_ignored(sent: signal.Signals) -> None:
    signal.signal(sent, signal.SIG_IGN)
    with interruptible() as stop:
        os.kill(os.getpid(), sent)
    assert not stop.requested


def test_a_command_stopped_while_it_writes_leaves_nothing(
    sent: signal.Signals, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, model = tmp_path / "t.csv", tmp_path / "m.advae"
    good_table().write_csv(data)
    assert run("fit", data, "-o", model, "--preset", "paper", "--iterations", 50).code == 0
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    monkeypatch.setattr("advae.atomic.os.fsync", lambda _: os.kill(os.getpid(), sent))
    for words in (
        ("report", model, data, "-o", tmp_path / "r.html"),
        ("threshold", model, "--value", 3),
        ("score", model, data, "-o", tmp_path / "s.csv", "--fdr", "0.1"),
    ):
        done = run(*words)
        assert done.code == 130
        assert done.err == "note interrupted; nothing was written\n"
        assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_command_whose_output_is_in_place_has_done_its_work(
    sent: signal.Signals, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, model, page = tmp_path / "t.csv", tmp_path / "m.advae", tmp_path / "r.html"
    good_table().write_csv(data)
    page.write_text("old")

    def placed(_: Path) -> None:
        if model.exists():  # until then it is a checkpoint
            os.kill(os.getpid(), sent)

    monkeypatch.setattr("advae.atomic._sync_folder", placed)
    for words in (
        ("fit", data, "-o", model, "--preset", "paper", "--iterations", 50),
        ("report", model, data, "-o", page),
        ("threshold", model, "--value", 3),
        ("score", model, data, "-o", tmp_path / "s.csv"),
    ):
        assert run(*words).code == 0, words
    assert page.read_text() != "old"
    left = sorted(each.name for each in tmp_path.iterdir())
    assert left == ["m.advae", "r.html", "s.csv", "t.csv"]


def test_an_output_in_place_takes_one_signal_and_no_second(
    sent: signal.Signals, tmp_path: Path
) -> None:
    with interruptible(tmp_path / "out"):
        (tmp_path / "out").write_text("new")
        os.kill(os.getpid(), sent)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), sent)


def test_once_the_work_is_done_a_signal_changes_nothing_but_a_second_one_does(
    sent: signal.Signals,
) -> None:
    signal.signal(sent, Interrupt())
    with interruptible():
        pass
    os.kill(os.getpid(), sent)
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), sent)
    signal.signal(sent, Interrupt())
    with pytest.raises(ValueError, match="no"), interruptible():
        raise ValueError("no")
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), sent)


def test_a_module_is_loaded_to_its_end_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "half_loaded.py").write_text(
        "import os, signal, time\n"
        "os.kill(os.getpid(), signal.SIGTERM)\n"
        "time.sleep(0.2)\n"
        "whole = True\n"
    )
    monkeypatch.syspath_prepend(tmp_path)

    def work() -> None:
        importlib.import_module("half_loaded")
        time.sleep(20)

    with interruptible(), pytest.raises(KeyboardInterrupt):
        work()
    assert sys.modules.pop("half_loaded").whole


def test_an_interruption_that_python_could_only_print_comes_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Dying:
        def __del__(self) -> None:
            raise KeyboardInterrupt

    monkeypatch.setattr(sys, "unraisablehook", again_if_interrupted)
    Dying()
    with pytest.raises(KeyboardInterrupt):
        time.sleep(30)


def test_nothing_runs_after_an_interruption() -> None:
    # A handler of Python's end stands for the destructors of XLA, which come later.
    code = (
        "import atexit, sys; from advae import cli; cli.main = lambda: sys.exit(130); "
        "atexit.register(print, 'late'); print('said', end=''); cli.program()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "said", "")
