"""Teacher, student, distilled student and files on the same samples: one object to show."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_kd._errors import check_integer, check_lengths, check_type, refusal, wrong
from keras_kd.networks.label_layouts import class_ids, known
from keras_kd.report import measures
from keras_kd.report.contestants import contestant
from keras_kd.report.costs import Costs, spent
from keras_kd.report.tables import Comparison, Measured
from keras_kd.report.verdicts import gap_closed, verdict

__all__ = ["compare"]

_NO_ENERGY = "not measurable here"


def compare(
    models: Mapping[str, Any],
    x: Any,
    y: Any,
    *,
    teacher: str | None = None,
    student: str | None = None,
    costs: Costs | None = None,
    bins: int = 15,
    latency: bool = True,
) -> Comparison:
    """Compares teacher, students and exported files on the same labelled samples.

    Args:
        models: By what they are called, Keras models, Distillers (of which the student answers),
            those of `keras_kd.teachers`, lists of models (an ensemble), or paths of `.tflite`
            files.
        x: The samples: an array, or a dict of arrays by input name.
        y: Class ids, or one-hot rows. Samples whose label is -1 are left out.
        teacher: Which of them the others are to agree with. Default: the one called `"teacher"`, in
            capitals or not; otherwise the first.
        student: Which of them was trained without the teacher. Default: the one called `"student"`;
            without one there is no share of the gap.
        costs: What the trainings cost, to be shown, too.
        bins: Number of bins of the calibration error.
        latency: Whether to time single samples.

    Returns:
        A `Comparison`.

    Raises:
        TypeError: If a model is none of these.
        ValueError: If there are no models or no samples, a file or a name is missing, `y` does not
            fit `x`, or the models tell different classes apart.

    Example:
    ```python
    keras_kd.export.tflite(distiller, "student.tflite", "int8", calibration=x_train)
    found = keras_kd.report.compare(
        {"Teacher": teacher, "Student": alone, "Distilled": distiller, "int8": "student.tflite"},
        x_test,
        y_test,
    )
    print(found)
    found.to_json("comparison.json")
    ```
    """
    _check_models(models)
    bins = check_integer("bins", bins, 1, example=15)
    teacher = _role("teacher", teacher, models) or next(iter(models))
    student = _role("student", student, models)
    asked, given = {n: contestant(n, each) for n, each in models.items()}, _samples(x)
    x, y, samples = _labelled(x, y, given)
    answers, joules = _answered(asked, x, samples)
    labels = class_ids(y, samples, answers[teacher].shape[1])
    top1 = {name: measures.top_k(each, labels, 1) for name, each in answers.items()}
    timed = {name: each.latency(x) if latency else None for name, each in asked.items()}
    rows = [
        Measured(
            method=name,
            parameters=each.parameters,
            bytes=each.bytes,
            top1=top1[name],
            top5=_top5(answers[name], labels),
            gap_closed=_gap_closed(top1, teacher, student, name),
            agreement=_agreement(answers[name], answers[teacher]),
            calibration_error=measures.calibration_error(answers[name], labels, bins),
            macs=each.macs,
            latency_ms=timed[name] and timed[name].latency_ms,
            joules=joules[name],
        )
        for name, each in asked.items()
    ]
    machine = timed[teacher].machine if latency else None
    notes = _notes(rows, teacher, student, machine, samples, costs) + _left_out(given, samples)
    return Comparison(tuple(rows), notes, machine, samples, costs)


def _check_models(models: Any) -> None:
    rule, mend = "be a dict of at least one model by name", "Pass e.g. {'Teacher': teacher}"
    check_type("models", models, Mapping, rule, mend=mend)
    if not models:
        raise wrong("models", rule, models, mend=mend)


def _answered(
    asked: dict[str, Any], x: Any, samples: int
) -> tuple[dict[str, np.ndarray], dict[str, float | None]]:
    """Returns each one's probabilities, and the energy of one answer."""
    answers, joules = {}, {}
    for name, each in asked.items():
        _asked(name, each, keras.tree.map_structure(lambda leaf: leaf[:32], x))  # compiles
        with spent() as cost:
            outputs = _asked(name, each, x)
        answers[name] = measures.probabilities(outputs, f"models[{name!r}]", each.head)
        joules[name] = None if cost.joules is None else cost.joules / samples
    _check_classes(answers)
    return answers, joules


