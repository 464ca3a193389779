"""Edits of model files: each is refused in one line, or scores as before.

``python -m tests.fuzz.models --edits 5000 --seed 0`` makes edits, and prints how many files were
refused, scored the same, or scored otherwise. Edits of what the documentation calls out of scope
(thresholds, reviews, names) are counted apart. An edit that ends in anything else is a fault: it
is printed, and the exit code is 1.
"""

import argparse
import copy
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from advae import tensorfile
from advae.config import Config
from advae.detector import model_file
from advae.detector.fitting import fit_detector
from advae.errors import InputError, ModelFileError
from tests.fuzz.commands import command

CLOSE = 1e-3
"""Relative. Scores that differ by less are the same: golden rows allow for a fiftieth of it."""

HOSTILE: tuple[Any, ...] = (
    *(None, True, False, -1, 0, 1, 0.5, 2, 1e308, -1e308, 10**30, 5e-324),
    *(float("nan"), float("inf"), -float("inf")),
    *("", "text", "\x1b[31mred", "\x00", "\ud800", "[bold]", "=1+1", "x" * 10_000),
    *([], {}, [[]], [None], {"a": 1}, [[[[[[1]]]]]]),
)

OUT_OF_SCOPE = ("threshold", "earlier_thresholds", "reviews", "reading", "name", "categories")
"""Parts of a path in the record: edits there may change what is flagged, or which rows are read."""


def mixed_rows(rows: int, seed: int) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    hours = pl.Series("hour", rng.integers(0, 20_000, rows)) * 3_600_000_000
    gaps = pl.Series(rng.random(rows) < 0.1)
    return pl.DataFrame(
        {
            "amount": pl.Series(rng.normal(50, 10, rows)).set(gaps, None),
            "count": rng.integers(0, 9, rows),
            "kind": rng.choice(["red", "green", "blue"], rows),
            "on": rng.random(rows) < 0.3,
            "when": hours.cast(pl.Datetime("us")),
            "site": ["here"] * rows,
        }
    )


