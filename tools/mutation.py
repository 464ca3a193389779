"""Change formulas a little, many times, and see that a test fails: ``make mutation``.

Cosmic Ray makes the mutants, one change each, in a copy of the source. One that no test notices
is either known, in ``EQUAL``, or a fault of the tests. Words after the command choose modules, as
in ``python -m tools.mutation threshold discovery``.
"""

import itertools
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path

import pytest
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

ROOT = Path(__file__).resolve().parents[1]

PAPER = (
    "tests/methods/advae/test_paper.py",
    *("-k", "not published and not sobol and not latent and not member and not initial"),
)
TESTS = {
    "methods/advae/gaussian": PAPER,
    "methods/advae/losses": PAPER,
    "core/threshold": ("tests/core/test_threshold.py",),
    "cli/discovery": (
        *("tests/cli/test_discovery.py", "tests/detector/test_thresholds.py"),
        *("-k", "discover and not table and not out_of_range"),
    ),
}
"""The tests of each module, those that end soonest first."""

EQUAL: dict[str, dict[str, str]] = {
    "core/threshold": {
        "return bandwidth if bandwidth >= 1e-12 * abs(float(scores.max())) else 0.0": (
            "equal only of scores that are all 0, whose bandwidth is 0"
        ),
        "reach = 39.0 * bandwidth  # F is 0 and 1 to the last bit there": "so it is there",
        "reach = 41.0 * bandwidth  # F is 0 and 1 to the last bit there": "so it is there",
        "while low != (middle := 0.5 * (low + high)) < high:": "the middle is nowhere below low",
        "while low < (middle := 0.5 * (low + high)) != high:": "the middle is nowhere above high",
        "if kde_cdf(scores, bandwidth, middle) <= 1.0 - alpha:": (
            "where F is 1 - alpha exactly, the number beside it is found"
        ),
        'return np.asarray(false_discovery_control(p, method="bh") < rate * (1.0 + 1e-12))': (
            "the factor is there so that equality does not decide"
        ),
    },
}
"""Of each module the lines of mutants that do what the code does, and why."""

SENSELESS = (
    r"core/ReplaceBinaryOperator_(BitOr_.*"  # of types, in annotations
    r"|.*_(BitAnd|BitOr|BitXor|LShift|RShift|FloorDiv|Mod|Pow))"
    r"|core/ReplaceComparisonOperator_.*_(Is|IsNot)"
)
"""Changes that nobody makes by mistake; nearly all end in a TypeError."""


def mutants(source: str) -> Iterator[str]:
    """Yield the source of a module with one change each."""
    for name in operator_names():
        operator = get_operator(name)
        if re.fullmatch(SENSELESS, name) or operator.arguments():
            continue
        for occurrence in itertools.count():
            mutant = mutate_code(source, operator(), occurrence)
            if mutant is None:
                break
            yield mutant


def passed(folder: Path, tests: Sequence[str], seconds: int) -> bool:
    """Return whether tests pass in a fork, which need not import the slow libraries anew."""
    child = os.fork()
    if not child:
        signal.alarm(seconds)  # a mutant may go round for ever
        silent = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silent, 1)
        os.dup2(silent, 2)
        os.chdir(folder)
        sys.path.insert(0, str(folder / "src"))
        os._exit(pytest.main(["-x", "--noconftest", *tests]))
    return os.waitpid(child, 0)[1] == 0


def mutate(module: str, folder: Path) -> tuple[int, list[str]]:
    """Return how many mutants a module has, and the changed lines of those that no test notices."""
    for part in ("src", "tests", "benchmarks"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    path, start = folder / f"src/advae/{module}.py", time.monotonic()
    if not passed(folder, TESTS[module], 600):
        sys.exit(f"The tests of {module} fail without any change.")
    seconds = 20 + 3 * round(time.monotonic() - start)
    # Files that change within a second and keep their size would be taken for what was compiled.
    for compiled in path.parent.glob(f"__pycache__/{path.stem}.*"):
        compiled.unlink()
    sys.dont_write_bytecode = True
    source, count, survivors = path.read_text(), 0, []
    for mutant in mutants(source):
        path.write_text(mutant)
        count += 1
        if passed(folder, TESTS[module], seconds):
            pairs = zip(source.splitlines(), mutant.splitlines(), strict=True)
            survivors += [new.strip() for old, new in pairs if new != old]
    return count, survivors


def main(chosen: list[str]) -> int:
    """Try the modules whose names have one of the words, or all; return 1 if one is not held."""
    # Hypothesis then draws the same examples each time, without a deadline.
    os.environ |= {"CI": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    for library in ("hypothesis", "jax.numpy", "polars", "scipy.stats", "sklearn.metrics"):
        import_module(library)
    faults = 0
    for module in TESTS:
        if chosen and not any(word in module for word in chosen):
            continue
        start = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            mutants, survivors = mutate(module, Path(folder))
        known = [line for line in survivors if line in EQUAL.get(module, {})]
        unknown = [line for line in survivors if line not in known]
        took = (time.monotonic() - start) / 60
        print(
            f"{module}: {mutants} mutants, {mutants - len(survivors)} noticed, "
            f"{len(known)} known to be equal, {len(unknown)} not noticed, in {took:.0f} minutes",
            *(f"    {line}" for line in unknown),
            sep="\n",
            flush=True,
        )
        faults += len(unknown)
    return faults > 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
