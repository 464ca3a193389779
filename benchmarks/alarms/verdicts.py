"""Do verdicts silence what was excused, and nothing else.

Ten days. Each has rows like training's, ten of the table's own anomalies, and four rows of each of
six known cases: a normal row in which one column, or two, have a value beyond the training range
that comes back every day, to within 2 % of a standard deviation. Twenty of the day's alarms, drawn
at random, are called what they are, and the model is reviewed.

- Repeats: the rows of a case after the first day on which one of its rows was excused. How many of
  those that the model alarmed for without verdicts still alarm?
- Recall of anomalies that never were among the days' rows, before and after.
- Share flagged among normal rows that never were among the days' rows, before and after. The
  verdicts only take alarms away, so the share can but fall; alpha is 0.1.
"""

from pathlib import Path

import numpy as np
import polars as pl
from rich.console import Console
from rich.table import Table

from advae.core.evaluation import exact_share
from advae.detector.detector import Detector
from advae.detector.review import review
from benchmarks.alarms.tables import Case, fitted, load

CONFIRMED_BY = ("cardio", "pendigits", "vowels", "Waveform", "satellite", "bank", "payments")
DAYS, VERDICTS, CASES, PER_CASE, ANOMALIES = 10, 20, 6, 4, 10


def run(
    names: tuple[str, ...], seeds: tuple[int, ...], models: Path | None, iterations: int | None
) -> list[dict]:
    """Simulate and print."""
    headings = (
        "repeats",
        "still alarm",
        "fall",
        "recall before",
        "after",
        "flagged before",
        "after",
    )
    table = Table("table", "seed", *headings)
    results = []
    for name in names:
        for seed in seeds:
            case = load(name, seed)
            found = simulate(case, fitted(case, seed, models, iterations), seed)
            results.append({"table": name, "seed": seed, **found})
            print(results[-1], flush=True)
            fall = 1 - found["still"] / max(found["repeats"], 1)
            low, high = found["flagged_interval"]
            table.add_row(
                name, str(seed), str(found["repeats"]), str(found["still"]), f"{fall:.1%}",
                f"{found['recall_before']:.1%}", f"{found['recall_after']:.1%}",
                f"{found['flagged_before']:.1%}",
                f"{found['flagged_after']:.1%} ({low:.1%} to {high:.1%})",
            )  # fmt: skip
    Console(width=140).print(table)
    return results


def simulate(case: Case, detector: Detector, seed: int) -> dict:
    """Return what ten days of verdicts come to."""
    rng = np.random.default_rng(seed)
    normal = case.normal[rng.permutation(len(case.normal))]
    fresh, unseen = normal[: len(normal) // 2], normal[len(normal) // 2 :]
    anomalies = case.anomalies[rng.permutation(len(case.anomalies))]
    shown = min(len(anomalies) // 2, DAYS * ANOMALIES)
    held = anomalies[shown:][:2000]
    cases = recurring(case.train, rng)
    at_hand = detector
    silenced: set[int] = set()
    repeats = still = excuses = 0
    for day in range(DAYS):
        parts = [
            fresh[day * len(fresh) // DAYS : (day + 1) * len(fresh) // DAYS][:200],
            anomalies[day * shown // DAYS : (day + 1) * shown // DAYS],
        ]
        for values in cases:
            rows = fresh[rng.integers(0, len(fresh), PER_CASE)]
            parts.append(rows.with_columns(
                pl.Series(name, value + 0.02 * spread * rng.normal(size=PER_CASE))
                for name, value, spread in values
            ))  # fmt: skip
        source = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
        rows = pl.concat(parts, how="vertical_relaxed")
        alarms, before = at_hand.is_anomaly(rows), detector.is_anomaly(rows)
        known = np.isin(source - 2, list(silenced)) & before
        repeats, still = repeats + int(known.sum()), still + int((known & alarms).sum())
        chosen = rng.permutation(np.flatnonzero(alarms))[:VERDICTS]
        if not len(chosen):
            continue
        keys = [f"{day}-{row}" for row in chosen]
        done = review(at_hand, rows[chosen], source[chosen] != 1, keys=keys)
        at_hand, excuses = done.detector, excuses + len(done.excused)
        excused = {key for key, _ in done.excused}
        of_cases = source[chosen][[key in excused for key in keys]] - 2
        silenced |= {number for number in of_cases.tolist() if number >= 0}
    flagged = int(at_hand.is_anomaly(unseen).sum())
    interval = exact_share(flagged, len(unseen))
    return {
        "repeats": repeats,
        "still": still,
        "excuses": excuses,
        "recall_before": float(detector.is_anomaly(held).mean()),
        "recall_after": float(at_hand.is_anomaly(held).mean()),
        "held_out_anomalies": len(held),
        "flagged_before": float(detector.is_anomaly(unseen).mean()),
        "flagged_after": flagged / len(unseen),
        "flagged_interval": (interval.low, interval.high),
    }


def recurring(
    train: pl.DataFrame, rng: np.random.Generator
) -> list[list[tuple[str, float, float]]]:
    """Return the columns of each known case, with its value and the column's deviation."""
    numbers = [c for c in train.columns if train[c].dtype.is_numeric() and train[c].n_unique() > 2]
    cases = []
    for number in range(CASES):
        chosen = rng.choice(numbers, min(1 + number // 4, len(numbers)), replace=False)
        values = []
        for name in chosen.tolist():
            known, sign = train[name].drop_nulls(), rng.choice([-1, 1])
            end = known.max() if sign > 0 else known.min()
            values.append((name, end + sign * rng.uniform(0.5, 2.0) * known.std(), known.std()))
        cases.append(values)
    return cases
