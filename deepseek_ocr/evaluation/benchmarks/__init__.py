"""Published benchmarks, run by their own protocols on a local copy of their data."""
