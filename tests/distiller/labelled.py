"""What the tests of labels share."""

import keras
import numpy as np
from keras import losses

CROSS_ENTROPY = losses.SparseCategoricalCrossentropy(from_logits=True)


def some_missing(y):
    return np.where(np.arange(len(y)) % 3 == 0, -1, y)


class Batches(keras.utils.PyDataset):
    """Arrays in batches, into which nobody looks before they come."""

    def __init__(self, x, y, size):
        super().__init__()
        self._parts = [(x[at : at + size], y[at : at + size]) for at in range(0, len(x), size)]

    def __len__(self):
        return len(self._parts)

    def __getitem__(self, number):
        return self._parts[number]
