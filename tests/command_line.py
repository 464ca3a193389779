"""What the fixture ``run`` of ``conftest.py`` takes and gives."""

from collections.abc import Callable
from dataclasses import dataclass

ANY_MODEL = ("--preset", "paper", "--iterations", 50)
"""Options of a fit whose model only has to be one: the preset that compiles least."""


@dataclass
class Result:
    code: int
    out: str
    err: str


Run = Callable[..., Result]
