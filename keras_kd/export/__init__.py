"""Students as files for servers and phones, run and compared before they are handed over."""

from keras_kd.export.report import Report
from keras_kd.export.runner import predict
from keras_kd.export.saved_model import saved_model
from keras_kd.export.tensors import TensorInfo
from keras_kd.export.tflite import tflite
from keras_kd.export.verify import VerificationError

__all__ = ["Report", "TensorInfo", "VerificationError", "predict", "saved_model", "tflite"]
