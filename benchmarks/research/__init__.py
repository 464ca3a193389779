"""Research prototypes: what was tried for the score in nats."""
