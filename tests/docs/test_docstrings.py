"""The examples in docstrings run, with the names of `prelude.py`."""

import doctest
import importlib
import inspect
import pkgutil
import re

import keras
import pytest

import keras_kd
from tests.docs.prelude import given
from tests.docs.test_pages import run

# .ci/run runs it.
pytestmark = pytest.mark.slow

EXAMPLE = re.compile(r"^ *>>> |^ *```python$", re.MULTILINE)
FENCED = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# Not run here, because ...
NOT_RUN = {
    "keras_kd.losses.": "tests/losses/test_contract.py runs them",
    "keras_kd.compression.tf": "it needs TFMOT",
    "keras_kd.report.auditions": "it trains students for minutes",
    "keras_kd.soft_labels.beam": "it needs Apache Beam",
    "keras_kd.teachers.function": "it needs a forest of flat samples",
    "keras_kd.teachers.onnx": "it needs a teacher's file",
    "keras_kd.teachers.saved_model": "it needs a teacher's file",
    "keras_kd.teachers.tflite": "it needs a teacher's file",
}


def modules():
    """Yields the modules that have examples."""
    for found in pkgutil.walk_packages(keras_kd.__path__, "keras_kd."):
        source = found.module_finder.find_spec(found.name).loader.get_source(found.name)
        if EXAMPLE.search(source) and not found.name.startswith(tuple(NOT_RUN)):
            yield found.name


def documented(name):
    """Yields what has examples in a module, each with a namespace of its own."""
    module = importlib.import_module(name)
    for found in doctest.DocTestFinder(exclude_empty=False).find(module):
        if EXAMPLE.search(found.docstring or ""):
            found.globs.update(given(re.findall(r"\w+", found.docstring)))
            yield found


@pytest.fixture
def without_progress():
    """Without Keras' progress bars, because a doctest compares what is printed."""
    keras.config.disable_interactive_logging()
    yield
    keras.config.enable_interactive_logging()


@pytest.mark.usefixtures("without_progress")
@pytest.mark.parametrize("name", list(modules()))
def test_examples(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for found in documented(name):
        shown = []
        runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
        failed, _ = runner.run(found, out=shown.append, clear_globs=False)
        assert not failed, "".join(shown)
        for code in FENCED.findall(inspect.cleandoc(found.docstring)):
            run(found.name, 0, code, found.globs)
