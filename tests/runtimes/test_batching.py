import numpy as np
import pytest

from keras_kd.runtimes.batching import in_batches


@pytest.mark.parametrize("samples", [1, 4, 7])
def test_a_fixed_batch_is_filled_up_and_cut(samples):
    seen = []

    def double(batch):
        seen.append(batch["x"].shape[0])
        return {"y": batch["x"] * 2}

    x = np.arange(samples * 2.0).reshape(samples, 2)
    np.testing.assert_array_equal(in_batches(double, {"x": x}, 4)["y"], x * 2)
    assert set(seen) == {4}


def test_any_batch_is_not_filled_up():
    seen = []

    def keep(batch):
        seen.append(len(batch["x"]))
        return batch

    x = np.arange(70.0)
    np.testing.assert_array_equal(in_batches(keep, {"x": x}, None)["x"], x)
    assert seen == [64, 6]


def test_outputs_have_one_row_for_each_sample():
    with pytest.raises(ValueError, match=r"output 'y' must have one row .*Received: shape \(\)"):
        in_batches(lambda batch: {"y": batch["x"].sum()}, {"x": np.zeros((3, 2))}, None)
