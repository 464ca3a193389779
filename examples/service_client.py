"""A service and its client: start ``advae serve``, send it payments, read the answers."""

import json
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from payments import payments, with_frauds

import advae


def ask(address: str, rows: list[dict[str, object]]) -> list[dict[str, object]]:
    """Return what the service says of rows, with one reason each."""
    request = urllib.request.Request(
        f"{address}/v1/models/payments/score?explain=1",
        json.dumps(rows).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as answer:
        return list(json.load(answer)["rows"])


def wait_for(address: str) -> None:
    """Wait until the service answers, half a minute at most."""
    for _ in range(300):
        try:
            with urllib.request.urlopen(f"{address}/v2/health/ready"):
                return
        except OSError:
            time.sleep(0.1)
    raise TimeoutError(f"no answer from {address}")


def main() -> None:
    """Learn and save a model, serve it, and ask about six payments."""
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "payments.advae"
        learned = payments(500, seed=1)
        config = advae.Config(alpha=0.01)
        advae.save(advae.fit_detector(learned, config, ignored=["payment"]), model)
        command = [sys.executable, "-m", "advae", "serve", str(model), "--port", "0"]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as service:
            try:
                address = ""
                for line in service.stderr or ():  # the log, a JSON object a line
                    if '"listening"' in line:
                        address = json.loads(line)["address"]
                        break
                wait_for(address)
                new = with_frauds(payments(300, seed=2)).gather([0, 3, 6, 20, 21, 22])
                answers = ask(address, new.to_dicts())
                for row, answer in zip(new.to_dicts(), answers, strict=True):
                    flag = "alarm" if answer["is_anomaly"] else "fine"
                    print(f"{row['payment']}: {flag}, p-value {answer['p_value']:.3f}")
            finally:
                service.terminate()


if __name__ == "__main__":
    main()
