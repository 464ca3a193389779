"""The web application: routes of version 1, who may use it, and how much at once."""

import asyncio
import gc
import hmac
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, TypeVar

from fastapi import FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from advae.errors import ConfigError, quoted, quoted_list
from advae.parallel import available
from advae.serving import bodies, models, page
from advae.serving.bodies import RequestError
from advae.serving.metrics import Metrics
from advae.serving.models import Model, Scored

log = logging.getLogger("advae.serving")

LOOPBACK = ("127.0.0.1", "localhost", "::1")
PUBLIC = frozenset({"/", "/docs", "/openapi.json", "/v2/health/live", "/v2/health/ready"})
"""Paths that need no token: they tell nothing of a model or a row."""

INLINE_BYTES = 16_384
"""Bodies up to this size are read at once; larger ones in a thread, so that others go on."""

WAITING_REQUESTS = 512
"""Requests in work or waiting at a time in one process; further ones are refused with 429."""

BODIES_HELD = 8
"""Largest bodies that may be held at a time in one process."""

WATCH_SECONDS = 0.5

_REFUSALS: tuple[int | str, ...] = (400, 401, 403, 404, 405, 406, 408, 413, 415, 421, 422, 429, 503)
"""Statuses of answers in the format of `Error`."""

Given = TypeVar("Given")


