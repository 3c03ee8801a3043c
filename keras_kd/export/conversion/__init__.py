"""From a Keras model to a file, in a process of its own."""

__all__ = []  # import from its modules