def write_model(path: Path) -> None:
    config = Config(hidden=8, latent=3, batch_size=16, iterations=50, memory=64, seed=1)
    model_file.save(fit_detector(mixed_rows(300, 0), config), path)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the paths of all that stands in a record."""
    inside = value.items() if isinstance(value, dict) else enumerate(value)
    found = []
    for name, each in list(inside):
        found.append((*path, name))
        if isinstance(each, dict | list):
            found += places(each, (*path, name))
    return found


def edit_record(rng: np.random.Generator, record: dict[str, Any], _arrays: Any) -> str:
    """Change one place: a hostile value, a similar one, or a field that is gone, or is new."""
    tops = list(record)
    top = tops[rng.integers(len(tops))]
    paths = [path for path in places(record) if path[0] == top]
    # By depth first, so that long lists of numbers do not take all the edits.
    depth = rng.choice(sorted({len(path) for path in paths}))
    among = [path for path in paths if len(path) == depth]
    path = among[rng.integers(len(among))]
    parent = record
    for step in path[:-1]:
        parent = parent[step]
    last, old = path[-1], parent[path[-1]]
    how = rng.integers(6)
    if how == 0:
        del parent[last]
    elif how == 1 and isinstance(parent, dict):
        parent[f"{last}x"] = parent.pop(last)
    elif how == 2 and isinstance(old, list) and old:
        old.append(copy.deepcopy(old[rng.integers(len(old))]))
    elif how == 3 and isinstance(old, int | float):
        parent[last] = [old * 2, -old, old + 1, old / 3, bool(old)][rng.integers(5)]
    elif how == 4 and isinstance(old, list):
        old.reverse()
    else:
        parent[last] = copy.deepcopy(HOSTILE[rng.integers(len(HOSTILE))])
    return ".".join(map(str, path))


def edit_arrays(rng: np.random.Generator, _record: Any, arrays: dict[str, np.ndarray]) -> str:
    """Change one array: its shape, its type, a value, or that it is there."""
    name = sorted(arrays)[rng.integers(len(arrays))]
    array = arrays[name].copy()
    how = rng.integers(9)
    if how < 3:
        if array.dtype.kind == "f" and array.size:
            array.flat[rng.integers(array.size)] = [np.nan, np.inf, -np.inf][how]
    elif how == 3:
        array = array.reshape(-1)[: rng.integers(array.size + 1)]
    elif how == 4:
        array = array[None]
    elif how == 5:
        array = array.T if array.ndim > 1 else array.reshape(-1, 1)
    elif how == 6:
        array = array.astype([np.float64, np.float16, np.int32, np.uint8][rng.integers(4)])
    elif how == 7:
        array = np.concatenate([array, array]) if array.ndim else array.reshape(1)
    elif array.size:
        place = rng.integers(array.size)
        array.flat[place] = [10 * array.flat[place] + 1, -array.flat[place], 0][rng.integers(3)]
    arrays[name] = array
    if rng.random() < 0.1:
        del arrays[name]
    return name


def flip(rng: np.random.Generator, content: bytearray) -> str:
    """Flip one bit, anywhere in the file or in its header."""
    where = int(rng.integers(len(content) if rng.random() < 0.5 else min(len(content), 20_000)))
    content[where] ^= 1 << int(rng.integers(8))
    return f"byte {where}"


def cut(rng: np.random.Generator, content: bytearray) -> str:
    """Cut the file short, or leave bytes out."""
    start = int(rng.integers(len(content)))
    stop = len(content) if rng.random() < 0.5 else start + int(rng.integers(1, 100))
    del content[start:stop]
    return f"bytes {start} to {stop}"


BAD = ("fault", "scores otherwise")


@dataclass
class Case:
    number: int
    kind: str
    where: str
    outcome: str

    @property
    def bad(self) -> bool:
        """Whether the case should not be."""
        return self.outcome.startswith(BAD)


class Fuzzer:
    """Edits a model file again and again, and looks at what becomes of each edit."""

    def __init__(self, folder: Path, seed: int) -> None:
        self._path = folder / "edited.advae"
        write_model(self._path)
        self._content = self._path.read_bytes()
        self._record, self._arrays = tensorfile.read(self._path, "model")
        self._rows = mixed_rows(40, 1)
        self._data = folder / "rows.parquet"
        self._rows.write_parquet(self._data)
        self._scores = model_file.load(self._path).anomaly_score(self._rows)
        self._rng = np.random.default_rng(seed)

    def case(self, number: int) -> Case:
        kind = ("record", "record", "arrays", "flip", "cut")[self._rng.integers(5)]
        if kind in ("record", "arrays"):
            edit: Callable[..., str] = edit_record if kind == "record" else edit_arrays
            record, arrays = copy.deepcopy(self._record), dict(self._arrays)
            where = edit(self._rng, record, arrays)
            try:
                # As somebody would who can compute the checksum, but no scores.
                tensorfile.write(self._path, {"format_version": None} | record, arrays)
            except (TypeError, ValueError, KeyError, OverflowError):
                return Case(number, kind, where, "not written")
        else:
            content = bytearray(self._content)
            where = (flip if kind == "flip" else cut)(self._rng, content)
            self._path.write_bytes(content)
        try:
            return Case(number, kind, where, self._outcome(where, number))
        except BaseException:  # what is no outcome is a fault, a panic too
            return Case(number, kind, where, f"fault: {traceback.format_exc()}")

    def _outcome(self, where: str, number: int) -> str:
        told = [self._command("info", self._path)]
        try:
            detector = model_file.load(self._path)
        except ModelFileError as error:
            if "\n" in str(error):
                return f"fault: several lines: {error}"
            if (code := self._command("score", self._path, self._data)) != 2:
                return f"fault: score ends with {code}"
            return "refused"
        if told != [0]:
            return f"fault: info ends with {told[0]} for a file that is loaded"
        if number % 10 == 0:
            told += [self._command("threshold", self._path)]
            report = self._path.with_suffix(".html")
            self._command("report", self._path, self._data, "-o", report)
        self._command("score", self._path, self._data)
        apart = any(part in OUT_OF_SCOPE for part in where.split("."))
        try:
            scores = detector.anomaly_score(self._rows)
        except InputError:
            return "out of scope" if apart else f"fault: {where}: accepted, but rows are not"
        if np.allclose(scores, self._scores, rtol=CLOSE, atol=1e-7):
            return "same scores"
        return "out of scope" if apart else "scores otherwise"

    def _command(self, *words: object) -> int:
        """Run a command in this process; anything but 0, or 2 and one line, is a fault."""
        ended = command(*words)
        if ended.fault:
            raise AssertionError(f"{words[0]} {ended.fault}")
        return ended.code


def run(edits: int, seed: int) -> Iterator[Case]:
    """Yield what became of so many edits."""
    with tempfile.TemporaryDirectory() as folder:
        fuzzer = Fuzzer(Path(folder), seed)
        for number in range(edits):
            yield fuzzer.case(number)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--edits", type=int, default=5_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    counts: Counter[tuple[str, str]] = Counter()
    for case in run(given.edits, given.seed):
        counts[case.kind, case.outcome.split(":")[0]] += 1
        if case.bad:
            print(case.number, case.kind, case.where, case.outcome, flush=True)
        if case.number % 500 == 499 or case.number == given.edits - 1:
            print(f"after {case.number + 1} edits")
            for (kind, outcome), count in sorted(counts.items()):
                print(f"  {kind:8} {outcome:18} {count}", flush=True)
    sys.exit(any(outcome in BAD for _, outcome in counts))
