"""Customers: a model for each, since what is normal for one is not for another."""

import numpy as np
import polars as pl

import advae

CUSTOMERS = {"bakery": (40, 5), "garage": (900, 4), "hotel": (300, 30)}  # amount, items


def orders(rows: int, seed: int) -> pl.DataFrame:
    """Return orders of all customers; ``items`` grows with ``amount``."""
    rng = np.random.default_rng(seed)
    parts = []
    for customer, (amount, items) in CUSTOMERS.items():
        size = rng.gamma(12, 1 / 12, rows)
        parts.append(
            pl.DataFrame(
                {
                    "customer": [customer] * rows,
                    "amount": (amount * size * rng.normal(1, 0.05, rows)).round(2),
                    "items": (items * size).round().clip(1),
                }
            )
        )
    return pl.concat(parts)


def main() -> None:
    """Learn a model for each customer, and ask all of them about the same order."""
    bundle = advae.fit_detectors(orders(300, seed=1), "customer", advae.Config(alpha=0.01))
    for customer in CUSTOMERS:
        print(f"{customer}: alarms above {bundle.detector(customer).threshold.value:.1f}")
    same = pl.DataFrame(
        {
            "customer": [*CUSTOMERS, "florist"],
            "amount": [310.0] * 4,
            "items": [31.0] * 4,
        }
    )
    for scored in bundle.score_batches(same, explain=1):
        for row in scored.rows(named=True):
            verdict = f"odd, for {row['reason_1']}" if row["is_anomaly"] else "normal"
            model = "own model" if row["own_model"] else "model of all"
            print(f"{row['customer']} ({model}): {verdict}")


if __name__ == "__main__":
    main()
