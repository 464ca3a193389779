"""A fitted detector: how it is learned from a table, what it answers, and its file."""
