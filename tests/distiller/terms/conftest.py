"""Fixtures."""

import numpy as np
import pytest


@pytest.fixture
def images():
    rng = np.random.default_rng(0)
    return rng.normal(size=(24, 8, 8, 3)).astype("float32"), rng.integers(0, 3, 24)
