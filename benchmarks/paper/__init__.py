"""The paper's own experiments, done again."""
