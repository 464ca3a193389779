"""From a table of normal rows to a detector."""

import itertools
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from advae.config import Config
from advae.core import screening, training
from advae.core.randomness import choice
from advae.core.training import Snapshot
from advae.core.validation import best_block
from advae.detector import checkpoint as checkpoints
from advae.detector.calibration import TRIMMED, learned_threshold
from advae.detector.checkpoint import OnBlock
from advae.detector.detector import Detector, judged, unjudged
from advae.detector.out_of_fold import out_of_fold_scores
from advae.detector.record import Threshold, TrainingSummary
from advae.detector.split import Split, split_rows
from advae.errors import ColumnError, ConfigError, InputError, quoted
from advae.files.options import ReadOptions
from advae.methods import check_method, method_of
from advae.parallel import BackgroundTask
from advae.tables.encoder import TableEncoder
from advae.tables.frames import BatchSchema, as_batches, joined, names_given, without_columns
from advae.tables.labels import LabelColumn, LabelReader
from advae.tables.oddities import Oddities
from advae.tables.sampling import Reservoir
from advae.tables.values import check_finite, check_lengths

MOST_SCORES = 20_000
"""Most training rows whose scores are kept for the threshold; a larger table is sampled."""


def fit_detector(
    data: Any,
    config: Config | None = None,
    *,
    label: str | LabelColumn | None = None,
    hashed: Collection[str] = (),
    ignored: Collection[str] = (),
    sample: int = 500_000,
    checkpoint: str | Path | None = None,
    resume: bool = False,
    reading: ReadOptions | None = None,
    on_block: OnBlock | None = None,
) -> Detector:
    """Learn what normal rows look like.

    Parameters
    ----------
    data
        Normal rows, at least two different ones: a table, or its batches where it is larger than
        memory; see `advae.tables.frames.as_batches`. Batches have the same columns, in any order.
    config
        Settings; the ``default`` preset when None. The same data and settings give the same
        detector, bit for bit, on one machine. Its own have more ``members`` where a conformal
        threshold takes them, see `advae.detector.split.split_rows`.
    label
        Column of known labels: only the rows that it calls normal are learned from, and the column
        itself is not learned. None takes all rows as normal.
    hashed
        Text columns with many values, to be hashed instead of refused.
    ignored
        Columns that are not to be learned.
    sample
        Most rows to train and calibrate with. A table with more is read once: the columns' ranges
        and categories are those of all its rows, the networks and the threshold learn from a
        uniform sample.
    checkpoint
        Where to keep the state of the training. It stays at the end, so that ``resume`` ends at
        once if saving the detector fails; remove it when that is done.
    resume
        Go on from the checkpoint if there is one. The result is bit-identical to that of a
        training that was never interrupted.
    reading
        How the training files are written, for those of new rows; see `advae.read_table`.
    on_block
        Called after every block of iterations; an exception from it ends the training.

    Raises
    ------
    InputError
        If the table cannot be used, a label cannot be read, or no row is labelled normal.
    ConfigError
        For a sample of less than two rows, or a memory too small for the folds of a small table.
    TrainingError
        If training diverges.
    ModelFileError
        If the checkpoint is damaged or belongs to another training.

    Examples
    --------
    >>> import numpy as np
    >>> import advae
    >>> rng = np.random.default_rng(0)
    >>> normal = {"load": rng.gamma(4, 10, 300), "heat": rng.normal(20, 1, 300)}
    >>> detector = advae.fit_detector(normal, advae.Config(alpha=0.05, iterations=300))
    >>> new = {"load": [40.0, 40.0], "heat": [20.0, 35.0]}
    >>> detector.is_anomaly(new)
    array([False,  True])
    >>> detector.explain(new).top(1)["reason_1"].to_list()[1]
    'heat'
    """
    config = Config.of(config)
    check_method(config)
    ignored, hashed = names_given(ignored), names_given(hashed)
    label = LabelColumn.of(label)
    if label is not None:
        ignored = list(dict.fromkeys([*ignored, label.name]))
    oddities, numbers = Oddities(), list[np.ndarray]()
    batches = _watched(as_batches(data), ignored, oddities)
    if label is not None:
        batches = _normal_rows(batches, label, ignored, numbers, sample)
    checkpoint = None if checkpoint is None else Path(checkpoint)
    if sample < 2:
        raise ConfigError(f"sample is {sample}; expected at least 2 rows")
    learned_from = _without_ignored(batches, ignored)
    frame, table, sampled = _gather(learned_from, sample, config.seed, hashed)
    oddities.check(hashed)
    said = oddities.said()
    screened = ""
    if config.trim:
        frame, screened = _screen(frame, table, config, hashed, numbers)
        table = None  # an anomaly would stretch a column's range, and so hide others
    split = split_rows(frame.height, config)
    config, member_rows = replace(config, members=split.members), split.member_rows()
    training_frame, calibration_frame = frame[split.training], frame[split.calibration]
    if table is None:
        # Of the training rows alone: calibration rows must be as strange to it as new rows are.
        table = TableEncoder.fit(training_frame, hashed=hashed, said=said)
    encoded, calibration, watched = (
        judged(table.transform(rows), table, config)
        for rows in (training_frame, calibration_frame, frame[split.watched])
    )
    varied = np.ascontiguousarray(encoded[:, : table.network_width])
    method = method_of(config, table.network_width)
    learned = encoded if method.whole else varied

    start = None
    if checkpoint is not None:
        # The other rows stand in it too: they decide on the detector that comes out.
        fingerprint = checkpoints.fingerprint(config, table, encoded, calibration, watched)
        if resume and checkpoint.exists():
            start = checkpoints.load(checkpoint, method, config, fingerprint)
        on_block = checkpoints.saving(checkpoint, fingerprint, on_block)
    # With patience validation rows decide when training ends, which calibration rows must not.
    validation = watched if config.patience else calibration
    # From the first block on: until then the compilation of the training program takes all cores.
    preparing = BackgroundTask(
        partial(method.prepare, learned, config, member_rows, table.variables)
    )

    def after_block(snapshot: Snapshot) -> None:
        preparing.begin()
        if on_block is not None:
            on_block(snapshot)

    end = training.fit(
        method,
        varied,
        config,
        validation=validation[:, : table.network_width],
        member_rows=member_rows,
        resume=start,
        on_block=after_block,
    )
    scorer, kept = method.learn(end.model, learned, config, member_rows, preparing.result())
    detector = Detector(
        config=config,
        table=table,
        scorer=scorer,
        training_scores=np.empty(0),
        calibration_scores=np.empty(0),
        threshold=Threshold("given", None, np.inf),
        summary=_summary(table, config, end, split, (sampled, screened)),
        ignored=tuple(sorted(ignored)),
        reading=reading or ReadOptions(),
    )
    stride = -(-len(split.training) // MOST_SCORES)
    training_scores = detector.anomaly_score_encoded(encoded[::stride])
    if not np.isfinite(training_scores).all():
        # The terms of the last block do not know of the last step.
        raise training.diverged("the scores of the training rows are not finite")
    calibration_scores = (
        out_of_fold_scores(detector, encoded, split.fold, kept)
        if split.folds
        else detector.anomaly_score(calibration_frame)
    )
    detector = replace(
        detector,
        training_scores=np.sort(training_scores),
        calibration_scores=np.sort(calibration_scores),
    )
    return replace(detector, threshold=_threshold(detector, config))


def _watched(
    batches: Iterator[pl.DataFrame], ignored: Sequence[str], oddities: Oddities
) -> Iterator[pl.DataFrame]:
    """Yield the batches of a table; ``oddities`` sees what is to be learned of their columns.

    All rows of it: a cell in any of them decides on the type that the column has.
    """
    read = 0
    for batch in batches:
        oddities.watch(without_columns(batch, ignored), np.arange(read, read + batch.height))
        read += batch.height
        yield batch


def _without_ignored(
    batches: Iterator[pl.DataFrame], ignored: Sequence[str]
) -> Iterator[pl.DataFrame]:
    """Yield the batches to learn from without the other columns."""
    read = 0
    for batch in batches:
        left = without_columns(batch, ignored)
        check_lengths(left, read)  # before categories become texts
        read += left.height
        yield left


def _normal_rows(
    batches: Iterator[pl.DataFrame],
    label: LabelColumn,
    ignored: Collection[str],
    numbers: list[np.ndarray],
    most: int,
) -> Iterator[pl.DataFrame]:
    """Yield the normal rows; ``numbers`` gets those they have in the table while few have come."""
    labels = LabelReader(label)
    for batch in batches:
        first = labels.rows
        normal = ~labels.read(batch)
        # Here, where rows still have the numbers that they have in the table.
        left = without_columns(batch, ignored)
        check_finite(left, first, normal)
        check_lengths(left, first, normal)
        if labels.normal_rows <= most:  # of more a sample is taken, and none is called by number
            numbers.append(first + np.flatnonzero(normal))
        yield batch.filter(normal)
    labels.check()
    if labels.rows and not labels.normal_rows:
        raise ColumnError(
            quoted(label.name),
            None,
            "marks no row as normal. Give normal rows, or name the label that they have.",
        )


def _gather(
    batches: Iterator[pl.DataFrame], most: int, seed: int, hashed: Collection[str]
) -> tuple[pl.DataFrame, TableEncoder | None, str]:
    """Return the rows to learn from, and the encoder and a note if it had to see more."""
    held: list[pl.DataFrame] = []
    read = 0
    batches = map(BatchSchema().match, batches)
    for batch in batches:
        # Now, while the rows have the numbers that they have in the table.
        check_finite(batch, read)
        held.append(batch)
        read += batch.height
        if read > most:
            break
    else:
        if not held:
            raise InputError("there is no table to learn from: no frame came. Give at least one.")
        return joined(held), None, ""
    rows = Reservoir(most, choice(seed, "sampled rows"))

    def watched() -> Iterator[pl.DataFrame]:
        nonlocal read
        read = 0
        for batch in itertools.chain(held, batches):
            rows.update({"rows": batch})
            read += batch.height
            yield batch

    table = TableEncoder.fit_batches(watched(), hashed=hashed)
    frame = rows["rows"]
    note = (
        f"A uniform sample of {frame.height:,} of {read:,} rows trained and calibrated the model."
    )
    return frame, table, note


def _screen(
    frame: pl.DataFrame,
    table: TableEncoder | None,
    config: Config,
    hashed: Collection[str],
    numbers: Sequence[np.ndarray],
) -> tuple[pl.DataFrame, str]:
    """Return the rows without those that ``trim`` sets aside, and a note about these.

    They calibrate nothing either: the anomalies among them would raise the threshold.
    """
    encoded = (table or TableEncoder.fit(frame, hashed=hashed)).transform(frame)
    found = screening.suspects(encoded, config.trim, config.seed)
    kept = np.isin(np.arange(frame.height), found, invert=True)
    if not np.ptp(encoded[kept], axis=0).any():
        raise InputError(
            f"all rows but the {len(found):,} that trim = {config.trim:g} sets aside are "
            "identical, so there is nothing to learn. Lower trim, or give other rows."
        )
    aside = f"Suspected anomalies set aside (trim = {config.trim:g}): "
    note = f"{aside}{len(found):,} of {frame.height:,} rows"
    if table is None and len(found):
        worst = ", ".join(map(str, np.concatenate(numbers)[found[:5]] if numbers else found[:5]))
        note += f", most suspect: {worst} (counted from 0)"
    promise = f". {TRIMMED}" if len(found) else "."
    return frame.filter(pl.Series(kept)), note + promise


def _threshold(detector: Detector, config: Config) -> Threshold:
    if isinstance(config.threshold, str):
        return learned_threshold(detector, config.alpha)
    return Threshold("given", None, config.threshold, "given before training")


def _summary(
    table: TableEncoder, config: Config, end: Snapshot, split: Split, notes: tuple[str, ...]
) -> TrainingSummary:
    ended = ""
    if end.best is not None:
        best = int(end.history["iteration"][best_block(end.history)])
        ended = (
            f"Training ended after {end.iteration:,} iterations. The weights kept are those after "
            f"{best:,}, where the error of {len(split.watched):,} rows set apart for it was least."
        )
    notes = *table.notes(trend=not unjudged(table, config)), *notes
    return TrainingSummary(
        rows=len(split.training),
        calibration_rows=len(split.calibration),
        folds=split.folds,
        history=end.history,
        notes=tuple(filter(None, (*notes, split.note, ended))),
        versions={name: version(name) for name in ("advae", "jax", "polars")},
    )
