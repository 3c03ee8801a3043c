"""What the tests of labels share."""

import numpy as np
from keras import losses

CROSS_ENTROPY = losses.SparseCategoricalCrossentropy(from_logits=True)


def some_missing(y):
    return np.where(np.arange(len(y)) % 3 == 0, -1, y)
