"""Discoveries: rows chosen from a whole scored table so that few of them are normal."""

import math
from collections.abc import Iterable, Iterator
from pathlib import Path

import polars as pl

from advae.cli.waiting import waiting, without_clash
from advae.core.threshold import as_written, discoveries
from advae.detector.detector import Detector
from advae.errors import ConfigError
from advae.files.source import open_source


class DiscoveryMarker:
    """Adds ``is_discovery`` to scored rows, by Benjamini and Hochberg's procedure.

    Which rows are discoveries depends on the p-values of all of them. So the scored rows wait in
    a temporary file until the last is scored; of all rows only the p-values are held in memory.

    Parameters
    ----------
    rate
        Wanted false discovery rate, in (0, 1): the expected share of normal rows among the
        discoveries. It holds where the p-values are valid: with calibration rows, and normal rows
        like them.

    Attributes
    ----------
    rows, found
        The rows and the discoveries so far.
    """

    def __init__(self, rate: float) -> None:
        if not 0 < rate < 1:
            raise ConfigError(f"the false discovery rate is {rate!r}; expected one between 0 and 1")
        self.rate = rate
        self.rows = 0
        self.found = 0

    def mark(
        self, frames: Iterable[pl.DataFrame], folder: Path | None = None
    ) -> Iterator[pl.DataFrame]:
        """Yield the frames of ``Detector.score_batches`` with ``is_discovery`` after ``p_value``.

        Parameters
        ----------
        frames
            Scored rows, at least one frame.
        folder
            Where the rows may wait, with room for all; the system's temporary folder when None.
        """
        with waiting(without_clash(frames, "is_discovery"), folder) as path:
            p = pl.read_ipc(path, columns=["p_value"])["p_value"].to_numpy()
            selected = pl.Series("is_discovery", discoveries(p, self.rate))
            for frame in open_source(path, rowless=True).batches():
                flags = selected.slice(self.rows, frame.height)
                self.rows += frame.height
                self.found += int(flags.sum())
                yield frame.insert_column(frame.columns.index("p_value") + 1, flags)

    def doubts(self, detector: Detector) -> list[str]:
        """Return what the user should know about the discoveries, once all rows have passed."""
        known, doubts = len(detector.reference_scores), []
        if not len(detector.calibration_scores):
            doubts.append(
                "the model has no calibration rows, so its p-values are too small and the false "
                "discovery rate is not controlled; join reviewed normal rows with 'advae threshold "
                "--reviewed'"
            )
        elif detector.config.trim:
            doubts.append(
                "normal rows among those that --trim set aside are missing in the calibration, so "
                "p-values may be too small and the false discovery rate is not controlled"
            )
        # Exact: as floats, 145 / (29 * 0.01) is above 500.
        fewest = math.ceil(self.rows / (as_written(self.rate) * (known + 1)))
        if not self.found and fewest > 1:
            limit = f"with {known:,} normal rows to compare with, no p-value is below"
            needed = f"{fewest:,} of the {self.rows:,} rows would have to score above all of them"
            if fewest > self.rows:
                needed = f"none of {self.rows:,} rows can be a discovery"
            doubts.append(f"no discoveries: {limit} {1 / (known + 1):.2g}, so {needed}")
        return doubts
