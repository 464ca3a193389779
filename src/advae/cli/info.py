"""advae info."""

import json

from advae.cli import console
from advae.cli.shared import Json, Model


def info(model: Model, as_json: Json = False) -> None:
    """Show what a model file holds, without running anything of it."""
    from advae.detector.model_info import read_info

    record = read_info(model)
    if as_json:
        print(json.dumps(record, indent=2))  # noqa: T201
    else:
        console.show_info(record)
