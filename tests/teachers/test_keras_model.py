"""What a Keras model says of itself as a teacher, and its answers outside of training."""

import keras
import numpy as np
import pytest

from keras_kd import Distiller
from keras_kd.teachers import KerasModel


def test_it_is_known_by_its_weights(net):
    model = net()
    teacher, copy = KerasModel(model), KerasModel(keras.models.clone_model(model))
    assert teacher.fingerprint() != copy.fingerprint()
    copy.model.set_weights(model.get_weights())
    assert teacher.fingerprint() == copy.fingerprint()
    assert len(teacher.fingerprint()) == 64


def test_it_says_what_it_is_shown(net):
    assert KerasModel(net()).input_shapes() == [(None, 4)]
    assert KerasModel(net()).input_names()
    assert KerasModel(net(), preprocess=lambda x: x).input_shapes() is None
    named = {name: keras.Input((size,), name=name) for name, size in (("a", 2), ("b", 3))}
    both = keras.Model(named, keras.layers.Dense(3)(keras.layers.Concatenate()([*named.values()])))
    assert KerasModel(both).input_shapes() == [(None, 2), (None, 3)]
    assert KerasModel(both).input_names() == ["a", "b"]


def test_it_answers_arrays_with_logits(net, data):
    model = net(activation="softmax")
    logits = KerasModel(model, preprocess=lambda x: 2.0 * x).predict(data[0])["output"]
    expected = keras.ops.convert_to_numpy(model(2.0 * data[0]))
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(keras.ops.softmax(logits)), expected, 1e-5
    )


def test_a_preprocess_keeps_the_number_of_rows(net, data):
    x = data[0]
    teacher = KerasModel(net(), preprocess=lambda z: z[:1])
    said = f"preprocess must keep the batch size.*Received: {len(x)} samples in, 1 out"
    with pytest.raises(ValueError, match=said):
        teacher.predict(x)
    distiller = Distiller(student=net(), teacher=teacher)
    distiller.compile("sgd")
    with pytest.raises(ValueError, match=said):
        distiller.fit(x, batch_size=len(x), verbose=0)
    if keras.backend.backend() != "tensorflow":
        return
    import tensorflow as tf

    asked = tf.function(
        lambda z: teacher(z, ["output"]), input_signature=[tf.TensorSpec((None, 4))]
    )
    with pytest.raises(tf.errors.InvalidArgumentError, match="must keep the batch size") as open_:
        asked(x)
    assert "Received: another number" in str(teacher.explained(open_.value))
