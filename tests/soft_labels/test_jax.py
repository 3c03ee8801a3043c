"""Students that learn on JAX from stored answers, which tf.data brings."""

import importlib.util
import os
import subprocess
import sys
import textwrap

import pytest

pytestmark = pytest.mark.tensorflow

SCRIPT = textwrap.dedent(
    """
    import keras, keras_kd, numpy as np
    from keras_kd import soft_labels

    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (300, 8, 8, 3)).astype("uint8"), rng.integers(0, 20, 300)

    def classifier(width):
        layers = [keras.layers.Rescaling(1 / 255), keras.layers.Flatten()]
        layers += [keras.layers.Dense(width, "relu"), keras.layers.Dense(20)]
        return keras.Sequential([keras.Input((8, 8, 3)), *layers])

    teacher, student = classifier(16), classifier(4)
    start = student.get_weights()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def distiller(teacher):
        student.set_weights(start)
        distiller = keras_kd.Distiller(student=student, teacher=teacher)
        distiller.compile(keras.optimizers.SGD(0.1), loss=loss)
        return distiller

    given = {"teacher": teacher, "data": x, "augment": soft_labels.crop_flip, "verbose": 0}
    soft = keras_kd.SoftLabels.write(None, views=3, dtype="float32", **given)
    train = soft.dataset(x, y, batch_size=50)
    whole = distiller(soft).fit(train, epochs=3, verbose=0).history
    weights = student.get_weights()
    parts = distiller(soft)
    parts.fit(train, epochs=1, verbose=0)
    next(iter(train))
    parts.fit(train, initial_epoch=1, epochs=3, verbose=0)
    for a, b in zip(weights, student.get_weights()):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)
    online = train.map(lambda x, y: (x["keras_kd.input"], y))
    asked = distiller(teacher).fit(online, verbose=0, callbacks=[soft.callback()]).history
    np.testing.assert_allclose(whole["loss"][0], asked["loss"][0], rtol=1e-5)
    top = keras_kd.SoftLabels.write(None, top_k=5, views=1, **given)
    distiller(top).fit(top.dataset(x, y), verbose=0)
    """
)


def test_stored_answers_on_jax():
    if importlib.util.find_spec("jax") is None:
        pytest.skip("needs JAX")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env=os.environ | {"KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
