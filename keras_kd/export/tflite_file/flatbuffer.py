"""Puts metadata into a `.tflite` file: a FlatBuffer, then associated files as a zip."""

import io
import zipfile
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Byte", "Fields", "UInt", "with_metadata"]

_ENTRY = "TFLITE_METADATA"
_METADATA_IDENTIFIER, _FILE_IDENTIFIER = b"M001", b"TFL3"
# LiteRT's kernels read weights at such addresses.
_ALIGNMENT = 16


@dataclass(frozen=True)
class Byte:
    """A byte, an enum or the type of a union in a FlatBuffers table."""

    value: int


@dataclass(frozen=True)
class UInt:
    """A 32-bit whole number in a FlatBuffers table."""

    value: int


# A table by slot: a string, Byte, UInt, float32 array, table, or list of tables.
Fields = dict[int, Any]


def with_metadata(content: bytes, root: Fields, files: dict[str, bytes]) -> bytes:
    """Returns the file with metadata, the same bytes each time.

    Args:
        content: A `.tflite` file.
        root: The metadata's root table.
        files: Associated files by name.
    """
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    builder = flatbuffers.Builder()
    builder.Finish(_table(builder, root), _METADATA_IDENTIFIER)
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    entry, buffer = schema.MetadataT(), schema.BufferT()
    buffer.data = np.frombuffer(bytes(builder.Output()), "uint8")
    entry.name, entry.buffer = _ENTRY, len(model.buffers)
    model.buffers.append(buffer)
    model.metadata = [*(model.metadata or []), entry]
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            # The converter joins the names of all that it has fused, kilobytes of them.
            tensor.name = (tensor.name or b"").partition(b";")[0]
    builder = _aligned_builder(len(content))
    builder.Finish(model.Pack(builder), _FILE_IDENTIFIER)
    return _with_zip(bytes(builder.Output()), files)


def _table(builder: Any, fields: Fields) -> int:
    offsets = {slot: _offset(builder, value) for slot, value in fields.items()}
    builder.StartObject(max(fields, default=-1) + 1)
    for slot, value in fields.items():
        if isinstance(value, Byte):
            builder.PrependByteSlot(slot, value.value, 0)
        elif isinstance(value, UInt):
            builder.PrependUint32Slot(slot, value.value, 0)
        else:
            builder.PrependUOffsetTRelativeSlot(slot, offsets[slot], 0)
    return builder.EndObject()


def _offset(builder: Any, value: Any) -> int | None:
    if isinstance(value, str):
        return builder.CreateString(value)
    if isinstance(value, dict):
        return _table(builder, value)
    if isinstance(value, np.ndarray):
        return builder.CreateNumpyVector(value)
    if isinstance(value, list):
        tables = [_table(builder, fields) for fields in value]
        builder.StartVector(4, len(tables), 4)
        for table in reversed(tables):
            builder.PrependUOffsetTRelative(table)
        return builder.EndVector()
    return None


def _aligned_builder(size: int) -> Any:
    """A builder that heeds the schema's `force_align`, which Python's generated code drops."""
    import flatbuffers

    class Aligned(flatbuffers.Builder):
        def CreateNumpyVector(self, x: np.ndarray) -> int:  # noqa: N802
            if x.dtype != np.uint8:
                return super().CreateNumpyVector(x)
            self.StartVector(1, x.size, _ALIGNMENT)
            self.head -= x.size
            self.Bytes[self.head : self.head + x.size] = x.tobytes()
            self.vectorNumElems = x.size
            return self.EndVector()

    return Aligned(2 * size)


def _with_zip(content: bytes, files: dict[str, bytes]) -> bytes:
    if not files:
        return content
    file = io.BytesIO(content)
    # Stored, not deflated: MediaPipe reads them in place.
    with zipfile.ZipFile(file, "a", zipfile.ZIP_STORED) as archive:
        for name, text in sorted(files.items()):
            entry = zipfile.ZipInfo(name)  # of 1980: no date of today
            entry.create_system, entry.external_attr = 3, 0o644 << 16
            archive.writestr(entry, text)
    return file.getvalue()
