"""The authors' own values and gradients, from a folder beside the project."""

import pathlib

import numpy as np
import pytest

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

    return cases
