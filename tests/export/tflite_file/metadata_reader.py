"""Reads metadata off a file by the slots of `metadata_schema.fbs`, without the writer's code."""

import io
import zipfile

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from flatbuffers.table import Table


def buffer_of(content):
    """Returns the metadata's bytes."""
    model = schema.Model.GetRootAs(content, 0)
    entries = map(model.Metadata, range(model.MetadataLength()))
    (entry,) = (entry for entry in entries if entry.Name() == b"TFLITE_METADATA")
    buffer = model.Buffers(entry.Buffer()).DataAsNumpy().tobytes()
    assert buffer[4:8] == b"M001"
    return buffer


def root(buffer):
    return Node(Table(buffer, flatbuffers.encode.Get(flatbuffers.packer.uoffset, buffer, 0)))


class Node:
    """A FlatBuffers table."""

    def __init__(self, table):
        self._table = table

    def _field(self, slot):
        offset = self._table.Offset(4 + 2 * slot)
        return offset + self._table.Pos if offset else None

    def string(self, slot):
        field = self._field(slot)
        return field and self._table.String(field).decode()

    def byte(self, slot):
        field = self._field(slot)
        return self._table.Get(flatbuffers.number_types.Uint8Flags, field) if field else 0

    def uint(self, slot):
        return self._table.Get(flatbuffers.number_types.Uint32Flags, self._field(slot))

    def child(self, slot):
        field = self._field(slot)
        return field and Node(Table(self._table.Bytes, self._table.Indirect(field)))

    def children(self, slot):
        if self._field(slot) is None:
            return []
        offset = self._field(slot) - self._table.Pos
        start = self._table.Vector(offset)
        return [
            Node(Table(self._table.Bytes, self._table.Indirect(start + 4 * position)))
            for position in range(self._table.VectorLen(offset))
        ]

    def floats(self, slot):
        if self._field(slot) is None:
            return None
        flags = flatbuffers.number_types.Float32Flags
        return self._table.GetVectorAsNumpy(flags, self._field(slot) - self._table.Pos).tolist()


def files(content):
    """Returns the associated files by name."""
    archive = zipfile.ZipFile(io.BytesIO(content))
    return {name: archive.read(name) for name in archive.namelist()}


def misaligned(content):
    """Returns the positions of buffers that do not lie at multiples of 16."""
    start = np.frombuffer(content, "uint8").__array_interface__["data"][0]
    model = schema.Model.GetRootAs(content, 0)
    buffers = map(model.Buffers, range(model.BuffersLength()))
    arrays = [buffer.DataAsNumpy() for buffer in buffers if not buffer.DataIsNone()]
    places = [array.__array_interface__["data"][0] - start for array in arrays if array.size]
    return [place for place in places if place % 16]
