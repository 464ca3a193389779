"""The facts about a machine that a timing depends on."""

import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.harness.workers import available_cores

PACKAGES = ("jax", "jaxlib", "torch", "scikit-learn", "pyod", "numpy")


def machine_facts() -> dict[str, str]:
    """Return processor, cores, load, and the versions of everything measured."""
    facts = {
        "processor": _processor(),
        "cores": str(len(available_cores())),
        "system": platform.platform(),
        "python": sys.version.split()[0],
    }
    return facts | {name: installed(name) or "not installed" for name in PACKAGES}


def installed(package: str) -> str | None:
    """Return the version of an installed package, else None."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
