import numpy as np

from keras_kd.export.conversion._convert import representative_dataset


def test_batches_by_name_from_plain_arrays(tmp_path):
    arrays = [np.arange(5.0), np.arange(10).reshape(5, 2)]
    np.savez(tmp_path / "calibration.npz", *arrays)
    batches = list(representative_dataset(tmp_path / "calibration.npz", ["x", "file"], 2)())
    assert [batch["x"].tolist() for batch in batches] == [[0, 1], [2, 3], [4, 0]]
    assert batches[2]["file"].tolist() == [[8, 9], [0, 1]]


def test_fewer_samples_than_a_batch(tmp_path):
    np.savez(tmp_path / "calibration.npz", np.arange(2.0))
    batches = list(representative_dataset(tmp_path / "calibration.npz", ["x"], 5)())
    assert [batch["x"].tolist() for batch in batches] == [[0, 1, 0, 1, 0]]


def test_any_number_of_samples_is_calibrated_in_one_batch(tmp_path):
    np.savez(tmp_path / "calibration.npz", np.arange(5.0))
    batches = list(representative_dataset(tmp_path / "calibration.npz", ["x"], None)())
    assert [batch["x"].tolist() for batch in batches] == [[0, 1, 2, 3, 4]]
