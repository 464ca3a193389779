"""Change formulas a little, many times, and see that a test fails: ``make mutation``.

Cosmic Ray makes the mutants, one change each, in a copy of the source. One that no test notices
is either known, in ``EQUAL``, or a fault of the tests. Words after the command choose modules, as
in ``python -m tools.mutation threshold discovery``.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

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

EQUAL: dict[str, dict[str, str]] = {}
"""Of each module the lines of mutants that do what the code does, and why."""

SENSELESS = (
    "core/ReplaceBinaryOperator_BitOr_.*",  # of types, in annotations
    "core/ReplaceBinaryOperator_.*_(BitAnd|BitOr|BitXor|LShift|RShift|FloorDiv|Mod|Pow)",
    "core/ReplaceComparisonOperator_.*_(Is|IsNot)",
)
"""Changes that nobody makes by mistake; nearly all end in a TypeError."""

CONFIG = """
[cosmic-ray]
module-path = [{module}]
timeout = {timeout}
test-command = {command}
[cosmic-ray.distributor]
name = "local"
[cosmic-ray.filters.operators-filter]
exclude-operators = {senseless}
"""


def mutate(module: str, folder: Path) -> tuple[int, list[str]]:
    """Return how many mutants a module had, and the changes of those that no test noticed."""
    for part in ("src", "tests", "benchmarks"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    tools = Path(sys.executable).parent
    tests = [sys.executable, "-m", "pytest", "-qx", "--noconftest", *TESTS[module]]
    environment = os.environ | {
        "PYTHONPATH": str(folder / "src"),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # half of the time went into imports
        "CI": "1",  # Hypothesis then draws the same examples each time, without a deadline
    }

    def do(*words: str) -> str:
        done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{' '.join(words)}:\n{done.stdout}{done.stderr}")
        return done.stdout

    start = time.monotonic()
    do(*tests)
    config = CONFIG.format(
        module=json.dumps(f"src/advae/{module}.py"),
        timeout=round(20 + 2 * (time.monotonic() - start), 1),
        command=json.dumps(" ".join(f"'{word}'" for word in tests)),
        senseless=json.dumps(SENSELESS),
    )
    (folder / "mutation.toml").write_text(config)
    session = ("session.sqlite", "mutation.toml")
    do(f"{tools}/cosmic-ray", "init", *reversed(session))
    do(f"{tools}/cr-filter-operators", *session)
    do(f"{tools}/cosmic-ray", "exec", *reversed(session))
    dumped = do(f"{tools}/cosmic-ray", "dump", session[0]).splitlines()
    results = [json.loads(line)[1] for line in dumped]
    tried = [result for result in results if result["worker_outcome"] != "skipped"]
    return len(tried), [
        change(result["diff"]) for result in tried if result["test_outcome"] == "survived"
    ]


def change(diff: str) -> str:
    """Return the line that a mutant has in place of another."""
    lines = diff.splitlines()
    return next(line[1:].strip() for line in lines if line[:1] == "+" and line[:3] != "+++")


def main(chosen: list[str]) -> int:
    """Try the modules whose names have one of the words, or all; return 1 if one is not held."""
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
