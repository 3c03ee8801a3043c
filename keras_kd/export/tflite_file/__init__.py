"""What a `.tflite` file holds: tensors, operators, metadata."""

__all__ = []  # import from its modules
