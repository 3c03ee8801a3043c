"""What may happen between the epochs of a training."""

from keras_kd.callbacks.export_best import ExportBest

__all__ = ["ExportBest"]
