import json
import re
from pathlib import Path

import pytest

from keras_kd.soft_labels.storage import manifest
from keras_kd.soft_labels.storage.records import Record

WHERE = Path("labels/manifest.json")


def nested(depth):
    return [nested(depth - 1)] if depth else []


@pytest.fixture
def content():
    return {
        "format": manifest.FORMAT,
        "samples": 3,
        "views": 2,
        "samples_per_shard": 256,
        "pairing": 1,
        "seed": 0,
        "augmentation": {"stages": [], "outputs": "ab"},
        "data": {"sample": ["uint8 (8, 8, 3)"], "head": "cd", "all": None},
        "teacher": {
            "name": "teacher",
            "weights": "ef",
            "preprocess": None,
            "keyed": False,
            "outputs": {"output": {"head": "logits", "inverted": False}},
        },
        "signals": {"output": Record((3,)).to_json()},
        "versions": {"keras": "3"},
        "shards": None,
    }


def test_content_survives(content):
    assert manifest.from_bytes(manifest.to_bytes(content), WHERE) == content


def test_every_bit_is_guarded(content):
    data = manifest.to_bytes(content)
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ValueError, match=r"The manifest .* must be|must have a format"):
            manifest.from_bytes(bytes(flipped), WHERE)


def test_an_edited_manifest_is_refused(content):
    data = json.loads(manifest.to_bytes(content))
    data["samples"] = 4
    with pytest.raises(ValueError, match="must be as it was written"):
        manifest.from_bytes(json.dumps(data).encode(), WHERE)


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"{}", b"null", b"\xff", b'{"checksum": 1}', b"[" * 10**5, b'{"a":' * 10**5],
    ids=lambda data: f"{data[:8]} {len(data)}",
)
def test_what_is_no_manifest_is_refused(data):
    with pytest.raises(ValueError, match="must be as it was written"):
        manifest.from_bytes(data, WHERE)


def test_a_newer_format_is_refused(content):
    data = manifest.to_bytes({**content, "format": manifest.FORMAT + 1, "novelty": 1})
    with pytest.raises(ValueError, match=r"format 3 or older. Received: format 4. Upgrade"):
        manifest.from_bytes(data, WHERE)


@pytest.mark.parametrize(
    "forged",
    [
        {"samples": "x"},
        {"samples": -5},
        {"samples": 0},
        {"samples": 10**18},
        {"samples": True},
        {"samples_per_shard": 0},
        {"signals": {}},
        {"signals": {"other": Record((3,)).to_json()}},
        {"signals": {"output": {**Record((3,)).to_json(), "dtype": "object"}}},
        {"signals": {"output": {**Record((3,)).to_json(), "shape": []}}},
        {"teacher": {}},
        {"augmentation": []},
        {"format": "1"},
        {"format": 0},
        {"signals": {"output": {**Record((3,)).to_json(), "shape": [2**40, 2**40]}}},
        {"signals": {"output": {**Record((3,)).to_json(), "top_k": -1}}},
        {"signals": {"output": {**Record((3,)).to_json(), "top_k": 2, "temperatures": []}}},
        {"signals": {"output": {**Record((3,)).to_json(), "temperatures": [float("nan")]}}},
        {"signals": {name: Record((3,)).to_json() for name in ("output", "keras_kd.check")}},
        {"versions": {"keras": nested(30)}},
        {"versions": {"keras": nested(400)}},
        {"data": {}},
        {"seed": "a"},
        {"shards": {}},
        {"more": 1},
    ],
)
def test_a_forged_content_is_refused(content, forged):
    data = manifest.to_bytes({**content, **forged})
    with pytest.raises(ValueError, match="must be as it was written"):
        manifest.from_bytes(data, WHERE)


def test_differences_name_what_differs(content):
    other = {**content, "seed": 1, "versions": {}, "shards": ["x"]}
    other["teacher"] = {**content["teacher"], "name": "another", "weights": "other"}
    assert manifest.differences(content, other) == ["seed", "teacher.weights"]


def test_labels_are_named_by_what_tells_them_from_others(content):
    named = manifest.run(content)
    assert re.fullmatch("[0-9a-f]{16}", named)
    same = {**content, "versions": {}, "shards": ["x"]}
    same["teacher"] = {**content["teacher"], "name": "another"}
    assert manifest.run(same) == named
    other = {**content, "teacher": {**content["teacher"], "weights": "other"}}
    assert manifest.run(other) != named
    assert manifest.run({**content, "seed": 1}) != named
    assert manifest.run({**content, "format": 1}) is None
