"""Killed, damaged, exchanged, forged: a clear error, and nothing lost that was finished."""

import json
import pathlib
import random
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

import keras_kd
from keras_kd.soft_labels.storage import manifest

pytestmark = pytest.mark.tensorflow

# A teacher of its own process, the same each time.
_WRITER = textwrap.dedent(
    """
    import os, sys, time
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import keras, numpy as np, keras_kd
    from keras_kd.soft_labels.storage import files

    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).normal(size=(5000, 4)).astype("float32")
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    if len(sys.argv) > 2:  # so slow that there is time to kill
        write, slow = files.write_file, float(sys.argv[2])
        def slowly(*args):
            time.sleep(slow)
            write(*args)
            print("written", flush=True)
        files.write_file = slowly
    keras_kd.SoftLabels.write(sys.argv[1], teacher=model, data=x, batch_size=512, verbose=0)
    print("done", flush=True)
    """
)


def writer(folder, *arguments, **options):
    command = [sys.executable, "-c", _WRITER, str(folder), *map(str, arguments)]
    root = pathlib.Path(keras_kd.__file__).parents[1]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=root, **pipes, **options)


def finished(folder):
    with writer(folder) as process:
        _, said = process.communicate()
    assert process.returncode == 0, said


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.slow
def test_twenty_kills_at_random_points_end_with_the_same_bytes(tmp_path):
    finished(tmp_path / "whole")
    folder, rng, kills = tmp_path / "killed", random.Random(0), 0
    while kills < 20:
        with writer(folder, 0.2) as process:
            process.stdout.readline()  # it writes now
            time.sleep(rng.uniform(0, 0.5))
            process.send_signal(signal.SIGKILL)
        kills += 1
        if len(list(folder.glob("*.npy"))) > 3:
            random.Random(kills).choice(list(folder.glob("*.npy"))).unlink()
    finished(folder)
    assert files(folder) == files(tmp_path / "whole")


@pytest.fixture
def folder(tmp_path, write):
    """Returns a folder of 3 shards."""
    import keras

    x = np.random.default_rng(0).normal(size=(2500, 4)).astype("float32")
    teacher = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    keras_kd.SoftLabels.write(tmp_path / "labels", teacher=teacher, data=x, verbose=0)
    return tmp_path / "labels"


def use(soft):
    return soft.read(np.arange(2500), np.zeros(2500, int))


def test_every_flipped_bit_is_found_out(folder):
    rng = random.Random(0)
    found = 0
    for path in sorted(folder.iterdir()):
        data = path.read_bytes()
        for _ in range(150):
            flipped = bytearray(data)
            bit = rng.randrange(8 * len(data))
            flipped[bit // 8] ^= 1 << bit % 8
            path.write_bytes(flipped)
            with pytest.raises(ValueError, match=r"must be|must have"):
                keras_kd.SoftLabels.open(folder, verify="full")
            with pytest.raises(ValueError, match=r"must be|must have"):
                use(keras_kd.SoftLabels.open(folder))
            found += 1
        path.write_bytes(data)
    assert found == 600
    use(keras_kd.SoftLabels.open(folder, verify="full"))


def shards(folder):
    return sorted(folder.glob("*.npy"))


def test_a_truncated_shard(folder):
    path = shards(folder)[1]
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"Shard .*000001.* must be as it was written"):
        use(keras_kd.SoftLabels.open(folder))


def test_a_missing_shard(folder):
    shards(folder)[1].unlink()
    with pytest.raises(ValueError, match=r"must be complete.*1 missing: 1\. "):
        keras_kd.SoftLabels.open(folder)


def test_exchanged_shards(folder):
    first, second, _ = shards(folder)
    a, b = first.read_bytes(), second.read_bytes()
    first.write_bytes(b)
    second.write_bytes(a)
    with pytest.raises(ValueError, match="a damaged or exchanged file"):
        use(keras_kd.SoftLabels.open(folder))


def test_shards_that_have_exchanged_their_numbers(folder):
    first, second, _ = shards(folder)
    first.rename(folder / first.name.replace("000000", "000009"))
    second.rename(folder / second.name.replace("000001", "000000"))
    (folder / first.name.replace("000000", "000009")).rename(
        folder / first.name.replace("000000", "000001")
    )
    with pytest.raises(ValueError, match="must be those that its manifest names"):
        keras_kd.SoftLabels.open(folder)


@pytest.mark.parametrize("name", ["copy.npy", "shard-000001-{}.npy", "shard-000007-{}.npy"])
def test_a_second_copy(folder, name):
    path = shards(folder)[1]
    (folder / name.format("0" * 64)).write_bytes(path.read_bytes())
    with pytest.raises(ValueError, match=r"must hold each shard.*once|that its manifest names"):
        keras_kd.SoftLabels.open(folder)


def forge(folder, **changes):
    """Rewrites the manifest with a checksum that fits, as somebody who knows how could."""
    path = folder / manifest.NAME
    content = manifest.from_bytes(path.read_bytes(), path)
    path.write_bytes(manifest.to_bytes({**content, **changes}))
    return content


def test_a_manifest_that_names_a_file_elsewhere(folder):
    names = forge(folder)["shards"]
    forge(folder, shards=["../x.npy", *names[1:]])
    with pytest.raises(ValueError, match="must be those that its manifest names"):
        keras_kd.SoftLabels.open(folder)


def test_a_newer_version(folder):
    path = folder / manifest.NAME
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "format": 99}))
    with pytest.raises(ValueError, match="Upgrade keras_kd"):
        keras_kd.SoftLabels.open(folder)


def test_another_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="must be a folder of soft labels"):
        keras_kd.SoftLabels.open(tmp_path)


@pytest.mark.slow
def test_a_full_disk_leaves_what_is_finished(tmp_path):
    """A limit on the size of a file stops the writer as a full disk does."""
    resource = pytest.importorskip("resource")
    finished(tmp_path / "whole")
    folder = tmp_path / "full"
    size = min(path.stat().st_size for path in (tmp_path / "whole").glob("*.npy"))

    def limited():
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, size + 10))

    with writer(folder, preexec_fn=limited) as process:
        _, said = process.communicate()
    assert process.returncode == 1
    assert "Soft labels must fit on the disk" in said
    assert "goes on after the last finished shard" in said
    assert not list(folder.glob(".unfinished*"))
    finished(folder)
    assert files(folder) == files(tmp_path / "whole")


def test_damage_elsewhere_does_not_matter(folder):
    path = shards(folder)[0]
    path.write_bytes(path.read_bytes()[:-1])
    soft = keras_kd.SoftLabels.open(folder)
    soft.read([2400], [0])
    with pytest.raises(ValueError, match="000000"):
        soft.read([0], [0])


@pytest.mark.parametrize(
    ("directory", "error"),
    [("", ValueError), ("a\0b", ValueError), (b"a", TypeError), (3, TypeError)],
)
def test_what_is_no_path_is_refused(directory, error):
    with pytest.raises(error, match="directory must be a path"):
        keras_kd.SoftLabels.open(directory)
