"""Scores of the paper's method stay what they were: compared with recorded ones.

After a change that is meant to move them, record them again and say why in the commit:
``python tests/detector/test_fingerprints.py``.
"""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import advae

RECORDED = Path(__file__).with_suffix(".json")
SETTINGS = {
    "numbers": {"iterations": 60, "members": 1},
    "mixed": {"iterations": 40, "members": 1},
    "members": {"iterations": 40, "members": 3},
}


def table(name: str) -> pl.DataFrame:
    """Return a small table made without random numbers."""
    place = np.arange(90)
    # Fractions of multiples of these steps lie evenly in [0, 1), on every machine alike.
    even = {name: place * step % 1.0 for name, step in {"a": 0.618, "b": 0.414, "c": 0.732}.items()}
    even["d"] = even["a"] * 2 - even["b"]
    frame = pl.DataFrame(even)
    if name == "mixed":
        days = pl.date_range(pl.date(2024, 1, 1), pl.date(2024, 3, 30), eager=True)
        frame = frame.with_columns(
            a=pl.when(pl.int_range(pl.len()) % 11 == 3).then(None).otherwise("a"),
            kind=pl.Series([("red", "green", "blue", "green")[i % 4] for i in place]),
            yes=pl.Series(place % 3 == 0),
            day=days,
            always=pl.lit(1),
        )
    return frame


def scores(name: str) -> list[float]:
    """Return the scores of all rows and of ten unusual ones, and the threshold."""
    frame = table(name)
    config = advae.Config.preset("paper", **SETTINGS[name], hidden=16, latent=3)
    detector = advae.fit_detector(frame[:80], config)
    strange = frame[80:].with_columns(b=pl.col("b") + 2.0)
    found = detector.anomaly_score(pl.concat([frame, strange]))
    return [*found.tolist(), detector.threshold.value]


@pytest.mark.parametrize("name", SETTINGS)
def test_scores_are_those_recorded(name: str) -> None:
    recorded = json.loads(RECORDED.read_text(encoding="utf-8"))
    np.testing.assert_allclose(scores(name), recorded[name], rtol=1e-4)


if __name__ == "__main__":
    found = {name: [float(f"{score:.8g}") for score in scores(name)] for name in SETTINGS}
    RECORDED.write_text(json.dumps(found) + "\n", encoding="utf-8")
