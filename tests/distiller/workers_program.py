"""What one worker does in `test_multi_worker.py`: python workers_program.py FOLDER CASE..."""

import contextlib
import json
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

SIZE = 96


def net(width):
    layers = [keras.layers.Dense(width, activation="relu", name="hidden"), keras.layers.Dense(3)]
    return keras.Sequential([keras.Input((4,)), *layers])


def data():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(SIZE, 4)).astype("float32"), rng.integers(0, 3, SIZE)
    return x, y, rng.uniform(0.5, 2.0, SIZE).astype("float32")


def distiller(scope, *, terms=None, teacher=None, sharp=6.0, **given):
    """Returns a Distiller whose weights are the same in every process."""
    import keras_kd

    keras.utils.set_random_seed(0)
    taught = net(16)
    taught.layers[-1].kernel.assign(taught.layers[-1].kernel * sharp)
    teacher = taught if teacher is None else teacher(taught)
    with scope():
        student = net(8)
        model = keras_kd.Distiller(
            student=student,
            teacher=teacher,
            terms=terms and terms(keras_kd),
        )
        model.compile(
            keras.optimizers.Adam(0.01),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            **given,
        )
    return model


def batches(size=24):
    return tf.data.Dataset.from_tensor_slices(data()).batch(size)


def said(model, history):
    return {
        "logs": history.history,
        "weights": [weight.numpy().tolist() for weight in model.student.weights],
    }


def plain(scope, folder, index):
    """Metrics, callbacks, a validation with terms, and a temperature that is found."""
    from keras_kd.callbacks import EndDistillation, Schedule, TeacherAgreement

    metrics = {"metrics": ["accuracy", "sparse_categorical_accuracy"]}
    metrics["weighted_metrics"] = ["accuracy"]
    model = distiller(scope, temperature="auto", sharp=40.0, evaluate_terms=True, **metrics)
    x, y, _ = data()
    given = {"validation_data": (x[:48], y[:48]), "validation_batch_size": 24}
    ramp = Schedule("alpha", lambda step: 0.2 + 0.01 * step, every="step")
    callbacks = [TeacherAgreement(), ramp, EndDistillation(after=2)]
    return said(model, model.fit(batches(), epochs=3, verbose=0, callbacks=callbacks, **given))


def features(scope, folder, index):
    """Terms with a projector, from stored answers, with files that only the chief writes."""
    import keras_kd
    from keras_kd import losses

    def terms(keras_kd):
        layers = {"student": "hidden", "teacher": "hidden"}
        hint = keras_kd.Term(losses.Hint(), projector="auto", weight=0.5, **layers)
        return [losses.SoftTargets(2.0), hint]

    x, y, weight = data()
    soft = []

    def stored(teacher):
        where = folder / f"labels{index}"
        given = {"data": x, "verbose": 0, "dtype": "float32", "signals": ["hidden"]}
        soft.append(keras_kd.SoftLabels.write(where, teacher=teacher, **given))
        return soft[0]

    model = distiller(scope, terms=terms, teacher=stored, metrics=["accuracy"])
    backup = keras.callbacks.BackupAndRestore(folder / "backup", delete_checkpoint=False)
    best = keras_kd.callbacks.StudentCheckpoint(folder / "best.keras", monitor="loss")
    files = {"backups": (model, "save_weights"), "best": (best, "keep")}
    counted = {name: count_calls(*method) for name, method in files.items()}
    given = {"callbacks": [best, backup], "epochs": 2, "verbose": 0}
    train = soft[0].dataset(x, y, weight, batch_size=24, seed=3)
    result = said(model, model.fit(train, **given))
    writes = {name: len(calls) for name, calls in counted.items()}
    return result | {"writes": writes, "best": [best.best, best.epoch]}


def exported(scope, folder, index):
    """A folder that only the chief writes."""
    import keras_kd

    x, y, _ = data()
    best = keras_kd.callbacks.ExportBest(folder / "best", monitor="loss", verify=x)
    calls = count_calls(best, "keep")
    distiller(scope).fit(x, y, batch_size=24, callbacks=[best], verbose=0)
    return len(calls)


def count_calls(owner, name):
    """Returns a list that grows whenever a method is called."""
    calls, method = [], getattr(owner, name)
    setattr(owner, name, lambda *args, **kwargs: calls.append(args) or method(*args, **kwargs))
    return calls


def refused(scope, folder, index):
    """What one worker cannot do, or would do otherwise, is an error on all of them."""
    x, y, _ = data()
    messages = {}

    def refuses(name, model, x=x, y=y, **given):
        try:
            model.fit(x, y, **{"batch_size": 24, "shuffle": False, "verbose": 0} | given)
        except ValueError as error:
            messages[name] = str(error)

    infinite = x.copy()
    infinite[-1, 0] = np.inf  # of the last worker; a NaN would not outlive the teacher's relu
    refuses("answers", distiller(scope, temperature=2.0), x=infinite)
    wrong = np.where(np.arange(SIZE) == SIZE - 1, 7, y)
    refuses("labels", distiller(scope), y=wrong)
    refuses("epochs", distiller(scope), epochs=index + 1)
    refuses("alpha", distiller(scope, alpha=0.1 * index))
    refuses("validation", distiller(scope), validation_data=(x[index:], y[index:]))
    other = distiller(scope)
    other.teacher.layers[-1].bias.assign([0.0, 0.0, float(index)])
    refuses("teacher", other)
    refuses("temperature", distiller(scope, temperature="auto"), x=infinite if index else x)
    backup = keras.callbacks.BackupAndRestore(folder / f"own{index}")
    if index == 0:
        steps = distiller(contextlib.nullcontext)
        steps.optimizer.build(steps.trainable_variables)
        steps.optimizer.iterations.assign(5)
        (folder / "own0").mkdir()
        steps.save_weights(folder / "own0" / "latest.weights.h5")
    refuses("folder", distiller(scope), callbacks=[backup])
    return messages


def killed(scope, folder, index):
    """Dies in the fourth epoch, where a file says so; else trains six, from a backup if any."""
    dies = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: epoch == 3 and (folder / "die").exists() and os._exit(9)
    )
    backup = keras.callbacks.BackupAndRestore(folder / "backup", delete_checkpoint=False)
    callbacks = [backup, *([dies] if index else [])]
    model = distiller(scope, temperature=3.0)
    return said(model, model.fit(batches(), epochs=6, verbose=0, callbacks=callbacks))


if __name__ == "__main__":
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    number = json.loads(os.environ["TF_CONFIG"])["task"]["index"]
    where = Path(sys.argv[1])
    found = {name: globals()[name](strategy.scope, where, number) for name in sys.argv[2:]}
    (where / f"{number}.json").write_text(json.dumps(found))