def _top5(probabilities: np.ndarray, labels: np.ndarray) -> float | None:
    return measures.top_k(probabilities, labels, 5) if probabilities.shape[1] > 5 else None


def _gap_closed(
    top1: dict[str, float], teacher: str, student: str | None, name: str
) -> float | None:
    if student is None or name in (teacher, student):
        return None
    return gap_closed(top1[teacher], top1[student], top1[name])


def _notes(
    rows: list[Measured],
    teacher: str,
    student: str | None,
    machine: str | None,
    samples: int,
    costs: Costs | None,
) -> tuple[str, ...]:
    top1 = {row.method: row.top1 for row in rows}
    others = [name for name in top1 if name not in (teacher, student)]
    notes = [verdict(top1[teacher], top1[student], top1[others[0]])] if student and others else []
    timed = f" Latency: the median of single samples on {machine}." if machine else ""
    notes.append(
        f"{samples:,} samples. Model size: a file's bytes, a Keras model's weights.{timed}"
    )
    if any(row.joules is None for row in rows):
        notes.append(f"Energy: {_NO_ENERGY} (the powercap counters cannot be read).")
    return (*notes, str(costs)) if costs else tuple(notes)


def _role(role: str, given: str | None, models: Mapping[str, Any]) -> str | None:
    if given is None:
        return next((name for name in models if str(name).casefold() == role), None)
    if given in models:
        return given
    raise wrong(role, "be one of the models", given, expected=f"one of {list(models)}")


def _samples(x: Any) -> int:
    return check_lengths("x", map(len, keras.tree.flatten(x)), "Pass the test data")


def _labelled(x: Any, y: Any, samples: int) -> tuple[Any, Any, int]:
    """Returns the samples that have labels, these, and how many there are."""
    y = np.asarray(y)
    if y.shape[:1] != (samples,) or known(y).all():
        return x, y, samples  # other lengths are refused once the number of classes is known
    there = known(y)
    x = keras.tree.map_structure(lambda array: np.asarray(array)[there], x)
    return x, y[there], _samples(x)


def _left_out(given: int, samples: int) -> tuple[str, ...]:
    if samples == given:
        return ()
    return (f"{given - samples:,} of {given:,} samples have no label: left out.",)


def _agreement(answers: np.ndarray, of_teacher: np.ndarray) -> float:
    return float(np.mean(answers.argmax(-1) == of_teacher.argmax(-1)))


def _asked(name: str, each: Any, x: Any) -> Any:
    try:
        outputs = each.answers(x)
    except (ValueError, TypeError) as error:
        raise refusal(
            f"x must fit models[{name!r}], as it is the same for all",
            expected="the input that the model takes",
            received=str(error).strip().splitlines()[0],
            mend="Put what a model does to its input into the model",
        ) from error
    if isinstance(outputs, dict | list | tuple):
        if len(outputs) == 1:
            return keras.tree.flatten(outputs)[0]
        raise refusal(
            f"models[{name!r}] must have one output, class probabilities or logits",
            received=f"{len(outputs)} outputs",
            mend="Pass keras.Model(model.inputs, model.get_layer(name).output)",
        )
    return outputs


def _check_classes(answers: dict[str, np.ndarray]) -> None:
    classes = {name: each.shape[1] for name, each in answers.items()}
    if len(set(classes.values())) > 1:
        raise refusal(
            "The models must have the same number of classes",
            received=f"{classes}",
            mend="Compare models of one task",
        )
