"""Load a service, and the same application with a handler that does nothing.

``python -m benchmarks.serving`` prints a table; ``--quick`` proves that it runs. Client and
service share the machine's cores, so that the ratio of two lines means more than either.
"""

import argparse
import io
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

import advae
from benchmarks.serving.load import Load, request, run

JSON, ARROW = "application/json", "application/vnd.apache.arrow.stream"
SCORE = "/v1/models/model/score"
BATCH = 1000
BATCHES_IN_ARROW = 16


@dataclass(frozen=True)
class Job:
    """Requests of one kind, and the rows in each."""

    name: str
    requests: list[bytes]
    rows: int
    connections: int


def table(rows: int, seed: int) -> pl.DataFrame:
    """Return rows of ten columns: numbers, a category, a truth value and a time."""
    rng = np.random.default_rng(seed)
    numbers = {f"x{number}": rng.normal(size=rows) for number in range(7)}
    instants = np.datetime64("2024-01-01", "us") + rng.integers(0, 10**13, rows).astype("m8[us]")
    return pl.DataFrame(
        numbers
        | {"kind": rng.choice(["a", "b", "c"], rows), "ok": rng.random(rows) < 0.3, "at": instants}
    )


def jobs(path: str) -> list[Job]:
    """Return single rows and batches of JSON, and Arrow streams, for an address."""
    rows = table(BATCH, 1)
    plain = rows.with_columns(rows["at"].dt.to_string("iso:strict"))
    single = [request(path, plain[row].write_json().encode(), JSON) for row in range(0, BATCH, 10)]
    many = pl.concat([rows] * BATCHES_IN_ARROW)
    stream = io.BytesIO()
    many.write_ipc_stream(stream)
    return [
        Job("single rows, JSON", single, 1, 32),
        Job(f"{BATCH:,} rows, JSON", [request(path, plain.write_json().encode(), JSON)], BATCH, 4),
        Job(
            f"{many.height:,} rows, Arrow",
            [request(path, stream.getvalue(), ARROW)],
            many.height,
            4,
        ),
    ]


@contextmanager
def serving(model: Path, workers: int) -> Iterator[tuple[int, "subprocess.Popen[str]"]]:
    """Start a service; yield its port and process."""
    command = [sys.executable, "-m", "benchmarks.serving.server", str(model), str(workers)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline())
            for _ in range(workers):
                process.stdout.readline()
            yield port, process
        finally:
            process.terminate()
            process.wait(60)


def memory(process: int) -> float:
    """Return the resident megabytes of a process and its children."""
    total, waiting = 0, [process]
    while waiting:
        number = waiting.pop()
        status = Path(f"/proc/{number}/status").read_text()
        total += int(status.partition("VmRSS:")[2].split()[0])
        for task in Path(f"/proc/{number}/task").iterdir():
            waiting += map(int, (task / "children").read_text().split())
    return total / 1024


def alone(detector: advae.Detector, preset: str, rows: int, seconds: float) -> str:
    """Return a line of the table for the library in this process, asked once after another."""
    frame = pl.concat([table(min(rows, BATCH), 1)] * -(-rows // BATCH))
    detector.anomaly_score(frame)
    times: list[float] = []
    end = time.perf_counter() + seconds
    while not times or time.perf_counter() < end:
        begin = time.perf_counter()
        detector.anomaly_score(frame)
        times.append(time.perf_counter() - begin)
    p50, p99 = np.quantile(times, [0.5, 0.99]) * 1000
    load = Load(len(times) / sum(times), float(p50), float(p99), 0)
    return shown(f"{rows:,} rows, library, {preset}", 0, load, rows)


def shown(name: str, workers: int, load: Load, rows: int) -> str:
    """Return a line of the table."""
    return (
        f"| {name} | {workers} | {load.rate:,.0f} | {load.rate * rows:,.0f} | {load.p50:.1f} | "
        f"{load.p99:.1f} | {load.errors} |"
    )


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="benchmarks.serving", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="prove that it runs")
    parser.add_argument("--preset", choices=["default", "paper"], action="append")
    parser.add_argument("--seconds", type=float, default=8.0, help="for each line")
    parser.add_argument("--steady", type=float, default=0.0, help="seconds of the steady load")
    arguments = parser.parse_args()
    quick = arguments.quick
    seconds = 0.3 if quick else arguments.seconds
    print(f"load average {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores\n")
    print("| requests | workers | requests/s | rows/s | p50 ms | p99 ms | errors |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for preset in arguments.preset or (["default"] if quick else ["default", "paper"]):
            model = Path(folder) / "model.advae"
            iterations = 20 if quick else 500
            detector = advae.fit_detector(table(3000, 0), _config(preset, iterations))
            advae.save(detector, model)
            for rows in (1, BATCH, BATCH * BATCHES_IN_ARROW):
                print(alone(detector, preset, rows, seconds), flush=True)
            for workers in (1,) if quick else (1, 2):
                with serving(model, workers) as (port, process):
                    warm_up = min(2.0, seconds)
                    run(port, jobs(SCORE)[0].requests, warm_up, connections=8)
                    for job, empty in zip(jobs(SCORE), jobs("/empty"), strict=True):
                        for what, each in ((preset, job), ("empty handler", empty)):
                            load = run(port, each.requests, seconds, connections=each.connections)
                            print(
                                shown(f"{each.name}, {what}", workers, load, job.rows), flush=True
                            )
                            if job.rows == 1:
                                load = run(
                                    port,
                                    each.requests,
                                    seconds,
                                    connections=64,
                                    rate=load.rate / 2,
                                )
                                name = f"{each.name}, {what}, half of that"
                                print(shown(name, workers, load, 1), flush=True)
                    if arguments.steady and workers == 2 and preset == "default":
                        _steady(port, process.pid, arguments.steady)


def _config(preset: str, iterations: int) -> advae.Config:
    return (
        advae.Config.preset("paper", iterations=iterations)
        if preset == "paper"
        else advae.Config(iterations=iterations)
    )


def _steady(port: int, process: int, seconds: float) -> None:
    """Load the service for long, and print errors and memory."""
    single = jobs(SCORE)[0].requests
    for part in range(10):
        before = memory(process)
        load = run(port, single, seconds / 10, connections=16)
        print(
            f"steady, part {part}: {load.rate:,.0f} requests/s, {load.errors} errors, "
            f"{before:,.0f} MB before",
            flush=True,
        )


if __name__ == "__main__":
    main()
