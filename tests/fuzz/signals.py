"""Signals at random moments of ``fit``, ``score``, ``report`` and ``threshold``.

``python -m tests.fuzz.signals --cases 300 --seed 0`` interrupts commands, half of them on one core
and with a cold cache of compiled programs. Each is to end with 130, or to have done its work, with
one line on standard error; what was there before stays, and nothing is left behind. What does
otherwise is a fault: it is printed, and the exit code is 1.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from tests.fuzz.commands import ASIDE

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
OUTPUTS = {
    "fit": "m.advae",
    "score": "score.csv",
    "report": "report.html",
    "threshold": "m.advae",
}
"""What each command writes."""
OLD = b"what was there before"
ADVAE = [sys.executable, "-m", "advae"]

PATIENCE = 90
"""Seconds until a process that does not end is a fault."""


@dataclass
class Case:
    number: int
    command: str
    signal: str
    cold: bool
    after: float
    code: int = 0
    took: float = 0.0
    fault: str = ""


class Fuzzer:
    """Interrupts commands in a folder of its own."""

    def __init__(self, folder: Path, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._folder = folder
        self._temporary = folder / "tmp"
        self._warm = folder / "warm"
        for each in (self._temporary, self._warm, folder / "work"):
            each.mkdir()
        self._data, self._good = folder / "data.csv", folder / "good.advae"
        rows = 400
        table = {f"c{k}": self._rng.normal(size=rows) for k in range(4)}
        pl.DataFrame(table | {"kind": self._rng.choice(["a", "b", "c"], rows)}).write_csv(
            self._data
        )
        self._lasts: dict[tuple[str, bool], float] = {}
        self._run(["fit", self._data, "-o", self._good, "--iterations", 300])
        self._model = self._good.read_bytes()

    def case(self, number: int) -> Case:
        """Interrupt a command."""
        name = list(OUTPUTS)[number % len(OUTPUTS)]
        cold = bool(number // len(OUTPUTS) % 2)
        if (name, cold) not in self._lasts:
            begun = time.monotonic()
            process = self._start(name, cold)
            process.communicate()
            self._lasts[name, cold] = time.monotonic() - begun
        sent = SIGNALS[self._rng.integers(len(SIGNALS))]
        after = float(self._rng.uniform(0.02, 1.05)) * self._lasts[name, cold]
        case = Case(number, name, sent.name, cold, after)
        process = self._start(name, cold)
        try:
            process.communicate(timeout=after)
        except subprocess.TimeoutExpired:
            process.send_signal(sent)
        begun = time.monotonic()
        try:
            _, err = process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            _, err = process.communicate()
        case.took, case.code = time.monotonic() - begun, process.returncode
        case.fault = self._fault(name, process.returncode, err.decode(errors="replace"))
        return case

    def _fault(self, name: str, code: int, err: str) -> str:
        """Say what is wrong with how a command ended; nothing if all is well."""
        done = code == 0
        # A signal that comes while Python itself starts ends it as any program, and says nothing.
        early = -code in SIGNALS and not err
        if not (done or early or code == 130):
            return f"ends with {code}: {err[-2000:]}"
        said = [line for line in err.splitlines() if not line.startswith(ASIDE)]
        if (not done and len(said) > 1) or any(
            word in err for word in ("Traceback", "Exception ignored", "terminate called")
        ):
            return f"ends with {code} and says: {err[-2000:]}"
        work = self._folder / "work"
        out = work / OUTPUTS[name]
        before = self._model if name == "threshold" else OLD
        if (out.read_bytes() == before) is done:
            return f"ends with {code}, and its output is {'old' if done else 'new'}"
        known = {*OUTPUTS.values(), *(["m.advae.checkpoint"] if name == "fit" and not done else ())}
        left = sorted({each.name for each in work.iterdir()} - known)
        left += [each.name for each in self._temporary.iterdir()]
        return f"leaves behind {left}" if left else ""

    def _start(self, name: str, cold: bool) -> "subprocess.Popen[bytes]":
        """Start a command over old outputs."""
        work = self._folder / "work"
        for each in (work, self._temporary):
            shutil.rmtree(each)
            each.mkdir()
        for each in OUTPUTS.values():
            (work / each).write_bytes(OLD)
        model, words = self._good, list[object]()
        if name == "fit":
            words = [self._data, "-o", work / "m.advae", "--iterations", 300]
        elif name == "score":
            words = [model, self._data, "-o", work / "score.csv", "--explain", 2, "--fdr", 0.1]
        elif name == "report":
            words = [model, self._data, "-o", work / "report.html"]
        else:
            (work / "m.advae").write_bytes(self._model)
            words = [work / "m.advae", "--value", 3]
        return self._run([name, *words], cold=cold, wait=False)

    def _run(
        self, words: list[object], *, cold: bool = False, wait: bool = True
    ) -> "subprocess.Popen[bytes]":
        cache = self._folder / "cold" if cold else self._warm
        if cold:
            shutil.rmtree(cache, ignore_errors=True)
        here = Path(__file__).parents[2]
        process = subprocess.Popen(
            [*ADVAE, *map(str, words)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            preexec_fn=_heeding,
            env=os.environ
            | {
                "JAX_COMPILATION_CACHE_DIR": str(cache),
                "TMPDIR": str(self._temporary),
                "PYTHONPATH": f"{here / 'src'}",
            },
        )
        if cold:
            # At once after its start: before anything asks how many cores there are.
            cores = sorted(os.sched_getaffinity(0))
            os.sched_setaffinity(process.pid, {cores[self._rng.integers(len(cores))]})
        if wait:
            process.communicate()
        return process


def _heeding() -> None:
    """Heed all signals in a child, also one of a shell or nohup that ignore some."""
    for each in SIGNALS:
        signal.signal(each, signal.SIG_DFL if each != signal.SIGINT else signal.default_int_handler)


def run(cases: int, seed: int) -> Iterator[Case]:
    """Yield how so many commands ended."""
    with tempfile.TemporaryDirectory() as folder:
        fuzzer = Fuzzer(Path(folder), seed)
        for number in range(cases):
            yield fuzzer.case(number)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    counts: Counter[tuple[str, str, int]] = Counter()
    longest, bad = 0.0, 0
    for each in run(given.cases, given.seed):
        counts[each.command, "cold" if each.cold else "warm", each.code] += 1
        longest = max(longest, each.took if each.code else 0)
        if each.fault:
            bad += 1
            print(each, flush=True)
        if each.number % 4 == 3 or each.number == given.cases - 1:
            print(
                f"after {each.number + 1}: {bad} faults; at most {longest:.1f} s to end", flush=True
            )
    for (name, cache, code), count in sorted(counts.items()):
        print(f"  {name:10} {cache} {code:4} {count}")
    sys.exit(bool(bad))
