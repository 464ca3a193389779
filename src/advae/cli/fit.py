"""advae fit."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.table import Table

from advae.cli import console
from advae.cli.bundle import fit_bundle
from advae.cli.reading import reads
from advae.cli.shared import (
    ADVANCED,
    Data,
    Ignore,
    Label,
    Normal,
    Only,
    Query,
    Quiet,
    check_none,
    check_output,
    given_options,
    ignored_columns,
    interruptible,
    label_column,
    open_database,
    open_table,
)
from advae.cli.threshold import show_thresholds
from advae.errors import InputError, quoted

if TYPE_CHECKING:
    from advae.detector.detector import Detector
    from advae.files.options import ReadOptions


@reads
def fit(
    data: Data,
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="MODEL", help="Model to write.")
    ],
    query: Query = None,
    label: Label = None,
    normal: Normal = None,
    ignore: Ignore = None,
    only: Only = None,
    by: Annotated[
        list[str] | None,
        typer.Option(metavar="COL", help="Learn a model for each value of this column."),
    ] = None,
    hash_: Annotated[
        list[str] | None,
        typer.Option(
            "--hash",
            rich_help_panel=ADVANCED,
            metavar="COL",
            help="Text column with many values, to hash.",
        ),
    ] = None,
    preset: Annotated[
        Literal["default", "paper"],
        typer.Option(rich_help_panel=ADVANCED, help="Settings to start from."),
    ] = "default",
    method: Annotated[
        Literal["advae", "complementary-vae", "dagmm", "gan", "mo-gaal", "wgan-gp"],
        typer.Option(
            rich_help_panel=ADVANCED,
            help="What learns the rows: adVAE, or a method that its paper argues with.",
        ),
    ] = "advae",
    alpha: Annotated[float, typer.Option(help="Share of normal rows that may be flagged.")] = 0.1,
    iterations: Annotated[
        int | None,
        typer.Option(
            rich_help_panel=ADVANCED,
            metavar="N",
            help="Training iterations; as many as the rows take if not given.",
        ),
    ] = None,
    patience: Annotated[
        int | None,
        typer.Option(
            rich_help_panel=ADVANCED,
            metavar="N",
            help="End training after N iterations without progress on rows set apart; 0: never.",
        ),
    ] = None,
    members: Annotated[
        int | None,
        typer.Option(rich_help_panel=ADVANCED, metavar="M", help="Networks of the ensemble."),
    ] = None,
    trim: Annotated[
        float | None,
        typer.Option(
            rich_help_panel=ADVANCED,
            metavar="SHARE",
            help="Most rows to set aside as suspected anomalies, as a share.",
        ),
    ] = None,
    memory: Annotated[
        int | None,
        typer.Option(
            rich_help_panel=ADVANCED,
            metavar="N",
            help="Most rows that the model keeps to compare new ones with; 0: none.",
        ),
    ] = None,
    time: Annotated[
        Literal["cycles", "trend"] | None,
        typer.Option(
            rich_help_panel=ADVANCED,
            help="What to learn of dates: times of day, weekdays and days of the year; or also "
            "where in the training period they lie.",
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(rich_help_panel=ADVANCED, help="Origin of all randomness.")
    ] = 0,
    sample: Annotated[
        int,
        typer.Option(
            rich_help_panel=ADVANCED,
            metavar="N",
            min=2,
            help="Most rows to train with; of more, a sample.",
        ),
    ] = 500_000,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            rich_help_panel=ADVANCED,
            help="Go on with an interrupted fit, to the same result.",
        ),
    ] = False,
    quiet: Quiet = False,
    verbose: Annotated[
        bool,
        typer.Option(
            "--verbose",
            rich_help_panel=ADVANCED,
            help="Show iterations and the terms of the loss while learning.",
        ),
    ] = False,
    *,
    reading: "ReadOptions",
) -> None:
    """Learn from the normal rows of DATA and write a model.

    With --label only its normal rows are learned from; without, all rows are taken as normal.
    """
    from advae.config import Config
    from advae.detector import model_file
    from advae.detector.fitting import fit_detector

    if by:
        apart = given_options(patience=patience or None, verbose=verbose)
        check_none(apart, "--by learns many models at a time")
    config = Config.preset(
        preset,
        method=method,
        alpha=alpha,
        seed=seed,
        iterations=iterations,
        patience=patience,
        members=members,
        trim=trim,
        memory=memory,
        time=time,
    )
    known = label_column(label, normal)
    for name in hash_ or []:
        if name in (ignore or ()) or (known is not None and name == known.name):
            raise InputError(
                f"column {quoted(name)} is to be hashed (--hash), and not to be learned (--ignore, "
                "--label). Leave out one of these."
            )
    check_output(output, data)
    checkpoint = output.with_name(f"{output.name}.checkpoint")
    if by:
        fit_bundle(
            data,
            output,
            by,
            config,
            query,
            reading,
            quiet,
            ignore,
            only,
            label=known,
            hashed=hash_ or (),
            sample=sample,
            checkpoint=checkpoint,
            resume=resume,
        )
        return
    check_output(checkpoint, data)
    with interruptible(output) as stop:
        database = open_database(data, query)
        source = database.query(query or "") if database else open_table(data, known, reading)
        ignored = ignored_columns(source, ignore, only, known)
        with source.located(), console.training_progress(quiet, verbose) as shown:

            def on_block(snapshot: Any) -> None:
                shown.show(snapshot)
                stop.deferred = not snapshot.finished
                if stop.requested:
                    stop.outcome = (
                        f" at iteration {snapshot.iteration} of {snapshot.planned}; the state is "
                        f"kept in {checkpoint}: run the same command with --resume to go on"
                    )
                    raise KeyboardInterrupt

            detector = fit_detector(
                console.counted(source.batches(), shown.read),
                config,
                label=known,
                hashed=hash_ or (),
                ignored=ignored,
                sample=sample,
                checkpoint=checkpoint,
                resume=resume,
                reading=reading,
                on_block=on_block,
            )
        model_file.save(detector, output)
        checkpoint.unlink(missing_ok=True)
    if not quiet:
        show_fit(detector, str(output))


def show_fit(detector: "Detector", path: str) -> None:
    """Print what was learned, and the thresholds side by side."""
    from advae.cli.histogram import score_histogram

    facts = Table.grid(padding=(0, 2))
    facts.add_row("model", f"[bold]{console.escape(path)}[/]")
    for name in ("rows", "columns"):
        facts.add_row(name, detector.facts[name])
    out = console.output()
    console.print_table(out, facts)
    groups = {
        "training rows": detector.training_scores,
        "calibration rows": detector.calibration_scores,
    }
    out.print("\n", score_histogram(out, groups, detector.threshold.value), "\n", sep="")
    show_thresholds(detector, detector.config.alpha)
    for note in detector.summary.notes:
        console.remark(note)
