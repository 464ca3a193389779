"""The service that is measured: the real one, with an address more whose handler does nothing."""

import logging
import sys
import tempfile
from functools import partial
from pathlib import Path

from fastapi import FastAPI, Request, Response

from advae.serving import server
from advae.serving.app import Settings, create_app

ANSWER = b'{"rows": [{"anomaly_score": 0.5, "is_anomaly": false, "p_value": 0.5}]}'


def with_empty(settings: Settings) -> FastAPI:
    """Return the service's application with POST /empty, which reads a body and scores nothing."""
    app = create_app(settings)
    service = app.state.service

    @app.post("/empty", response_class=Response)
    async def empty(request: Request) -> Response:
        async def answer(_body: bytes) -> Response:
            return Response(ANSWER, media_type="application/json")

        return await service.within_limits(request, answer)

    return app


def worker(settings: Settings) -> FastAPI:
    """Return the application of a worker process, its log at warnings."""
    server.configure_log()
    logging.getLogger("advae.serving").setLevel(logging.WARNING)
    app = with_empty(settings)
    print("ready", flush=True)
    return app


def main(model: str, workers: int) -> None:
    """Serve a model on a free port, which is printed."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings((Path(model),), Path(folder), port=0)
        listening = server._listen(settings)
        print(listening.getsockname()[1], flush=True)
        make = partial(worker, settings)
        config = server._config(make, settings, factory=True, workers=workers)
        if workers == 1:
            server.uvicorn.Server(config).run([listening])
        else:
            server._Supervisor(config, [listening]).run()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
