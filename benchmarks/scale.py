"""What do more processes bring, on one machine?

Questions, each with its baseline, all interleaved:
- writing: images a second of two processes that write one folder in parts, as Beam's workers do,
  against one process. The teacher is a NumPy function that uses one core. Required: 1.7 times.
- training: steps a second of 2 and 4 workers under `MultiWorkerMirroredStrategy`, against one
  process, on the same global batches; and how far apart the weights are after 24 steps.
  Required: at most 1e-6. All share the cores of this machine, so more workers cannot be faster
  here: the figure says what talking to each other costs.

Processes are started once and do their work when they are told to. Wall time, and because other
programs may run beside, the CPU time of all processes of a system.

    python benchmarks/scale.py --rounds=8
"""

import contextlib
import json
import os
import pathlib
import socket
import statistics
import subprocess
import sys
import tempfile
import time

import interleaved
import keras
import numpy as np
from absl import app, flags

import keras_kd
from keras_kd._pipelines import untuned

_ROUNDS = flags.DEFINE_integer("rounds", 8, "Counted rounds.")
_ROLE = flags.DEFINE_enum("role", None, ["writer", "trainer"], "What a started process does.")
_FOLDER = flags.DEFINE_string("folder", None, "Where a trainer leaves its weights.")

SAMPLES = 8192  # eight shards
REPEATS = 60  # of the teacher's product, about 2 ms an image
STEPS, BATCH = 24, 128


class Process:
    """A process of this script that does what it is told, line by line."""

    def __init__(self, role: str, folder: str, config: dict | None = None):
        command = [sys.executable, __file__, f"--role={role}", f"--folder={folder}"]
        env = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3"}
        # NumPy's, so that the teacher uses one core.
        env |= {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL")}
        if config:
            env["TF_CONFIG"] = json.dumps(config)
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, env=env, stdin=pipe, stdout=pipe, text=True)

    def tell(self, *words) -> None:
        """Starts the work."""
        print(*words, file=self._process.stdin, flush=True)

    def cpu_seconds(self) -> float:
        """Waits until the work is done."""
        for line in self._process.stdout:
            if line.startswith("done "):
                return float(line.split()[1])
        raise RuntimeError(f"a process ended with {self._process.wait()}")

    def close(self) -> None:
        """Ends the process."""
        self._process.stdin.close()
        self._process.wait()


def obey(work) -> None:
    """Does the work at each line of the standard input."""
    for line in sys.stdin:
        before = time.process_time()
        work(*line.split())
        print("done", time.process_time() - before, flush=True)


def write_parts() -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (SAMPLES, 16, 16, 3)).astype("uint8")
    inner, last = rng.normal(size=(768, 768)) / 28, rng.normal(size=(768, 10)) / 28

    def one_core(images: np.ndarray) -> np.ndarray:
        hidden = images.reshape(len(images), -1) / 128.0 - 1.0
        for _ in range(REPEATS):
            hidden = np.tanh(hidden @ inner)
        return hidden @ last

    teacher = keras_kd.teachers.Function(one_core, head="logits", version="1", sample=x[:2])

    def write(folder, part, parts):
        given = {"augment": keras_kd.soft_labels.crop_flip, "verbose": 0}
        shard = (int(part), int(parts))
        keras_kd.SoftLabels.write(folder, teacher=teacher, data=x, shard=shard, **given)

    obey(write)


def net(width: int) -> keras.Model:
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            layers.Conv2D(width, 3, 2, activation="relu"),
            layers.Conv2D(2 * width, 3, 2, activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(10),
        ]
    )


