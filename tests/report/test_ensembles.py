"""What each member does for an ensemble."""

import json

import keras
import numpy as np
import pytest

from keras_kd import SoftLabels
from keras_kd.report import ensemble
from keras_kd.teachers import Function

LABELS = np.array([0, 1, 2, 2])
A = np.log([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.6, 0.2, 0.2], [0.6, 0.2, 0.2]])
B = np.array([[0.1, 0.6, 0.3], [0.1, 0.6, 0.3], [0.1, 0.1, 0.8], [0.4, 0.4, 0.2]])
C = np.array([[0.1, 0.8, 0.1], [0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]])


def test_each_all_and_all_but_one():
    found = ensemble({"a": A, "b": B, "c": C}, LABELS)
    assert found.each == {"a": 0.5, "b": 0.5, "c": 0.25}
    assert found.all == 0.25 * sum((np.exp(A) + B + C).argmax(-1) == LABELS)
    assert found.without["c"] == 0.25 * sum((np.exp(A) + B).argmax(-1) == LABELS)
    assert found.weights == {name: pytest.approx(1 / 3) for name in "abc"}
    lines = str(found).splitlines()
    assert lines[0].replace(" ", "") == "|Member|Weight|Alone|Allbutit|"
    assert "from their best, 'a'" in found.verdict()
    assert json.loads(found.to_json())["without"] == found.without


def test_weights_and_members_that_do_nothing():
    found = ensemble({"a": A, "b": B}, np.eye(3)[LABELS], weights=[3, 0])
    assert found.all == found.each["a"] == found.without["b"] == 0.5
    assert "a" not in found.without
    assert "Right as often without any one of ['b']" in found.verdict()
    assert str(ensemble({"a": A}, LABELS)).splitlines()[2].endswith("- |")


def test_from_stored_answers():
    x = np.arange(4, dtype="float32")[:, None]
    teacher = Function(lambda x: A[x[:, 0].astype(int)], "logits")
    soft = SoftLabels.write(None, teacher=teacher, data=x, verbose=0)
    assert ensemble({"a": soft, "b": B}, LABELS) == ensemble({"a": A, "b": B}, LABELS)
    mean = SoftLabels.write(None, teacher=[teacher, teacher], data=x, verbose=0)
    top = SoftLabels.write(None, teacher=teacher, data=x, top_k=2, verbose=0)
    for other in (mean, top):
        with pytest.raises(ValueError, match="'a' must be those of one teacher to all classes"):
            ensemble({"a": other}, LABELS)


def test_bad_input():
    with pytest.raises(ValueError, match="answers must hold one member or more"):
        ensemble({}, LABELS)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    with pytest.raises(TypeError, match=r"answers\['a'\] must be its answers"):
        ensemble({"a": model}, LABELS)
    with pytest.raises(ValueError, match="answers must be about the same samples and classes"):
        ensemble({"a": A, "b": B[:3]}, LABELS)
    for weights in ([1.0], [0, 0]):
        with pytest.raises(ValueError, match="weights must have one number for each member"):
            ensemble({"a": A, "b": B}, LABELS, weights)
    with pytest.raises(ValueError, match="y must hold one label for each sample"):
        ensemble({"a": A}, LABELS[:2])
