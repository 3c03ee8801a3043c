"""What runs exported files."""

__all__ = ["batching", "endpoint", "litert", "tensors", "worker"]
