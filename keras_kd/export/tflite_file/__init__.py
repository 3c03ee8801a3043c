"""What a `.tflite` file holds: tensors, operators, metadata."""

__all__ = ["flatbuffer", "metadata", "normalization", "operators", "requirements"]
