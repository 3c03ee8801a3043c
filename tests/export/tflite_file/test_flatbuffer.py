"""Metadata go into a file that otherwise stays what it was."""

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from keras_kd.export.tflite_file import flatbuffer

from . import metadata_reader

ROOT = {0: "name", 3: [{0: "graph", 2: [{0: "tensor"}]}], 7: "1.0.0"}


def answers(content, x):
    run = Interpreter(model_content=content).get_signature_runner("serve")
    return run(image=x)["output_0"]


@pytest.fixture
def content(float_file):
    """A file as the converter has made it, without metadata."""
    path, _ = float_file
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(path.read_bytes(), 0))
    model.metadata = [x for x in model.metadata if x.name != b"TFLITE_METADATA"]
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def test_tables_strings_and_files_are_read_back(content):
    files = {"b.txt": b"two", "a.txt": b"one\n"}
    new = flatbuffer.with_metadata(content, ROOT, files)
    root = metadata_reader.root(metadata_reader.buffer_of(new))
    (graph,) = root.children(3)
    assert (root.string(0), root.string(7)) == ("name", "1.0.0")
    assert (graph.string(0), graph.children(2)[0].string(0)) == ("graph", "tensor")
    assert metadata_reader.files(new) == files
    assert metadata_reader.misaligned(new) == []


def test_the_answers_and_the_bytes_are_the_same_each_time(content, images):
    new = flatbuffer.with_metadata(content, ROOT, {"a.txt": b"one"})
    assert new == flatbuffer.with_metadata(content, ROOT, {"a.txt": b"one"})
    np.testing.assert_array_equal(answers(new, images[:1]), answers(content, images[:1]))


def test_numbers_by_their_kind(content):
    fields = {0: flatbuffer.Byte(2), 1: flatbuffer.UInt(70_000), 2: np.float32([1.5, -2])}
    new = flatbuffer.with_metadata(content, {0: "name", 4: fields}, {})
    child = metadata_reader.root(metadata_reader.buffer_of(new)).child(4)
    assert (child.byte(0), child.uint(1), child.floats(2)) == (2, 70_000, [1.5, -2.0])
