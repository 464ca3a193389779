"""The options of every command that reads a table: how its files are written."""

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer

PANEL = "How DATA is written"

OPTIONS: dict[str, Any] = {
    "separator": Annotated[
        str | None,
        typer.Option(
            rich_help_panel=PANEL, metavar="CHAR", help="Character between fields; \\t is a tab."
        ),
    ],
    "decimal": Annotated[
        str | None, typer.Option(rich_help_panel=PANEL, metavar="CHAR", help="Decimal sign: . or ,")
    ],
    "quote": Annotated[
        str | None,
        typer.Option(
            rich_help_panel=PANEL, metavar="CHAR", help="Character around fields; '' for none."
        ),
    ],
    "encoding": Annotated[
        str | None,
        typer.Option(
            rich_help_panel=PANEL, metavar="NAME", help="Encoding of text, such as latin-1."
        ),
    ],
    "date_format": Annotated[
        str | None,
        typer.Option(
            rich_help_panel=PANEL, metavar="FORM", help="How dates are written, such as %m/%d/%Y."
        ),
    ],
    "null": Annotated[
        list[str] | None,
        typer.Option(rich_help_panel=PANEL, metavar="WORD", help="Word for a missing value."),
    ],
    "sheet": Annotated[
        str | None,
        typer.Option(
            rich_help_panel=PANEL, metavar="NAME", help="Sheet of a workbook, if not the first."
        ),
    ],
}


def reads(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command these options, which it gets as its argument ``reading``."""

    @functools.wraps(command)
    def with_options(**arguments: Any) -> None:
        from advae.files.options import ReadOptions

        said = {name: arguments.pop(name) for name in OPTIONS}
        if said["separator"] == "\\t":
            said["separator"] = "\t"
        command(**arguments, reading=ReadOptions(**said | {"null": tuple(said["null"] or ())}))

    signature = inspect.signature(command)
    own = [
        each.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for name, each in signature.parameters.items()
        if name != "reading"
    ]
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=hint)
        for name, hint in OPTIONS.items()
    ]
    with_options.__signature__ = signature.replace(parameters=[*own, *added])  # type: ignore[attr-defined]
    hints = {name: hint for name, hint in command.__annotations__.items() if name != "reading"}
    with_options.__annotations__ = hints | OPTIONS
    del with_options.__wrapped__
    return with_options
