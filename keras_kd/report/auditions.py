"""Which of several teachers teaches this student best? A short training under each tells."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_kd import _keras
from keras_kd._errors import (
    check_callable,
    check_count,
    check_integer,
    check_type,
    refusal,
    wrong,
)
from keras_kd._text import markdown
from keras_kd.distiller.distiller import Distiller
from keras_kd.distiller.plain_temperature import checked
from keras_kd.networks.copies import made_again
from keras_kd.networks.label_layouts import class_ids
from keras_kd.report.comparison import top1
from keras_kd.report.seeds import SeedsComparison, over_seeds
from keras_kd.report.verdicts import spread
from keras_kd.soft_labels import SoftLabels

__all__ = ["Audition", "audition", "judged"]

_ALONE = "no teacher"
_HELD_OUT = 0.2
# At which the means of several teachers are stored, for "auto" to take the nearest.
_KEPT = [1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0]


@dataclass(frozen=True)
class Audition:
    """What became of the same student under each candidate.

    Attributes:
        scores: The student's share of right answers by candidate and seed, the best candidate
            first; `"no teacher"` is the student by itself.
        best: The candidate with the best mean.
        comparison: The best candidate beside the next one, `"no teacher"` included, in a paired
            test over the seeds.
        samples: Number of held-out samples.
    """

    scores: dict[str, dict[int, float]]
    best: str
    comparison: SeedsComparison
    samples: int

    def __str__(self) -> str:
        rows = [[name, str(spread(list(each.values())))] for name, each in self.scores.items()]
        table = markdown(["Taught by", "Student's top-1"], rows)
        return f"{table}\n\n{self.verdict()}"

    def verdict(self) -> str:
        """Returns in a sentence who teaches best, or that the seeds do not tell."""
        first, second, *_ = self.scores
        clear = self.comparison.verdict == "BETTER"
        best = "No candidate beats the student alone"
        best = best if first == _ALONE else f"{first!r} teaches best"
        said = best if clear else f"{first!r} and {second!r} are too close"
        return f"{said}: {self.comparison.reason}"


def audition(
    candidates: Mapping[str, Any],
    x: np.ndarray,
    y: np.ndarray,
    student: keras.Model | Callable[[], keras.Model],
    *,
    validation_data: tuple[Any, Any] | None = None,
    epochs: int = 5,
    seeds: int = 3,
    batch_size: int = 128,
    optimizer: keras.optimizers.Optimizer | Callable[[], Any] | str = "adam",
    alpha: float = 0.5,
    temperature: float | str = "auto",
    verbose: int = 1,
) -> Audition:
    """Trains the same student for a short while under each candidate, with several seeds.

    The strongest teacher is not always the best one for a small student. Each candidate is asked
    once about each sample; the student starts from the same weights under each, and sees the same
    batches. A student without a teacher is trained beside them.

    Sets Keras' random seed.

    Args:
        candidates: By name, whatever may be a `teacher=` of a Distiller and written soft labels of:
            models, ensembles, files, functions.
        x: The training samples.
        y: Their class ids, or one-hot rows.
        student: A function that returns a new student, or a model whose copies with new weights are
            trained. It has one output of classes.
        validation_data: `(x, y)` to score on. Default: a fifth of the samples, drawn once.
        epochs: Epochs of each training.
        seeds: How many seeds, at least 2.
        batch_size: Samples in a batch.
        optimizer: A name, an optimizer that each training gets a copy of, or a function that
            returns a new one.
        alpha: The weight of the labels; the teacher's is `1 - alpha`.
        temperature: That of the soft targets: a number, or `"auto"` for each candidate's own, at
            which its mean confidence is 0.8 (of several teachers the nearest of eight).
        verbose: Whether to print each score as it comes.

    Returns:
        An `Audition`: print it for the table and the verdict.

    Raises:
        TypeError: If `candidates` is not a dict, or `student` neither a model nor a function.
        ValueError: If there is no candidate, or the labels do not fit.

    Example:
    >>> found = keras_kd.teachers.audition({"resnet": a, "both": [a, b]}, x, y, make_student)
    >>> print(found)
    >>> teacher = {"resnet": a, "both": [a, b]}[found.best]

    Reference:
        - [Cho and Hariharan, On the Efficacy of Knowledge Distillation, ICCV 2019](
            https://arxiv.org/abs/1910.01348)
    """
    _check(candidates)
    fresh, made = _maker(student), _optimizers(optimizer)
    train, test = _split(x, y, validation_data)
    count = check_integer("seeds", seeds, 2)
    lesson = _Lesson(train, check_count("epochs", epochs), batch_size, checked(temperature))
    answers = {name: lesson.answers(teacher) for name, teacher in candidates.items()}
    scores: dict[str, dict[int, float]] = {}
    for name in [_ALONE, *candidates]:
        # Alone is the same loop in which the teacher, whoever it is, has no weight.
        soft, weight = answers.get(name), alpha if name in answers else 1.0
        for seed in range(count):
            keras.utils.set_random_seed(seed)
            soft = soft or next(iter(answers.values()))
            score = lesson.score(fresh(), soft, made(), weight, seed, test)
            scores.setdefault(name, {})[seed] = score
            if verbose:
                print(f"{name}, seed {seed}: {score:.2%}", flush=True)
    return judged(scores, len(test[1]))


@dataclass(frozen=True)
class _Lesson:
    """What is the same under each candidate."""

    train: tuple[np.ndarray, np.ndarray]
    epochs: int
    batch_size: int
    temperature: float | str

    def answers(self, teacher: Any) -> SoftLabels:
        """Returns a candidate's answers, which all seeds and epochs share."""
        temperatures = _KEPT if self.temperature == "auto" else [self.temperature]
        options = {"temperatures": temperatures, "dtype": "float32", "verbose": 0}
        return SoftLabels.write(None, teacher=teacher, data=self.train[0], **options)

    def score(
        self,
        student: keras.Model,
        soft: SoftLabels,
        optimizer: Any,
        alpha: float,
        seed: int,
        test: tuple[np.ndarray, np.ndarray],
    ) -> float:
        """Returns the student's share of right answers after its training."""
        distiller = Distiller(student=student, teacher=soft)
        logits = [*distiller.student_heads.values()] == ["logits"]
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=logits)
        temperature = None if self.temperature == "auto" else self.temperature
        distiller.compile(optimizer, loss=loss, alpha=alpha, temperature=temperature)
        rows = soft.dataset(*self.train, batch_size=self.batch_size, seed=seed)
        distiller.fit(rows, epochs=self.epochs, verbose=0)
        return top1(student.predict(test[0], batch_size=self.batch_size, verbose=0), test[1])


