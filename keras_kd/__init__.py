"""Knowledge distillation for Keras 3."""

from keras_kd import (
    callbacks,
    export,
    heads,
    losses,
    projectors,
    report,
    soft_labels,
    taps,
    teachers,
)
from keras_kd._version import __version__
from keras_kd.distiller import Distiller
from keras_kd.pairs import suggest_pairs
from keras_kd.soft_labels import SoftLabels
from keras_kd.terms import Term

__all__ = [
    "Distiller",
    "SoftLabels",
    "Term",
    "__version__",
    "callbacks",
    "export",
    "heads",
    "losses",
    "projectors",
    "report",
    "soft_labels",
    "suggest_pairs",
    "taps",
    "teachers",
]
