"""Speed and accuracy measurements; not part of the installed package."""
