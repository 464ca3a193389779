"""Payments: learn a month of normal ones, find frauds among new ones, and say what is odd."""

import numpy as np
import polars as pl

import advae

SHOPS = {"grocery": 35, "fuel": 55, "books": 20, "travel": 420}  # and their usual amounts


def payments(rows: int, seed: int) -> pl.DataFrame:
    """Return normal payments: the amount depends on the shop, and few are made at night."""
    rng = np.random.default_rng(seed)
    shop = rng.choice(list(SHOPS), rows, p=[0.5, 0.25, 0.2, 0.05])
    usual = np.array([SHOPS[name] for name in shop])
    return pl.DataFrame(
        {
            "payment": [f"{seed}-{row:04}" for row in range(rows)],
            "shop": shop,
            "amount": (usual * rng.gamma(9, 1 / 9, rows)).round(2),
            "hour": rng.normal(14, 3, rows).clip(6, 23).round(1),
            "abroad": (rng.random(rows) < 0.04) | ((shop == "travel") & (rng.random(rows) < 0.5)),
        }
    )


def with_frauds(table: pl.DataFrame) -> pl.DataFrame:
    """Change the first nine payments: each is odd in one of three ways."""
    number = pl.int_range(pl.len())
    return table.with_columns(
        shop=pl.when(number < 3).then(pl.lit("books")).otherwise("shop"),
        amount=pl.when(number < 3)
        .then(390.0 + number)
        .when(number.is_between(6, 8))
        .then(0.5)
        .otherwise("amount"),
        hour=pl.when(number.is_between(3, 5)).then(3.5).otherwise("hour"),
    )


def main() -> None:
    """Learn, score, and print what was flagged."""
    detector = advae.fit_detector(
        payments(2000, seed=1), advae.Config(alpha=0.01), ignored=["payment"]
    )
    new = with_frauds(payments(300, seed=7))
    flagged = new.filter(pl.Series(detector.is_anomaly(new)))
    reasons = detector.explain(flagged).top(1)
    for row, reason in zip(flagged.rows(named=True), reasons.rows(named=True), strict=True):
        kind = "fraud" if int(row["payment"][2:]) < 9 else "normal"
        seen, expected = reason["reason_1_observed"], reason["reason_1_expected"]
        print(f"{row['payment']} ({kind}): {reason['reason_1']} {seen}, expected {expected}")
    found = sum(int(name[2:]) < 9 for name in flagged["payment"])
    print(f"{found} of 9 frauds found; {flagged.height - found} of 291 normal payments flagged")


if __name__ == "__main__":
    main()
