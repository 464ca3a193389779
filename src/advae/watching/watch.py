"""One run of a watch: deliver what is left, score what is new, remember, deliver.

Alarms are in the state file, together with the note that their rows were scored, before they are
delivered, and leave it afterwards. So a run that dies leaves either rows that count as new, or
alarms that the next run delivers, some of them again; and outlets know them by their keys.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Int

from advae.core.arrays import HostMatrix
from advae.detector.calibration import expected_alarms
from advae.detector.detector import Detector
from advae.errors import AdVAEError, ColumnError, InputError
from advae.tables.frames import check_free
from advae.watching.drift import Drift, Evidence, Follower
from advae.watching.outlets import Outlet
from advae.watching.sources import Piece, Source
from advae.watching.state import Batch, State, load

TOGETHER_ROWS, TOGETHER_PIECES = 32_768, 64
"""Pieces that are remembered and delivered together have so many rows, or are so many."""

OWN = ("alarm", "source", "model")
"""What an alarm has besides what scoring gives."""


@dataclass
class Outcome:
    """What a run found.

    Attributes
    ----------
    rows, flagged, sources
        Rows that were scored, those of them that alarm, and files (or queries) with new rows.
    alarms
        Alarms that were delivered, those left by an earlier run among them.
    drifts
        What was found to have changed, for the first time.
    advice
        Sentences on when to fit again, and on which rows.
    problems
        What could not be read; the other sources were scored.
    """

    rows: int = 0
    flagged: int = 0
    sources: int = 0
    alarms: int = 0
    drifts: list[Drift] = field(default_factory=list)
    advice: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


class Watch:
    """Scores what is new of a source, each row once.

    Parameters
    ----------
    detector
        What scores.
    model
        Fingerprint of its file.
    source
        Where rows come from.
    outlet
        Where alarms go.
    path
        The state file, which is made if it is not there; nobody else may use it meanwhile, see
        `advae.watching.state.alone`.
    keep
        Columns to carry along.
    explain
        How many reasons an alarm names.
    say
        Takes remarks.

    Raises
    ------
    InputError
        If the state file is damaged, or of another source, or a column to carry along has the name
        of one that alarms have.
    """

    def __init__(
        self,
        detector: Detector,
        model: str,
        source: Source,
        outlet: Outlet,
        path: Path,
        *,
        keep: list[str],
        explain: int,
        say: Callable[[str], None],
    ) -> None:
        check_free(keep, OWN)
        self._detector, self._model, self._path = detector, model, path
        self._source, self._outlet, self._say = source, outlet, say
        self._keep, self._explain = keep, explain
        self.state = load(path) or State(source.name)
        if self.state.source != source.name:
            raise InputError(
                f"{path}: belongs to another source ({self.state.source}). Name another state file."
            )
        self._follower = Follower(detector)
        self._evidence = Evidence.restored(self._follower, self.state.evidence)
        if self.state.model not in ("", model):
            say(
                "the model is another than at the last run; rows that were scored stay so"
                + ("" if self._evidence.batches else ", and drift is followed from now on")
            )
        self._expected = expected_alarms(detector)

    def run(self) -> Outcome:
        """Score what is new.

        Raises
        ------
        InputError
            If alarms cannot be delivered, or the state not be written.
        """
        found = Outcome()
        self._deliver(found)
        together: list[_Scored] = []
        for unit in self._source.units(self.state, self._say):
            try:
                for piece in unit.pieces():
                    together.append(self._score(piece))
                    rows = sum(each.rows for each in together)
                    if rows >= TOGETHER_ROWS or len(together) >= TOGETHER_PIECES:
                        self._commit(together, found)
                        together = []
            except _DeliveryError as error:
                raise error.reason from None
            except FileNotFoundError:
                continue  # gone between two looks
            except AdVAEError as error:
                found.problems.append(str(error))
        try:
            self._commit(together, found)
        except _DeliveryError as error:
            raise error.reason from None
        self.state.model = self._model
        self.state.save(self._path)
        return found

    def _score(self, piece: Piece) -> "_Scored":
        """Score a piece; say in errors which row of which file they are about."""
        counted = np.zeros(len(self._follower.tests), np.int64)

        def watch(_: pl.DataFrame, encoded: HostMatrix, scores: np.ndarray, __: int) -> None:
            counted[:] += self._follower.count(encoded, scores)

        if not piece.rows.height:
            return _Scored(piece, 0, 0, [], counted)
        try:
            scored = pl.concat(
                self._detector.score_batches(
                    [piece.rows], keep=self._keep, explain=self._explain, watch=watch
                )
            )
        except ColumnError as error:
            placed = error if error.row is None else error.at(error.row + piece.first)
            raise InputError(f"{piece.source}: {placed}") from None
        alarms = scored.with_columns(piece.numbers).filter("is_anomaly").drop("is_anomaly")
        return _Scored(piece, scored.height, alarms.height, self._records(piece, alarms), counted)

    def _records(self, piece: Piece, alarms: pl.DataFrame) -> list[dict[str, Any]]:
        records = []
        for alarm in alarms.iter_rows(named=True):
            own = {
                "alarm": self._key(piece, alarm["row"]),
                "source": piece.source,
                "row": alarm["row"],
                "model": self._model,
            }
            values = {name: value for name, value in alarm.items() if name != "row"}
            # JSON has no number that is not finite; the missing ones and infinity become null.
            text = json.dumps(own | values, default=str)
            records.append(json.loads(text, parse_constant=lambda _: None))
        return records

    def _key(self, piece: Piece, row: object) -> str:
        text = json.dumps([piece.source, piece.identity, row, self._model], default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:24]

    def _commit(self, together: list["_Scored"], found: Outcome) -> None:
        """Remember pieces and their alarms at once, then deliver these."""
        if not together:
            return
        state, now = self.state, datetime.now(UTC)
        rows = sum(each.rows for each in together)
        flagged = sum(each.flagged for each in together)
        state.outbox = []
        for each in together:
            each.piece.remember(state)
            if each.alarms:
                key = each.alarms[0]["alarm"][:12]
                state.outbox.append(Batch(key, each.piece.source, self._model, each.alarms))
        if rows:
            at = now.isoformat(timespec="seconds")
            first = next(each.piece for each in together if each.rows)
            place = f"{first.source}, row {first.numbers[0]}"
            if (dates := self._detector.table.dates) is not None:
                place += f" ({dates.name} {first.rows[dates.name][0]})"
            counts = np.sum([each.counts for each in together], axis=0)
            news = self._evidence.update(counts, rows, at, place)
            found.advice += self._evidence.advice()
            found.drifts += news
            state.drifts += [asdict(drift) for drift in news]
            state.evidence = self._evidence.to_json()
            state.count(now.date().isoformat(), rows, flagged, self._expected)
        state.model = self._model
        state.save(self._path)
        found.rows, found.flagged = found.rows + rows, found.flagged + flagged
        found.sources += len({each.piece.source for each in together if each.rows})
        try:
            self._deliver(found)
        except InputError as error:
            raise _DeliveryError(error) from None

    def _deliver(self, found: Outcome) -> None:
        """Deliver what is in the outbox, which is empty once the state is written again."""
        if self.state.outbox:
            self._outlet.deliver(self.state.outbox)
            found.alarms += sum(len(batch.alarms) for batch in self.state.outbox)
            self.state.outbox = []


class _DeliveryError(Exception):
    """Alarms could not be delivered, which ends a run; what a file has wrong does not."""

    def __init__(self, reason: InputError) -> None:
        self.reason = reason


@dataclass
class _Scored:
    """A piece that was scored."""

    piece: Piece
    rows: int
    flagged: int
    alarms: list[dict[str, Any]]
    counts: Int[np.ndarray, "tests"]
