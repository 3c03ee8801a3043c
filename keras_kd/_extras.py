"""Optional packages: imported where they are used, missing ones named with the command to type."""

import importlib
from types import ModuleType


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
