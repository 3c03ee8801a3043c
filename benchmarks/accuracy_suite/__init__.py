"""Tasks, methods and results of `benchmarks/accuracy.py`."""
