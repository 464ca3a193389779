"""Flights: texts, times and numbers that must fit together, and what would make a row normal."""

from datetime import datetime, timedelta

import numpy as np
import polars as pl

import advae
from advae.detector.counterfactual import counterfactuals

ROUTES = {  # origin and destination: kilometres
    ("HAM", "MUC"): 600,
    ("MUC", "HAM"): 600,
    ("HAM", "LIS"): 2200,
    ("LIS", "HAM"): 2200,
    ("MUC", "OSL"): 1560,
    ("OSL", "MUC"): 1560,
}


def flights(rows: int, seed: int) -> pl.DataFrame:
    """Return normal flights: distance and minutes follow from the route."""
    rng = np.random.default_rng(seed)
    routes = [list(ROUTES)[number] for number in rng.integers(0, len(ROUTES), rows)]
    distance = np.array([ROUTES[route] for route in routes])
    midnight = datetime(2026, 3, 1)
    return pl.DataFrame(
        {
            "flight": [f"{seed}-{row:03}" for row in range(rows)],
            "origin": [origin for origin, _ in routes],
            "destination": [destination for _, destination in routes],
            "departure": [
                midnight + timedelta(days=int(row % 60), hours=float(hour))
                for row, hour in enumerate(rng.uniform(6, 22, rows))
            ],
            "distance": distance,
            "minutes": (30 + distance / 13 + rng.normal(0, 5, rows)).round(),
        }
    )


def main() -> None:
    """Learn flights, then look at four records with one mistake each, and one without."""
    detector = advae.fit_detector(
        flights(400, seed=1), advae.Config(alpha=0.005), ignored=["flight"]
    )
    route = pl.lit("HAM").alias("origin"), pl.lit("LIS").alias("destination")
    fine = flights(1, seed=2).with_columns(
        *route, distance=pl.lit(2200), minutes=pl.lit(200.0), departure=datetime(2026, 3, 9, 12)
    )
    mistakes = {
        "none": fine,
        "minutes of another route": fine.with_columns(minutes=pl.lit(77.0)),
        "distance in miles": fine.with_columns(distance=pl.lit(1367)),
        "destination is the origin": fine.with_columns(destination=pl.lit("HAM")),
        "departure at night": fine.with_columns(departure=datetime(2026, 3, 9, 2, 30)),
    }
    names = detector.table.feature_names
    for mistake, row in mistakes.items():
        flagged = bool(detector.is_anomaly(row)[0])
        (found,) = counterfactuals(detector, detector.table.transform(row))
        changes = [names[column] for column in found.columns]
        print(f"{mistake}: {'flagged, change ' + ' and '.join(changes) if flagged else 'normal'}")


if __name__ == "__main__":
    main()
