"""What deploy/ holds: its commands run, under the restrictions that it names."""

import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from serving.service import as_json, small_model, table

yaml = pytest.importorskip("yaml", reason="needs PyYAML")

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
TOKEN = "a-token-of-some-length"


def container_command() -> list[str]:
    text = (DEPLOY / "Containerfile").read_text()
    found = dict(re.findall(r"^(ENTRYPOINT|CMD) (\[.*\])$", text, re.MULTILINE))
    return json.loads(found["ENTRYPOINT"]) + json.loads(found["CMD"])


def unit_command() -> list[str]:
    (line,) = re.findall(r"^ExecStart=(.*)$", (DEPLOY / "advae.service").read_text(), re.MULTILINE)
    return [Path(part).name if part.endswith("/advae") else part for part in shlex.split(line)]


def pods() -> dict[str, Any]:
    """Return the parts of the manifests that say how a container runs."""
    deployment, _service = yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text())
    kserve = yaml.safe_load((DEPLOY / "kserve.yaml").read_text())
    return {
        "kubernetes": deployment["spec"]["template"]["spec"],
        "kserve": kserve["spec"]["predictor"],
    }


COMMANDS = {
    "container": container_command(),
    "unit": unit_command(),
    **{name: ["advae", "serve", *pod["containers"][0]["args"]] for name, pod in pods().items()},
}

# A root that cannot be written, a folder for temporary files (not /tmp, under which this checkout
# may lie), and no privilege that could change that.
RESTRICTED = (
    'mount --make-rprivate / && mount --bind "$MODELS" /mnt && mount -o remount,bind,ro /mnt && '
    "mount -t tmpfs tmpfs /media && mount -o remount,bind,ro / && "
    "exec setpriv --bounding-set=-all --inh-caps=-all --no-new-privs "
    '"$@"'
)


def can_restrict() -> bool:
    if os.getuid() or not (shutil.which("unshare") and shutil.which("setpriv")):
        return False
    test = [
        "unshare",
        "--mount",
        "sh",
        "-c",
        "mount --make-rprivate / && mount -o remount,bind,ro /",
    ]
    return subprocess.run(test, capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(
    not can_restrict(), reason="cannot make a read-only root: needs root and unshare"
)
@pytest.mark.parametrize("name", COMMANDS)
def test_the_command_serves_under_restrictions(name: str, tmp_path: Path) -> None:
    detector = small_model(tmp_path / "model.advae")
    (tmp_path / "tokens").write_text(TOKEN)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    places = {"model.advae": "/mnt/model.advae", "tokens": "/mnt/tokens"}
    given = [places.get(part.rpartition("/")[2], part) for part in COMMANDS[name][2:]]
    given = [part if part != "0.0.0.0" else "127.0.0.1" for part in given]
    command = [sys.executable, "-m", "advae", "serve", *given, "--port", str(port)]
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
        "PYTHONDONTWRITEBYTECODE": "1",
        "MODELS": str(tmp_path),
        "HOME": "/nonexistent",
        "TMPDIR": "/media",
    }
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", RESTRICTED, "sh", *command],
            env=environment,
            stderr=log,
            stdout=log,
        )
    try:
        wait_until_ready(port, process, tmp_path / "log")
        headers = {"authorization": f"Bearer {TOKEN}"}
        address = f"http://127.0.0.1:{port}"
        rows = table(3, 1)
        answer = httpx.post(
            f"{address}/v1/models/model/score", json=as_json(rows), headers=headers, timeout=60
        )
        found = [row["anomaly_score"] for row in answer.json()["rows"]]
        assert found == detector.anomaly_score(rows).tolist()
        if name in pods():
            for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
                probe = pods()[name]["containers"][0].get(kind)
                if probe is not None:
                    path = probe["httpGet"]["path"]
                    assert httpx.get(address + path).status_code == 200
        if name == "container":
            assert health_check(port) == 0
    finally:
        process.terminate()
        assert process.wait(60) == 0
    if name == "container":
        assert health_check(port) != 0


def wait_until_ready(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    end = time.monotonic() + 90
    while time.monotonic() < end and process.poll() is None:
        try:
            if httpx.get(f"http://127.0.0.1:{port}/v2/health/ready").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise AssertionError(log.read_text())


def health_check(port: int) -> int:
    """Run the container's health check; return its exit code."""
    text = (DEPLOY / "Containerfile").read_text()
    (check,) = re.findall(r"HEALTHCHECK.*\\\n\s*CMD (\[.*\])", text)
    command = [part.replace("8000", str(port)) for part in json.loads(check)]
    done = subprocess.run([sys.executable, *command[1:]], capture_output=True, check=False)
    return done.returncode


@pytest.mark.parametrize("name", pods())
def test_a_pod_has_no_privilege_and_has_limits(name: str) -> None:
    pod = pods()[name]
    (container,) = pod["containers"]
    context = pod.get("securityContext", {}) | container["securityContext"]
    assert context["runAsNonRoot"]
    assert context["readOnlyRootFilesystem"]
    assert not context["allowPrivilegeEscalation"]
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert {"cpu", "memory"} <= set(container["resources"]["limits"])
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in pod["volumes"]}


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not here")
def test_systemd_takes_the_unit_and_finds_it_well_confined(tmp_path: Path) -> None:
    unit = tmp_path / "advae.service"
    text = (DEPLOY / "advae.service").read_text().replace("/opt/advae/bin/advae", sys.executable)
    unit.write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False
    )
    assert "advae.service" not in done.stderr, done.stderr
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--threshold=25", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-600:]


def test_the_image_has_no_compiler_and_no_root() -> None:
    text = (DEPLOY / "Containerfile").read_text()
    last = text.rpartition("\nFROM ")[2]
    assert re.search(r"^USER [1-9]", last, re.MULTILINE)
    assert "apt-get" not in text
    assert "-slim" in last.splitlines()[0]
