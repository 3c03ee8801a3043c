"""What does it take to open a large folder of soft labels, and to read it at random?

Part of `benchmarks/soft_labels.py`. A process of its own reads, so that what it holds in memory is
what the reading needs:

    python benchmarks/large_folder.py FOLDER
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import keras
import numpy as np

import keras_kd
from keras_kd import soft_labels

IDS, READS = 8192, 200


def costs(samples=2_000_000):
    """Writes the top 10 of 1000 classes, two views a sample, and returns what reading costs."""
    x = np.random.default_rng(0).normal(size=(samples, 4)).astype("float32")
    teacher = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1000)])

    @soft_labels.batched
    def noisy(values, seeds):
        return values + soft_labels.uniform(seeds, 0, (4,))

    with tempfile.TemporaryDirectory() as folder:
        given = {"augment": noisy, "views": 2, "batch_size": 8192}
        keras_kd.SoftLabels.write(folder, teacher=teacher, data=x, **given)
        command = [sys.executable, __file__, folder]
        return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def read(folder):
    """Opens a folder and reads ids at random."""
    memory, start = resident(), time.perf_counter()
    soft = keras_kd.SoftLabels.open(folder)
    opened = time.perf_counter() - start
    rng = np.random.default_rng(0)
    batches = [rng.integers(0, soft.samples, IDS) for _ in range(READS)]
    rates = {}
    for name in ("first", "second"):  # the first verifies each shard
        start = time.perf_counter()
        for ids in batches:
            soft.read(ids, ids % 2)
        rates[name] = sum(map(len, batches)) / (time.perf_counter() - start)
    return {
        "open, seconds": opened,
        "random ids per second, verification included": rates["first"],
        "random ids per second": rates["second"],
        "more memory, MB": (resident() - memory) / 1e6,
    }


def resident():
    """Returns the resident memory of this process in bytes."""
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    print(json.dumps(read(sys.argv[1])))
