"""What a folder of soft labels says of itself: one canonical JSON file that guards itself."""

import hashlib
import json
import math
from pathlib import Path
from typing import Any

from keras_kd._errors import refusal
from keras_kd.soft_labels.storage.records import Record, record_type

__all__ = ["FORMAT", "NAME", "differences", "from_bytes", "run", "to_bytes"]

NAME = "manifest.json"
# Of format 1, the names of shards do not say which labels they are part of; of format 2, there are
# no means of several teachers. What needs no newer format is written in the older one.
FORMAT, WITHOUT_MEANS = 3, 2
# Bytes of a file, and indentation of a line: nothing that is written comes near.
LARGEST, _DEEPEST = 2**28, 20

_COUNT = range(1, 2**48)
# Types, ranges, or what stands in a dict; a type in a list stands for all its items.
_SCHEMA = {
    "format": range(1, FORMAT + 1),
    "samples": _COUNT,
    "views": _COUNT,
    "samples_per_shard": _COUNT,
    "pairing": _COUNT,
    "seed": int,
    "augmentation": {"stages": [{"name": str, "parameters": dict}], "outputs": str},
    "data": {"sample": [str], "head": str, "all": (str, None)},
    "teacher": {
        "name": str,
        "weights": str,
        "preprocess": (str, None),
        "keyed": bool,
        "outputs": dict,
        "inputs": [str],
    },
    "signals": dict,
    "versions": dict,
    "shards": ([str], None),
}
_OUTPUT = {"head": (str, None), "inverted": bool}
_SIGNAL = {
    "shape": [int],
    "dtype": str,
    "centered": bool,
    "top_k": (int, None),
    "temperatures": [(int, float)],
    "averaged": bool,
}
# Of a teacher that was shown lists; of several teachers.
_OPTIONAL = {"inputs", "averaged"}
# What may differ between two writes of the same labels.
_NOT_IDENTITY = {"format", "versions", "shards", "teacher.name", "teacher.inputs"}
_RUN = 16  # hexadecimal digits


def to_bytes(content: dict[str, Any]) -> bytes:
    """Returns the one form of a manifest's file, which carries the checksum of its content."""
    body = _canonical(content)
    checksum = hashlib.sha256(body.encode()).hexdigest()
    return _canonical({**content, "checksum": checksum}).encode()


def from_bytes(data: bytes, where: Path) -> dict[str, Any]:
    """Returns a manifest's content.

    Raises:
        ValueError: If a newer version of keras_kd wrote it, or it is damaged.
    """
    try:
        content = json.loads(data.decode())
        content.pop("checksum")
        newer = content.get("format")
        is_newer = type(newer) is int and newer > FORMAT
        sound = is_newer or (to_bytes(content) == data and _is_sound(content, data))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, MemoryError) as error:
        raise _damaged(where) from error
    if is_newer:
        raise refusal(
            f"Soft labels in {where.parent} must have a format that this version knows",
            expected=f"format {FORMAT} or older",
            received=f"format {newer}",
            mend="Upgrade keras_kd: pip install --upgrade keras_kd",
        )
    if not sound:
        raise _damaged(where)
    return content


def run(content: dict[str, Any]) -> str | None:
    """Returns the name of the labels that shards carry, `None` in folders of format 1.

    It is a hash of all that tells these labels from others, so it is the same for all writers, on
    any machine.
    """
    if content["format"] == 1:
        return None
    identity = {key: value for key, value in content.items() if key not in _NOT_IDENTITY}
    teacher = {
        key: v for key, v in content["teacher"].items() if f"teacher.{key}" not in _NOT_IDENTITY
    }
    identity = _canonical({**identity, "teacher": teacher})
    return hashlib.sha256(identity.encode()).hexdigest()[:_RUN]


def _is_sound(content: dict[str, Any], data: bytes) -> bool:
    """Whether a content is of the kind that is written, whoever has written it."""
    if not _fits(content, _SCHEMA) or b"\n" + b" " * _DEEPEST in data:
        return False
    outputs, signals = content["teacher"]["outputs"], content["signals"]
    return (
        bool(outputs)
        and set(outputs) <= set(signals)
        and all(_fits(output, _OUTPUT) for output in outputs.values())
        and all(_fits(signal, _SIGNAL) for signal in signals.values())
        and all(map(_can_be_stored, signals.values()))
        # Raises where a name stands for two fields, or a record is too large for NumPy.
        and record_type({name: Record.from_json(s) for name, s in signals.items()}).itemsize > 0
    )


def _can_be_stored(signal: dict[str, Any]) -> bool:
    top_k, temperatures = signal["top_k"], signal["temperatures"]
    return (
        signal["dtype"] in ("float16", "float32")
        and bool(signal["shape"])
        and min(signal["shape"]) > 0
        and (top_k is None or (0 < top_k <= signal["shape"][-1] and bool(temperatures)))
        and all(0 < temperature < math.inf for temperature in temperatures)
        and (not signal.get("averaged") or _has_an_axis_of(temperatures, signal["shape"]))
    )


def _has_an_axis_of(temperatures: list[float], shape: list[int]) -> bool:
    return len(shape) > 1 and shape[0] == len(temperatures)


def _fits(value: Any, kind: Any) -> bool:
    if isinstance(kind, dict):
        is_dict = isinstance(value, dict) and set(value) | _OPTIONAL == set(kind) | _OPTIONAL
        return is_dict and all(_fits(value[name], kind.get(name)) for name in value)
    if isinstance(kind, list):
        return isinstance(value, list) and all(_fits(item, kind[0]) for item in value)
    if isinstance(kind, tuple):
        return any(_fits(value, option) for option in kind)
    if isinstance(kind, range):
        return type(value) is int and value in kind
    return value is None if kind is None else type(value) is kind


def differences(content: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Returns in what two manifests are not of the same labels, as dotted names."""
    names = [name for key in sorted(_SCHEMA) for name in _diff(key, content, other)]
    return [
        name
        for name in names
        if name not in _NOT_IDENTITY and name.split(".")[0] not in _NOT_IDENTITY
    ]


def _diff(key: str, a: dict, b: dict, path: str = "") -> list[str]:
    first, second = a.get(key), b.get(key)
    if first == second:
        return []
    path = f"{path}{key}"
    if isinstance(first, dict) and isinstance(second, dict):
        keys = sorted(set(first) | set(second))
        return [name for inner in keys for name in _diff(inner, first, second, f"{path}.")]
    return [path]


def _canonical(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=1, sort_keys=True) + "\n"


def _damaged(where: Path) -> ValueError:
    return refusal(
        f"The manifest {where} must be as it was written",
        expected="JSON that fits its own checksum",
        received="a damaged or edited file",
        mend="Restore it from a copy, or write the labels again into an empty folder",
    )
