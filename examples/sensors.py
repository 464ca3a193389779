"""Sensors with drift: score a machine day by day, and notice that a sensor changes slowly."""

import numpy as np
import polars as pl

import advae
from advae.detector.tally import Tally


def day(number: int, drift: float = 0.0) -> pl.DataFrame:
    """Return the readings of a day, one each three minutes; ``drift`` moves the pressure."""
    rng = np.random.default_rng(number)
    rows = 480
    load = 50 + 30 * np.sin(np.linspace(0, 2 * np.pi, rows)) + rng.normal(0, 3, rows)
    return pl.DataFrame(
        {
            "load": load,
            "temperature": 20 + 0.6 * load + rng.normal(0, 1, rows),
            "pressure": 3 + 0.02 * load + drift + rng.normal(0, 0.05, rows),
            "vibration": np.abs(rng.normal(0, 1, rows)) * (1 + load / 50),
        }
    )


def main() -> None:
    """Learn two good days; then watch four more, of which the last two drift."""
    detector = advae.fit_detector(pl.concat([day(1), day(2)]), advae.Config(alpha=0.01))
    for number, drift in ((3, 0.0), (4, 0.0), (5, 0.1), (6, 0.3)):
        tally = Tally(detector)
        readings = day(number, drift)
        for _ in detector.score_batches(readings, watch=tally.update):
            pass
        moved = [each.column for each in tally.drifts if each.level in ("shifted", "strong")]
        alarm = "too many alarms" if tally.too_many else "as expected"
        print(f"day {number}: {tally.share:.1%} flagged, {alarm}; moved: {moved or 'nothing'}")
    broken = day(7).head(1).with_columns(pressure=pl.lit(0.0))
    print(detector.explain(broken).top(1).select("reason_1", "reason_1_expected").rows()[0])


if __name__ == "__main__":
    main()
