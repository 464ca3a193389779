"""Examine a training table before fitting: what would be refused, and what would be mislearned."""

import math
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from advae.config import Config
from advae.core.threshold import alarm_rate, conformal_rows_needed, conformal_threshold
from advae.detector.detector import unjudged
from advae.detector.split import ENOUGH_ALARMS, split_rows
from advae.display.text import share
from advae.doctor.checks import (
    STRANGE,
    ColumnWatch,
    CopyCounter,
    Finding,
    Severity,
    separation,
    strangeness,
)
from advae.doctor.standstill import Standstills
from advae.errors import InputError, quoted_list
from advae.tables.encoder import TableEncoder
from advae.tables.frames import BatchSchema, as_batches, names_given, without_columns
from advae.tables.labels import LabelColumn, LabelReader
from advae.tables.sampling import Reservoir
from advae.tables.values import check_lengths

SAMPLE_ROWS = 20_000
"""Rows that the checks which need several rows at once look at, drawn uniformly."""

SAMPLE_CELLS = 1 << 22
"""Values in that sample: of wide tables it has fewer rows, of the widest `FEWEST_ROWS`."""

FEWEST_ROWS = 2000

MOST_COLUMNS = 1000
"""Columns examined, evenly spread over a wider table; each takes time and a sample of its own."""

MOST_FITTED = 500_000
"""Rows that a fit trains and calibrates with, unless it is told otherwise."""

GIVES_AWAY = 0.99
"""Area under the ROC curve from which on a single column is suspected of knowing the label."""

FEWEST_ANOMALIES = 5
"""Labelled anomalies in the sample below which no column is suspected."""

BY_CHANCE = 0.01
"""No column is suspected where one would have area 1 by chance more often than this: of 5 anomalies
among 10 rows, one column in 126 has it."""

COPIES = 0.01
STRANGE_SHARE = 0.01
"""Shares of the rows from which on copies, or strange rows, are reported."""

ALIKE = 5
"""Findings of one check that people are shown one by one; a wide table can have thousands."""


@dataclass(frozen=True)
class Diagnosis:
    """What an examination found.

    Parameters
    ----------
    rows
        Rows read.
    normal_rows
        Those not labelled as anomalies, which ``advae fit`` would learn from.
    findings
        Problems first.

    Examples
    --------
    >>> import numpy as np
    >>> from advae.doctor import examine
    >>> table = {"id": np.arange(300), "load": np.random.default_rng(0).normal(size=300)}
    >>> diagnosis = examine(table)
    >>> diagnosis.rows, diagnosis.normal_rows, diagnosis.findings[0].check
    (300, 300, 'identifier')
    """

    rows: int
    normal_rows: int
    findings: tuple[Finding, ...]

    @property
    def brief(self) -> list[Finding]:
        """The findings for people to read: of each check `ALIKE`, and one for the others."""
        alike: dict[tuple[str, str], list[Finding]] = defaultdict(list)
        for finding in self.findings:
            alike[finding.severity, finding.check].append(finding)
        shown = []
        for group in alike.values():
            shown += group[:ALIKE]
            others = group[ALIKE:]
            if others:
                names = quoted_list([name for finding in others for name in finding.columns])
                message = f"much the same in {len(others):,} more; the findings name each"
                shown.append(replace(others[0], columns=(names,), message=message))
        return shown


def examine(
    data: Any,
    config: Config | None = None,
    *,
    label: str | LabelColumn | None = None,
    ignored: Collection[str] = (),
) -> Diagnosis:
    """Read a table once, in bounded memory, and return what its owner should know.

    Parameters
    ----------
    data
        The rows: a table, or batches of it cut anywhere; see `advae.tables.frames.as_batches`.
    config
        Settings that the table is to be fitted with; the ``default`` preset when None.
    label
        Column of known labels, see `LabelColumn`; only rows that it calls normal would be learned
        from.
    ignored
        Columns that are not to be learned.

    Raises
    ------
    InputError
        If there are no rows, a column is missing, a label cannot be read or that of normal rows
        does not occur, or a batch does not match those before it; see `BatchSchema`.

    Examples
    --------
    >>> import numpy as np
    >>> from advae.doctor import examine
    >>> table = {"id": np.arange(300), "load": np.random.default_rng(0).normal(size=300)}
    >>> for finding in examine(table).findings:
    ...     print(finding.severity, finding.check, *finding.columns)
    problem identifier id
    hint strange-rows
    >>> [finding.check for finding in examine(table, ignored=["id"]).findings]
    ['strange-rows']
    """
    config = Config.of(config)
    patient = _Patient(LabelColumn.of(label), ignored)
    for batch in as_batches(data):
        patient.update(batch)
    if not patient.rows:
        raise InputError("the table has no rows. Give it rows.")
    if patient.labels is not None:
        patient.labels.check()
    findings = patient.findings(config)
    ranked = sorted(findings, key=lambda finding: finding.severity != "problem")
    return Diagnosis(patient.rows, patient.normal_rows, tuple(ranked))


