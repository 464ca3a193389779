"""The command line: thin commands over the library.

Exit codes: 0; 2 for anything wrong with input or use, with one message; 130 when interrupted.
JAX and Polars are imported inside the commands, so that help appears at once.
"""

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from advae import console
from advae.errors import AdVAEError, InputError

if TYPE_CHECKING:
    import polars as pl

    from advae.detector import Detector
    from advae.readers import Source

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Learn what normal rows of a table look like; find the rows that are not, and say why.",
)

Data = Annotated[
    str,
    typer.Argument(
        metavar="DATA",
        help="Table: .csv, .tsv, .parquet, .ndjson or .arrow; a quoted glob for several files.",
    ),
]
Model = Annotated[Path, typer.Argument(metavar="MODEL", help="Model file that fit wrote.")]
Label = Annotated[
    str | None,
    typer.Option(metavar="COL", help="Label column: 0/1, true/false or normal/anomaly."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress and no summary.")]


def main() -> None:
    """Run the command line; every foreseen error ends in one message and exit code 2."""
    _use_compilation_cache()
    try:
        app()
    except AdVAEError as error:
        sys.exit(_fail(f"error: {error}", 2))
    except KeyboardInterrupt as interrupt:
        sys.exit(_fail(f"interrupted{interrupt}", 130))
    except BrokenPipeError:
        # The reader of our output has gone, as in "advae score ... | head".
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except MemoryError:
        sys.exit(_fail("error: not enough memory; give fewer rows or a smaller model", 2))


def _fail(message: str, code: int) -> int:
    print(message, file=sys.stderr)  # noqa: T201
    return code


@app.command()
def fit(
    data: Data,
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="MODEL", help="Model to write.")
    ],
    label: Label = None,
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
    members: Annotated[
        int | None, typer.Option(metavar="M", help="Networks of the ensemble.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Origin of all randomness.")] = 0,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an interrupted fit, to the same result.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Learn from the normal rows of DATA and write a model.

    With --label only its normal rows are learned from; without, all rows are taken as normal.
    """
    from advae import artifact, interrupt
    from advae.config import Config
    from advae.fitting import fit_detector
    from advae.readers import open_source

    changes = {"iterations": iterations, "members": members}
    config = Config.preset(
        preset,
        alpha=alpha,
        seed=seed,
        **{name: value for name, value in changes.items() if value is not None},
    )
    _check_output(output, data)
    with interrupt.handled() as stop:
        frame = open_source(data).read()
        left_out = list(dict.fromkeys([*(ignore or []), *([label] if label else [])]))
        if label is not None:
            frame = _normal_rows(frame, label, data)
        checkpoint = output.with_name(f"{output.name}.checkpoint")
        with console.training_progress(config.iterations, quiet) as show:

            def on_block(snapshot: Any) -> None:
                show(snapshot)
                stop.deferred = snapshot.iteration < config.iterations
                if stop.requested:
                    raise KeyboardInterrupt(
                        f" at iteration {snapshot.iteration} of {config.iterations}; the state is "
                        f"kept in {checkpoint}: run the same command with --resume to go on"
                    )

            detector = fit_detector(
                frame,
                config,
                hashed=hash_ or (),
                ignored=left_out,
                checkpoint=checkpoint,
                resume=resume,
                on_block=on_block,
            )
        artifact.save(detector, output)
        checkpoint.unlink(missing_ok=True)
    if not quiet:
        console.show_fit(detector, str(output))


@app.command()
def score(
    model: Model,
    data: Data,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="OUT",
            help="Where to write: .csv, .parquet, .ndjson or .arrow; CSV on stdout if not given.",
        ),
    ] = None,
    keep: Annotated[
        list[str] | None, typer.Option(metavar="COL", help="Column of DATA to carry along.")
    ] = None,
    explain: Annotated[
        int, typer.Option(metavar="K", min=0, help="Name the K columns that contributed most.")
    ] = 0,
) -> None:
    """Score the rows of DATA, flag those above the threshold, and say why."""
    from advae import writers

    if output is not None:
        _check_output(output, data, str(model))
    detector = _load(model)
    source = _open(detector, data, keep or [])
    frames = detector.score_batches(source.batches(), keep=keep or [], explain=explain)
    writers.write_frames(frames, output)


@app.command()
def evaluate(
    model: Model,
    data: Data,
    label: Annotated[
        str, typer.Option(metavar="COL", help="Label column: 0/1, true/false or normal/anomaly.")
    ],
    as_json: Json = False,
) -> None:
    """Measure the model on the labelled rows of DATA, with 95 % bootstrap intervals."""
    from dataclasses import asdict

    import numpy as np

    from advae.evaluation import evaluate as measure
    from advae.labels import parse_labels

    detector = _load(model)
    source = _open(detector, data, [label])
    parts = []
    for batch in detector.score_batches(source.batches(), keep=[label]):
        labels = parse_labels(batch[label], where=data)
        parts.append((batch["anomaly_score"].to_numpy(), labels))
    scores, anomalous = (np.concatenate(column) for column in zip(*parts, strict=True))
    metrics = measure(scores, anomalous, detector.threshold.value)
    if as_json:
        print(json.dumps({name: asdict(estimate) for name, estimate in metrics.items()}, indent=2))  # noqa: T201
    else:
        console.show_metrics(metrics, len(scores), int(anomalous.sum()))


@app.command()
def info(model: Model, as_json: Json = False) -> None:
    """Show what a model file holds, without running anything of it."""
    from advae.artifact import read_info

    record = read_info(model)
    if as_json:
        print(json.dumps(record, indent=2))  # noqa: T201
    else:
        console.show_info(record)


@app.command()
def demo(
    folder: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("demo"),
) -> None:
    """Learn benign breast tumours, then find the malignant ones: the whole job in one command."""
    from advae.demo import run

    run(folder)


def _use_compilation_cache() -> None:
    """Keep compiled programs in the user's cache folder, so that the next start is quick."""
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    # Read by JAX when it is imported, which is after this; a user's own setting stands.
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(home) / "advae" / "compiled"))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")


def _load(model: Path) -> "Detector":
    from advae import artifact

    return artifact.load(model)


def _open(detector: "Detector", data: str, keep: list[str]) -> "Source":
    """Open DATA as rows to score, and say once which of its columns are not used."""
    import polars as pl

    from advae.readers import open_source

    # Kept columns stay as they are written: "007" is not 7.
    dtypes = {name: pl.String() for name in keep} | detector.table.dtypes
    source = open_source(data, dtypes=dtypes)
    known = {*detector.table.feature_names, *detector.ignored, *keep}
    extra = [name for name in source.columns if name not in known]
    if extra:
        console.remark(f"not used, since training did not have them: {', '.join(extra)}")
    return source


def _normal_rows(frame: "pl.DataFrame", label: str, data: str) -> "pl.DataFrame":
    from advae.labels import parse_labels

    if label not in frame.columns:
        raise InputError(f"no label column {label!r} in {data}; it has {frame.columns}")
    normal = frame.filter(~parse_labels(frame[label], where=data))
    if not normal.height:
        raise InputError(f"{data}: label column {label!r} marks no row as normal")
    return normal


def _check_output(output: Path, *inputs: str) -> None:
    """Refuse an output that could not be written, before minutes are spent on it."""
    if output.is_dir():
        raise InputError(f"{output} is a folder; give the path of a file")
    if not output.parent.is_dir():
        raise InputError(f"folder {output.parent} does not exist; create it first")
    if any(Path(name).exists() and output.exists() and output.samefile(name) for name in inputs):
        raise InputError(f"{output} is also an input; write to another file")
