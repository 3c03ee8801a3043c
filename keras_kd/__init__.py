"""Knowledge distillation for Keras 3."""

from keras_kd import export, heads, losses, report, teachers
from keras_kd._version import __version__
from keras_kd.distiller import Distiller
from keras_kd.terms import Term

__all__ = ["Distiller", "Term", "__version__", "export", "heads", "losses", "report", "teachers"]
