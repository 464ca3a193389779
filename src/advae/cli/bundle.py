"""What fit, score, info and report do with models by segment."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from advae.cli import console, outlets
from advae.cli.shared import ignored_columns, interruptible, open_database, open_rows, open_table
from advae.display.text import count, number, share
from advae.errors import InputError, quoted

if TYPE_CHECKING:
    import polars as pl
    from rich.console import Console

    from advae.config import Config
    from advae.detector.bundle import Bundle, Key
    from advae.detector.detector import Detector
    from advae.files.options import ReadOptions

MOST_SHOWN = 30
"""Segments in a table on the terminal."""

MOST_FLAGGED = 5
"""Segments that the summary of scores names."""


def fit_bundle(
    data: str,
    output: Path,
    by: Sequence[str],
    config: "Config",
    query: str | None,
    reading: "ReadOptions",
    quiet: bool,
    ignore: list[str] | None,
    only: list[str] | None,
    checkpoint: Path,
    **settings: Any,
) -> None:
    """Learn a model for each segment, and write them as they come."""
    from advae.detector import segments

    with interruptible(output) as stop:
        database = open_database(data, query)
        if database is None:
            source: Any = open_table(data, settings["label"], reading)
        else:
            source = database.query(query or "")
        shown = console.remarks()
        columns = (
            TextColumn("segments"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeRemainingColumn(compact=True),
        )
        hidden = quiet or not shown.is_terminal
        with source.located(), Progress(*columns, console=shown, disable=hidden) as progress:
            task = progress.add_task("segments", total=None)
            try:
                bundle = segments.fit_detectors(
                    source.batches(),
                    list(by),
                    config,
                    output=output,
                    checkpoint=checkpoint,
                    reading=reading,
                    ignored=ignored_columns(source, ignore, only, settings["label"]),
                    on_segment=lambda done, of: progress.update(task, completed=done, total=of),
                    **settings,
                )
            except KeyboardInterrupt:
                learned = len(list(checkpoint.glob("*.advae")))
                if learned:
                    stop.outcome = (
                        f"; {count(learned, 'model')} of finished segments are kept in "
                        f"{checkpoint}: run the same command with --resume to go on"
                    )
                raise
    left = [each for each in bundle.segments if each.why]
    if left:
        rows = count(sum(each.rows for each in left), "row")
        some = "; ".join(f"{_named(each.key)}: {each.why}" for each in left[:3])
        console.remark(
            f"{count(len(left), 'segment')} without a model of its own ({rows}), left to the "
            f"fallback: {some}{'; ...' if len(left) > 3 else ''}"
        )
    learned_rows = [each.rows for each in bundle.segments if each.rows >= segments.FEWEST_ROWS]
    if segments.shortened(config, learned_rows):
        alone = config.iterations_for(max(learned_rows))
        console.remark(
            f"{count(len(learned_rows), 'segment')}, so that each model had "
            f"{segments.ITERATIONS:,} iterations where up to {alone:,} are usual; "
            f"--iterations {alone} trains all as long, and may find more"
        )
    if not quiet:
        show_bundle(bundle, output)


def show_bundle(bundle: "Bundle", path: Path) -> None:
    """Print the segments of a bundle, the largest first."""
    out = console.output()
    rows = sum(each.rows for each in bundle.segments)
    out.print(
        f"[bold]{console.escape(str(path))}[/]: {count(len(bundle.detectors), 'model')} by "
        f"{console.escape(', '.join(bundle.by))}, and one for all other rows; {rows:,} rows"
    )
    table = Table(
        console.escape(" / ".join(bundle.by)),
        console.right("rows"),
        console.right("threshold"),
        "model",
    )
    largest = sorted(bundle.segments, key=lambda each: -each.rows)
    for each in largest[:MOST_SHOWN]:
        threshold = "" if each.threshold is None else number(each.threshold)
        own = "its own" if not each.why else f"fallback: {each.why}"
        table.add_row(_named(each.key), f"{each.rows:,}", threshold, console.escape(own))
    console.print_table(out, table)
    if len(largest) > MOST_SHOWN:
        out.print(f"and {len(largest) - MOST_SHOWN:,} more")


def score_bundle(
    model: Path,
    data: str,
    output: Path | None,
    keep: Sequence[str],
    explain: int,
    reading: "ReadOptions",
    quiet: bool,
) -> None:
    """Score each row by the model of its segment."""
    from advae.cli.places import numbered
    from advae.detector.bundle import load_bundle
    from advae.files import sink

    bundle = load_bundle(model)
    carried = list(dict.fromkeys([*bundle.by, *keep]))
    source = open_rows(bundle.fallback, data, carried, reading, rowless=True)
    if output is None:
        outlets.write_utf8()
    tally = _SegmentTally(bundle.by)

    def watched() -> Any:
        for frame in bundle.score_batches(source.batches(), keep=keep, explain=explain):
            tally.update(frame)
            yield numbered(frame, source, frame["row"].to_numpy())

    unseen = quiet or (output is None and sys.stdout.isatty())
    with (
        interruptible(output),
        source.located(),
        console.row_progress("scoring", unseen) as tell,
    ):
        sink.write_frames(console.counted(watched(), tell), output)
    found = tally.found("flagged")
    rows, flagged = int(found["rows"].sum()), int(found["flagged"].sum())
    strange = int(found.filter(~found["own_model"])["rows"].sum())
    if not quiet:
        out, part = console.remarks(), share(flagged / max(rows, 1))
        out.print(f"[bold]{flagged:,}[/] of {count(rows, 'row')} flagged ({part})")
        _print_segments(out, bundle.by, found.filter(found["flagged"] > 0), MOST_FLAGGED)
    if strange:
        console.remark(
            f"{count(strange, 'row')} of segments without a model of their own: the fallback "
            "scored them (own_model is false)"
        )


def segment_of(bundle: "Bundle", values: Sequence[str]) -> "Detector":
    """Return the detector that --segment names."""
    if len(values) != len(bundle.by):
        raise InputError(
            f"--segment is given {len(values)} times, and segments are told apart by "
            f"{', '.join(map(quoted, bundle.by))}. Give it once for each of these, in this order."
        )
    return bundle.detector(*values)


def segments_table(bundle: "Bundle", data: str, reading: "ReadOptions") -> None:
    """Print how many rows of DATA each segment has and how many are flagged, the worst first."""
    source = open_rows(bundle.fallback, data, list(bundle.by), reading)
    tally = _SegmentTally(bundle.by)
    with interruptible(), source.located():
        for frame in bundle.score_batches(source.batches()):
            tally.update(frame)
    out = console.output()
    _print_segments(out, bundle.by, tally.found("share"), MOST_SHOWN)
    out.print("A page on one of them: add --segment VALUE.")


class _SegmentTally:
    """Counts the rows of each segment, and the flagged ones, while they are scored."""

    def __init__(self, by: Sequence[str]) -> None:
        self._by = by
        # By their places: a column may be called like a figure, or like a pattern of Polars.
        self._places = [str(at) for at in range(len(by))]
        self._parts: list[pl.DataFrame] = []

    def update(self, frame: "pl.DataFrame") -> None:
        """Take in the next rows, as `Bundle.score_batches` yields them."""
        import polars as pl

        from advae.detector.bundle import keys_of

        figures = [frame[name] for name in ("own_model", "is_anomaly", "anomaly_score")]
        self._parts.append(
            keys_of(frame, self._by)
            .with_columns(figures)
            .group_by([*self._places, "own_model"])
            .agg(rows=pl.len(), flagged=pl.sum("is_anomaly"), highest=pl.max("anomaly_score"))
        )

    def found(self, first: str) -> "pl.DataFrame":
        """Return a row of figures for each segment, those with most ``first``."""
        import polars as pl

        return (
            pl.concat(self._parts)
            .group_by([*self._places, "own_model"])
            .agg(pl.sum("rows", "flagged"), pl.max("highest"))
            .with_columns(share=pl.col("flagged") / pl.col("rows"))
            .sort(first, "rows", *self._places, descending=[True, True] + [False] * len(self._by))
        )


def _print_segments(out: "Console", by: Sequence[str], found: "pl.DataFrame", most: int) -> None:
    """Print figures of the first segments, and how many more there are."""
    headings = [console.right(each) for each in ("rows", "flagged", "share", "highest score")]
    table = Table(console.escape(" / ".join(by)), *headings, "model")
    for row in found.head(most).iter_rows(named=True):
        key = tuple(row[str(at)] for at in range(len(by)))
        figures = (f"{row['rows']:,}", f"{row['flagged']:,}", share(row["share"]))
        own = "its own" if row["own_model"] else "fallback"
        table.add_row(_named(key), *figures, number(row["highest"]), own)
    if found.height:
        console.print_table(out, table)
    if found.height > most:
        out.print(f"and {found.height - most:,} more segments")


def rows_of_segment(frames: Any, by: Sequence[str], values: Sequence[str]) -> Any:
    """Yield the rows of one segment."""
    from advae.detector.bundle import rows_by_key

    for frame in frames:
        for key, rows in rows_by_key(frame, by):
            if key == tuple(values):
                yield frame[rows]


def _named(key: "Key") -> str:
    from advae.detector.bundle import spelled

    return console.escape(spelled(key))
