"""Which data and labels `dataset` and `attach` take, and which datasets `fit`."""

from typing import Any

import keras
import numpy as np

from keras_kd._errors import check_integer, message, refusal, wrong
from keras_kd.networks.structures import are_arrays
from keras_kd.soft_labels.views.sources import Arrays, Stream, source
from keras_kd.teachers import batch as batches

__all__ = [
    "batches_of",
    "check_steps",
    "check_training_data",
    "labels",
    "no_answers",
    "others_answers",
    "samples",
    "stream",
]


def samples(x: Any) -> Arrays:
    """Returns the samples that `dataset` was given.

    Raises:
        TypeError: If labels came with them, or they are not arrays.
    """
    if isinstance(x, tuple):
        raise refusal(
            "x must be the samples alone",
            received=f"a tuple of {len(x)}",
            mend="Pass e.g. soft.dataset(x_train, y_train)",
            error=TypeError,
        )
    data = source(x)
    if isinstance(data, Arrays):
        return data
    raise TypeError(_wrong_kind("dataset must be given arrays", "a tf.data.Dataset", "attach"))


def stream(dataset: Any, samples: int) -> Stream:
    """Returns the pipeline that `attach` was given.

    Raises:
        TypeError: If it is none.
    """
    data = source(dataset, samples=samples)
    if isinstance(data, Stream):
        return data
    raise TypeError(_wrong_kind("attach must be given a tf.data.Dataset", "arrays", "dataset"))


def _wrong_kind(what: str, received: str, other: str) -> str:
    return message(
        what,
        expected="what SoftLabels.write was given",
        received=received,
        mend=f"Use soft.{other}(...)",
    )


def check_steps(views_per_step: Any, views: int) -> None:
    """Raises where a step shows more views of a sample than there are."""
    if check_integer("views_per_step", views_per_step, 1) > views:
        rule = f"not exceed the stored views, {views}"
        raise wrong("views_per_step", rule, views_per_step, expected=f"1 to {views}", example=views)


def batches_of(rows: int, batch_size: Any, views_per_step: int, drop_remainder: bool) -> int:
    """Returns how many batches a pass over so many rows has.

    Raises:
        TypeError: If `batch_size` is not an integer.
        ValueError: If a batch holds a sample's views in part, or all rows are left out.
    """
    if check_integer("batch_size", batch_size, 1, example=32) % views_per_step:
        rule = f"be a multiple of views_per_step={views_per_step}, so that it holds whole samples"
        raise wrong("batch_size", rule, batch_size, example=32 * views_per_step)
    if drop_remainder and batch_size > rows:
        rule = f"be at most {rows}, the number of rows, when drop_remainder=True"
        raise wrong("batch_size", rule, batch_size, example=rows)
    return rows // batch_size if drop_remainder else -(-rows // batch_size)


def labels(samples: int, y: Any, sample_weight: Any) -> dict[str, Any]:
    """Returns labels and weights as arrays, as far as they were given.

    Raises:
        TypeError: If they are not numbers.
        ValueError: If there are not as many as samples, or weights without labels.
    """
    if y is None and sample_weight is not None:
        mend = "Pass soft.dataset(x, y, sample_weight)"
        raise wrong("y", "be given beside sample_weight", y, expected="labels", mend=mend)
    arrays = {
        name: keras.tree.map_structure(np.asarray, value)
        for name, value in {"y": y, "sample_weight": sample_weight}.items()
        if value is not None
    }
    for name, value in arrays.items():
        for leaf in keras.tree.flatten(value):
            _check_leaf(name, leaf, samples)
    return arrays


def _check_leaf(name: str, leaf: np.ndarray, samples: int) -> None:
    if leaf.dtype.kind not in "biuf":
        raise refusal(
            f"{name} must be numbers",
            expected="class ids, rows of a class each, or weights",
            received=f"dtype {leaf.dtype}",
            mend="Map class names to 0, 1, ...: np.unique(y, return_inverse=True)[1]",
            error=TypeError,
        )
    if leaf.shape[:1] != (samples,):
        raise refusal(
            f"{name} must have one row for each of the {samples} samples",
            received=f"shape {leaf.shape}",
            mend="Pass arrays in the order of the samples, of several outputs a dict of arrays",
        )


def check_training_data(x: Any, record: np.dtype, what: str = "Training data") -> None:
    """Raises where a dataset carries no answers, or single rows."""
    spec = getattr(x, "element_spec", None)
    if spec is None:
        if are_arrays(x) and not batches.carries_answers(x):
            raise no_answers(what)
        return
    given = spec[0] if isinstance(spec, tuple) else spec
    if not batches.carries_answers(given):
        raise no_answers(what)
    name, answer = next(iter(batches.answers(given).items()))
    if name in record.names and answer.shape.rank == len(record[name].shape):
        raise refusal(
            f"{what} must come in batches",
            expected="soft.attach(dataset).shuffle(1024).batch(128)",
            received="single rows",
            mend="Call batch() after soft.attach(dataset)",
        )


def others_answers(described: str) -> ValueError:
    """Returns the error of training data from other labels than those that teach."""
    return refusal(
        "Training data must come from the SoftLabels that is the teacher",
        expected=described,
        received="a dataset of other soft labels",
        mend="Make the dataset of the same labels: soft.dataset(x, y) with teacher=soft",
    )


def no_answers(what: str = "Training data") -> ValueError:
    """Returns the error of training data without answers."""
    return refusal(
        f"{what} must carry the stored answers where the teacher is a SoftLabels",
        expected="soft.dataset(x, y, ...), or soft.attach(dataset) shuffled and batched",
        received="data without answers",
        mend="Pass soft.dataset(x, y, batch_size=128). A validation needs them for evaluate_terms "
        "and TeacherAgreement alone",
    )
