"""Names that lead somewhere on every worker."""

import numpy as np
import pytest

from keras_kd.soft_labels.writing.named import loaded, mapped, named


def test_files_and_functions_by_name(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(3))
    path = named("data", tmp_path / "x.npy", ".npy")
    assert loaded("data", path, mapped).tolist() == [0, 1, 2]
    assert loaded("data", named("data", "os:getcwd", ".npy"), mapped)
    (tmp_path / "saved_model.pb").touch()
    assert named("teacher", tmp_path, ".keras") == str(tmp_path)
    for nothing in (tmp_path, tmp_path / "y.npy"):
        with pytest.raises(ValueError, match=r"data must be the path of a \.npy file"):
            named("data", nothing, ".npy")
