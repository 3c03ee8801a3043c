"""Students as files for servers and phones, run and compared before they are handed over."""

from keras_kd.export.file_report import Report
from keras_kd.export.saved_model import saved_model
from keras_kd.export.tflite import tflite
from keras_kd.export.verification.verify import VerificationError
from keras_kd.runtimes.litert import predict
from keras_kd.runtimes.tensors import TensorInfo

__all__ = ["Report", "TensorInfo", "VerificationError", "predict", "saved_model", "tflite"]
