"""Whether an exported file agrees with the Keras model."""

__all__ = []  # import from its modules
