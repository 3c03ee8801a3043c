"""From a Keras model to a file, in a process of its own."""

__all__ = ["child", "modes", "saved_graph", "serving", "task"]
