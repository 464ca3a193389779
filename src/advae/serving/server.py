"""The processes of a service: sockets, workers, signals and the log."""

import asyncio
import json
import logging
import os
import signal
import socket
import sys
import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.config import STARTUP_FAILURE
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.supervisors.multiprocess import Multiprocess

from advae import tensorfile
from advae.errors import AdVAEError, ConfigError, InputError, ModelFileError, quoted
from advae.serving.app import Settings, create_app
from advae.serving.bodies import JSON, RequestError

log = logging.getLogger("advae.serving")

HEAD_BYTES = 65_536
"""The most bytes of a request's address and headers together."""

HEAD_SECONDS = 15.0
"""Seconds in which the head of a connection's first request must have come."""

BACKLOG = 2048
"""Connections that the system holds until the service takes them."""

IDLE_SECONDS = 15
"""Seconds that a connection may be idle between requests."""


def read_tokens(path: Path) -> tuple[str, ...]:
    """Return the tokens in a file, one a line.

    Raises
    ------
    InputError
        If the file cannot be read, or holds no token.
    """
    try:
        lines = path.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not text"
        raise InputError(f"{path}: {reason}. Give a file with a token a line.") from None
    short = any(len(token) < 16 for token in lines)
    if not lines or short:
        what = "a token has fewer than 16 characters" if short else "no token"
        raise InputError(f"{path}: {what}. Give a file with a token of 16 or more a line.")
    return tuple(lines)


def serve(settings: Settings, workers: int) -> None:
    """Serve until a signal ends it: SIGTERM or SIGINT; SIGHUP has all model files read again.

    Parameters
    ----------
    settings
        What to serve; ``settings.kept`` is a folder of this call's own.
    workers
        Processes, at least 1. With several, one that dies is replaced.

    Raises
    ------
    ConfigError
        If the address cannot be used.
    ModelFileError
        If a model cannot be loaded.
    """
    configure_log()
    for path in (*settings.paths, *([settings.shadow] if settings.shadow else [])):
        tensorfile.read(path, "model")
    listening = _listen(settings)
    with listening, tempfile.TemporaryDirectory(prefix="advae-serve-") as folder:
        settings = replace(settings, kept=Path(folder))
        host, port = listening.getsockname()[:2]
        if workers == 1:
            app = create_app(settings)
            _say_where(host, port, settings)
            signal.signal(signal.SIGHUP, partial(_ask_to_reload, app))
            # uvicorn raises a signal again that it ended for; this one has been obeyed by then.
            signal.signal(signal.SIGTERM, lambda *_: None)
            uvicorn.Server(_config(app, settings)).run([listening])
            return
        metrics = Path(folder) / "metrics"
        metrics.mkdir()
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(metrics)
        config = _config(partial(_worker, settings), settings, factory=True, workers=workers)
        _say_where(host, port, settings)
        supervisor = _Supervisor(config, [listening])
        supervisor.run()
        if any(process.exitcode == STARTUP_FAILURE for process in supervisor.processes):
            raise ModelFileError("a worker could not load its models. The log says why.")


def _say_where(host: str, port: int, settings: Settings) -> None:
    shown = f"[{host}]" if ":" in host else host
    log.info("listening", extra={"address": f"http://{shown}:{port}"})
    if settings.insecure and not settings.loopback and not settings.tokens:
        log.warning("insecure: whoever reaches this address may use the models")


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listening = socket.socket(family)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((settings.host, settings.port))
    except OSError as error:
        listening.close()
        raise ConfigError(
            f"cannot listen at {quoted(settings.host)}, port {settings.port}: {error.strerror}"
        ) from None
    # Now: whoever connects while models are loaded waits, and is not refused.
    listening.listen(BACKLOG)
    listening.set_inheritable(True)
    return listening


def _config(app: Any, settings: Settings, **more: Any) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=_Protocol,
        loop="uvloop",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_keep_alive=IDLE_SECONDS,
        timeout_graceful_shutdown=int(2 * settings.timeout) + 5,
        timeout_worker_healthcheck=30,
        backlog=BACKLOG,
        **more,
    )


def _worker(settings: Settings) -> FastAPI:
    """Return the application of a worker process."""
    configure_log()
    try:
        app = create_app(settings)
    except AdVAEError as error:
        log.error("cannot start", extra={"why": str(error)})
        sys.exit(STARTUP_FAILURE)
    signal.signal(signal.SIGHUP, partial(_ask_to_reload, app))
    return app


def _ask_to_reload(app: FastAPI, _number: int, _frame: FrameType | None) -> None:
    app.state.service.reload_asked = True


class _Supervisor(Multiprocess):
    """Starts workers, and starts them again when they die."""

    def handle_hup(self) -> None:
        """Have all workers read the model files again, instead of starting them again."""
        for process in self.processes:
            if process.pid is not None and process.process.is_alive():
                os.kill(process.pid, signal.SIGHUP)


class _Protocol(HttpToolsProtocol):
    """HTTP with bounds on heads and on the wait for them, and errors in the service's format."""

    _head = 0
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._deadline = self.loop.call_later(HEAD_SECONDS, self._too_late)

    def connection_lost(self, exc: Exception | None) -> None:
        self._met()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head = 0
        if self._deadline is None:  # of a later request
            self._deadline = self.loop.call_later(HEAD_SECONDS, self._too_late)

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._met()
        names = [name for name, _ in self.headers]
        if names.count(b"host") > 1 or names.count(b"content-length") > 1:
            raise ValueError("a header twice")
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002
        """Answer what is no HTTP, in the service's format, and end the connection."""
        if self._head > HEAD_BYTES:
            refusal = RequestError(431, "head_too_large", "address and headers are too long.")
        else:
            refusal = RequestError(400, "invalid_http", "this is no valid HTTP/1.1. Correct it.")
        self._refuse(refusal)

    def _refuse(self, refusal: RequestError) -> None:
        body = refusal.body()
        head = f"content-type: {JSON}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
        self.transport.write(STATUS_LINE[refusal.status] + head.encode() + body)
        self.transport.close()

    def _count(self, size: int) -> None:
        self._head += size
        if self._head > HEAD_BYTES:
            raise ValueError("the head is too large")

    def _met(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_late(self) -> None:
        self._deadline = None
        if not self.transport.is_closing():
            self._refuse(RequestError(408, "too_slow", "no request came in time."))


_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "taskName"}
"""What every record of a log has; what a record has besides was said by name."""


class _JsonLines(logging.Formatter):
    """A JSON object a line: when, how grave, what, and more by name."""

    def format(self, record: logging.LogRecord) -> str:
        told: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            "process": record.process,
        }
        told |= {k: v for k, v in vars(record).items() if k not in _FIELDS}
        if record.exc_info and record.exc_info[0] is not None:
            told["kind"] = record.exc_info[0].__name__
        return json.dumps(told, default=str)


def configure_log() -> None:
    """Write what the service and uvicorn say to standard error, a JSON object a line."""
    handler = logging.StreamHandler()
    handler.setFormatter(_JsonLines())
    logging.raiseExceptions = False  # a log that cannot be written stops nothing
    for name, level in (("advae.serving", logging.INFO), ("uvicorn", logging.WARNING)):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level)
    # Of requests that are no HTTP, which cost whoever sends them nothing.
    logging.getLogger("uvicorn.error").addFilter(
        lambda record: "Invalid HTTP" not in record.getMessage()
    )
