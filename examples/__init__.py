"""Short programs that use advae on tables which they make; ``docs/examples.md`` shows them."""
