"""Teacher, student, distilled student and files on the same samples: one object to show."""

import html
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_kd._errors import check_integer, message, wrong
from keras_kd._extras import require
from keras_kd._text import bytes_in_words, markdown
from keras_kd.report import measures
from keras_kd.report.contestants import contestant
from keras_kd.report.costs import Costs, spent
from keras_kd.report.verdicts import gap_closed, verdict

__all__ = ["Comparison", "Measured", "compare"]

_NO_ENERGY = "not measurable here"


@dataclass(frozen=True)
class Measured:
    """What was measured of one model or file.

    Attributes:
        method: What it is called.
        parameters: Number of weights; of a file, of those that it holds.
        bytes: Size of the file; of a Keras model, of its weights.
        top1: Share of right answers.
        top5: Share of samples whose class is among the five most probable, `None` where there are
            five classes or fewer.
        gap_closed: Share of the gap between teacher and student, `None` for those two and where
            there is no gap.
        agreement: Share of samples where it gives the teacher's class.
        calibration_error: Expected calibration error.
        macs: Multiply-accumulates of one answer, `None` where the graph does not tell.
        latency_ms: Median time of one sample on this machine.
        joules: Energy of one answer, `None` where it cannot be measured.
    """

    method: str
    parameters: int
    bytes: int
    top1: float
    top5: float | None
    gap_closed: float | None
    agreement: float
    calibration_error: float
    macs: int | None
    latency_ms: float | None
    joules: float | None


def _percent(value: float) -> str:
    return f"{100 * value:.2f} %"


