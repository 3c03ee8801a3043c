"""Without a strategy of several workers, Keras builds its models as ever."""

import keras
import numpy as np

from keras_kd import _keras


def test_a_model_of_one_process_has_no_workers():
    class Net(_keras.BuiltByWorkers):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(1)

        def call(self, x):
            return self.dense(x)

    model = Net()
    assert _keras.workers(model) is None
    model.compile("sgd", loss="mse")
    x = np.ones((4, 2), "float32")
    assert np.isfinite(model.fit(x, x[:, :1], verbose=0).history["loss"]).all()
