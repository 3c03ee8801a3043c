import keras
import numpy as np
import pytest

from keras_kd.export.student.signature import Signature


def dense(units, **options):
    return keras.layers.Dense(units, **options)


def test_reads_names_shapes_and_dtypes(two_by_two):
    signature = Signature.of(two_by_two, 4)
    assert [(t.name, t.shape, t.dtype) for t in signature.inputs] == [
        ("wide", (4, 8), "float32"),
        ("narrow", (4, 3), "float32"),
    ]


def test_predict_equals_keras_by_output_name(two_by_two, pairs):
    outputs = Signature.of(two_by_two, 1).predict(
        Signature.of(two_by_two, 1).arrays(pairs, "verify")
    )
    small, big = two_by_two.predict(pairs, verbose=0)
    assert list(outputs) == ["small", "big"]
    np.testing.assert_allclose(outputs["small"], small, atol=1e-6)
    np.testing.assert_allclose(outputs["big"], big, atol=1e-6)


def test_names_of_outputs():
    x = keras.Input((4,))
    shared = dense(2, name="shared")(x)
    cases = {
        ("output_0",): shared,
        ("logits",): {"logits": shared},
        ("box", "cls"): {"cls": dense(3)(x), "box": shared},
        ("output_0", "output_1"): [shared, shared],
    }
    for names, outputs in cases.items():
        signature = Signature.of(keras.Model(x, outputs), None)
        found = signature.predict({signature.inputs[0].name: np.zeros((2, 4), "float32")})
        assert sorted(found) == list(names)


def test_odd_names_are_spelt_as_tensorflow_takes_them():
    inputs = [keras.Input((2,), name=name) for name in ("a.b-c", "_x y", "1st")]
    model = keras.Model(inputs, keras.layers.Concatenate()(inputs))
    signature = Signature.of(model, 1)
    assert [t.name for t in signature.inputs] == ["a_b_c", "input_x_y", "input_1st"]
    x = np.zeros((3, 2))
    by_keras_name = signature.arrays({"a.b-c": x, "_x y": x + 1, "1st": x + 2}, "x")
    assert {name: array[0, 0] for name, array in by_keras_name.items()} == {
        "a_b_c": 0,
        "input_x_y": 1,
        "input_1st": 2,
    }


def test_generated_inputs_are_seeded_and_suit_the_dtype():
    dtypes = {"f": "float32", "byte": "uint8", "token": "int32"}
    inputs = [keras.Input((50,), name=name, dtype=dtype) for name, dtype in dtypes.items()]
    casts = [keras.ops.cast(x, "float32") for x in inputs]
    signature = Signature.of(keras.Model(inputs, keras.layers.Concatenate()(casts)), 1)
    first, second = signature.generated(20), signature.generated(20)
    assert {name: array.dtype.name for name, array in first.items()} == dtypes
    for name in dtypes:
        np.testing.assert_array_equal(first[name], second[name])
    assert set(np.unique(first["token"])) == {0, 1}
    assert (first["byte"].min(), first["byte"].max()) == (0, 255)


def test_inputs_of_any_size_cannot_be_generated():
    x = keras.Input((None, 3))
    signature = Signature.of(keras.Model(x, dense(2)(x)), None)
    with pytest.raises(ValueError, match=r"verify must be given .*of any size"):
        signature.generated(2)


@pytest.mark.parametrize("names", [("a-b", "a_b"), ("self", "x"), ("class", "x")])
def test_inputs_that_a_file_cannot_tell_apart_are_refused(names):
    inputs = [keras.Input((2,), name=name) for name in names]
    model = keras.Model(inputs, keras.layers.Add()(inputs))
    with pytest.raises(ValueError, match="names that tell them apart"):
        Signature.of(model, 1)


@pytest.mark.filterwarnings("ignore:When providing `inputs` as a dict")
def test_a_dict_names_the_inputs_by_its_keys():
    wide, narrow = keras.Input((8,)), keras.Input((3,))
    joined = keras.layers.Concatenate()([wide, narrow])
    model = keras.Model({"wide": wide, "narrow": narrow}, keras.layers.Dense(2)(joined))
    signature = Signature.of(model, 1)
    assert {t.name: t.shape for t in signature.inputs} == {"wide": (1, 8), "narrow": (1, 3)}
    data = {"wide": np.ones((2, 8), "float32"), "narrow": np.zeros((2, 3), "float32")}
    got = signature.predict(signature.arrays(data, "verify"))["output_0"]
    np.testing.assert_allclose(got, model(data), rtol=1e-5)


def test_generated_tokens_reach_over_the_vocabulary():
    tokens = keras.Input((8,), dtype="int32", name="tokens")
    model = keras.Model(tokens, keras.layers.Embedding(30, 2)(tokens))
    assert set(Signature.of(model, 1).generated(90)["tokens"].ravel()) == set(range(30))
