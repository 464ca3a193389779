"""advae demo."""

from pathlib import Path
from typing import Annotated

import typer


def demo(
    folder: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("demo"),
) -> None:
    """Learn benign breast tumours, then find the malignant ones: the whole job in one command."""
    from advae import interrupt
    from advae.demo import run

    with interrupt.handled():
        run(folder)
