"""Signals: which ones stop a command, and what it then leaves behind."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import Run
from hostile_files import good_table

from advae.cli.shared import interruptible

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
    assert run("fit", data, "-o", model, "--iterations", 50).code == 0
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    monkeypatch.setattr("advae.atomic.os.fsync", lambda _: os.kill(os.getpid(), sent))
    for words in (
        ("report", model, data, "-o", tmp_path / "r.html"),
        ("threshold", model, "--value", 3),
        ("score", model, data, "-o", tmp_path / "s.csv", "--fdr", "0.1"),
    ):
        assert run(*words).code == 130
        assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
