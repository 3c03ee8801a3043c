import keras
import numpy as np

from keras_kd import Distiller, losses
from keras_kd.export.student import outputs
from keras_kd.export.student.model import heads_of, student_of
from keras_kd.export.student.outputs import Output

layers = keras.layers


def test_names_shapes_and_heads():
    x = keras.Input((4,))
    probabilities = layers.Dense(3, activation="softmax", name="probabilities")(x)
    logits = layers.Dense(2, name="logits")(x)
    yes = layers.Dense(1, activation="sigmoid")(x)
    assert outputs.of(keras.Model(x, probabilities)) == [Output("output_0", (None, 3), "softmax")]
    assert outputs.of(keras.Model(x, [probabilities, logits])) == [
        Output("probabilities", (None, 3), "softmax"),
        Output("logits", (None, 2), "logits"),
    ]
    assert outputs.of(keras.Model(x, {"yes": yes})) == [Output("yes", (None, 1), "sigmoid")]


def test_a_subclassed_model_has_no_graph_to_show_its_head():
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.head = layers.Dense(3)

        def call(self, x):
            return {"a": keras.ops.softmax(self.head(x))}

    model = Own()
    model(np.ones((2, 4), "float32"))
    (output,) = outputs.of(student_of(model))
    assert (output.name, output.shape, output.classes) == ("a", (None, 3), 3)


def test_classes_of_an_output_without_an_axis_for_them():
    assert Output("x", (None,), None).classes == 1
    assert Output("x", (None, 7, 5), None).classes == 5


def test_a_distiller_knows_the_heads_that_the_graph_does_not_show():
    x = keras.Input((3,))
    student = keras.Model(x, layers.Lambda(lambda z: 1.0 * z)(layers.Dense(1)(x)))
    teacher = keras.Sequential([keras.Input((3,)), layers.Dense(1)])
    terms = [losses.MultiLabelSoftTargets()]
    distiller = Distiller(student=student, teacher=teacher, student_head="logits", terms=terms)
    assert outputs.of(student)[0].head is None
    assert outputs.of(student, heads_of(student))[0].head is None
    assert outputs.of(student, heads_of(distiller)) == [Output("output_0", (None, 1), "logits")]
