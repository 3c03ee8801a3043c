"""What `write` is asked for checks itself, before a teacher is loaded or asked."""

import dataclasses
import pathlib
import pickle

import numpy as np
import pytest

from keras_kd import soft_labels
from keras_kd.soft_labels.writing.options import WriteOptions

pytestmark = pytest.mark.tensorflow


def test_numbers_come_out_plain():
    options = WriteOptions(
        directory="labels",
        augment=soft_labels.crop_flip,
        views=np.int64(4),
        seed=np.int32(7),
        top_k=np.int64(5),
        temperatures=[1, np.float32(2)],
        signals=["pool"],
        shard=[np.int64(1), 3],
    )
    assert options.directory == pathlib.Path("labels")
    assert (options.views, options.seed, options.top_k) == (4, 7, 5)
    assert options.temperatures == (1.0, 2.0)
    assert options.signals == ("pool",)
    assert options.shard == (1, 3)
    plain = [options.views, options.seed, options.top_k, *options.shard]
    assert {type(number) for number in plain} == {int}
    assert {type(temperature) for temperature in options.temperatures} == {float}


def test_they_stay_as_they_were_checked():
    options = WriteOptions(directory=None)
    with pytest.raises(dataclasses.FrozenInstanceError):
        options.views = 0
    with pytest.raises(ValueError, match="views must be an integer of at least 1"):
        dataclasses.replace(options, views=0)
    assert pickle.loads(pickle.dumps(options)) == options


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"directory": 3}, TypeError, "directory must be a path"),
        ({"directory": b"labels"}, TypeError, "directory must be a path"),
        ({"directory": ""}, ValueError, "directory must be a path"),
        ({"views": 0}, ValueError, "views must be an integer of at least 1"),
        ({"views": 2}, ValueError, "views must be 1 without augment"),
        ({"views": True}, TypeError, "views must be an integer"),
        ({"seed": 1.0}, TypeError, "seed must be an integer from 0 to"),
        ({"seed": 2**63}, ValueError, "seed must be an integer from 0 to"),
        ({"top_k": 0}, ValueError, "top_k must be an integer of at least 1"),
        ({"temperatures": []}, TypeError, "temperatures must be a list of numbers"),
        ({"temperatures": 4.0}, TypeError, "temperatures must be a list of numbers"),
        ({"temperatures": [4.0, 0.0]}, ValueError, r"temperatures\[1\] must be .* above 0"),
        ({"dtype": "bfloat16"}, ValueError, "dtype must be 'float16' or 'float32'"),
        ({"signals": "pool"}, TypeError, "signals must be a list of layer paths"),
        ({"signals": [3]}, TypeError, "signals must be a list of layer paths"),
        ({"batch_size": 0}, ValueError, "batch_size must be an integer of at least 1"),
        ({"shard": 1}, ValueError, r"shard must be \(i, n\)"),
        ({"shard": (2, 2)}, ValueError, r"shard must be \(i, n\)"),
        ({"shard": (0, 2.0)}, ValueError, r"shard must be \(i, n\)"),
        ({"directory": None, "shard": (0, 2)}, ValueError, "shard must be left out"),
    ],
)
def test_what_cannot_be_written_is_refused(given, error, words):
    with pytest.raises(error, match=f"{words}.*Expected: .* Received: .*"):
        WriteOptions(**{"directory": "labels"} | given)