@dataclass(frozen=True)
class Settings:
    """What a service is to do.

    Parameters
    ----------
    paths
        The model files; a model's name is that of its file, without the ending.
    kept
        A folder for copies of model files.
    host, port
        Where to listen.
    tokens
        Any of these lets a request in; none: no token is needed.
    insecure
        Whether to serve other machines without a token.
    max_rows, max_body
        The most rows and bytes of a request, each at least 1.
    timeout
        Seconds that a request may take to arrive, and again to be scored; above 0.
    shadow
        A second model file for the first model, or None.
    """

    paths: tuple[Path, ...]
    kept: Path
    host: str = "127.0.0.1"
    port: int = 8000
    tokens: tuple[str, ...] = ()
    insecure: bool = False
    max_rows: int = 100_000
    max_body: int = 32 * 2**20
    timeout: float = 30.0
    shadow: Path | None = None

    def __post_init__(self) -> None:
        names = [path.stem for path in self.paths]
        if len(set(names)) < len(names):
            raise ConfigError(f"two models have one name: {quoted_list(names)}. Rename a file.")
        if self.shadow is not None and len(self.paths) != 1:
            raise ConfigError(
                f"a shadow was given for {len(self.paths)} models; expected a single model."
            )
        if not (self.loopback or self.tokens or self.insecure):
            raise ConfigError(
                f"the host is {quoted(self.host)}, which other machines can reach; expected a "
                "loopback address, a file of tokens, or that it be insecure"
            )

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the service."""
        return self.host in LOOPBACK or self.host.startswith("127.")


class Error(BaseModel):
    """What every answer with a status of 400 or more holds."""

    error: str
    code: str
    column: str | None
    row: int | None


class Service:
    """The models of one process, and the account of what it has in hand.

    Raises
    ------
    ModelFileError
        If a model cannot be loaded.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.models = {
            path.stem: Model(path.stem, path, settings.kept, self.metrics, settings.shadow)
            for path in settings.paths
        }
        self.reload_asked = False
        self._threads = ThreadPoolExecutor(available(), "advae-bodies")
        self._requests = 0
        self._bytes = 0

    def model(self, name: str) -> Model:
        """Return a model by its name; 404 if there is none."""
        model = self.models.get(name)
        if model is None:
            raise RequestError(
                404,
                "unknown_model",
                f"there is no model {quoted(name)}. Ask GET /v1/models for the names.",
            )
        return model

    async def beside(self, size: int, work: Callable[..., Given], *arguments: Any) -> Given:
        """Do short work at once and longer work in a thread."""
        if size <= INLINE_BYTES:
            return work(*arguments)
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)

    async def within_limits(
        self, request: Request, answer: Callable[[bytes], Awaitable[Response]]
    ) -> Response:
        """Read a body and answer it, if there is room and time.

        Raises
        ------
        RequestError
            408, 413, 415, 429 or 503.
        """
        if self._requests >= WAITING_REQUESTS:
            raise _busy()
        self._requests += 1
        held = 0
        try:
            try:
                async with asyncio.timeout(self.settings.timeout):
                    chunks: list[bytes] = []
                    self._check_head(request)
                    async for chunk in request.stream():
                        held += len(chunk)
                        self._bytes += len(chunk)
                        if held > self.settings.max_body:
                            raise self._too_large()
                        if self._bytes > BODIES_HELD * self.settings.max_body:
                            raise _busy()
                        chunks.append(chunk)
            except TimeoutError:
                raise RequestError(
                    408, "too_slow", "the body did not arrive in time. Send it faster, or in parts."
                ) from None
            try:
                async with asyncio.timeout(self.settings.timeout):
                    return await answer(b"".join(chunks))
            except TimeoutError:
                raise RequestError(
                    503, "out_of_time", "scoring took too long. Send fewer rows, or try again."
                ) from None
        finally:
            self._requests -= 1
            self._bytes -= held

    def _check_head(self, request: Request) -> None:
        encoding = header(request, b"content-encoding") or "identity"
        if encoding.lower() != "identity":
            raise bodies.compressed_body(encoding)
        length = header(request, b"content-length")
        if length.isdigit() and int(length) > self.settings.max_body:
            raise self._too_large()

    def _too_large(self) -> RequestError:
        return RequestError(
            413,
            "too_large",
            f"the body has more than {self.settings.max_body} bytes. Send the rows in parts.",
        )

    async def watch(self) -> None:
        """Replace models whose file has changed, and count rows, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            asked, self.reload_asked = self.reload_asked, False
            for model in self.models.values():
                try:
                    await loop.run_in_executor(self._threads, model.refresh, asked)
                    await loop.run_in_executor(self._threads, model.current.monitor.flush)
                except Exception:  # the service goes on without these
                    log.exception("watching failed", extra={"model": model.name})

    def close(self) -> None:
        """End the threads."""
        for model in self.models.values():
            model.close()
        self._threads.shutdown()


def header(request: Request, name: bytes) -> str:
    """Return a header by its name in small letters, empty if there is none.

    Starlette's own look-up of four of them took a seventh of the time of a request.
    """
    found = (value for known, value in request.scope["headers"] if known == name)
    return next(found, b"").decode("latin-1")


def _busy() -> RequestError:
    return RequestError(429, "too_busy", "too many requests are in work. Try again in a second.")


def create_app(settings: Settings) -> FastAPI:
    """Return the application, its models loaded.

    Raises
    ------
    ModelFileError
        If a model cannot be loaded.
    """
    from advae.serving import inference

    service = Service(settings)

    @asynccontextmanager
    async def running(_app: FastAPI) -> AsyncIterator[None]:
        # What is loaded by now stays; to look through it for garbage took requests 0.1 s and more.
        gc.collect()
        gc.freeze()
        watching = asyncio.create_task(service.watch())
        log.info("ready", extra={"models": list(service.models)})
        yield
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
        service.close()
        log.info("stopped")

    app = FastAPI(
        title="advae",
        version=version("advae"),
        description="Scores rows of tables with self-adversarial variational autoencoders.",
        docs_url=None,
        redoc_url=None,
        lifespan=running,
        responses={status: {"model": Error} for status in _REFUSALS},
    )
    app.state.service = service
    app.add_exception_handler(RequestError, _refused)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_middleware(_Gate, service=service)
    _add_version_1(app, service)
    app.include_router(inference.routes(service))
    app.include_router(page.routes(app))
    return app


def _add_version_1(app: FastAPI, service: Service) -> None:
    @app.get("/v1/models")
    async def list_models() -> dict[str, list[str]]:
        """Return the names of the models."""
        return {"models": list(service.models)}

    @app.get("/v1/models/{name}")
    async def describe_model(name: str) -> dict[str, Any]:
        """Return a model's columns, threshold and fingerprint, and an example of a request."""
        return dict(models.described(service.model(name)))

    @app.get("/metrics", response_class=Response)
    async def metrics() -> Response:
        """Return metrics in the text format of Prometheus."""
        loop = asyncio.get_running_loop()

        def text() -> bytes:
            for model in service.models.values():
                model.current.monitor.flush()
            return service.metrics.text()

        found = await loop.run_in_executor(None, text)
        return Response(found, media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.post("/v1/models/{name}/score", openapi_extra=_SCORE, response_class=Response)
    async def score(
        request: Request,
        name: str,
        explain: Annotated[int, Query(ge=0, le=1000, description="Reasons for each row.")] = 0,
    ) -> Response:
        """Score rows: of each the score, the p-value, whether it is an anomaly, and reasons.

        The answer is of the kind of the request unless Accept names another.
        """
        model = service.model(name)
        kind = bodies.kind_of(header(request, b"content-type") or bodies.JSON)
        wanted = bodies.accepted(header(request, b"accept"), kind)

        async def answer(body: bytes) -> Response:
            size = len(body) if kind in (bodies.JSON, bodies.ARROW) else INLINE_BYTES + 1
            rows = await service.beside(
                size, bodies.read_rows, kind, body, model.current.detector, settings.max_rows
            )
            scored = await model.score(rows, explain)
            request.state.rows = rows.height
            written = await service.beside(rows.height * 100, write, scored, rows.unused)
            return Response(written, media_type=wanted)

        def write(scored: Scored, unused: list[str]) -> bytes:
            if wanted == bodies.JSON:
                return bodies.json_answer(scored.records(), unused)
            return bodies.write_answer(wanted, scored.frame())

        return await service.within_limits(request, answer)

    settings = service.settings


_ROW = {
    "type": "object",
    "required": ["anomaly_score", "is_anomaly", "p_value"],
    "properties": {
        "anomaly_score": {"type": "number", "minimum": 0},
        "is_anomaly": {"type": "boolean"},
        "p_value": {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
        "not_flagged_with": {
            "type": ["string", "null"],
            "description": "With reasons: values with which a flagged row would not be flagged.",
        },
        "reasons": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "column": {"type": "string"},
                    "contribution": {"type": "number"},
                    "observed": {"type": ["string", "null"]},
                    "expected": {
                        "type": ["string", "null"],
                        "description": "Null for a missing value, or for what was observed.",
                    },
                    "kind": {
                        "type": "string",
                        "description": "What is odd about the value, where the score has kinds.",
                    },
                },
            },
        },
    },
}
_TEXTS = {kind: {"schema": {"type": "string"}} for kind in (bodies.CSV, bodies.NDJSON)}
_BINARY = {bodies.ARROW: {"schema": {"type": "string", "format": "binary"}}}
_VALUE = {"type": ["string", "number", "boolean", "null"]}
_SCORE: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            bodies.JSON: {
                "schema": {
                    "oneOf": [
                        {
                            "type": "array",
                            "items": {"type": "object", "additionalProperties": _VALUE},
                        },
                        {
                            "type": "object",
                            "additionalProperties": {"type": "array", "items": _VALUE},
                        },
                    ]
                }
            }
        }
        | _TEXTS
        | _BINARY,
    },
    "responses": {
        "200": {
            "description": "Scores, a row for each row of the request.",
            "content": {
                bodies.JSON: {
                    "schema": {
                        "type": "object",
                        "required": ["rows"],
                        "properties": {
                            "rows": {"type": "array", "items": _ROW},
                            "unused_columns": {"type": "array", "items": {"type": "string"}},
                        },
                    }
                }
            }
            | _TEXTS
            | _BINARY,
        }
    },
}


