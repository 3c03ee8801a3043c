"""What every loss on features promises, beside the contract of all."""

import keras
import numpy as np
import pytest

from keras_kd import losses
from tests.losses.every_loss import (
    BY_POSITION,
    FEATURES,
    RELATIONS,
    SHAPES,
    every_feature_loss,
    make,
    signals,
)


@every_feature_loss
def test_features_give_one_value_per_example_or_position(loss_class, pair):
    by_position = loss_class in BY_POSITION
    for more in ((), (3,)) if by_position else ((),):
        both = [np.stack([signal] * 3, axis=1) if more else signal for signal in pair]
        assert make(loss_class).call(*both).shape == (6, *more)


@every_feature_loss
def test_features_of_unknown_sizes(loss_class):
    if loss_class is losses.HierarchicalContext:
        pytest.skip("pools to sizes that must be known")
    shapes = [signal.shape for signal in signals(loss_class)]
    known = -1 if loss_class not in RELATIONS else -2
    inputs = [
        keras.Input([*(None for _ in shape[1:known]), *shape[1:][known:]]) for shape in shapes
    ]
    layer = keras.layers.Lambda(lambda both: make(loss_class).call(*both))
    assert layer(inputs).shape[0] is None


@every_feature_loss
def test_features_are_never_broadcast(loss_class, pair):
    teacher, student = pair
    wrong = [(teacher[:1], student), (np.zeros(6), student)]
    if loss_class in BY_POSITION or len(set(SHAPES.get(loss_class, ()))) == 1:
        wrong.append((teacher[..., :1], student))
        wrong.append((np.stack([teacher] * 2, axis=1), student))
    for features in wrong:
        with pytest.raises(ValueError, match="must compare the teacher's and the student's"):
            make(loss_class).call(*features)


@every_feature_loss
def test_an_example_of_zeros_has_a_finite_gradient(loss_class, pair, value_and_gradient):
    loss, (teacher, student) = make(loss_class), pair
    student[0] = 0.0
    for zeros in (np.copy(teacher), teacher):
        value, gradient = value_and_gradient(lambda s, t=zeros: loss(t, s), student)
        assert np.isfinite(value)
        assert np.abs(gradient).max() < 1e3
        teacher[0] = 0.0


@pytest.mark.parametrize("loss_class", RELATIONS)
def test_an_example_alone_in_its_batch_teaches_nothing(loss_class, pair, value_and_gradient):
    teacher, student = (signal[:1] for signal in pair)
    value, gradient = value_and_gradient(lambda s: make(loss_class)(teacher, s), student)
    assert value == 0
    assert (gradient == 0).all()


@pytest.mark.parametrize("loss_class", [loss for loss in FEATURES if "mask" in loss.needs])
def test_padding_changes_nothing(loss_class, value_and_gradient):
    rng = np.random.default_rng(0)
    teacher, student = rng.normal(size=(2, 4, 5, 8)).astype("float32")
    mask = np.arange(5) < np.array([5, 3, 2, 4])[:, None]
    loss, results = make(loss_class), []
    for padding in (0.0, 7.0):
        both = [np.where(mask[..., None], s, np.float32(padding)) for s in (teacher, student)]
        answer = {"teacher": both[0], "mask": mask}
        results.append(value_and_gradient(lambda s, a=answer: loss(a, s), both[1]))
    (value, gradient), (other, slope) = results
    np.testing.assert_allclose(value, other, rtol=1e-5)
    np.testing.assert_allclose(gradient, slope, rtol=1e-4, atol=1e-7)
    assert (slope[~mask] == 0).all()
    assert np.abs(slope[mask]).max() > 0


@pytest.mark.parametrize(
    "loss_class", [losses.AttentionTransfer, losses.ChannelWise, losses.SelfRelation]
)
def test_a_padded_example_equals_a_short_one(loss_class):
    teacher, student = np.random.default_rng(0).normal(size=(2, 2, 5, 8)).astype("float32")
    mask = np.arange(5) < np.array([[3], [3]])
    short = make(loss_class).call(teacher[:, :3], student[:, :3])
    padded = make(loss_class).call({"teacher": teacher, "mask": mask}, student)
    np.testing.assert_allclose(padded, short, rtol=1e-5)
