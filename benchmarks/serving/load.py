"""A client that loads a service: connections that are kept open, each asking in turn."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Load:
    """What came of asking.

    Attributes
    ----------
    rate
        Requests answered a second.
    p50, p99
        Quantiles of the time from when a request was due to its answer, milliseconds.
    errors
        Answers with another status than 200, and connections that broke.
    """

    rate: float
    p50: float
    p99: float
    errors: int


def request(path: str, body: bytes, kind: str) -> bytes:
    """Return a request as it goes over the wire."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {kind}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def run(
    port: int,
    requests: Sequence[bytes],
    seconds: float,
    *,
    connections: int,
    rate: float | None = None,
) -> Load:
    """Ask for so many seconds.

    Parameters
    ----------
    port
        Of the service on this machine.
    requests
        Sent in turn.
    seconds
        How long to ask.
    connections
        How many ask at a time.
    rate
        Requests due a second; None: each connection asks as soon as it has been answered.
    """
    return asyncio.run(_run(port, requests, seconds, connections, rate))


async def _run(
    port: int, requests: Sequence[bytes], seconds: float, connections: int, rate: float | None
) -> Load:
    times: list[float] = []
    errors = 0
    begin = time.perf_counter()
    end = begin + seconds

    async def ask(number: int) -> None:
        nonlocal errors
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        turn = number
        try:
            while True:
                due = time.perf_counter()
                if rate is not None:
                    due = begin + turn / rate
                    await asyncio.sleep(max(0.0, due - time.perf_counter()))
                # On a busy machine the time can be over before the first request.
                asked = turn != number or rate is not None
                if asked and (time.perf_counter() >= end or due >= end):
                    return
                writer.write(requests[turn % len(requests)])
                turn += connections
                head = await reader.readuntil(b"\r\n\r\n")
                lines = head.lower().split(b"\r\n")
                length = next(int(x[15:]) for x in lines if x.startswith(b"content-length:"))
                await reader.readexactly(length)
                errors += not head.startswith(b"HTTP/1.1 200")
                times.append(time.perf_counter() - due)
        except (OSError, asyncio.IncompleteReadError):
            errors += 1
        finally:
            writer.close()

    await asyncio.gather(*(ask(number) for number in range(connections)))
    taken = time.perf_counter() - begin
    p50, p99 = np.quantile(times, [0.5, 0.99]) * 1000 if times else (np.nan, np.nan)
    return Load(len(times) / taken, float(p50), float(p99), errors)
