"""``python -m advae`` is the command ``advae``."""

from advae.cli import program

program()