def _error(refusal: RequestError) -> Response:
    headers = {"x-content-type-options": "nosniff"}
    if refusal.status in (408, 413, 415):
        headers["connection"] = "close"  # what is left of the body is not read
    if refusal.status in (429, 503):
        headers["retry-after"] = "1"
    if refusal.status == 401:
        headers["www-authenticate"] = "Bearer"
    return Response(refusal.body(), refusal.status, headers, bodies.JSON)


async def _refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestError)
    return _error(error)


async def _http_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    known = {
        404: ("not_found", "there is nothing at this address. GET /docs lists the addresses."),
        405: ("method_not_allowed", "this address has no such method. See GET /docs."),
    }
    code, message = known.get(error.status_code, ("bad_request", "the request cannot be read."))
    answer = _error(RequestError(error.status_code, code, message))
    answer.headers.update(error.headers or {})
    return answer


async def _invalid(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = quoted(first["loc"][-1])
    return _error(
        RequestError(422, "invalid_parameter", f"parameter {where}: {first['msg']}. Correct it.")
    )


class _Gate:
    """Lets requests in or not, and accounts for every one: in the log, and in the metrics."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app, self._service = app, service
        settings = service.settings
        self._tokens = [token.encode() for token in settings.tokens]
        self._local = settings.loopback and not self._tokens

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = time.perf_counter()
        status = 499  # whoever asked has gone
        scope.setdefault("state", {})

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            refusal = self._refusal(scope)
            if refusal is not None:
                await _error(refusal)(scope, receive, sending)
            else:
                await self._app(scope, receive, sending)
        except ClientDisconnect:
            pass
        except Exception as error:  # a fault of ours, whose message may hold values of rows
            log.error("failed", extra={"kind": type(error).__name__, "trace": _places(error)})
            if status == 499:
                failed = RequestError(
                    500,
                    "failed",
                    "the service failed at this request. Report it to whoever runs it.",
                )
                await _error(failed)(scope, receive, sending)
        finally:
            self._account(scope, status, time.perf_counter() - begun)

    def _refusal(self, scope: Scope) -> RequestError | None:
        headers = dict(scope["headers"])
        if self._local:
            # A page that a browser on this machine has open could otherwise reach the service
            # under a name of its own that leads here.
            host = headers.get(b"host", b"").decode("latin-1").rpartition("@")[2]
            name = host[1:].partition("]")[0] if host[:1] == "[" else host.partition(":")[0]
            if name not in LOOPBACK and not name.startswith("127."):
                return RequestError(
                    421, "wrong_host", "this service answers to localhost. Use that name."
                )
            origin = headers.get(b"origin", b"").decode("latin-1")
            if origin and origin.partition("://")[2] != host:
                return RequestError(
                    403, "wrong_origin", "a page of another origin may not use this service."
                )
        if self._tokens and scope["path"] not in PUBLIC:
            scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
            fits = [hmac.compare_digest(given.strip(), token) for token in self._tokens]
            if scheme.lower() != b"bearer" or not any(fits):
                return RequestError(
                    401, "no_token", "a valid token is needed. Send Authorization: Bearer TOKEN."
                )
        return None

    def _account(self, scope: Scope, status: int, seconds: float) -> None:
        # The pattern of the address, not the address, in which anything could stand.
        route = getattr(scope.get("route"), "path", "other")
        method = scope["method"] if route != "other" else "other"
        metrics = self._service.metrics
        metrics.requests.labels(route, method, status).inc()
        metrics.seconds.labels(route).observe(seconds)
        if log.isEnabledFor(logging.INFO):
            known = {"route": route, "method": method, "status": status}
            if "rows" in scope["state"]:
                known["rows"] = scope["state"]["rows"]
            log.info("request", extra=known | {"seconds": round(seconds, 6)})


def _places(error: BaseException) -> list[str]:
    """Return where an error was raised, without its message."""
    places, trace = [], error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        places.append(f"{Path(code.co_filename).name}:{trace.tb_lineno} {code.co_name}")
        trace = trace.tb_next
    return places[-8:]
