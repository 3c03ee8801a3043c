"""What `import keras_kd` brings, and what it leaves to later."""

import subprocess
import sys

import keras
import pytest

import keras_kd
from keras_kd._extras import require


def test_public_names():
    for name in keras_kd.__all__:
        assert hasattr(keras_kd, name), name
    assert keras_kd.__version__.count(".") == 2


def test_importing_brings_in_no_heavy_package():
    code = (
        f"import sys, keras, {keras.backend.backend()}; before = set(sys.modules); "
        "import keras_kd; "
        "new = {m.split('.')[0] for m in set(sys.modules) - before}; "
        "print(new - before - sys.stdlib_module_names)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "{'keras_kd'}"


def test_a_missing_extra_names_the_command_to_type():
    with pytest.raises(ImportError, match=r"Type: pip install 'keras_kd\[tfds\]'"):
        require("no_such_module", extra="tfds")
    assert require("json", extra="tfds").dumps([1]) == "[1]"
