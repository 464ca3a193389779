"""advae fit."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from advae.cli import console
from advae.cli.reading import reads
from advae.cli.shared import Data, Label, Normal, Quiet, check_output, label_column, open_table
from advae.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from advae.files.options import ReadOptions
    from advae.tables.labels import LabelColumn


@reads
def fit(
    data: Data,
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="MODEL", help="Model to write.")
    ],
    label: Label = None,
    normal: Normal = None,
    ignore: Annotated[
        list[str] | None,
        typer.Option(metavar="COL", help="Column not to learn, such as an identifier."),
    ] = None,
    hash_: Annotated[
        list[str] | None,
        typer.Option("--hash", metavar="COL", help="Text column with many values, to hash."),
    ] = None,
    preset: Annotated[
        Literal["default", "paper"], typer.Option(help="Settings to start from.")
    ] = "default",
    alpha: Annotated[float, typer.Option(help="Share of normal rows that may be flagged.")] = 0.1,
    iterations: Annotated[
        int | None,
        typer.Option(metavar="N", help="Training iterations; the preset's if not given."),
    ] = None,
    patience: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="End training after N iterations without progress on rows set apart; 0: never.",
        ),
    ] = None,
    members: Annotated[
        int | None, typer.Option(metavar="M", help="Networks of the ensemble.")
    ] = None,
    trim: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE", help="Most rows to set aside as suspected anomalies, as a share."
        ),
    ] = None,
    memory: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Most rows that the model keeps to compare new ones with; 0: none."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Origin of all randomness.")] = 0,
    sample: Annotated[
        int, typer.Option(metavar="N", min=2, help="Most rows to train with; of more, a sample.")
    ] = 500_000,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an interrupted fit, to the same result.")
    ] = False,
    quiet: Quiet = False,
    *,
    reading: "ReadOptions",
) -> None:
    """Learn from the normal rows of DATA and write a model.

    With --label only its normal rows are learned from; without, all rows are taken as normal.
    """
    from dataclasses import replace

    from advae.cli import interrupt
    from advae.config import Config
    from advae.detector import model_file
    from advae.detector.fitting import fit_detector

    config = Config.preset(
        preset,
        alpha=alpha,
        seed=seed,
        iterations=iterations,
        patience=patience,
        members=members,
        trim=trim,
        memory=memory,
    )
    known = label_column(label, normal)
    left_out = list(dict.fromkeys([*(ignore or []), *([known.name] if known else [])]))
    for name in hash_ or []:
        if name in left_out:
            raise InputError(
                f"column {name!r} is to be hashed (--hash), and not to be learned (--ignore, "
                "--label). Leave out one of these."
            )
    check_output(output, data)
    checkpoint = output.with_name(f"{output.name}.checkpoint")
    check_output(checkpoint, data)
    with interrupt.handled() as stop:
        source = open_table(data, known, reading)
        batches = source.batches()
        numbers: list[NDArray[np.int64]] = []
        if known is not None:
            batches = _normal_rows(batches, known, left_out, data, numbers, sample)
        with source.located(), console.training_progress(config.iterations, quiet) as show:

            def on_block(snapshot: Any) -> None:
                show(snapshot)
                stop.deferred = not snapshot.finished
                if stop.requested:
                    console.remark(
                        f"interrupted at iteration {snapshot.iteration} of {config.iterations}; "
                        f"the state is kept in {checkpoint}: run the same command with --resume "
                        "to go on"
                    )
                    raise KeyboardInterrupt

            detector = fit_detector(
                batches,
                config,
                hashed=hash_ or (),
                ignored=left_out,
                sample=sample,
                numbers=numbers,
                checkpoint=checkpoint,
                resume=resume,
                on_block=on_block,
            )
        detector = replace(detector, reading=reading)
        model_file.save(detector, output)
        checkpoint.unlink(missing_ok=True)
    if not quiet:
        console.show_fit(detector, str(output))


def _normal_rows(
    batches: "Iterator[pl.DataFrame]",
    label: "LabelColumn",
    left_out: list[str],
    data: str,
    numbers: "list[NDArray[np.int64]]",
    most: int,
) -> "Iterator[pl.DataFrame]":
    """Yield the normal rows; ``numbers`` gets those they have in the file while few have come."""
    import numpy as np

    from advae.tables.frames import without_columns
    from advae.tables.labels import LabelReader
    from advae.tables.values import check_columns, check_finite

    labels = LabelReader(label)
    for batch in batches:
        check_columns([label.name], batch.columns, data)
        first = labels.rows
        normal = ~labels.read(batch)
        # Here, where rows still have the numbers that they have in the file.
        check_finite(without_columns(batch, left_out), first, normal)
        if labels.normal_rows <= most:  # of more a sample is taken, and none is called by number
            numbers.append(first + np.flatnonzero(normal))
        yield batch.filter(normal)
    labels.check()
    if not labels.normal_rows:
        raise InputError(
            f"{data}: label column {label.name!r} marks no row as normal. Give normal rows, or "
            "name their label with --normal."
        )
