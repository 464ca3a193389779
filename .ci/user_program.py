"""What a user of advae might write; mypy checks it against the installed package."""

from pathlib import Path

import polars as pl

import advae


def odd_rows(normal: Path, new: Path) -> pl.DataFrame:
    """Return the flagged rows of a table."""
    config = advae.Config(alpha=0.05, members=2)
    detector: advae.Detector = advae.fit_detector(advae.read_table(normal), config)
    limit: float = detector.threshold.value
    table = advae.read_table(new, detector=detector)
    rows = [frame.filter(pl.col("anomaly_score") > limit) for frame in scored(detector, table)]
    advae.save(detector, normal.with_suffix(".advae"))
    return pl.concat(rows)


def scored(detector: advae.Detector, table: pl.DataFrame) -> list[pl.DataFrame]:
    """Return a table's scores, with a reason each."""
    return list(detector.score_batches(table, explain=1))


def estimated(table: pl.DataFrame) -> advae.AdVAEDetector:
    """Return a fitted estimator."""
    try:
        return advae.AdVAEDetector(alpha=0.05, random_state=0).fit(table)
    except advae.InputError as error:
        raise SystemExit(str(error)) from None
