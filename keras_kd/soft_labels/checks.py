"""What is refused before anything is asked, read or trained."""

import os
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_kd._errors import check_count, check_number, message
from keras_kd.soft_labels.storage.records import CHECK
from keras_kd.soft_labels.views.sources import Arrays, Stream, source
from keras_kd.teachers import batch as batches


def check_write(
    *,
    directory: Any,
    augment: Any,
    views: Any,
    seed: Any,
    top_k: Any,
    temperatures: Any,
    dtype: Any,
    signals: Any,
    batch_size: Any,
    shard: Any,
) -> None:
    """Raises where an argument of `write` is of the wrong type or out of range."""
    if directory is not None:
        check_path(directory)
    check_count("views", views)
    check_count("batch_size", batch_size)
    if top_k is not None:
        check_count("top_k", top_k)
    check_seed(seed)
    _check_storage(dtype, signals, temperatures)
    _check_shard(shard, directory)
    if augment is None and views > 1:
        raise ValueError(
            message(
                "views must be 1 without augment, which makes them differ",
                expected="1",
                received=repr(views),
                mend="Pass augment=keras_kd.soft_labels.crop_flip",
            )
        )


def _check_storage(dtype: Any, signals: Any, temperatures: Any) -> None:
    if dtype not in ("float16", "float32"):
        raise ValueError(
            _wrong("dtype", "be a stored one", "'float16' or 'float32'", dtype, "'float16'")
        )
    paths = isinstance(signals, Sequence) and all(isinstance(path, str) for path in signals)
    if isinstance(signals, str) or not paths:
        raise TypeError(_wrong("signals", "be a list of layer paths", "strings", signals, ["pool"]))
    if not isinstance(temperatures, Sequence) or not temperatures:
        raise TypeError(
            _wrong("temperatures", "be a list of numbers", "floats", temperatures, [4.0])
        )
    for number, temperature in enumerate(temperatures):
        check_number(f"temperatures[{number}]", temperature, "above 0")


def _check_shard(shard: Any, directory: Any) -> None:
    pair = isinstance(shard, Sequence) and len(shard) == 2 and all(map(_is_integer, shard))
    if not pair or not 0 <= shard[0] < shard[1]:
        raise ValueError(
            _wrong("shard", "be (i, n) with 0 <= i < n", "two integers", shard, (0, 4))
        )
    if directory is None and tuple(shard) != (0, 1):
        raise ValueError(_wrong("shard", "be left out in memory", "(0, 1)", shard, (0, 1)))


def check_path(directory: Any) -> None:
    """Raises where something else stands for a folder's path, or nothing does."""
    path = os.fspath(directory) if isinstance(directory, str | os.PathLike) else None
    if not isinstance(path, str) or not path or "\0" in path:
        expected, kind = "a folder's path", ValueError if isinstance(path, str) else TypeError
        raise kind(_wrong("directory", "be a path", expected, directory, "'labels/'"))


def check_seed(seed: Any) -> None:
    """Raises where a seed is no integer of 63 bits."""
    if not _is_integer(seed):
        raise TypeError(_wrong("seed", "be an integer", "an int", seed, 0))
    if not 0 <= seed < 2**63:
        raise ValueError(_wrong("seed", "be from 0 to 2**63 - 1", "such an int", seed, 0))


def check_epoch(epoch: Any) -> None:
    """Raises where a number is no integer from 0."""
    if not _is_integer(epoch) or epoch < 0:
        raise ValueError(_wrong("epoch", "be an integer of at least 0", "an int from 0", epoch, 0))


def check_range(name: str, values: np.ndarray, size: int) -> None:
    """Raises where numbers are no indices of `size` things."""
    if values.dtype.kind not in "iu" or values.ndim != 1:
        received = f"{values.dtype} of shape {values.shape}"
        raise TypeError(
            _wrong(name, "be integers (n,)", "a vector of integers", received, "np.arange(10)")
        )
    if len(values) and not (values.min() >= 0 and values.max() < size):
        expected = f"0 to {size - 1}"
        received = f"{values.min()} to {values.max()}"
        raise ValueError(_wrong(name, "be there", expected, received, "np.arange(10)"))


def check_pairs(ids: np.ndarray, views: np.ndarray) -> None:
    """Raises where there is not one view for each sample."""
    if len(ids) != len(views):
        raise ValueError(
            _wrong("views", "be as many as ids", f"{len(ids)}", len(views), "ids % soft.views")
        )


def check_fields(answers: dict[str, Any], record: np.dtype) -> None:
    """Raises where a batch carries other labels' answers."""
    expected = {name: record[name].shape for name in record.names if name != CHECK}
    received = {name: tuple(values.shape[1:]) for name, values in answers.items()}
    if received != expected:
        raise ValueError(
            message(
                "Training data must carry the answers of the SoftLabels that teach",
                expected=f"{expected}",
                received=f"{received}",
                mend="Train on the dataset of the same labels, teacher=soft and soft.dataset(x, y)",
            )
        )


