"""What an export was asked for checks itself before there is a model."""

import dataclasses

import numpy as np
import pytest

from keras_kd import export
from keras_kd.export.options import SavedModelOptions, TFLiteOptions

X = np.zeros((100, 6), "float32")


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"quantization": "int4"}, ValueError, "quantization must be a known mode.*'int16x8'"),
        ({"io_dtype": "int8"}, ValueError, "io_dtype must suit.*None, as this mode is float"),
        ({"batch_size": 0}, ValueError, "batch_size must be an integer of at least 1"),
        ({"batch_size": 2.0}, TypeError, "batch_size must be an integer of at least 1.*or None"),
        ({"tolerance": 0}, ValueError, "tolerance must be a finite number above 0.*0.0001"),
        ({"max_accuracy_drop": 0.1}, ValueError, "max_accuracy_drop must have labels"),
        ({"quantization": "int16x8", "verify": X}, ValueError, "calibration must be given"),
    ],
)
def test_what_is_wrong_for_every_model(options, error, match):
    with pytest.raises(error, match=match):
        TFLiteOptions(**options)


def test_what_follows_from_the_mode():
    options = TFLiteOptions("int8", calibration=X)
    assert (options.mode.tolerance, options.file_dtype) == (0.15, "int8")
    assert TFLiteOptions("int8", verify=X).calibration is None  # for students with ranges
    assert TFLiteOptions().file_dtype is None
    with pytest.raises(dataclasses.FrozenInstanceError):
        options.quantization = "float32"


def test_a_saved_model_is_asked_for_less():
    assert SavedModelOptions().default_tolerance == 1e-5
    with pytest.raises(TypeError, match="tolerance must be a finite number above 0"):
        SavedModelOptions(tolerance="1")


@pytest.mark.parametrize(
    ("function", "kind"),
    [(export.tflite, TFLiteOptions), (export.saved_model, SavedModelOptions)],
)
def test_the_records_hold_the_functions_own_arguments(function, kind):
    import inspect

    arguments = list(inspect.signature(function).parameters.values())[2:]
    fields = dataclasses.fields(kind)
    assert [(each.name, each.default) for each in arguments] == [
        (each.name, each.default) for each in fields
    ]
