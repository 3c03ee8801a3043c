"""Smaller students: pruned, clustered and quantisation-aware while they are distilled."""

from keras_kd.compression import tfmot
from keras_kd.compression.clustering import cluster
from keras_kd.compression.finishing import finish
from keras_kd.compression.pruning import prune
from keras_kd.compression.quantization import quantize_aware
from keras_kd.compression.reports import Report, report

__all__ = ["Report", "cluster", "finish", "prune", "quantize_aware", "report", "tfmot"]
