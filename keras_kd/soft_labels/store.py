"""SoftLabels: a teacher's stored answers, in place of the teacher."""

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_kd._errors import check_choice, check_integer
from keras_kd._extras import require_tensorflow
from keras_kd.soft_labels.agreement import Agreement, compare
from keras_kd.soft_labels.answers import StoredAnswers
from keras_kd.soft_labels.augmentation.draws import check_seed
from keras_kd.soft_labels.augmentation.stages import Augmentation
from keras_kd.soft_labels.storage import folder
from keras_kd.soft_labels.training import data_checks
from keras_kd.soft_labels.training.datasets import Training
from keras_kd.soft_labels.views import same_data
from keras_kd.soft_labels.views.sources import Arrays, Stream, source
from keras_kd.soft_labels.writing.job import Job
from keras_kd.soft_labels.writing.options import WriteOptions
from keras_kd.soft_labels.writing.teacher_checks import asked
from keras_kd.soft_labels.writing.writer import Questions

__all__ = ["SoftLabels"]


class SoftLabels(StoredAnswers):
    """A teacher's answers to every view of every sample, stored once and replayed exactly.

    Made by `SoftLabels.write` and `SoftLabels.open`. A student then trains at the cost of training
    without a teacher, on the very pixels that the teacher was shown:

    ```python
    soft = keras_kd.SoftLabels.write("labels/", teacher=teacher, data=x, augment=crop_flip,
                                     views=10)
    train = soft.dataset(x, y, batch_size=128)
    distiller = keras_kd.Distiller(student=student, teacher=soft)
    distiller.compile("adam", loss=cross_entropy)
    history = distiller.fit(train, epochs=30)
    ```

    Epoch `e` shows sample `i` its view `(e + i) mod views`. `Distiller.fit` sets the epoch, and
    `callback()` does for other models; who iterates by hand gets the next epoch with each pass.

    Attributes:
        samples: The number of samples.
        views: The number of views of each sample.
        heads: Dict of `keras_kd.heads.Head` by output name.

    Reference:
        - [Shen and Xing, A Fast Knowledge Distillation Framework for Visual Recognition, ECCV
            2022](https://arxiv.org/abs/2112.01528)
        - [Beyer et al., Knowledge distillation: A good teacher is patient and consistent, CVPR
            2022](https://arxiv.org/abs/2106.05237)
    """

    def __init__(
        self,
        content: dict[str, Any],
        shards: Any,
        augmentation: Augmentation | None,
        directory: Path | None,
    ):
        super().__init__(content, shards, directory)
        self._augmentation = augmentation

    @classmethod
    def write(
        cls,
        directory: str | os.PathLike[str] | None,
        *,
        teacher: Any,
        data: Any,
        augment: Any = None,
        views: int = 1,
        seed: int = 0,
        top_k: int | None = None,
        temperatures: Sequence[float] = (4.0,),
        dtype: str = "float16",
        signals: Sequence[str] = (),
        batch_size: int = 128,
        shard: tuple[int, int] = (0, 1),
        verbose: int = 1,
    ) -> "SoftLabels | None":
        """Asks the teacher once for every view of every sample.

        A folder that a killed `write` has left goes on where that stopped, and ends with the same
        bytes. One that is complete is opened.

        Args:
            directory: Where the answers go, about 21 bytes per view for 10 classes; `None` keeps
                them in memory.
            teacher: A `keras.Model`, one of `keras_kd.teachers`, or a list of these, of whose
                answers one mean is stored for each of `temperatures`.
            data: An array, or a dict or list of arrays; an unbatched `tf.data.Dataset` that gives
                the same samples in the same order each time, `x`, `(x, y)` or `(x, y, weight)`; or
                a TFDS builder, of which `"train"` is read. The student's input, or the raw data
                of a teacher that is a KerasHub task.
            augment: A pure function `(image, seed)` in TensorFlow's operations, one of
                `keras_kd.soft_labels`, or a `keras_kd.soft_labels.compose` of these.
            views: How many views of each sample the teacher is shown.
            seed: Seed of all draws.
            top_k: How many classes are kept, or all where there are no more. Default: all, up to
                256; 10 of more.
            temperatures: With `top_k`, and of several teachers: at which temperatures students
                will train. The sum of the other classes, or the mean, is kept for each of them.
            dtype: `"float16"` or `"float32"`.
            signals: Layer paths of the teacher whose signals are stored, too, for terms on
                features. Pooled ones are small: name the pooling layer.
            batch_size: Views that the teacher is shown at once.
            shard: `(i, n)` for the `i`-th of `n` workers, from 0. They write into one folder,
                without knowing of each other.
            verbose: 1 prints size and time, and a progress bar; 0 prints nothing.

        Returns:
            The labels, or `None` where other workers are not done yet.

        Raises:
            TypeError: If an argument is of the wrong type.
            ValueError: If one is out of range, `augment` is not pure, `data` has no stable order,
                the teacher gives NaN or Inf, or `directory` holds other labels.
            OSError: If the disk is full; what is finished stays.
            ImportError: If TensorFlow is not installed.
        """
        require_tensorflow("SoftLabels.write")
        options = WriteOptions(
            directory=directory,
            augment=augment,
            views=views,
            seed=seed,
            top_k=top_k,
            temperatures=temperatures,
            dtype=dtype,
            signals=signals,
            batch_size=batch_size,
            shard=shard,
            verbose=verbose,
        )
        job = Job.of(teacher, data, options)
        if options.directory is None:
            return cls(job.content, job.to_memory(), job.augmentation, None)
        content = job.to_folder()
        return content and cls._of(options.directory, content, job.augmentation)

    @classmethod
    def open(
        cls,
        directory: str | os.PathLike[str],
        *,
        augment: Any = None,
        verify: str = "lazy",
    ) -> "SoftLabels":
        """Opens what `write` has written.

        Args:
            directory: The folder.
            augment: The augmentation, where it has your own functions: no code comes from a
                folder. Those of `keras_kd.soft_labels` are found by their names.
            verify: `"lazy"` compares a shard with its checksum before its first use, `"full"` all
                of them now.

        Raises:
            FileNotFoundError: If it is not such a folder.
            ValueError: If it is unfinished, damaged or of a newer version, or if `augment` is
                another augmentation.
        """
        directory = folder.path_of(directory)
        check_choice("verify", verify, ("lazy", "full"))
        content = folder.read(directory)
        augmentation = same_data.known_augmentation(augment, content["augmentation"]["stages"])
        soft = cls._of(directory, content, augmentation)
        if verify == "full":
            for number in range(folder.layout_of(content).shards):
                soft._shards[number]
        return soft

    @classmethod
    def _of(cls, directory: Path, content: dict, augmentation: Augmentation | None) -> "SoftLabels":
        directory = directory.absolute()  # stays the same where the working directory changes
        shards = folder.stored(directory, content)
        return cls(content, shards, augmentation, directory)

    def fingerprint(self) -> str:
        """Returns a hash that tells these labels from others."""
        return hashlib.sha256(json.dumps(self._content, sort_keys=True).encode()).hexdigest()

    def dataset(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        batch_size: int = 32,
        shuffle: bool = True,
        seed: int = 0,
        views_per_step: int = 1,
        drop_remainder: bool = False,
        check: bool = True,
    ) -> Any:
        """Returns a `tf.data.Dataset` for `Distiller.fit`.

        Args:
            x: The samples that `write` was given, as arrays.
            y: Labels, an array or structure of arrays; none for training on the teacher alone.
                Integer labels come out one-hot where the augmentation mixes.
            sample_weight: Weights of the samples.
            batch_size: Rows in a batch.
            shuffle: Whether each epoch has an order of its own, drawn from `seed`.
            seed: Seed of the orders.
            views_per_step: How many views of a sample come in one batch. A pass over the data is
                then so many times as long.
            drop_remainder: Whether a last batch of fewer rows is left out.
            check: Whether each row's pixels are compared with those that the teacher was shown.

        Returns:
            Batches `({"keras_kd.input": ..., "keras_kd.answers": ...}, y, sample_weight)`, as far
            as they were given.

        Raises:
            ValueError: If the data or the augmentation are others than those of `write`.
        """
        require_tensorflow("SoftLabels.dataset")
        data = data_checks.samples(x)
        labels = data_checks.labels(data.samples, y, sample_weight)
        seed = check_seed(seed)
        data_checks.check_steps(views_per_step, self.views)
        rows = self.samples * views_per_step
        batches = data_checks.batches_of(rows, batch_size, views_per_step, drop_remainder)
        training = self._training(data, views_per_step, check)
        return training.of_arrays(
            data,
            labels,
            self.new_epochs(batches),
            batch_size=batch_size,
            shuffle=seed if shuffle else None,
            drop_remainder=drop_remainder,
        )

    def attach(self, dataset: Any, *, views_per_step: int = 1, check: bool = True) -> Any:
        """Returns single rows of an unbatched dataset, to be shuffled and batched.

        Args:
            dataset: What `write` was given: `x`, `(x, y)` or `(x, y, sample_weight)`, or a TFDS
                builder, in the order in which they were written.
            views_per_step: How many views of a sample follow each other, made of one sample that
                is read and decoded once.
            check: As in `dataset`.

        Returns:
            A `tf.data.Dataset` of `({"keras_kd.input": ..., "keras_kd.answers": ...}, y,
            sample_weight)`, as far as they were given.

        Raises:
            ValueError: As in `dataset`; in `Distiller.fit`, if the order is another one. In a
                loop of your own that is a `tf.errors.InvalidArgumentError`.
        """
        require_tensorflow("SoftLabels.attach")
        data = data_checks.stream(dataset, self.samples)
        data_checks.check_steps(views_per_step, self.views)
        training = self._training(data, views_per_step, check)
        return training.of_stream(data, self.new_epochs(None))

    def check(self, teacher: Any, data: Any, n: int = 64) -> Agreement:
        """Asks the teacher again and compares.

        Args:
            teacher: As given to `write`.
            data: As given to `write`.
            n: How many samples, evenly spread; the first ones of a dataset.

        Returns:
            What was found; `print` it.

        Raises:
            ValueError: If teacher, data or augmentation are others, or the answers differ by more
                than their storage explains.
        """
        check_integer("n", n, 1, example=64)
        data = source(data, samples=self.samples)
        replay = same_data.replay(self._content, self._augmentation, data)
        ids = data.evenly_chosen(n)
        views = np.arange(len(ids)) % self.views
        temperatures = next((r.temperatures for r in self._records.values() if r.averaged), ())
        questions = Questions(asked(teacher), data, replay, len(ids), temperatures)
        fresh = questions.answers(questions.about(ids, views))
        return compare(fresh, self.read(ids, views), self._records, self.heads)

    def _training(self, data: Arrays | Stream, views_per_step: int, check: bool) -> Training:
        return Training(
            same_data.replay(self._content, self._augmentation, data),
            self.read_checked,
            check=check,
            views_per_step=views_per_step,
            heads=self.heads,
        )