def train_together() -> None:
    import tensorflow as tf

    scope, index = contextlib.nullcontext, 0
    if "TF_CONFIG" in os.environ:
        scope = tf.distribute.MultiWorkerMirroredStrategy().scope
        index = json.loads(os.environ["TF_CONFIG"])["task"]["index"]
    keras.utils.set_random_seed(0)
    teacher = net(64)
    with scope():
        student = net(32)
        model = keras_kd.Distiller(student=student, teacher=teacher)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(0.05), loss=loss, temperature=4.0)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(STEPS * BATCH, 32, 32, 3)).astype("float32")
    data = tf.data.Dataset.from_tensor_slices((x, rng.integers(0, 10, len(x)))).batch(BATCH)
    data = untuned(data)
    path = pathlib.Path(_FOLDER.value) / f"{index}.npy"

    def train():
        model.fit(data, verbose=0)
        if not path.exists():  # after the first epoch
            np.save(path, np.concatenate([w.numpy().ravel() for w in student.weights]))

    obey(train)


def system(processes: list[Process], tell, cpu: list[float]):
    """Returns what `measure` runs, which notes the CPU time of each round."""

    def run():
        for number, process in enumerate(processes):
            tell(process, number)
        cpu.append(sum(process.cpu_seconds() for process in processes))

    return run


def cluster(count: int, folder: str) -> list[Process]:
    pathlib.Path(folder).mkdir()
    if count == 1:
        return [Process("trainer", folder)]
    with contextlib.ExitStack() as stack:
        found = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in found:
            each.bind(("127.0.0.1", 0))
        names = [f"127.0.0.1:{each.getsockname()[1]}" for each in found]
    return [
        Process(
            "trainer",
            folder,
            {"cluster": {"worker": names}, "task": {"type": "worker", "index": index}},
        )
        for index in range(count)
    ]


def per_second(amount: int, seconds: dict, cpu: dict) -> dict:
    """Returns the rates, each with the ratios to the first system of its own rounds."""
    first = next(iter(seconds))
    return {
        name: {
            "per_second": amount / statistics.median(values),
            "times_one": statistics.median(one / own for one, own in zip(seconds[first], values)),
            "seconds": interleaved.summary(values),
            "cpu_seconds": interleaved.summary(cpu[name][1:]),
        }
        for name, values in seconds.items()
    }


def writing(folder: str) -> dict:
    processes = [Process("writer", folder) for _ in range(2)]
    systems, cpu, rounds = {}, {}, iter(range(10**6))
    for count in (1, 2):
        state = {}

        def tell(process, number, count=count, state=state):
            if number == 0:
                state["folder"] = f"{folder}/labels{next(rounds)}"
            process.tell(state["folder"], number, count)

        name = f"{count} process" + "es" * (count > 1)
        systems[name] = system(processes[:count], tell, cpu.setdefault(name, []))
    seconds = interleaved.measure(systems, _ROUNDS.value)
    for process in processes:
        process.close()
    return per_second(SAMPLES, seconds, cpu)


def start_steps(process, _number):
    """Tells a trainer to go on, which needs no more to know."""
    process.tell()


def training(folder: str) -> dict:
    clusters = {count: cluster(count, f"{folder}/{count}") for count in (1, 2, 4)}
    systems, cpu = {}, {}
    for count, processes in clusters.items():
        name = f"{count} worker" + "s" * (count > 1)
        systems[name] = system(processes, start_steps, cpu.setdefault(name, []))
    seconds = interleaved.measure(systems, _ROUNDS.value)
    for processes in clusters.values():
        for process in processes:
            process.close()
    result = per_second(STEPS, seconds, cpu)
    alone = np.load(f"{folder}/1/0.npy")
    for count, name in zip(clusters, result):
        weights = [np.load(f"{folder}/{count}/{index}.npy") for index in range(count)]
        result[name]["weights_differ_by"] = float(max(np.abs(w - alone).max() for w in weights))
    return result


def main(_) -> None:
    if _ROLE.value:
        return write_parts() if _ROLE.value == "writer" else train_together()
    with tempfile.TemporaryDirectory() as folder:
        results = {"writing": writing(folder), "training": training(folder)}
    for topic, systems in results.items():
        for name, said in systems.items():
            print(f"{topic}, {name}: {said['per_second']:.4g}/s, {said['times_one']:.3f} times one")
    command = f"python benchmarks/scale.py --rounds={_ROUNDS.value}"
    print(interleaved.save("scale", command, results))


if __name__ == "__main__":
    app.run(main)
