"""Optional packages: imported where they are used, missing ones named with the command to type."""

import importlib
from types import ModuleType

import keras

from keras_kd._errors import message


def require(module: str, extra: str) -> ModuleType:
    """Imports `module`, or says which extra of keras_kd installs it.

    Args:
        module: Dotted name of the module.
        extra: The extra in `setup.cfg` that brings it.

    Raises:
        ImportError: If `module`, or something it needs, is not installed.

    Example:
    >>> require("json", extra="examples").dumps([1])
    '[1]'
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"{module} must be installed ({error}). Type: pip install 'keras_kd[{extra}]'"
        ) from error


def require_tensorflow(what: str) -> None:
    """Raises if TensorFlow is missing, which it may be under JAX and PyTorch.

    Args:
        what: What cannot do without it.

    Raises:
        ImportError: If TensorFlow is not installed.
    """
    try:
        importlib.import_module("tensorflow")
    except ImportError as error:
        backend = keras.backend.backend()
        raise ImportError(
            message(
                f"{what} must have TensorFlow, whose tf.data it uses on every backend",
                expected=f"tensorflow, installed beside {backend}",
                received=str(error),
                mend="Type: pip install tensorflow, or pass the model itself as the teacher",
            )
        ) from error
