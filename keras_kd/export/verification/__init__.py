"""Whether an exported file agrees with the Keras model."""

__all__ = ["accuracy", "channels", "spread", "verify"]
