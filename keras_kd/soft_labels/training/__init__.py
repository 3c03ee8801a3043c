"""Training data that carry the stored answers."""

__all__ = []  # import from its modules
