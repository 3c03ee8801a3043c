"""One cell of the suite: a task's student, trained by a method with a seed."""

import contextlib
import fcntl
import json
import os
import pathlib
import time
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

import keras_kd
from accuracy_suite.definitions import digest
from accuracy_suite.methods import Method
from accuracy_suite.tasks import Data, Task
from keras_kd import SoftLabels
from keras_kd.distiller.auto_temperature import temperature_of
from keras_kd.teachers.confidence import confidence

_STEPS = 10  # in one execution
_KEPT = [1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0, 6.0]  # temperatures of an ensemble's stored answers


@contextlib.contextmanager
def alone_with(path: pathlib.Path, wait: bool = True) -> Iterator[bool]:
    """Holds a file's lock, which ends with the process; gives whether it was free."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
            return
        yield True


class Cells:
    """The results of all cells, each a file, so that a killed run goes on.

    Args:
        cache: Folder for cells, teachers and students.
        data: The folder of `--data`.
    """

    def __init__(self, cache: pathlib.Path, data: pathlib.Path | None):
        self.cache, self.folder = cache, data
        self._loaded: dict[str, Data] = {}

    def path(self, task: Task, method: Method, seed: int) -> pathlib.Path:
        """Returns a cell's file."""
        return self.cache / "cells" / task.name / f"{method.name}.{seed}.json"

    def read(self, task: Task, method: Method, seed: int) -> dict[str, Any] | None:
        """Returns a cell, `None` where it is to be trained."""
        path = self.path(task, method, seed)
        if not path.exists():
            return None
        cell = json.loads(path.read_text())
        return cell if cell["definition"] == method.definition(task) else None

    def train(self, task: Task, method: Method, seed: int) -> dict[str, Any] | None:
        """Trains a student, scores it on the held-out part and keeps both.

        Returns:
            The cell, `None` where another process is at it.
        """
        path = self.path(task, method, seed)
        with alone_with(path.with_suffix(".lock"), wait=False) as free:
            if not free:
                return None
            cell = self.read(task, method, seed)
            return cell or self._train(task, method, seed, path)

    def score_test(self, task: Task, method: Method, seed: int) -> dict[str, Any]:
        """Scores a trained student on the test set, unless it has been scored."""
        cell = self.read(task, method, seed)
        if "test" not in cell:
            student = task.student()
            weights = np.load(self.path(task, method, seed).with_suffix(".npz"))
            student.set_weights([weights[name] for name in weights.files])
            cell["test"] = _score(task, student, self.data(task).test)
            _write(self.path(task, method, seed), cell)
        return cell

    def data(self, task: Task) -> Data:
        """Returns a task's data."""
        if task.name not in self._loaded:
            self._loaded = {task.name: task.load(self.folder)}
        return self._loaded[task.name]

    def _train(self, task: Task, method: Method, seed: int, path: pathlib.Path) -> dict[str, Any]:
        soft = self._answers(task, method)
        start, cpu = time.perf_counter(), time.process_time()
        keras.utils.set_random_seed(100 + seed)
        student = task.student()
        keras.utils.set_random_seed(200 + seed)
        cell = {"definition": method.definition(task)}
        if method.peer:
            self._train_peer(task, method, student)
        elif method.is_alone:
            self._train_alone(task, student, soft, seed)
        else:
            cell |= self._distil(task, method, student, soft, seed)
        cell["seconds"] = round(time.perf_counter() - start, 1)
        cell["cpu_seconds"] = round(time.process_time() - cpu, 1)
        cell["held_out"] = _score(task, student, self.data(task).held_out)
        np.savez(path.with_suffix(".npz"), *student.get_weights())
        _write(path, cell)
        return cell

    def _distil(
        self, task: Task, method: Method, student: keras.Model, soft: SoftLabels, seed: int
    ) -> dict[str, Any]:
        options = {}
        if method.terms:
            options["hard_weight"] = method.hard_weight
        elif not method.by_default:
            temperature = method.temperature
            if temperature < 1:
                temperature = temperature_of(_logits(soft), temperature, _head(task))
            options = {"alpha": method.alpha, "temperature": temperature}
            if task.kind == "classes":  # else there is nothing that it softens
                options["student_power"] = method.student_power
        distiller = keras_kd.Distiller(
            student=student, teacher=soft, terms=method.terms() if method.terms else None
        )
        distiller.compile(
            _optimizer(task, task.rate, self.data(task)),
            loss=task.loss,
            steps_per_execution=_STEPS,
            jit_compile=False,
            **options,
        )
        train = soft.dataset(*self.data(task).train, batch_size=task.batch, seed=seed)
        distiller.fit(train, epochs=task.epochs, verbose=0)
        plain = method.terms is None
        return {"temperature": round(float(distiller.temperature), 4)} if plain else {}

    def _train_alone(self, task: Task, student: keras.Model, soft: SoftLabels, seed: int) -> None:
        data = self.data(task)
        _compile(student, task, task.rate, data)
        x, y = data.train
        if (y == -1).any():  # the same number of steps, on what has labels
            rows = np.resize(np.flatnonzero(y != -1), len(y))
            student.fit(x[rows], y[rows], batch_size=task.batch, epochs=task.epochs, verbose=0)
            return
        train = soft.dataset(x, y, batch_size=task.batch, seed=seed)
        train = train.map(lambda x, y: (x["keras_kd.input"], y))
        student.fit(train, epochs=task.epochs, callbacks=[soft.callback()], verbose=0)

    def _train_peer(self, task: Task, method: Method, student: keras.Model) -> None:
        from keras import distillation

        data, teacher = self.data(task), self.teacher(task, 0)
        teacher = getattr(teacher, "model", teacher)
        loss = "kl_divergence" if method.peer == "default" else keras.losses.KLDivergence()
        peer = distillation.Distiller(
            teacher=teacher,
            student=student,
            distillation_losses=distillation.LogitsDistillation(temperature=3.0, loss=loss),
        )
        peer.compile(
            _optimizer(task, task.rate, data),
            loss=task.loss,
            steps_per_execution=_STEPS,
            jit_compile=False,
        )
        x, y = data.train
        rows = np.flatnonzero(y != -1)  # it knows no missing labels
        rows = np.resize(rows, len(y))
        peer.fit(x[rows], y[rows], batch_size=task.batch, epochs=task.epochs, verbose=0)

    def _answers(self, task: Task, method: Method) -> SoftLabels:
        """Returns the stored answers that a method trains on, written once."""
        kind = ".views" * method.views + ".ensemble" * method.ensemble
        augmented = f".{digest(task.augment, task.views)}" * method.views
        folder = self.cache / "answers" / f"{task.teaching}{kind}{augmented}"
        with alone_with(folder.with_suffix(".lock")):
            augment = task.augment() if method.views else None
            if (folder / "manifest.json").exists():
                return SoftLabels.open(folder, augment=augment)
            teacher = self.teacher(task, 0)
            if method.ensemble:
                teacher = keras_kd.teachers.Ensemble(
                    [self.teacher(task, n) for n in range(3)], multi_label=task.kind == "labels"
                )
            kept = {"temperatures": _KEPT} if method.ensemble else {}
            return SoftLabels.write(
                folder,
                **kept,
                teacher=teacher,
                data=self.data(task).train[0],
                augment=augment,
                views=task.views if method.views else 1,
                verbose=0,
            )

    def teacher(self, task: Task, number: int) -> keras.Model:
        """Returns a trained teacher, trained once."""
        data = self.data(task)
        if task.trained:
            return task.trained(self.folder, data, number)
        path = self.cache / "teachers" / f"{task.teaching}.{number}.keras"
        with alone_with(path.with_suffix(".lock")):
            if not path.exists():
                keras.utils.set_random_seed(number)
                teacher = task.teacher()
                _compile(teacher, task, 3e-3, data)
                x, y = data.teaching or data.train
                teacher.fit(x, y, batch_size=task.batch, epochs=task.epochs, verbose=0)
                draft = path.with_suffix(f".{os.getpid()}.keras")
                teacher.save(draft)
                os.replace(draft, path)
            return keras.models.load_model(path, compile=False)

    def teacher_facts(self, task: Task) -> dict[str, float]:
        """Returns the teacher's held-out score, and its confidence in what it teaches."""
        path = self.cache / "teachers" / f"{task.teaching}.json"
        with alone_with(path.with_suffix(".lock")):
            if not path.exists():
                teacher = self.teacher(task, 0)
                model = getattr(teacher, "model", teacher)
                facts = {"held_out": _score(task, model, self.data(task).held_out)}
                if task.kind != "numbers":
                    soft = self._answers(task, Method("plain"))
                    facts["confidence"] = round(confidence(_logits(soft), 1.0, _head(task)), 4)
                _write(path, facts)
        return json.loads(path.read_text())


def _head(task: Task) -> str:
    return "sigmoid" if task.kind == "labels" else "softmax"


def _logits(soft: SoftLabels) -> np.ndarray:
    answers = [soft.arrays(epoch) for epoch in range(soft.views)]
    return np.concatenate([next(iter(each.values())) for each in answers])


def _optimizer(task: Task, rate: float, data: Data) -> keras.optimizers.Optimizer:
    steps = task.epochs * -(-len(data.train[0]) // task.batch)
    return keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(rate, steps))


def _compile(model: keras.Model, task: Task, rate: float, data: Data) -> None:
    model.compile(
        _optimizer(task, rate, data),
        loss=task.loss,
        steps_per_execution=_STEPS,
        jit_compile=False,
    )


def _score(task: Task, model: keras.Model, part: tuple[np.ndarray, np.ndarray]) -> float:
    x, y = part
    return round(task.score(y, model.predict(x, verbose=0, batch_size=500)), 4)


def _write(path: pathlib.Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(f".{os.getpid()}.draft")
    draft.write_text(json.dumps(content, indent=1))
    os.replace(draft, path)
