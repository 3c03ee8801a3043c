"""All losses that `keras_kd.losses` exports, and signals for each."""

import inspect

import numpy as np
import pytest

import keras_kd
from keras_kd import losses
from keras_kd.losses import DistillationLoss, FeatureLoss

LOSSES = [
    loss
    for _, loss in inspect.getmembers(keras_kd.losses, inspect.isclass)
    if issubclass(loss, DistillationLoss) and loss not in (DistillationLoss, FeatureLoss)
]
ON_LOGITS = [loss for loss in LOSSES if not issubclass(loss, FeatureLoss)]
BY_POSITION = [
    *(loss for loss in ON_LOGITS if not loss.batch_statistic),
    losses.Hint,
    losses.CosineHint,
    losses.Variational,
]
FEATURES = [loss for loss in LOSSES if issubclass(loss, FeatureLoss)]
RELATIONS = [loss for loss in FEATURES if loss.needs_pairs]
SEPARABLE = [loss for loss in LOSSES if not loss.batch_statistic]
every_loss = pytest.mark.parametrize("loss_class", LOSSES)
every_feature_loss = pytest.mark.parametrize("loss_class", FEATURES)
every_loss_on_logits = pytest.mark.parametrize("loss_class", ON_LOGITS)
every_separable_loss = pytest.mark.parametrize("loss_class", SEPARABLE)

# What a loss takes other than two rows of numbers per example, (6, 5): shapes of both signals.
SHAPES = {
    losses.AttentionTransfer: ((6, 4, 4, 5), (6, 4, 4, 3)),
    losses.ChannelWise: ((6, 4, 3, 5),) * 2,
    losses.HierarchicalContext: ((6, 5, 7, 3),) * 2,
    losses.ProbabilisticTransfer: ((6, 7), (6, 5)),
    losses.Relational: ((6, 7), (6, 5)),
    losses.SelfRelation: ((6, 4, 8), (6, 4, 4)),
    losses.SimilarityPreserving: ((6, 2, 3, 7), (6, 5)),
}
SCALE = np.float32([-1.0, 0.5, 0.0, 2.0, 1.0])
ARGUMENTS = {losses.SelfRelation: {"relation_heads": 2}}


class WithScale(losses.Variational):
    """The one loss whose student's signal is a pair, with the second of it given."""

    def call(self, y_true, y_pred):
        return super().call(y_true, (y_pred, SCALE))


def make(loss_class, **kwargs):
    """Returns a loss with its own defaults that compares two tensors."""
    if loss_class is losses.Variational:
        loss_class = WithScale
    return loss_class(**{**ARGUMENTS.get(loss_class, {}), **kwargs})


def signals(loss_class):
    """Returns the teacher's and the student's signal, six examples each."""
    rng = np.random.default_rng(0)
    shapes = SHAPES.get(loss_class, ((6, 5),) * 2)
    return [(rng.normal(size=shape) * 3).astype("float32") for shape in shapes]


def parameters(loss_class):
    """Returns the loss's own arguments with their defaults."""
    signature = inspect.signature(loss_class).parameters
    return {
        name: parameter.default
        for name, parameter in signature.items()
        if name not in ("name", "reduction")
    }


NUMBERS = [
    (loss, name)
    for loss in LOSSES
    for name, default in parameters(loss).items()
    if isinstance(default, float)
]
