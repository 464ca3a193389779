"""New rows beside the training rows of a model: which columns hold nothing that training had."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from advae.detector.detector import Detector
from advae.detector.tally import Tally
from advae.display.text import number, share
from advae.doctor.checks import Finding, stuck
from advae.doctor.standstill import Standstills
from advae.errors import InputError
from advae.tables.frames import as_batches
from advae.tables.values import is_missing


def compare(detector: Detector, data: Any) -> tuple[int, tuple[Finding, ...]]:
    """Read new rows once, in bounded memory, and return what of them does not suit a model.

    Parameters
    ----------
    detector
        The model. Nothing is scored.
    data
        Rows with its columns; see `advae.tables.frames.as_batches`.

    Returns
    -------
        The rows read, and the findings, problems first: ``"outside"``, a column without a value
        that training had; ``"moved"``, one whose values are distributed otherwise; ``"stuck"``,
        one whose number stays the same for many rows.

    Raises
    ------
    InputError
        If there are no rows, a column is missing, or a value cannot be read.

    Examples
    --------
    >>> import numpy as np
    >>> import advae
    >>> normal = np.random.default_rng(0).normal(size=(300, 2))
    >>> detector = advae.fit_detector(normal, advae.Config(iterations=50))
    >>> from advae.doctor import compare
    >>> rows, findings = compare(detector, normal + [0, 9])
    >>> rows
    300
    >>> [(finding.check, finding.columns) for finding in findings]
    [('outside', ('column_1',))]
    """
    features, tally = detector.table.features, Tally(detector)
    present, outside = np.zeros(len(features), int), np.zeros(len(features), int)
    judged = [each.name for each in features if each.name not in detector.dated]
    still = Standstills(judged)
    for frame in as_batches(data):
        for part, encoded in detector.table.transform_parts(frame, first_row=tally.rows):
            still.update(part, tally.rows + np.arange(part.height))
            tally.update(part, encoded, np.zeros(part.height), tally.rows)
            for place, (column, places) in enumerate(
                zip(features, detector.table.places, strict=True)
            ):
                known = ~is_missing(part[column.name]).to_numpy()
                positions = column.positions(encoded[:, list(places)])[known]
                present[place] += len(positions)
                outside[place] += int(column.distribution.strange(positions).sum())
    if not tally.rows:
        raise InputError("the table has no rows. Give it rows.")
    lost = {
        column.name: int(count)
        for column, count, strange in zip(features, present, outside, strict=True)
        if count and count == strange and column.name not in detector.dated
    }
    findings = [
        *_outside(lost),
        *_moved(tally, {*lost, *detector.dated}),
        *(
            stuck(name, run, "Look at where it comes from: a sensor or an export may have stopped.")
            for name in judged
            if (run := still.found(name)) is not None
        ),
    ]
    return tally.rows, tuple(sorted(findings, key=lambda each: each.severity != "problem"))


def _outside(lost: dict[str, int]) -> Iterator[Finding]:
    for name, values in lost.items():
        yield Finding(
            "outside",
            "problem",
            (name,),
            f"all {values:,} values lie outside training: beyond its range, or never seen there",
            "If the unit, the spelling or the system behind it changed, change it back; if it is "
            "new for good, fit again, or ignore the column.",
        )


def _moved(tally: Tally, said: set[str]) -> Iterator[Finding]:
    for drift in tally.drifts:
        if drift.column in said or drift.level not in ("shifted", "strong"):
            continue
        message = f"its values have moved away from training: drift {number(drift.index, 2)}"
        if drift.missing > 2 * drift.missing_in_training + 0.05:
            missing, before = share(drift.missing), share(drift.missing_in_training)
            message += f"; {missing} are missing, and {before} were in training"
        yield Finding(
            "moved",
            "problem" if drift.missing == 1 else "hint",
            (drift.column,),
            message,
            "Look at it in the report; rows can be flagged for this alone.",
        )
