"""What arrays show is said before a weight moves."""

import keras
import numpy as np
import pytest

from keras_kd import Distiller
from keras_kd.distiller import first_look
from tests.distiller.labelled import CROSS_ENTROPY, Batches


def refused(distiller, *data, match, error=ValueError, **given):
    before = distiller.student.get_weights()
    with pytest.raises(error, match=match):
        distiller.fit(*data, batch_size=4, verbose=0, **given)
    for now, then in zip(distiller.student.get_weights(), before):
        np.testing.assert_array_equal(now, then)


def test_no_examples_names_and_foreign_ids(net, data, monkeypatch):
    x, y = data
    distiller = Distiller(student=net(), teacher=net())
    distiller.compile("sgd", loss=CROSS_ENTROPY)
    refused(distiller, x[:0], y[:0], match="x must hold examples")
    refused(distiller, Batches(x[:0], y[:0], 1), match="x must hold examples")
    held_out = {"validation_data": (x[:0], y[:0])}
    refused(distiller, x, y, match="validation_data must hold examples", **held_out)
    names = np.array(["cat", "dog", "car"])[y]
    for each in (names, names.astype(object)):
        match = r"Labels must be numbers.*Received: '\w+'.*np.unique\(y, return_inverse=True\)"
        refused(distiller, x, each, match=match, error=TypeError)
    monkeypatch.setattr(first_look, "_AT_ONCE", 5)  # in several parts
    for foreign, at in ((3, 13), (-2, 20), (9, 0)):
        ids = y.copy()
        ids[at:22] = foreign
        match = rf"Labels must be ids.*Received: {foreign}, which is y\[{at}\]"
        refused(distiller, x, ids, match=match)
        match = match.replace("y", r"validation_data\[1\]")
        refused(distiller, x, y, match=match, validation_data=(x, ids))
    monkeypatch.setattr(first_look, "_MOST", 5)  # the steps look at larger ones
    with pytest.raises(ValueError, match=r"Labels must be ids.*first in batch 1"):
        distiller.fit(x, ids, verbose=0)


def test_names_in_a_dataset(net, data):
    tf = pytest.importorskip("tensorflow")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("other backends take no strings")
    names = np.array(["cat", "dog", "car"])[data[1]]
    dataset = tf.data.Dataset.from_tensor_slices((data[0], names)).batch(8)
    distiller = Distiller(student=net(), teacher=net())
    distiller.compile("sgd", loss=CROSS_ENTROPY)
    with pytest.raises(TypeError, match="Labels must be numbers"):
        distiller.fit(dataset, verbose=0)
    with pytest.raises(ValueError, match="x must hold examples"):
        distiller.fit(dataset.take(0), verbose=0)


def test_labels_that_nothing_compares_are_told_of(net, data, capsys):
    distiller = Distiller(student=net(), teacher=net())
    for metrics, given, told in [
        (None, data, True),
        (None, data[:1], False),
        (["accuracy"], data, False),
    ]:
        distiller.compile("sgd", metrics=metrics)
        distiller.fit(*given, verbose=2)
        assert ("y is not used: " in capsys.readouterr().out) is told
