"""advae demo."""

import shutil
import sys
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from advae.cli import console
from advae.cli.fit import show_fit
from advae.cli.shared import interruptible
from advae.display.text import number, share
from advae.errors import InputError

if TYPE_CHECKING:
    import polars as pl

TRAINING_ROWS = 257
SHOWN = 5


def tumours() -> "tuple[pl.DataFrame, pl.DataFrame]":
    """Return benign rows to learn from, and the others with the label ``malignant``."""
    import numpy as np
    import polars as pl
    from sklearn.datasets import load_breast_cancer

    bunch = load_breast_cancer()
    names = [str(name).replace(" ", "_") for name in bunch.feature_names]
    malignant = bunch.target == list(bunch.target_names).index("malignant")
    table = pl.DataFrame(bunch.data, schema=names, orient="row").select(
        pl.Series("case", [f"case-{number:03}" for number in range(len(malignant))]),
        pl.Series("malignant", malignant),
        pl.all(),
    )
    benign = np.random.default_rng(0).permutation(np.flatnonzero(~malignant))
    learned = np.sort(benign[:TRAINING_ROWS])
    rest = np.setdiff1d(np.arange(len(malignant)), learned)
    return table[learned].drop("malignant"), table[rest]


def run(folder: Path) -> None:
    """Fit on benign tumours, score the others, write all files to ``folder``, and say it.

    Raises
    ------
    InputError
        If the folder cannot be made.
    """
    import polars as pl

    from advae.config import Config
    from advae.detector import model_file
    from advae.detector.fitting import fit_detector
    from advae.files.sink import write_frames
    from advae.files.source import open_source
    from advae.report.page import write_report

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make folder {folder}: {error.strerror}") from None
    normal, new = tumours()
    out = console.output()
    out.print(
        "A model learns 257 benign breast tumours of scikit-learn's table, nothing is downloaded.\n"
        "It then scores 312 others, 212 of them malignant, and writes all files to "
        f"{console.escape(str(folder))}/.\nThis takes about a minute at first, since programs are "
        "compiled for this machine; half of it later.\n"
    )
    files = {name: folder / name for name in ("normal.csv", "new.csv", "model.advae", "scores.csv")}
    write_frames([normal], files["normal.csv"])
    write_frames([new], files["new.csv"])
    config = Config()
    with console.training_progress(quiet=False) as shown:
        detector = fit_detector(
            open_source(files["normal.csv"]).read(), config, ignored=["case"], on_block=shown.show
        )
    model_file.save(detector, files["model.advae"])
    kept = ["case", "malignant"]
    source = open_source(files["new.csv"], dtypes=detector.table.dtypes)
    scored = pl.concat(detector.score_batches(source.batches(), keep=kept, explain=1))
    write_frames([scored], files["scores.csv"])
    write_report(
        detector,
        source.batches(),
        folder / "report.html",
        label="malignant",
        keep=["case"],
        data_name="new.csv",
        model_name="model.advae",
    )
    show_fit(detector, str(files["model.advae"]))
    _show(scored, folder)


def _show(scored: "pl.DataFrame", folder: Path) -> None:
    import polars as pl

    out = console.output()
    table = Table(title="Flagged, by a diagnosis that the model never saw", title_justify="left")
    table.add_column("diagnosis")
    for heading in ("rows", "flagged", "share"):
        table.add_column(heading, justify="right")
    for name, malignant in (("benign", False), ("malignant", True)):
        flags = scored.filter(pl.col("malignant") == malignant)["is_anomaly"]
        flagged = int(flags.sum())
        table.add_row(name, str(len(flags)), str(flagged), share(flagged / len(flags)))
    out.print("\n", table, sep="")
    title = f"The {SHOWN} most anomalous rows, and what drives each most"
    table = Table(title=title, title_justify="left")
    for heading in ("case", "diagnosis", "score", "column", "observed", "expected"):
        right = heading in ("score", "observed", "expected")
        table.add_column(heading, justify="right" if right else "left")
    for row in scored.sort("anomaly_score", descending=True).head(SHOWN).iter_rows(named=True):
        table.add_row(
            row["case"],
            "malignant" if row["malignant"] else "benign",
            number(row["anomaly_score"]),
            row["reason_1"],
            row["reason_1_observed"],
            row["reason_1_expected"],
        )
    out.print("\n", table, sep="")
    shown = escape(str(folder))
    command = escape(_command())
    model, new = (escape(quote(str(folder / name))) for name in ("model.advae", "new.csv"))
    out.print(
        f"\n[bold]Open {shown}/report.html[/] in a browser to see all of it.\n"
        f"\nTry next:\n"
        f"  {command} score {model} {new} --keep case --explain 3\n"
        f"  {command} evaluate {model} {new} --label malignant\n"
        f"  {command} info {model}",
        soft_wrap=True,
    )


def _command() -> str:
    """Return how advae can be called from here, as it was called now."""
    called = Path(sys.argv[0])
    if called.name == "__main__.py":
        return f"{quote(sys.executable)} -m advae"
    found = shutil.which("advae")
    here = found is not None and called.exists() and Path(found).samefile(called)
    return "advae" if here else quote(str(called))


def demo(
    folder: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("demo"),
) -> None:
    """Learn benign breast tumours, then find the malignant ones: the whole job in one command."""
    with interruptible():
        run(folder)
