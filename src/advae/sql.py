"""Scores inside DuckDB; needs ``pip install 'advae[duckdb]'``."""

from advae.engines.duckdb import register

__all__ = ["register"]
