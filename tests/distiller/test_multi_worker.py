"""Workers that train together, in processes of their own, get what one process gets."""

import contextlib
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

pytestmark = pytest.mark.tensorflow
OLD = tuple(map(int, keras.__version__.split(".")[:2])) < (3, 10)

PROGRAM = Path(__file__).parent / "workers_program.py"
ROOT = PROGRAM.parents[2]


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def start(folder, count, *cases):
    """Returns the processes of a cluster on this machine."""
    cluster = {"worker": [f"127.0.0.1:{free_port()}" for _ in range(count)]}
    env = {**os.environ, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""}
    started = []
    for index in range(count):
        config = {"cluster": cluster, "task": {"type": "worker", "index": index}}
        command = [sys.executable, PROGRAM, folder, *cases]
        env["TF_CONFIG"] = json.dumps(config)
        with (folder / f"log{index}").open("w") as log:
            started.append(subprocess.Popen(command, env=env, stdout=log, stderr=log))
    return started


def run(folder, count, *cases):
    """Returns what each worker of a cluster says of each case."""
    started = start(folder, count, *cases)
    try:
        ended = [process.wait(500) for process in started]
    finally:
        for process in started:
            process.kill()
    logs = [(folder / f"log{index}").read_text()[-3000:] for index in range(count)]
    assert ended == [0] * count, "\n".join(logs)
    return [json.loads((folder / f"{index}.json").read_text()) for index in range(count)]


def alone(folder, case):
    """Returns what one process says of a case."""
    from tests.distiller import workers_program as program

    folder.mkdir(exist_ok=True)
    return getattr(program, case)(contextlib.nullcontext, folder, 0)


def check_same(found, expected):
    for one, other in zip(found["weights"], expected["weights"]):
        np.testing.assert_allclose(one, other, atol=1e-6, rtol=0)
    assert found["logs"].keys() == expected["logs"].keys()
    for name, values in expected["logs"].items():
        np.testing.assert_allclose(found["logs"][name], values, atol=1e-5, rtol=0, err_msg=name)


def check_training(workers, tmp_path):
    for case in ("plain", "features"):
        expected = alone(tmp_path / "alone", case)
        for worker in workers:
            check_same(worker[case], expected)
    assert workers[0]["plain"]["logs"]["temperature"][0] > 2
    chief, *others = [worker["features"] for worker in workers]
    assert chief["writes"] == {"backups": 2, "best": 2}
    for other in others:
        assert other["writes"] == {"backups": 0, "best": 0}
        assert other["best"] == chief["best"]
    best = keras.saving.load_model(tmp_path / "best.keras")
    for weight, last in zip(best.weights, workers[0]["features"]["weights"]):
        np.testing.assert_allclose(weight, last, atol=1e-6)


def test_two_workers_equal_one_process(tmp_path):
    if OLD:
        for worker in run(tmp_path, 2, "refused"):
            assert "Keras 3.10 or later. Received: Keras 3" in worker["refused"]["labels"]
        return
    workers = run(tmp_path, 2, "plain", "features", "refused")
    check_training(workers, tmp_path)
    for said in (worker["refused"] for worker in workers):
        assert "The teacher must give finite answers" in said["answers"]
        assert "first in batch 4 of epoch 1" in said["answers"]
        assert "Labels must" in said["labels"]
        assert "All workers must have the same epochs" in said["epochs"]
        assert "All workers must have the same alpha" in said["alpha"]
        assert "the same shape of validation_data" in said["validation"]
        assert "All workers must have the same teacher" in said["teacher"]
        assert "another on worker 1" in said["teacher"]
        assert "the same number of steps that it has trained" in said["folder"]
    assert "All workers must be ready" in workers[0]["refused"]["temperature"]
    assert "must tell classes apart" in workers[1]["refused"]["temperature"]


@pytest.mark.slow
@pytest.mark.skipif(OLD, reason="needs Keras 3.10")
@pytest.mark.parametrize("count", [1, 4])
def test_more_workers_and_one_equal_one_process(tmp_path, count):
    workers = run(tmp_path, count, "plain", "features", "exported")
    check_training(workers, tmp_path)
    assert [worker["exported"] for worker in workers] == [1] + [0] * (count - 1)
    assert (tmp_path / "best" / "saved_model.pb").exists()


@pytest.mark.slow
@pytest.mark.skipif(OLD, reason="needs Keras 3.10")
def test_a_cluster_goes_on_where_a_worker_was_killed(tmp_path):
    (tmp_path / "die").touch()
    first, second = start(tmp_path, 2, "killed")
    try:
        assert second.wait(300) == 9
    finally:
        first.kill()
        first.wait()
    assert json.loads((tmp_path / "backup" / "training_metadata.json").read_text())["epoch"] == 3
    (tmp_path / "die").unlink()
    undisturbed = alone(tmp_path / "alone", "killed")
    for worker in run(tmp_path, 2, "killed"):
        assert len(worker["killed"]["logs"]["loss"]) == 3
        for one, other in zip(worker["killed"]["weights"], undisturbed["weights"]):
            np.testing.assert_allclose(one, other, atol=1e-6, rtol=0)


def test_where_one_process_trains_nothing_changes():
    from keras_kd.distiller import multi_worker

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    logs = {"loss": 1.0}
    assert multi_worker.is_chief(model)
    assert multi_worker.per_worker(model, logs) is logs
    assert multi_worker.mean(model, lambda: [2.0]) == [2.0]


def cluster(count, index=0):
    workers = [f"127.0.0.1:{9000 + number}" for number in range(count)]
    return {"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}}


def test_a_cluster_that_does_not_fit_is_refused_before_the_first_step(monkeypatch):
    import tensorflow as tf

    from tests.distiller import workers_program as program

    def refusal(scope):
        with pytest.raises(ValueError, match="under the strategy of their cluster") as error:
            program.distiller(scope).fit(*program.data()[:2], verbose=0)
        return str(error.value)

    monkeypatch.delenv("TF_CONFIG", raising=False)
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    assert "made without TF_CONFIG" in refusal(strategy.scope)
    monkeypatch.setenv("TF_CONFIG", json.dumps(cluster(2)))
    assert "TF_CONFIG with 2 workers, and a student made" in refusal(contextlib.nullcontext)
    for config in ("{", json.dumps(cluster(2, index=2))):  # TensorFlow's own
        monkeypatch.setenv("TF_CONFIG", config)
        with pytest.raises(ValueError, match=r"double quotes|exceeds the maximum id"):
            tf.distribute.MultiWorkerMirroredStrategy()
    for config in ("{", json.dumps(cluster(1)), json.dumps(cluster(2) | {"task": {}})):
        monkeypatch.setenv("TF_CONFIG", config)
        program.distiller(contextlib.nullcontext).fit(*program.data()[:2], verbose=0)
