"""What may be a student."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_kd import Distiller


class TwoHeads(keras.Model):
    """Two outputs in training and their mean in inference, as keras.io's DeiT; or always one."""

    def __init__(self, fixed):
        super().__init__()
        self.fixed = fixed
        self.norm, self.dropout = layers.BatchNormalization(), layers.Dropout(0.5)
        self.heads = [layers.Dense(3), layers.Dense(3)]

    def call(self, x, training=False):
        x = self.dropout(self.norm(x, training=training), training=training)
        first, second = (head(x) for head in self.heads)
        return (first, second) if training and not self.fixed else (first + second) / 2


@pytest.mark.parametrize("fixed", [True, False])
def test_outputs_that_depend_on_training_are_refused(net, fixed):
    student = TwoHeads(fixed)
    student(np.ones((2, 4), "float32"))
    weights = student.get_weights()
    given = {"student": student, "teacher": net(), "student_head": "logits"}
    if fixed:
        Distiller(**given)
    else:
        with pytest.raises(ValueError, match="must give the same outputs in training and in infer"):
            Distiller(**given)
    for a, b in zip(weights, student.get_weights()):
        np.testing.assert_array_equal(a, b)
