"""advae serve."""

from pathlib import Path
from typing import Annotated

import typer

from advae.cli.shared import check_single
from advae.errors import MissingExtraError

DEFAULT_ROWS = 100_000
DEFAULT_MEGABYTES = 32
DEFAULT_SECONDS = 30.0


def serve(
    models: Annotated[
        list[Path],
        typer.Argument(metavar="MODEL...", help="Model files; each is known by its file's name."),
    ],
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Address to listen at.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(metavar="PORT", min=0, max=65535, help="Port; 0 for a free one.")
    ] = 8000,
    token_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Tokens, one a line; requests must bring one of them."),
    ] = None,
    max_rows: Annotated[
        int, typer.Option(metavar="N", min=1, help="The most rows of a request.")
    ] = DEFAULT_ROWS,
    max_body: Annotated[
        int, typer.Option(metavar="MB", min=1, max=4096, help="The most megabytes of a request.")
    ] = DEFAULT_MEGABYTES,
    timeout: Annotated[
        float,
        typer.Option(
            metavar="SECONDS", min=0.1, help="Time for a request to arrive, and again to be scored."
        ),
    ] = DEFAULT_SECONDS,
    workers: Annotated[
        int, typer.Option(metavar="N", min=1, max=256, help="Processes that serve.")
    ] = 1,
    shadow: Annotated[
        Path | None,
        typer.Option(metavar="OTHER", help="Model to compare flags with, in the metrics only."),
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Serve other machines without a token.")
    ] = False,
) -> None:
    """Serve models over HTTP: scores, reasons, metrics, and a page at /.

    A model file that is replaced is taken over while the service runs, if it is a good one.
    """
    try:
        from advae.serving.app import Settings
        from advae.serving.server import read_tokens, serve
    except ImportError as error:
        raise MissingExtraError(
            f"serving needs {error.name}. Install it with: pip install 'advae[serve]'"
        ) from None

    for model in (*models, *([] if shadow is None else [shadow])):
        check_single(model)
    settings = Settings(
        paths=tuple(models),
        kept=Path(),
        host=host,
        port=port,
        tokens=() if token_file is None else read_tokens(token_file),
        insecure=insecure,
        max_rows=max_rows,
        max_body=max_body * 2**20,
        timeout=timeout,
        shadow=shadow,
    )
    serve(settings, workers)
