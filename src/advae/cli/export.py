"""advae export."""

import hashlib
from pathlib import Path
from typing import Annotated

import typer

from advae.cli import console
from advae.cli.shared import Model, check_output, interruptible, load_model
from advae.display.text import count


def export(
    model: Model,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="ONNX", help="File to write; beside MODEL if not given."
        ),
    ] = None,
) -> None:
    """Write MODEL as an ONNX file: from raw columns to score, p-value, flag and contributions.

    The file is checked first: onnxruntime has to give the scores of the model.
    """
    from advae.export.onnx import write_onnx
    from advae.graph import OPSET

    path = model.with_suffix(".onnx") if output is None else output
    check_output(path, str(model))
    detector = load_model(model)
    fingerprint = hashlib.sha256(model.read_bytes()).hexdigest()
    with interruptible(path):
        remarks = write_onnx(detector, path, fingerprint)
    inputs = count(len(detector.table.features), "input")
    size = path.stat().st_size / 1e6
    said = f"{inputs}, opset {OPSET}, {size:.1f} MB, checked with onnxruntime"
    console.output().print(f"[bold]{console.escape(str(path))}[/]: {said}")
    for sentence in remarks:
        console.remark(sentence)