def check_verify(verify: Any) -> None:
    """Raises where `verify` is not one of its values."""
    if verify not in ("lazy", "full"):
        raise ValueError(_wrong("verify", "say when", "'lazy' or 'full'", verify, "'full'"))


def check_steps(views_per_step: Any, views: int, batch_size: Any = None) -> None:
    """Raises where the views of a step do not fit into the batch, or are not there."""
    check_count("views_per_step", views_per_step)
    if views_per_step > views:
        raise ValueError(
            _wrong(
                "views_per_step",
                "not exceed the stored views",
                f"1 to {views}",
                views_per_step,
                views,
            )
        )
    if batch_size is not None:
        check_count("batch_size", batch_size)
        if batch_size % views_per_step:
            expected = f"a multiple of views_per_step={views_per_step}"
            raise ValueError(
                _wrong(
                    "batch_size", "hold whole samples", expected, batch_size, 32 * views_per_step
                )
            )


def samples(x: Any) -> Arrays | Stream:
    """Returns what samples and labels apart were given as.

    Raises:
        TypeError: If labels came with the samples.
    """
    if isinstance(x, tuple):
        raise TypeError(
            _wrong("x", "be the samples alone", "soft.dataset(x, y)", "a tuple", "x_train")
        )
    return source(x)


def check_batches(batches: int, rows: int) -> None:
    """Raises where all rows are left out as a remainder."""
    if not batches:
        raise ValueError(
            _wrong("batch_size", "leave a batch over", f"at most {rows}", "more", rows)
        )


def labels(samples: int, y: Any, sample_weight: Any) -> dict[str, Any]:
    """Returns labels and weights as arrays, as far as they were given.

    Raises:
        ValueError: If there are not as many as samples, or weights without labels.
    """
    given = {"y": y, "sample_weight": sample_weight}
    if y is None and sample_weight is not None:
        raise ValueError(_wrong("y", "be given beside sample_weight", "labels", None, "y_train"))
    arrays = {
        name: keras.tree.map_structure(np.asarray, value)
        for name, value in given.items()
        if value is not None
    }
    for name, value in arrays.items():
        for leaf in keras.tree.flatten(value):
            if leaf.dtype.kind not in "biuf":
                raise TypeError(
                    message(
                        f"{name} must be numbers",
                        expected="class ids, rows of a class each, or weights",
                        received=f"dtype {leaf.dtype}",
                        mend="Map class names to 0, 1, ...: np.unique(y, return_inverse=True)[1]",
                    )
                )
            if leaf.shape[:1] != (samples,):
                raise ValueError(
                    message(
                        f"{name} must fit the samples",
                        expected=f"{samples} of them, one per sample",
                        received=f"shape {leaf.shape}",
                        mend="Pass arrays, np.asarray(y), in the order of the samples; of several "
                        "outputs a dict of them",
                    )
                )
    return arrays


def wrong_kind(method: str, other: str) -> TypeError:
    """Returns the error of data that belong into another method."""
    return TypeError(
        message(
            f"{method} must be given {'arrays' if method == 'dataset' else 'a tf.data.Dataset'}",
            expected="what SoftLabels.write was given",
            received="a tf.data.Dataset" if method == "dataset" else "arrays",
            mend=f"Use soft.{other}(...)",
        )
    )


def check_training_data(x: Any, record: np.dtype) -> None:
    """Raises where a dataset carries no answers, or single rows."""
    spec = getattr(x, "element_spec", None)
    if spec is None:
        return
    given = spec[0] if isinstance(spec, tuple) else spec
    if not batches.carries_answers(given):
        raise no_answers()
    name, answer = next(iter(batches.answers(given).items()))
    if name in record.names and answer.shape.rank == len(record[name].shape):
        raise ValueError(
            message(
                "Training data must come in batches",
                expected="soft.attach(dataset).shuffle(1024).batch(128)",
                received="single rows",
                mend="Call batch() behind soft.attach(dataset)",
            )
        )


def others_answers(described: str) -> ValueError:
    """Returns the error of training data from other labels than those that teach."""
    return ValueError(
        message(
            "Training data must come from the SoftLabels that is the teacher",
            expected=described,
            received="a dataset of other soft labels",
            mend="Make the dataset of the same labels: soft.dataset(x, y) with teacher=soft",
        )
    )


def no_answers() -> ValueError:
    """Returns the error of training data without answers."""
    return ValueError(
        message(
            "Training data must carry the stored answers where the teacher is a SoftLabels",
            expected="soft.dataset(x, y, ...), or soft.attach(dataset) shuffled and batched",
            received="data without answers",
            mend="Call distiller.fit(soft.dataset(x, y, batch_size=128))",
        )
    )


def _is_integer(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _wrong(name: str, rule: str, expected: str, received: Any, example: Any) -> str:
    return message(
        f"{name} must {rule}",
        expected=expected,
        received=repr(received),
        mend=f"Pass e.g. {name}={example}",
    )
