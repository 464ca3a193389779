"""Files in and out: streams of Polars frames, errors with their place, and writing."""