def _macs_in_words(count: float) -> str:
    for unit, factor in (("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if count >= 0.9995 * factor:
            return f"{count / factor:.1f} {unit}"
    return str(count)


_COLUMNS: dict[str, tuple[str, Callable[[Any], str]]] = {
    "method": ("Method", str),
    "parameters": ("Parameters", "{:,}".format),
    "bytes": ("Model size", bytes_in_words),
    "top1": ("Top-1", _percent),
    "top5": ("Top-5", _percent),
    "gap_closed": ("Gap closed", lambda share: f"{100 * share:.1f} %"),
    "agreement": ("Agreement", _percent),
    "calibration_error": ("Calibration error", "{:.4f}".format),
    "macs": ("MACs", _macs_in_words),
    "latency_ms": ("Latency", "{:.2f} ms".format),
    "joules": ("Energy", lambda joules: f"{1000 * joules:.2f} mJ"),
}


@dataclass(frozen=True)
class Comparison:
    """What `report.compare` found: print it, or take it as Markdown, HTML, JSON or a frame.

    Attributes:
        rows: A `Measured` for each model, in the order that they were given.
        notes: What the table does not say, a sentence each.
        machine: The CPU that the latency was measured on, `None` where it was not.
        samples: Number of samples.
        costs: What the trainings cost, where that was given.
    """

    rows: tuple[Measured, ...]
    notes: tuple[str, ...]
    machine: str | None
    samples: int
    costs: Costs | None = None

    def __str__(self) -> str:
        return self.to_markdown()

    def _table(self) -> tuple[list[str], list[list[str]]]:
        rows = [asdict(row) for row in self.rows]
        columns = [name for name in _COLUMNS if any(row[name] is not None for row in rows)]
        cells = [
            ["-" if row[name] is None else _COLUMNS[name][1](row[name]) for name in columns]
            for row in rows
        ]
        return [_COLUMNS[name][0] for name in columns], cells

    def to_markdown(self) -> str:
        """Returns the table in Markdown, and the notes."""
        return "\n\n".join([markdown(*self._table()), *self.notes])

    def to_html(self) -> str:
        """Returns the table as HTML, and the notes."""
        header, rows = self._table()
        aligned = ["left"] + ["right"] * (len(header) - 1)

        def line(tag: str, cells: list[str]) -> str:
            return "".join(
                f'<{tag} style="text-align: {side}">{html.escape(cell)}</{tag}>'
                for side, cell in zip(aligned, cells)
            )

        body = "".join(f"<tr>{line('td', row)}</tr>" for row in rows)
        notes = "".join(f"<p>{html.escape(note)}</p>" for note in self.notes)
        head = f"<thead><tr>{line('th', header)}</tr></thead>"
        return f"<table>{head}<tbody>{body}</tbody></table>{notes}"

    def _repr_html_(self) -> str:
        return self.to_html()

    def to_json(self, path: str | os.PathLike[str] | None = None) -> str:
        """Returns all values as JSON, and writes them to a file where one is named.

        Args:
            path: The file.
        """
        text = json.dumps(asdict(self), indent=2)
        if path is not None:
            Path(path).write_text(text + "\n")
        return text

    def to_pandas(self) -> Any:
        """Returns the rows as a pandas frame.

        Raises:
            ImportError: If pandas is not installed.
        """
        pandas = require("pandas", extra="report")
        return pandas.DataFrame([asdict(row) for row in self.rows]).set_index("method")


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
        models: Keras models, Distillers (of which the student answers) or paths of `.tflite` files,
            by what they are called.
        x: The samples: an array, or a dict of arrays by input name.
        y: Class ids, or one-hot rows.
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
        TypeError: If a model is neither a Keras model nor a path.
        ValueError: If there are no models or no samples, a file or a name is missing, `y` does not
            fit `x`, or the models tell different classes apart.

    Example:
    ```python
    found = keras_kd.report.compare(
        {"Teacher": teacher, "Student": alone, "Distilled": distiller, "int8": "student.tflite"},
        x_test,
        y_test,
    )
    print(found)
    found.to_json("comparison.json")
    ```
    """
    if not isinstance(models, Mapping) or not models:
        rule, expected = "name what is compared", "a dict such as {'Teacher': teacher, ...}"
        kind = ValueError if isinstance(models, Mapping) else TypeError
        mend = "Pass a dict of at least one model or file by name"
        raise wrong("models", rule, models, expected=expected, mend=mend, error=kind)
    bins = check_integer("bins", bins, 1, example=15)
    teacher = _role("teacher", teacher, models) or next(iter(models))
    student = _role("student", student, models)
    asked = {name: contestant(name, given) for name, given in models.items()}
    samples = _samples(x)
    answers, energy = {}, {}
    for name, each in asked.items():
        with spent() as cost:
            outputs = _asked(name, each, x)
        answers[name] = measures.probabilities(outputs, f"models[{name!r}]")
        energy[name] = None if cost.joules is None else cost.joules / samples
    _check_classes(answers)
    labels = measures.class_ids(y, samples, answers[teacher].shape[1])
    top1 = {name: measures.top_k(each, labels, 1) for name, each in answers.items()}
    timed = {name: each.latency(x) if latency else None for name, each in asked.items()}
    rows = [
        Measured(
            method=name,
            parameters=each.parameters,
            bytes=each.bytes,
            top1=top1[name],
            top5=measures.top_k(answers[name], labels, 5) if answers[name].shape[1] > 5 else None,
            gap_closed=gap_closed(top1[teacher], top1[student], top1[name])
            if student and name not in (teacher, student)
            else None,
            agreement=float(np.mean(answers[name].argmax(-1) == answers[teacher].argmax(-1))),
            calibration_error=measures.calibration_error(answers[name], labels, bins),
            macs=each.macs,
            latency_ms=timed[name] and timed[name].latency_ms,
            joules=energy[name],
        )
        for name, each in asked.items()
    ]
    machine = timed[teacher].machine if latency else None
    notes = _notes(rows, teacher, student, machine, samples, costs)
    return Comparison(tuple(rows), tuple(notes), machine, samples, costs)


def _notes(
    rows: list[Measured],
    teacher: str,
    student: str | None,
    machine: str | None,
    samples: int,
    costs: Costs | None,
) -> list[str]:
    top1 = {row.method: row.top1 for row in rows}
    others = [name for name in top1 if name not in (teacher, student)]
    notes = [verdict(top1[teacher], top1[student], top1[others[0]])] if student and others else []
    timed = f" Latency: the median of single samples on {machine}." if machine else ""
    notes.append(
        f"{samples:,} samples. Model size: a file's bytes, a Keras model's weights.{timed}"
    )
    if any(row.joules is None for row in rows):
        notes.append(f"Energy: {_NO_ENERGY} (the powercap counters cannot be read).")
    return notes + ([str(costs)] if costs else [])


def _role(role: str, given: str | None, models: Mapping[str, Any]) -> str | None:
    if given is None:
        return next((name for name in models if str(name).casefold() == role), None)
    if given in models:
        return given
    raise wrong(role, "be one of the models", given, expected=f"one of {list(models)}")


def _samples(x: Any) -> int:
    lengths = {len(array) for array in keras.tree.flatten(x)}
    if len(lengths) == 1 and 0 not in lengths:
        return lengths.pop()
    raise ValueError(
        message(
            "x must hold at least one sample, and the same number for each input",
            expected="an array, or a dict of arrays",
            received=f"lengths {sorted(lengths)}",
            mend="Pass the test data",
        )
    )


def _asked(name: str, each: Any, x: Any) -> Any:
    try:
        outputs = each.answers(x)
    except (ValueError, TypeError) as error:
        raise ValueError(
            message(
                f"x must fit models[{name!r}], as it is the same for all",
                expected="the input that the model takes",
                received=str(error).strip().splitlines()[0],
                mend="Put what a model does to its input into the model",
            )
        ) from error
    if isinstance(outputs, dict | list | tuple):
        if len(outputs) == 1:
            return keras.tree.flatten(outputs)[0]
        raise ValueError(
            message(
                f"models[{name!r}] must have one output",
                expected="class probabilities or logits, (samples, classes)",
                received=f"{len(outputs)} outputs",
                mend="Pass keras.Model(model.inputs, model.get_layer(name).output)",
            )
        )
    return outputs


def _check_classes(answers: dict[str, np.ndarray]) -> None:
    classes = {name: each.shape[1] for name, each in answers.items()}
    if len(set(classes.values())) > 1:
        raise ValueError(
            message(
                "The models must tell the same classes apart",
                expected="one number of classes",
                received=f"{classes}",
                mend="Compare models of one task",
            )
        )
