"""What a `.tflite` file holds: tensors, operators, metadata."""
