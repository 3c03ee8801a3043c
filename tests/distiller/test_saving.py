"""What is saved, and how training goes on."""

import json
import pathlib
import zipfile

import h5py
import keras
import numpy as np
import pytest

from keras_kd import Distiller, Term
from keras_kd.losses import Hint, SoftTargets

# Saved by version 0.1.0, whose modules stood elsewhere: trained an epoch, and what two more gave.
OLD = pathlib.Path(__file__).with_name("saved_before_the_move")
CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def test_saved_and_loaded_training_goes_on(net, data, tmp_path):
    x, y = data
    teacher = net(width=32)
    distiller = Distiller(student=net(activation="softmax"), teacher=teacher)
    distiller.compile("adam", loss="sparse_categorical_crossentropy", alpha=0.3, temperature=2.0)
    distiller.fit(x, y, epochs=2, shuffle=False, verbose=0)
    distiller.alpha.assign(0.5)
    distiller.save(tmp_path / "distiller.keras")
    loaded = keras.saving.load_model(tmp_path / "distiller.keras")
    assert loaded.teacher is None
    assert (float(loaded.alpha), float(loaded.temperature)) == (0.5, 2.0)
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), distiller.predict(x, verbose=0))
    with pytest.raises(ValueError, match="The teacher must be set before training"):
        loaded.fit(x, y, verbose=0)
    loaded.teacher = teacher
    for model in (distiller, loaded):
        model.fit(x, y, epochs=2, shuffle=False, verbose=0)
    for a, b in zip(distiller.student.get_weights(), loaded.student.get_weights()):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_terms_and_heads_are_saved(net, data, tmp_path):
    x, y = data
    terms = [Term(SoftTargets(3.0), weight=2.0, name="soft"), keras.losses.MeanSquaredError()]
    distiller = Distiller(
        student=net(), teacher=net(), terms=terms, student_head="logits", teacher_head="logits"
    )
    distiller.compile("adam", loss=CROSS_ENTROPY, hard_weight=0.5)
    distiller.fit(x, y, verbose=0)
    distiller.terms[0].temperature.assign(5.0)
    distiller.save(tmp_path / "distiller.keras")
    loaded = keras.saving.load_model(tmp_path / "distiller.keras")
    assert [term.name for term in loaded.terms] == ["soft", "mean_squared_error"]
    assert float(loaded.terms[0].weight) == 2.0
    assert float(loaded.terms[0].temperature) == 5.0
    assert float(loaded.hard_weight) == 0.5
    given, kept = distiller.get_config(), loaded.get_config()
    for key in ("terms", "name", "student_head", "teacher_head"):
        assert kept[key] == given[key]


def shapes_in(file):
    shapes = []
    file.visititems(lambda _, item: shapes.append(getattr(item, "shape", ())))
    return shapes


def test_no_file_holds_the_teacher(net, data, tmp_path):
    x, y = data
    distiller = Distiller(student=net(), teacher=net(width=512))
    distiller.compile("sgd", loss=CROSS_ENTROPY)
    distiller.fit(x, y, verbose=0)
    distiller.save(tmp_path / "distiller.keras")
    distiller.save_weights(tmp_path / "distiller.weights.h5")
    with zipfile.ZipFile(tmp_path / "distiller.keras") as archive:
        archive.extract("model.weights.h5", tmp_path)
    for name in ("distiller.weights.h5", "model.weights.h5"):
        with h5py.File(tmp_path / name) as file:
            shapes = shapes_in(file)
        assert (4, 8) in shapes  # the student's
        assert not [shape for shape in shapes if 512 in shape]  # the teacher's


@pytest.mark.tensorflow
def test_no_checkpoint_of_tensorflow_holds_the_teacher(net, tmp_path):
    import tensorflow as tf

    distiller = Distiller(student=net(), teacher=net(width=512))
    tf.train.Checkpoint(distiller).write(str(tmp_path / "checkpoint"))
    shapes = [shape for _, shape in tf.train.list_variables(str(tmp_path / "checkpoint"))]
    assert [4, 8] in shapes
    assert not [shape for shape in shapes if 512 in shape]


class Doubled(keras.layers.Layer):
    """A layer that Keras does not know by itself."""

    def call(self, inputs):
        return 2 * inputs


@pytest.mark.parametrize("by_scope", [False, True])
def test_custom_objects_reach_the_student_and_the_projectors(tmp_path, by_scope):
    x = np.random.default_rng(0).normal(size=(8, 4)).astype("float32")

    def net(units):
        hidden = keras.layers.Dense(units, name="hidden")
        return keras.Sequential([keras.Input((4,)), hidden, Doubled(), keras.layers.Dense(3)])

    projector = keras.Sequential([Doubled(), keras.layers.Dense(5)])
    term = Term(Hint(), 1.0, "hidden", "hidden", projector)
    distiller = Distiller(student=net(2), teacher=net(5), terms=[term])
    distiller.compile("adam", loss="mse")
    distiller.fit(x, x[:, :3], verbose=0)
    distiller.save(tmp_path / "distiller.keras")
    own = {"Doubled": Doubled}
    if by_scope:
        with keras.saving.custom_object_scope(own):
            loaded = keras.models.load_model(tmp_path / "distiller.keras")
    else:
        loaded = keras.models.load_model(tmp_path / "distiller.keras", custom_objects=own)
    for a, b in zip(distiller.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("form", ["plain", "terms"])
def test_files_of_version_0_1_0_load_and_go_on(form):
    x = np.random.default_rng(0).normal(size=(16, 6)).astype("float32")
    distiller = keras.saving.load_model(OLD / f"{form}.keras")
    distiller.teacher = keras.saving.load_model(OLD / "teacher.keras")
    history = distiller.fit(
        x, np.arange(16) % 3, batch_size=8, epochs=2, shuffle=False, verbose=0
    ).history
    expected = json.loads((OLD / "expected.json").read_text())[form]
    assert set(history) == set(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(history[name], values, rtol=1e-5)


@pytest.mark.parametrize("name", ["distiller.h5", "distiller.hdf5"])
def test_hdf5_is_refused_before_it_is_written(net, tmp_path, name):
    distiller = Distiller(student=net(), teacher=net())
    with pytest.raises(ValueError, match=r"must be saved in Keras' own format.*\.keras"):
        distiller.save(tmp_path / name)
    assert not list(tmp_path.iterdir())
