"""A service in processes of its own, as people start it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import polars as pl

import advae

TIMEOUT = 120.0


@dataclass
class Service:
    """A running service, how to ask it, and its log."""

    process: "subprocess.Popen[bytes]"
    address: str
    client: httpx.Client
    log_path: Path

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])

    def log(self) -> list[dict[str, Any]]:
        lines = self.log_path.read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def wait_for(self, event: str, times: int = 1) -> dict[str, Any]:
        """Wait until the log holds an event; return its last record."""
        end = time.monotonic() + TIMEOUT
        while time.monotonic() < end:
            found = [record for record in self.log() if record["event"] == event]
            if len(found) >= times:
                return found[-1]
            time.sleep(0.05)
        raise TimeoutError(f"no {event!r} in the log:\n{self.log_path.read_text()}")

    def metric(self, name: str, **labels: str) -> float:
        """Return the sum of a metric's samples with some labels."""
        total = 0.0
        for line in self.client.get("/metrics").raise_for_status().text.splitlines():
            known = line.startswith((name + "{", name + " "))
            if known and all(f'{key}="{value}"' in line for key, value in labels.items()):
                total += float(line.rpartition(" ")[2])
        return total

    def raw(self, data: bytes, seconds: float = 30.0) -> bytes:
        """Send bytes as they are, and return what comes until the service closes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=seconds) as connection:
            connection.sendall(data)
            answer = b""
            while part := connection.recv(65536):
                answer += part
                head, _, body = answer.partition(b"\r\n\r\n")
                for line in head.lower().split(b"\r\n"):
                    if line.startswith(b"content-length:") and len(body) >= int(line[15:]):
                        return answer
            return answer

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(TIMEOUT)


@contextmanager
def running(
    folder: Path,
    *models: Path,
    options: tuple[object, ...] = (),
    environment: dict[str, str] | None = None,
) -> Iterator[Service]:
    """Start a service on a free port, and end it."""
    log_path = folder / f"log-{time.monotonic_ns()}.ndjson"
    command = [sys.executable, "-m", "advae", "serve", *map(str, models), "--port", "0"]
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [*command, *map(str, options)],
            stderr=log,
            stdout=log,
            env=os.environ | {"OMP_NUM_THREADS": "1"} | (environment or {}),
        )
    service = Service(process, "", httpx.Client(), log_path)
    try:
        end = time.monotonic() + TIMEOUT
        workers = int(options[options.index("--workers") + 1]) if "--workers" in options else 1
        while sum(record["event"] == "ready" for record in service.log()) < workers:
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(log_path.read_text())
            time.sleep(0.05)
        service.address = next(r["address"] for r in service.log() if r["event"] == "listening")
        service.client = httpx.Client(base_url=service.address, timeout=TIMEOUT)
        yield service
    finally:
        service.client.close()
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()


def table(rows: int, seed: int) -> pl.DataFrame:
    """Return rows of every kind of column."""
    rng = np.random.default_rng(seed)
    size = rng.normal(size=rows)
    instants = np.datetime64("2024-01-01", "us") + rng.integers(0, 10**13, rows).astype("m8[us]")
    return pl.DataFrame(
        {
            "amount": np.exp(size),
            "items": rng.integers(0, 9, rows),
            "ratio": size + 0.1 * rng.normal(size=rows),
            "gaps": np.where(rng.random(rows) < 0.1, np.nan, rng.normal(size=rows)),
            "shop": rng.choice(
                ["north", "south", "east, west", "日本"], rows, p=[0.5, 0.3, 0.1, 0.1]
            ),
            "paid": rng.random(rows) < 0.4,
            "at": instants,
            "always": ["x"] * rows,
        }
    ).with_columns(pl.col("gaps").fill_nan(None))


def odd_table(rows: int, seed: int) -> pl.DataFrame:
    """Return rows of which many hold missing, unseen or extreme values."""
    rng = np.random.default_rng(seed + 1)

    def some(share: float) -> pl.Series:
        return pl.Series(rng.random(rows) < share)

    odd = table(rows, seed).with_columns(
        pl.when(some(0.05)).then(None).otherwise("shop").alias("shop"),
        pl.when(some(0.05)).then(None).otherwise("paid").alias("paid"),
        pl.when(some(0.05)).then(pl.lit(1e300)).otherwise("amount").alias("amount"),
        pl.when(some(0.05)).then(pl.lit(-1e-300)).otherwise("ratio").alias("ratio"),
        pl.when(some(0.03)).then(None).otherwise("at").alias("at"),
    )
    return odd.with_columns(
        pl.when(some(0.05)).then(pl.lit("never seen")).otherwise("shop").alias("shop"),
        pl.when(some(0.02)).then(pl.lit("y")).otherwise("always").alias("always"),
    )


def small_model(path: Path, seed: int = 0, **settings: Any) -> advae.Detector:
    """Fit a model of such rows in a moment, and write it."""
    config = advae.Config(
        **{"iterations": 60, "hidden": 16, "batch_size": 32, "seed": seed, "surprise": False}
        | settings
    )
    detector = advae.fit_detector(table(300, 5), config)
    advae.save(detector, path)
    return detector


def as_json(frame: pl.DataFrame) -> list[dict[str, Any]]:
    """Return rows as JSON clients send them."""
    plain = frame.with_columns(frame["at"].dt.to_string("iso:strict"))
    rows: list[dict[str, Any]] = json.loads(plain.write_json())
    return rows


__all__ = ["Service", "as_json", "odd_table", "running", "small_model", "table"]
