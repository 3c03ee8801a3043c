"""Average pooling of whole maps is a mean with steps of its own."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_kd
from keras_kd import compression
from keras_kd.compression.pooling import MapMean
from keras_kd.compression.ranges import ranges_of

pytestmark = pytest.mark.usefixtures("rounding")


def seen(model, x):
    """Returns a quantisation-aware student whose ranges have seen data."""
    student = compression.quantize_aware(model)
    student.compile(keras.optimizers.SGD(0.0), "mse")
    student.fit(x, np.zeros((len(x), *model.output_shape[1:]), "float32"), verbose=0)
    return student


def spiky(shape):
    """Returns samples of which one value in a hundred is large."""
    draws = np.random.default_rng(0)
    x = draws.uniform(size=(64, *shape)) * np.where(draws.uniform(size=(64, *shape)) < 0.01, 50, 1)
    return x.astype("float32")


def pooled(shape, *pools):
    keras.utils.set_random_seed(0)
    x = inputs = keras.Input(shape)
    for pool in pools:
        x = pool(x)
    return keras.Model(inputs, layers.Dense(5)(layers.Flatten()(x)))


@pytest.mark.parametrize(
    ("shape", "pool"),
    [
        ((8, 8, 3), layers.AveragePooling2D(8, name="pool")),
        ((6, 4, 3), layers.AveragePooling2D((6, 4), padding="same", name="pool")),
        ((16, 3), layers.AveragePooling1D(16, name="pool")),
    ],
)
def test_means_of_whole_maps_are_finer_than_the_map(shape, pool):
    model, x = pooled(shape, pool), spiky(shape)
    student = seen(model, x)
    assert type(student.get_layer("pool")) is MapMean
    assert len(ranges_of(student)) == 3
    coarse = seen(pooled(shape, type(pool).from_config(pool.get_config() | {"pool_size": 2})), x)
    assert len(ranges_of(coarse)) == 2
    given, means, _ = [keras.ops.convert_to_numpy(each.step()) for each in ranges_of(student)]
    assert means < 0.2 * given
    plain = compression.finish(student)
    assert type(plain.get_layer("pool")) is type(pool)
    assert plain.get_layer("pool").get_config() == pool.get_config()


def test_windows_that_reach_over_the_map_are_no_means_of_it():
    pool = layers.AveragePooling2D(8, strides=1, padding="same", name="pool")
    model, x = pooled((8, 8, 3), pool, layers.GlobalMaxPooling2D()), spiky((8, 8, 3))
    student = seen(model, x)
    assert type(student.get_layer("pool")) is layers.AveragePooling2D
    error = student.predict(x, verbose=0) - model.predict(x, verbose=0)
    assert np.abs(error).mean() < 0.2 * np.abs(model.predict(x, verbose=0)).mean()


def test_windows_smaller_than_the_map_share_its_range():
    shared = layers.AveragePooling2D(4, name="pool")
    student = seen(pooled((16, 16, 3), shared, shared), spiky((16, 16, 3)))
    # Of the image, its first means, and the logits: only the second call covers a whole map.
    assert len(ranges_of(student)) == 3
    assert [each.calls for each in ranges_of(student)].count(2) == 1


def test_a_saved_student_computes_the_same(tmp_path):
    x = spiky((8, 8, 3))
    student = seen(pooled((8, 8, 3), layers.AveragePooling2D(8)), x)
    student.save(tmp_path / "student.keras")
    loaded = keras.models.load_model(tmp_path / "student.keras")
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), student.predict(x, verbose=0))


@pytest.mark.tensorflow
def test_the_file_computes_a_mean(in_process, tmp_path):
    x = spiky((8, 8, 3))
    student = seen(pooled((8, 8, 3), layers.AveragePooling2D(8)), x)
    report = keras_kd.export.tflite(student, tmp_path / "student.tflite", "int8", verify=x)
    assert report.operators["MEAN"] == 1
    assert "AVERAGE_POOL_2D" not in report.operators
    assert report.float_operators == {}
    assert report.argmax_agreement == 1.0
    assert report.relative_error < 1e-3
