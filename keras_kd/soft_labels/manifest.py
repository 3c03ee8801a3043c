"""What a folder of soft labels says of itself: one canonical JSON file that guards itself."""

import hashlib
import json
from pathlib import Path
from typing import Any

from keras_kd._errors import message

NAME = "manifest.json"
FORMAT = 1

_KEYS = {
    "format",
    "samples",
    "views",
    "samples_per_shard",
    "pairing",
    "seed",
    "augmentation",
    "data",
    "teacher",
    "signals",
    "versions",
    "shards",
}
# What may differ between two writes of the same labels.
_NOT_IDENTITY = {"versions", "shards"}


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
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(where) from error
    newer = content.get("format")
    if isinstance(newer, int) and newer > FORMAT:
        raise ValueError(
            message(
                f"Soft labels in {where.parent} must have a format that this version knows",
                expected=f"format {FORMAT} or older",
                received=f"format {newer}",
                mend="Upgrade keras_kd: pip install --upgrade keras_kd",
            )
        )
    if to_bytes(content) != data or set(content) != _KEYS:
        raise _damaged(where)
    return content


def differences(content: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Returns in what two manifests are not of the same labels, as dotted names."""
    return [name for key in sorted(_KEYS - _NOT_IDENTITY) for name in _diff(key, content, other)]


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
    return ValueError(
        message(
            f"The manifest {where} must be as it was written",
            expected="JSON that fits its own checksum",
            received="a damaged or edited file",
            mend="Restore it from a copy, or write the labels again into an empty folder",
        )
    )
