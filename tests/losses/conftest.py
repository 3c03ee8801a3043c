"""Signals of every loss, and the authors' own values from a folder beside the project."""

import contextlib
import pathlib

import keras
import numpy as np
import pytest

from tests.losses.every_loss import signals

GOLDEN = pathlib.Path(__file__).parents[3] / "shared" / "golden" / "golden.npz"


@pytest.fixture(scope="session")
def golden():
    """Returns `cases(prefix)`: a dict of case name -> dict of arrays."""
    if not GOLDEN.exists():
        pytest.skip("the reference values lie beside the project, in ../shared/golden")
    with np.load(GOLDEN, allow_pickle=False) as archive:
        arrays = dict(archive)

    def cases(prefix):
        found = {}
        for key, value in arrays.items():
            head, case, name = key.split("/")
            if head == prefix and case != "hp":
                found.setdefault(case, {})[name] = value
        return found

    cases.prefixes = {key.split("/")[0] for key in arrays}
    return cases


@pytest.fixture
def double_precision():
    """Returns a context manager within which the backend keeps float64."""
    if keras.backend.backend() != "jax":
        return contextlib.nullcontext
    import jax
    import jax.experimental

    if hasattr(jax, "enable_x64"):
        return lambda: jax.enable_x64(True)
    return jax.experimental.enable_x64  # before JAX 0.8


@pytest.fixture
def pair(request):
    return signals(request.getfixturevalue("loss_class"))


@pytest.fixture
def logits(request):
    """Returns the teacher's and the student's logits in one array, (2, 6, 5)."""
    return np.stack(signals(request.getfixturevalue("loss_class")))
