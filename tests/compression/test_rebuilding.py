import keras
import numpy as np
import pytest
from keras import layers

from keras_kd import compression
from keras_kd.compression.rebuilding import copied, parts, rebuilt


@pytest.fixture
def model():
    inputs, shared = keras.Input((4,), name="x"), layers.Dense(4, name="shared")
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(4, name="within")], name="inner")
    return keras.Model({"x": inputs}, {"y": shared(inner(shared(inputs))) + inputs})


def test_parts_count_calls(model):
    found = [(path, calls) for path, _, calls in parts(model)]
    assert found == [("shared", 2), ("inner/within", 1)]


def test_the_same_graph_of_new_layers(model):
    again = rebuilt(model, lambda layer, path, calls: copied(layer))
    x = {"x": np.ones((2, 4), "float32")}
    np.testing.assert_allclose(again(x)["y"], model(x)["y"])
    again.get_layer("shared").kernel.assign(np.zeros((4, 4)))
    assert np.abs(model.get_layer("shared").kernel).max() > 0
    assert type(again.get_layer("inner")) is keras.Sequential


def test_a_layer_may_go(model):
    again = rebuilt(model, lambda layer, path, calls: None if path == "shared" else copied(layer))
    x = np.ones((2, 4), "float32")
    within = model.get_layer("inner").get_layer("within")
    np.testing.assert_allclose(again({"x": x})["y"], within(x) + x, atol=1e-6)


WORDS = np.array([["a"], ["b"], ["a"]])
NUMBERS = np.array([[3], [7], [3]])
VALUES = np.array([[0.0], [1.0], [2.0], [3.0]], "float32")
# Makes a layer, and what it is adapted to.
STATES = {
    "words": (layers.StringLookup, WORDS),
    "given words": (lambda: layers.StringLookup(vocabulary=["a", "b"]), None),
    "shares of words": (lambda: layers.StringLookup(output_mode="tf_idf"), WORDS),
    "numbers": (layers.IntegerLookup, NUMBERS),
    "text": (lambda: layers.TextVectorization(output_sequence_length=3), WORDS),
    "bags": (lambda: layers.TextVectorization(output_mode="tf_idf"), WORDS),
    "bins": (lambda: layers.Discretization(num_bins=3), VALUES),
    "given bins": (lambda: layers.Discretization(bin_boundaries=[0.5, 1.5]), VALUES[:0]),
    "hash": (lambda: layers.Hashing(5), None),
    "crossing": (lambda: layers.HashedCrossing(5), None),
    "statistics": (layers.Normalization, VALUES),
    "codes": (lambda: layers.CategoryEncoding(4), None),
}
INPUTS = {"words": WORDS, "given words": WORDS, "shares of words": WORDS, "hash": WORDS}
INPUTS |= {"text": WORDS, "bags": WORDS, "numbers": NUMBERS, "codes": np.array([[0], [3], [1]])}


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", STATES)
def test_layers_of_preprocessing_keep_what_they_know(name):
    make, adapted = STATES[name]
    layer, x = make(), INPUTS.get(name, VALUES)
    if adapted is not None and len(adapted):
        layer.adapt(adapted)
    given = (WORDS, WORDS) if name == "crossing" else x
    given = keras.tree.map_structure(keras.ops.convert_to_tensor, given)
    expected = keras.ops.convert_to_numpy(layer(given))
    again = copied(layer, name="other")
    assert (again.name, layer.name == "other") == ("other", False)
    np.testing.assert_array_equal(again(given), expected)


@pytest.mark.tensorflow
def test_a_student_of_text_is_compressed():
    lookup = layers.StringLookup()
    lookup.adapt(WORDS)
    text = keras.Input((1,), dtype="string")
    x = layers.Flatten()(layers.Embedding(6, 3)(lookup(text)))
    model = keras.Model(text, layers.Dense(2)(x))
    words = keras.ops.convert_to_tensor(WORDS)
    student = compression.prune(model, 0.0)
    np.testing.assert_array_equal(student(words), model(words))
    np.testing.assert_array_equal(compression.finish(student)(words), model(words))


def test_a_layer_that_keras_cannot_make_again():
    class Stubborn(layers.Layer):
        def __init__(self, needed):
            super().__init__(name="stubborn")

    with pytest.raises(ValueError, match="'stubborn' must be what Keras can make again"):
        copied(Stubborn(1))