def judged(scores: dict[str, dict[int, float]], samples: int) -> Audition:
    """Returns what scores by candidate and seed say."""
    by_mean = sorted(scores, key=lambda name: -np.mean(list(scores[name].values())))
    scores = {name: scores[name] for name in by_mean}
    best = next(name for name in by_mean if name != _ALONE)
    return Audition(scores, best, over_seeds({n: scores[n] for n in by_mean[1::-1]}), samples)


def _check(candidates: Any) -> None:
    rule, mend = "be a dict of teachers by name", "Pass e.g. {'large': a, 'small': b}"
    check_type("candidates", candidates, Mapping, rule, mend=mend)
    if not candidates or _ALONE in candidates:
        rule = f"name one teacher or more, none of them {_ALONE!r}"
        raise wrong("candidates", rule, [*candidates], mend=mend)


def _maker(student: Any) -> Callable[[], keras.Model]:
    """Returns a function that makes students."""
    if isinstance(student, keras.Model):
        if _keras.graph(student) is None:
            return lambda: _built_like(student, made_again(student))
        return lambda: keras.models.clone_model(student, clone_function=made_again)
    mend = "Pass a function that builds the student"
    return check_callable("student", student, "be a model, or return one", mend=mend)


def _built_like(student: keras.Model, again: keras.Model) -> keras.Model:
    if student.built and not again.built:
        again.build_from_config(student.get_build_config())
        again.built = True
    return again


def _optimizers(given: Any) -> Callable[[], Any]:
    """Returns a function that makes optimizers, none of which knows of another's training."""
    if isinstance(given, keras.optimizers.Optimizer):
        config = given.get_config()
        return lambda: type(given).from_config(config)
    return given if callable(given) else lambda: given


def _split(x: Any, y: Any, held_out: tuple[Any, Any] | None) -> tuple[tuple, tuple]:
    """Returns what is trained on, and what is scored on."""
    x, y = np.asarray(x), np.asarray(y)
    if held_out is not None:
        if not isinstance(held_out, (tuple, list)) or len(held_out) != 2:
            received = f"{type(held_out).__name__} of {len(held_out)}"
            rule, mend = "be (x, y)", "Pass validation_data=(x_val, y_val)"
            raise refusal(f"validation_data must {rule}", received=received, mend=mend)
        others = tuple(map(np.asarray, held_out))
        return (x, _ids(x, y)), (others[0], _ids(*others))
    if len(x) * _HELD_OUT < 1:
        rule, mend = "hold enough samples to keep a fifth aside", "Pass more, or validation_data"
        raise refusal(f"x must {rule}", expected="5 or more", received=len(x), mend=mend)
    order = np.random.default_rng(0).permutation(len(x))
    test, train = np.split(order, [int(_HELD_OUT * len(x))])
    ids = _ids(x, y)
    return (x[train], ids[train]), (x[test], ids[test])


def _ids(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    classes = y.shape[-1] if y.ndim == 2 and y.shape[1] > 1 else int(y.max(initial=0)) + 1
    return class_ids(y, len(x), classes)
