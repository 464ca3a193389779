"""Find the rows of a table that are not normal, and say why."""