class _Patient:
    """The table under examination."""

    def __init__(self, label: LabelColumn | None, ignored: Collection[str]) -> None:
        self.rows = 0
        self.normal_rows = 0
        self._empty_rows = 0
        self.labels = None if label is None else LabelReader(label)
        self._ignored = names_given(ignored)
        self._schema = BatchSchema()
        self._watches: list[ColumnWatch] = []
        self._still = Standstills(())
        self._copies = CopyCounter()
        self._columns = 0
        self._sample = Reservoir(SAMPLE_ROWS, np.random.default_rng(0))

    def update(self, batch: pl.DataFrame) -> None:
        """Take in the next rows."""
        labels = self.labels
        left_out = [*self._ignored, *([] if labels is None else [labels.column.name])]
        unlabelled = without_columns(batch, left_out)
        anomalous = np.zeros(batch.height, bool) if labels is None else labels.read(batch)
        check_lengths(unlabelled, self.rows)
        kept = self._schema.match(unlabelled)
        if not kept.width:
            raise InputError("no column is left to learn from. Ignore fewer of them.")
        if not self._watches:
            self._begin(kept.columns)
        normal = kept.filter(~anomalous)
        place = np.arange(self.rows, self.rows + batch.height)
        for watch in self._watches:
            watch.update(kept[watch.name], place, ~anomalous)
        self._still.update(normal, place[~anomalous])
        # Polars cannot hash or nest Python objects; the columns that hold them are unusable anyway.
        objects = [name for name, kind in kept.schema.items() if kind == pl.Object]
        comparable = kept.with_columns(pl.lit(None).alias(name) for name in objects)
        self._copies.update(comparable.filter(~anomalous))
        empty = normal.select(pl.all_horizontal(pl.all().is_null())).to_series()
        self._empty_rows += int(empty.sum())
        watched = comparable.select(comparable[watch.name] for watch in self._watches)
        self._sample.update({"place": place, "anomalous": anomalous, "row": watched})
        self.rows += batch.height
        self.normal_rows += normal.height

    def _begin(self, names: Sequence[str]) -> None:
        """Choose the columns to watch, and how many rows to sample of them."""
        self._columns = len(names)
        chosen = np.linspace(0, len(names) - 1, min(len(names), MOST_COLUMNS)).round().astype(int)
        self._watches = [ColumnWatch(names[place]) for place in chosen]
        self._still = Standstills([watch.name for watch in self._watches])
        rows = min(SAMPLE_ROWS, max(FEWEST_ROWS, SAMPLE_CELLS // len(chosen)))
        self._sample = Reservoir(rows, np.random.default_rng(0))

    def findings(self, config: Config) -> Iterator[Finding]:
        """Yield everything found."""
        if not self.normal_rows:
            yield Finding(
                "no-normal-rows",
                "problem",
                (),
                "every row is labelled an anomaly, so there is none to learn from",
                "Give normal rows, or name the label of normal ones.",
            )
            return
        values, anomalous = self._sample["row"], self._sample["anomalous"]
        if self._columns > len(self._watches):
            few = f", by {len(values):,} of the rows where a check looks at several at once"
            rows = "" if self._sample.complete else few
            yield Finding(
                "sampled",
                "hint",
                (),
                f"{len(self._watches):,} of {self._columns:,} columns were examined, evenly "
                f"spread{rows}",
                "Name others with only, to have them examined.",
            )
        yield from self._calibration(config)
        columns = [watch.column() for watch in self._watches]
        learned = tuple(column for column in columns if column is not None)
        trend = config.time == "trend"
        with suppress(InputError):  # which is a finding of its own, below
            trend = not unjudged(TableEncoder(learned), config)
        normal = self._sample["place"][~anomalous]
        for watch in self._watches:
            sample, run = values[watch.name].filter(~anomalous), self._still.found(watch.name)
            yield from watch.findings(sample, normal, run, trend=trend)
        if self._empty_rows:
            yield Finding(
                "empty-rows",
                "problem",
                (),
                f"{self._empty_rows:,} of the normal rows have no value in any column",
                "Remove them: spreadsheets add such rows, and they are learned as normal ones.",
            )
        copied = self._copies.share()
        if copied >= COPIES:
            yield Finding(
                "copies",
                "hint",
                (),
                f"{share(copied)} of the normal rows repeat an earlier one exactly",
                "Remove copies that a faulty join or export made: they count several times, and "
                "stand on both sides of the calibration.",
            )
        try:
            table = TableEncoder(learned)
            encoded = table.transform(values)
        except InputError as error:
            yield Finding("unusable", "problem", (), str(error), "Correct the table first.")
            return
        yield from _given_away(table, encoded, anomalous)
        yield from _strange_rows(encoded[~anomalous], self._sample["place"][~anomalous])

    def _calibration(self, config: Config) -> Iterator[Finding]:
        plan = split_rows(min(self.normal_rows, MOST_FITTED), config)
        if plan.note:
            enough = self.normal_rows >= conformal_rows_needed(config.alpha)
            severity: Severity = "hint" if enough else "problem"
            yield Finding(
                "few-rows", severity, (), plan.note, "Give more normal rows, or raise alpha."
            )
        elif len(plan.calibration) and (len(plan.calibration) + 1) * config.alpha < ENOUGH_ALARMS:
            rows = len(plan.calibration)
            rate = alarm_rate(np.arange(rows), conformal_threshold(np.arange(rows), config.alpha))
            wanted = math.ceil(ENOUGH_ALARMS / (config.alpha * config.calibration))
            yield Finding(
                "few-rows",
                "hint",
                (),
                f"{rows:,} of {self.normal_rows:,} rows would be held out for the threshold at "
                f"alpha = {config.alpha:g}, so few that its true share of false alarms can lie "
                f"anywhere from {share(rate.low)} to {share(rate.high)}",
                f"Give {wanted:,} normal rows, or raise alpha.",
            )


def _given_away(
    table: TableEncoder, encoded: NDArray[np.float32], anomalous: NDArray[np.bool_]
) -> Iterator[Finding]:
    hits = int(anomalous.sum())
    if min(hits, len(anomalous) - hits) < FEWEST_ANOMALIES:
        return
    if 2 * len(table.features) / math.comb(len(anomalous), hits) > BY_CHANCE:
        return
    area = separation(encoded, anomalous)
    best = np.zeros(len(table.features))
    np.maximum.at(best, table.owner, area)
    suspects = np.flatnonzero(best >= GIVES_AWAY)
    if len(suspects):
        least = float(best[suspects].min())
        right = "always" if least == 1 else f"in at least {share(least)} of cases"
        yield Finding(
            "gives-away-label",
            "problem",
            tuple(table.feature_names[suspect] for suspect in suspects),
            "tells anomalies from normal rows by itself: of one row of each kind, it names the "
            f"anomaly {right}",
            "Ignore it if it is only known after a row has been judged.",
        )


def _strange_rows(encoded: NDArray[np.float32], places: NDArray[np.int64]) -> Iterator[Finding]:
    strange = strangeness(encoded)
    apart = float(np.mean(strange > STRANGE))
    if apart >= STRANGE_SHARE:
        worst = ", ".join(str(place) for place in places[np.argsort(-strange)[:5]])
        yield Finding(
            "strange-rows",
            "hint",
            (),
            f"{share(apart)} of the rows to be learned from stand apart from the others; the most "
            f"are rows {worst} (the first data row is row 0)",
            "Look at them: anomalies among the training rows are learned as normal, unless trim "
            "sets them aside. That none stands apart would not prove that there are none.",
        )
