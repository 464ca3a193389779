"""Groups of flagged rows against families of planted anomalies.

Five families of rows are planted among other normal rows that took no part in training. Of
payments, the five kinds of fraud of its generator; of other tables, 60 rows each in which

1. a number lies above its training range,
2. the same number lies below it,
3. another number lies above and a third one below,
4. a category was never seen; in a table without texts, a number is missing,
5. a category is the rarest one and a number lies above its range; in a table without texts, three
   numbers lie together at the far ends of their ranges.

All flagged rows are grouped, the false alarms among them. The adjusted Rand index is that of the
flagged planted rows; all groups are counted, also that of rows like no others.
"""

import time
from pathlib import Path

import numpy as np
import polars as pl
from rich.console import Console
from rich.table import Table
from sklearn.metrics import adjusted_rand_score

from advae.detector.detector import Detector
from advae.detector.record import Threshold
from benchmarks.alarms.tables import Case, fitted, load, payments

CHOSEN_WITH = ("vowels", "sick", "annthyroid")
"""Tables that settings of the groups were chosen with, besides payments of other seeds."""

CONFIRMED_BY = ("cardio", "pendigits", "bank", "payments")
FAMILY_ROWS = 60
MANY = 100_000


def run(
    names: tuple[str, ...],
    seeds: tuple[int, ...],
    models: Path | None,
    iterations: int | None,
    many: int,
) -> list[dict]:
    """Measure and print."""
    table = Table("table", "seed", "flagged", "planted ones", "adjusted Rand index", "groups")
    results, detectors = [], {}
    for name in names:
        for seed in seeds:
            case = load(name, seed)
            detectors[name, seed] = fitted(case, seed, models, iterations)
            found = measure(case, detectors[name, seed], seed)
            results.append({"table": name, "seed": seed, **found})
            table.add_row(
                name, str(seed), *(str(found[key]) for key in ("flagged", "planted")),
                f"{found['rand']:.3f}", str(found["groups"]),
            )  # fmt: skip
    Console().print(table)
    if "payments" in names:
        results.append(seconds(detectors["payments", seeds[0]], many))
        print(
            f"{results[-1]['rows']:,} flagged payments: scored in {results[-1]['scoring']:.1f} s, "
            f"scored and grouped in {results[-1]['both']:.1f} s"
        )
    return results


def measure(case: Case, detector: Detector, seed: int) -> dict:
    """Plant five families in the other normal rows, and compare groups with them."""
    rng = np.random.default_rng(seed)
    normal = case.normal[rng.permutation(len(case.normal))][:2500]
    if case.name == "payments":
        families = [
            case.anomalies.filter(case.kinds == kind)[:FAMILY_ROWS]
            for kind in sorted(set(case.kinds))
        ]
    else:
        own = min(FAMILY_ROWS, len(normal) // 10)
        families = planted(case.train, [normal[i * own : (i + 1) * own] for i in range(5)], rng)
        normal = normal[5 * own :]
    rows = pl.concat([normal, *families], how="vertical_relaxed")
    family = np.repeat(np.arange(6), [len(normal), *map(len, families)])
    found = detector.groups(rows)
    own = family[found.rows]
    return {
        "flagged": len(found.rows),
        "planted": int((own > 0).sum()),
        "rand": float(adjusted_rand_score(own[own > 0], found.numbers[own > 0])),
        "groups": len(found.groups),
        "stories": [group.story for group in found.groups],
    }


def planted(
    train: pl.DataFrame, rows: list[pl.DataFrame], rng: np.random.Generator
) -> list[pl.DataFrame]:
    """Return five families of anomalies, of five frames of normal rows."""
    numbers = [c for c in train.columns if train[c].dtype.is_numeric() and train[c].n_unique() > 2]
    numbers.sort(key=lambda name: train[name].n_unique() <= 10)  # those of few values last
    several = sum(train[name].n_unique() > 10 for name in numbers)
    numbers = [numbers[i] for i in rng.permutation(several if several > 3 else len(numbers))]
    texts = [c for c in train.columns if train[c].dtype == pl.String]
    texts = [texts[i] for i in rng.permutation(len(texts))]

    def beyond(frame: pl.DataFrame, place: int, sign: int) -> pl.DataFrame:
        name = numbers[place % len(numbers)]
        known = train[name].drop_nulls()
        end = known.max() if sign > 0 else known.min()
        by = rng.uniform(0.9, 2.4, len(frame)) * known.std()
        return frame.with_columns(pl.Series(name, end + sign * by))

    def far_end(frame: pl.DataFrame, place: int) -> pl.DataFrame:
        name = numbers[place % len(numbers)]
        low, middle, high = np.quantile(train[name].drop_nulls().to_numpy(), [0.005, 0.5, 0.995])
        far = high if high - middle > middle - low else low
        return frame.with_columns(
            pl.Series(name, far + (middle - far) * rng.uniform(0, 0.2, len(frame)))
        )

    def text(frame: pl.DataFrame, name: str, value: str) -> pl.DataFrame:
        return frame.with_columns(pl.lit(value).alias(name))

    first = beyond(rows[0], 0, 1)
    second = beyond(rows[1], 0, -1)
    third = beyond(beyond(rows[2], 1, 1), 2, -1)
    if texts:
        rarest = texts[1 % len(texts)]
        value = train[rarest].drop_nulls().value_counts().sort("count", rarest)[rarest][0]
        fourth = text(rows[3], texts[0], "unheard of")
        fifth = beyond(text(rows[4], rarest, value), 3, 1)
    else:
        fourth = rows[3].with_columns(pl.lit(None, pl.Float64).alias(numbers[3 % len(numbers)]))
        fifth = far_end(far_end(far_end(rows[4], 4), 5), 6)
    return [first, second, third, fourth, fifth]


def seconds(detector: Detector, many: int) -> dict:
    """Return how long it takes to score many rows, and to score and group them, all flagged."""
    rows = payments(many, 1)
    suspicious = detector.with_threshold(Threshold("given", None, 0.0))
    start = time.perf_counter()
    for _ in suspicious.score_batches(rows):
        pass
    middle = time.perf_counter()
    flagged = len(suspicious.groups(rows).rows)
    return {"rows": flagged, "scoring": middle - start, "both": time.perf_counter() - middle}
