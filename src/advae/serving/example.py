"""A row such as training's, to show what a model wants to be asked."""

import json
from typing import Any

import numpy as np
import polars as pl

from advae.detector.detector import Detector


def example_rows(detector: Detector) -> pl.DataFrame:
    """Return a row such as training's: what the model expects in the middle of its ranges."""
    middle = np.zeros((1, detector.table.width), np.float32)
    middle[:, : detector.table.network_width] = 0.5
    decoded = detector.table.decode(detector.score_encoded(middle).expected)
    return decoded.with_columns(
        pl.lit(feature.profile.quantiles[len(feature.profile.quantiles) // 2]).alias(feature.name)
        for feature in detector.table.features
        if feature.profile.quantiles and decoded[feature.name].dtype.is_float()
    )


def example_records(frame: pl.DataFrame) -> list[dict[str, Any]]:
    """Return rows as records that JSON can hold: times as texts."""
    times = [name for name, dtype in frame.schema.items() if dtype.is_temporal()]
    plain = frame.with_columns(frame[name].cast(pl.String) for name in times)
    records: list[dict[str, Any]] = json.loads(plain.write_json())
    return records
