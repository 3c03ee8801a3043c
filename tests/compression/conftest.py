import keras
import pytest


@pytest.fixture(scope="session")
def rounding():
    """Keras' own rounding to a grid, which quantisation-aware students are made of."""
    if not hasattr(keras.quantizers, "fake_quant_with_min_max_vars"):
        pytest.skip("needs Keras 3.9 or newer")
