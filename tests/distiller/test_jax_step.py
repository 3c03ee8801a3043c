"""Students that several devices of JAX train, as `keras.distribution` says, are those of one."""

import importlib.util
import os
import subprocess
import sys
import textwrap

import pytest

SCRIPT = textwrap.dedent(
    """
    import importlib.util

    import keras, keras_kd, numpy as np
    from keras_kd import losses

    def net(width):
        layers = [keras.layers.Dense(width, "relu", name="hidden"), keras.layers.Dense(4)]
        return keras.Sequential([keras.Input((8,)), *layers])

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(96, 8)).astype("float32"), rng.integers(0, 4, 96)
    weight = rng.uniform(0.5, 2.0, 96).astype("float32")

    def trained(stored):
        keras.utils.set_random_seed(0)
        teacher, student = net(16), net(8)
        given = {"x": x, "y": y, "sample_weight": weight, "shuffle": False, "batch_size": 24}
        if stored:
            said = {"data": x, "signals": ["hidden"], "dtype": "float32", "verbose": 0}
            teacher = keras_kd.SoftLabels.write(None, teacher=teacher, **said)
            given = {"x": teacher.dataset(x, y, weight, batch_size=24)}
        layers = {"student": "hidden", "teacher": "hidden"}
        hint = keras_kd.Term(losses.Hint(), projector="auto", weight=0.5, **layers)
        model = keras_kd.Distiller(
            student=student, teacher=teacher, terms=[losses.SoftTargets(2.0), hint]
        )
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.Adam(0.01), loss=loss, metrics=["accuracy"])
        held_out = {"validation_data": (x[:48], y[:48]), "validation_batch_size": 24}
        logs = model.fit(**given, **held_out, epochs=2, verbose=0).history
        where = student.layers[0].kernel.value.sharding
        return logs, student.get_weights(), len(where.device_set), where.is_fully_replicated

    devices = keras.distribution.list_devices()
    assert len(devices) == 4
    mesh = keras.distribution.DeviceMesh((2, 2), ["batch", "model"], devices)
    layout = keras.distribution.LayoutMap(mesh)
    layout[".*hidden.*kernel"] = (None, "model")
    ways = [
        keras.distribution.DataParallel(devices=devices),
        keras.distribution.ModelParallel(layout_map=layout, batch_dim_name="batch"),
    ]
    for stored in [False, True] if importlib.util.find_spec("tensorflow") else [False]:
        keras.distribution.set_distribution(None)
        logs, weights, *_ = trained(stored)
        for way, whole in zip(ways, (True, False)):
            keras.distribution.set_distribution(way)
            same_logs, same_weights, *where = trained(stored)
            assert where == [4, whole]
            for one, other in zip(same_weights, weights):
                np.testing.assert_allclose(one, other, atol=1e-6)
            for name in logs:
                np.testing.assert_allclose(same_logs[name], logs[name], atol=1e-5, err_msg=name)
    """
)


def test_data_and_model_parallel_equal_one_device():
    if importlib.util.find_spec("jax") is None:
        pytest.skip("needs JAX")
    flags = "--xla_force_host_platform_device_count=4"
    env = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags}
    command = [sys.executable, "-c", SCRIPT]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
