import keras
import numpy as np
import pytest

import keras_kd
from keras_kd.export.student.model import in_float32, student_of


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.head = keras.layers.Dense(2)

    def call(self, x):
        return self.head(x)


class Stubborn(keras.layers.Layer):
    def call(self, x):
        return x

    def get_config(self):
        raise NotImplementedError("no configuration")


def half_precision(policy):
    """A student with nested models, a wrapper and operations, built under `policy`."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        layers = keras.layers
        x = keras.Input((6, 5), name="x")
        inner = keras.Sequential(
            [keras.Input((6, 5)), layers.Dense(4), layers.LayerNormalization()]
        )
        y = keras.Input((6, 4))
        functional = keras.Model(y, layers.Activation("gelu")(layers.Dense(4)(y)))
        hidden = layers.TimeDistributed(layers.Dense(3))(functional(inner(x)))
        hidden = layers.BatchNormalization()(keras.ops.relu(hidden) + 1.0)
        pooled = layers.GlobalAveragePooling1D()(hidden)
        return keras.Model(x, layers.Dense(2, dtype="float32")(pooled))
    finally:
        keras.config.set_dtype_policy(before)


def test_a_model_is_its_own_student(cnn):
    assert student_of(cnn) is cnn
    assert in_float32(cnn) is cnn


def test_a_distiller_gives_its_student(cnn):
    distiller = keras_kd.Distiller(student=cnn, teacher=keras.models.clone_model(cnn))
    assert student_of(distiller) is cnn


@pytest.mark.parametrize("model", [None, "model.keras", keras.layers.Dense(2)])
def test_not_a_model(model):
    with pytest.raises(TypeError, match="model must be a Keras model"):
        student_of(model)


@pytest.mark.parametrize(
    "model", [keras.Sequential([keras.layers.Dense(2)]), Subclassed()], ids=["sequential", "own"]
)
def test_an_unbuilt_model(model):
    with pytest.raises(ValueError, match=r"model must be built.*keras.Input"):
        student_of(model)


def test_a_built_subclassed_model_shares_its_weights(tmp_path):
    model = Subclassed()
    want = model(np.ones((2, 3), "float32"))
    student = student_of(model)
    assert [tuple(x.shape) for x in student.inputs] == [(None, 3)]
    assert student.weights[0] is model.weights[0]
    np.testing.assert_array_equal(student(np.ones((2, 3), "float32")), want)


def test_a_subclassed_model_of_several_inputs():
    class Pair(Subclassed):
        def call(self, inputs):
            return {"left": self.head(inputs["x"]), "right": inputs["y"] * 2}

    model = Pair()
    model({"x": np.ones((2, 3), "float32"), "y": np.ones((2, 4, 1), "float32")})
    student = student_of(model)
    assert {x.name: tuple(x.shape) for x in student.inputs} == {"x": (None, 3), "y": (None, 4, 1)}


def test_the_inputs_of_a_subclassed_model_are_named_alike_each_time():
    model = Subclassed()
    model(np.ones((2, 4), "float32"))
    assert [[x.name for x in student_of(model).inputs] for _ in "ab"] == [["x"], ["x"]]
    model.name = "x"
    assert [x.name for x in student_of(model).inputs] == ["x_0"]


def test_a_model_that_is_called_on_more_than_its_inputs():
    class Pair(Subclassed):
        def build(self, x_shape, y_shape):
            self.head.build(x_shape)

        def call(self, x, y):
            return self.head(x) + y

    model = Pair()
    model(np.ones((2, 3), "float32"), np.ones((2, 2), "float32"))
    with pytest.raises(
        ValueError, match=r"unknown inputs.*keras.Model\(inputs, student\(inputs\)\)"
    ):
        student_of(model)


def test_text_inputs():
    text = keras.Input((), dtype="string")
    model = keras.Model(text, keras.layers.StringLookup(vocabulary=["a"])(text))
    with pytest.raises(ValueError, match=r"dense tensors of numbers.*string"):
        student_of(model)


def test_without_tensorflow(monkeypatch, cnn):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImportError, match="pip install tensorflow"):
        student_of(cnn)


def test_a_subclassed_model_in_half_precision():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = Subclassed()
        model(np.ones((2, 3), "float32"))
    finally:
        keras.config.set_dtype_policy("float32")
    copy = in_float32(student_of(model))
    assert copy(np.ones((2, 3), "float32")).dtype == "float32"
    np.testing.assert_array_equal(copy.get_weights()[0], model.get_weights()[0])


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float16"])
def test_half_precision_is_copied_to_float32(policy):
    model = half_precision(policy)
    weights = [np.array(w) for w in model.get_weights()]
    before = keras.config.dtype_policy()
    copy = in_float32(model)
    assert keras.config.dtype_policy() is before
    assert {layer.compute_dtype for layer in copy._flatten_layers()} == {"float32"}
    for got, want in zip(copy.get_weights(), weights):
        np.testing.assert_array_equal(got, want.astype("float32"))
    assert model.layers[1].compute_dtype == policy.removeprefix("mixed_")


def test_no_cast_is_left_in_the_copy():
    import tensorflow as tf

    copy = in_float32(half_precision("mixed_float16"))
    function = tf.function(lambda x: copy(x, training=False), autograph=False)
    graph = function.get_concrete_function(tf.TensorSpec((1, 6, 5))).graph
    assert [o.name for o in graph.get_operations() if o.type == "Cast"] == []


def test_functions_stay_in_the_copy():
    def relu(x):
        return keras.ops.maximum(x, 0.5 * x)

    dense = keras.layers.Dense(4, activation=relu, dtype="mixed_bfloat16")
    model = keras.Sequential([keras.Input((3,)), dense, keras.layers.Dense(2)])
    assert in_float32(model).layers[0].activation is relu


def test_half_precision_that_cannot_be_rebuilt():
    x = keras.Input((3,))
    model = keras.Model(x, Stubborn(dtype="mixed_float16")(keras.layers.Dense(2)(x)))
    with pytest.raises(
        ValueError, match=r"half-precision model must.*no configuration.*policy 'float32'"
    ):
        in_float32(model)


def test_a_state_between_calls_is_refused():
    x = keras.Input((6, 5), batch_size=1)
    model = keras.Model(x, keras.layers.LSTM(4, stateful=True, name="memory")(x))
    with pytest.raises(
        ValueError, match=r"must answer each batch by itself.*stateful=True in \['memory'\]"
    ):
        student_of(model)


def test_a_subclassed_model_of_tokens_must_say_their_dtype():
    class Text(Subclassed):
        def __init__(self):
            super().__init__()
            self.words = keras.layers.Embedding(20, 4)

        def call(self, x):
            return self.head(self.words(x))

    model = Text()
    model(np.ones((2, 3), "int32"))
    with pytest.raises(ValueError, match=r"Embedding must have a known dtype.*dtype='int32'"):
        student_of(model)
    tokens = keras.Input((3,), dtype="int32")
    assert student_of(keras.Model(tokens, model(tokens))).inputs[0].dtype == "int32"


def doubled(x):
    return 2 * x


def of_the_script(thing):
    thing.__module__ = "__main__"
    return thing


@pytest.mark.parametrize(
    ("layer", "name"),
    [
        (lambda: keras.layers.Lambda(lambda x: x), "<lambda>"),
        (lambda: keras.layers.Lambda(of_the_script(lambda x: x)), "<lambda>"),
        (lambda: keras.layers.Dense(2, activation=lambda x: x), "<lambda>"),
        (lambda: of_the_script(type("Gate", (keras.layers.Dense,), {}))(2), "Gate"),
        (
            lambda: keras.layers.Dense(
                2,
                kernel_initializer=of_the_script(type("Start", (keras.initializers.Zeros,), {}))(),
            ),
            "Start",
        ),
        (
            lambda: keras.layers.TimeDistributed(keras.layers.Dense(2, activation=lambda x: x)),
            "<lambda>",
        ),
    ],
)
def test_what_another_process_cannot_load_is_refused_off_tensorflow(monkeypatch, layer, name):
    model = keras.Sequential([keras.Input((4, 2)), layer()])
    assert student_of(model) is model
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(ValueError, match=f"must come from modules.*Received: .*{name} of the run"):
        student_of(model)


def test_what_another_process_can_load_is_taken_off_tensorflow(monkeypatch, cnn):
    own = keras.Sequential([keras.Input((2,)), Stubborn(), keras.layers.Lambda(doubled)])
    memory = keras.Sequential([keras.Input((4, 2)), keras.layers.GRU(3, activation="relu")])
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    for model in (cnn, own, memory):
        assert student_of(model) is model


def test_an_activation_of_a_name_of_keras_own_is_refused_off_tensorflow(monkeypatch):
    def relu(x):
        return keras.ops.maximum(x, 0.5 * x)

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, activation=relu)])
    assert student_of(model) is model
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(ValueError, match=r"must not have the names of Keras' own.*my_relu"):
        student_of(model)
