"""Scoring on engines that others run: Ray, Spark, DuckDB; each worker loads the model once."""
