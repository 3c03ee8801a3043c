"""Does a student learn more from three teachers than from the best of them?

Two tasks of `accuracy.py`, each with three teachers of one architecture and other initial weights.
A student learns from the labels alone, from the best member (the highest accuracy on held-out
data) and from the mean of all three, five seeds each. All else is equal: initial weights, batches,
budget, alpha 0.5, and the temperature at which the answers' mean confidence is 0.8, found for each
of the two on the training data, because no temperature is right for both. Each student is scored
once on the test set, which nothing is chosen on. The seeds share their teachers, so the interval is
about students of these teachers.

    python benchmarks/ensembles.py --data=DIR

DIR holds `load_data.py` with its folders. A run that is killed goes on where it stopped.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import json
import pathlib
from functools import partial

import keras
import numpy as np
import tensorflow as tf
from absl import app, flags
from accuracy_suite.cells import Cells
from accuracy_suite.tasks import TASKS
from interleaved import save

import keras_kd
from keras_kd import SoftLabels, report
from keras_kd.distiller.auto_temperature import found
from keras_kd.teachers.averaging import mean
from keras_kd.teachers.confidence import confidence

FLAGS = flags.FLAGS
flags.DEFINE_string("data", None, "Folder with load_data.py.", required=True)
flags.DEFINE_string("cache", "~/.cache/keras_kd/ensembles", "Where teachers and scores are kept.")
flags.DEFINE_list("tasks", ["digits", "fashion_5k"], "Names of tasks.")
flags.DEFINE_integer("seeds", 5, "Students of each.", 3)
MEMBERS, ALPHA = 3, 0.5


def top1(model, part):
    return report.top1(model.predict(part[0], batch_size=500, verbose=0), part[1])


def temperature_of(teachers, x):
    """Returns the temperature at which the mean of teachers has the suite's confidence."""
    logits = [teacher.predict(x, batch_size=500, verbose=0) for teacher in teachers]
    weights = [1 / len(logits)] * len(logits)

    def confidence_at(temperature):
        together = mean(logits, weights, "softmax", temperature)
        return confidence(keras.ops.convert_to_numpy(together), temperature)

    return round(found(confidence_at, "output", strict=True), 4)


def answers(teachers, x):
    """Returns the stored answers of teachers, and their temperature."""
    temperature = temperature_of(teachers, x)
    asked = teachers[0] if len(teachers) == 1 else teachers
    write = partial(SoftLabels.write, None, data=x, temperatures=[temperature], verbose=0)
    return write(teacher=asked), temperature


def student_of(task, data, soft, temperature, seed):
    """Returns a student of stored answers; where there is no temperature, of the labels alone."""
    keras.utils.set_random_seed(100 + seed)
    student = task.student()
    keras.utils.set_random_seed(200 + seed)
    steps = task.epochs * -(-len(data.train[0]) // task.batch)
    decay = keras.optimizers.schedules.CosineDecay(task.rate, steps)
    options = {"loss": task.loss, "steps_per_execution": 10, "jit_compile": False}
    rows = soft.dataset(*data.train, batch_size=task.batch, seed=seed)
    if temperature is None:
        rows = rows.map(lambda x, y: (x["keras_kd.input"], y))
        student.compile(keras.optimizers.Adam(decay), **options)
        student.fit(rows, epochs=task.epochs, callbacks=[soft.callback()], verbose=0)
    else:
        distiller = keras_kd.Distiller(student=student, teacher=soft)
        options |= {"alpha": ALPHA, "temperature": temperature}
        distiller.compile(keras.optimizers.Adam(decay), **options)
        distiller.fit(rows, epochs=task.epochs, verbose=0)
    return student


def measure(task, cells, path):
    """Returns the scores of a task's students; trains those that are missing."""
    data = cells.data(task)
    teachers = [cells.teacher(task, number) for number in range(MEMBERS)]
    held_out = [top1(teacher, data.held_out) for teacher in teachers]
    best = int(np.argmax(held_out))
    ways = {"best member": [teachers[best]], "ensemble": teachers}
    ways = {name: answers(each, data.train[0]) for name, each in ways.items()}
    ways = {"alone": (ways["ensemble"][0], None), **ways}
    scores = json.loads(path.read_text()) if path.exists() else {}
    for seed in range(FLAGS.seeds):
        for name, (soft, temperature) in ways.items():
            of_name = scores.setdefault(name, {"held_out": {}, "test": {}})
            if str(seed) not in of_name["test"]:
                student = student_of(task, data, soft, temperature, seed)
                for part in of_name:
                    of_name[part][str(seed)] = round(top1(student, getattr(data, part)), 6)
                path.write_text(json.dumps(scores))
                print(task.name, name, seed, of_name["test"][str(seed)], flush=True)
    return {
        "teachers": {
            "held_out": held_out,
            "test": [top1(teacher, data.test) for teacher in teachers],
            "best": best,
            "test of all": together(teachers, data.test),
        },
        "temperatures": {name: temperature for name, (_, temperature) in ways.items()},
        "students": scores,
        **compared(scores),
    }


def together(teachers, part):
    """Returns how often the mean of the teachers is right."""
    logits = [teacher.predict(part[0], batch_size=500, verbose=0) for teacher in teachers]
    return report.top1(mean(logits, [1 / len(logits)] * len(logits), "softmax"), part[1])


def compared(scores):
    """Returns the paired tests on the test set."""
    tests = {}
    for before, after in (("best member", "ensemble"), ("alone", "ensemble")):
        values = {name: scores[name]["test"] for name in (before, after)}
        tests[f"{after} - {before}"] = json.loads(report.over_seeds(values).to_json())
        del tests[f"{after} - {before}"]["scores"]
    return tests


def main(_):
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    cache = pathlib.Path(FLAGS.cache).expanduser()
    cells = Cells(cache, pathlib.Path(FLAGS.data).expanduser().resolve())
    tasks = [task for name in FLAGS.tasks for task in TASKS if task.name == name]
    cache.mkdir(parents=True, exist_ok=True)
    results = {task.name: measure(task, cells, cache / f"{task.name}.json") for task in tasks}
    print(save("ensembles", "python benchmarks/ensembles.py --data=DIR", results))


if __name__ == "__main__":
    app.run(main)
