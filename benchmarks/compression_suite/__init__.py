"""Tasks of `benchmarks/compression.py`."""
