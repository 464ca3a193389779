"""What benchmarks share: data, runs that are kept, workers, timing, pictures."""
