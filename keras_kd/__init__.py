"""Knowledge distillation for Keras 3."""

from keras_kd import callbacks, compression, export, losses, report, soft_labels, teachers
from keras_kd._version import __version__
from keras_kd.distiller.distiller import Distiller
from keras_kd.distiller.terms.term import Term
from keras_kd.networks import heads, projectors, taps
from keras_kd.networks.pairs import Pair, suggest_pairs
from keras_kd.soft_labels import SoftLabels

# People look for it beside the teachers. It trains students, so its code stands above theirs, and
# only here do both doors meet; an import in `teachers` would point upwards.
teachers.audition = report.audition

__all__ = [
    "Distiller",
    "Pair",
    "SoftLabels",
    "Term",
    "__version__",
    "callbacks",
    "compression",
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
