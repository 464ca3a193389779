"""What the fixture ``run`` of ``conftest.py`` takes and gives."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass
class Result:
    code: int
    out: str
    err: str


Run = Callable[..., Result]
