"""What a Distiller does in its student's name."""

import os
from typing import Any

from keras import ops

from keras_kd import _keras
from keras_kd._errors import refusal
from keras_kd.distiller import weights_file
from keras_kd.networks.heads import LogitsModel
from keras_kd.networks.ports import Inputs

__all__ = ["AsStudent"]


def _of_student(name: str, doc: str) -> property:
    return property(lambda self: getattr(self.student, name), doc=doc)


class AsStudent(_keras.BuiltByWorkers):
    """A model that is its student, seen from outside.

    Args:
        logits: The student, with the logits and signals that are compared.
        **kwargs: As in `keras.Model`.

    Attributes:
        student: The student.
    """

    def __init__(self, logits: LogitsModel, **kwargs: Any):
        super().__init__(**kwargs)
        self.student = logits.model
        self._logits = logits
        self._student_inputs = Inputs(logits.model)
        self.built = self.supports_masking = True

    output_names = _of_student(
        "output_names", "The student's output names, to which Keras matches losses and metrics."
    )
    inputs = _of_student("inputs", "The student's symbolic inputs, where it has some.")
    outputs = _of_student("outputs", "The student's symbolic outputs, where it has some.")
    input_shape = _of_student("input_shape", "The shapes that the student takes, if known.")
    output_shape = _of_student("output_shape", "The shapes that the student gives, if known.")

    @property
    def student_heads(self) -> dict[str, str | None]:
        """`"logits"`, `"softmax"` or `"sigmoid"` by output, `None` where nobody has said."""
        return {name: head.kind for name, head in self._logits.heads.items()}

    def __dir__(self) -> list[str]:
        # Keras saves what dir() leads to.
        hidden = ("inputs", "outputs", "input_shape", "output_shape")
        return [name for name in super().__dir__() if name not in hidden]

    def compute_mask(self, *args: Any) -> None:
        """Returns none: the student's outputs carry their own."""

    def export(self, filepath: str | os.PathLike[str], *args: Any, **kwargs: Any) -> Any:
        """Exports the student alone, as `keras.Model.export` in all of its formats.

        `keras_kd.export` has files that are run and compared before they are handed over.

        Args:
            filepath: Where to.
            *args: As in `keras.Model.export`.
            **kwargs: As in `keras.Model.export`.
        """
        return self.student.export(filepath, *args, **kwargs)

    def save(self, filepath: Any, *args: Any, **kwargs: Any) -> None:
        """Saves student, terms, settings and optimizer, as `keras.Model.save`; never the teacher.

        Args:
            filepath: A `.keras` file.
            *args: As in `keras.Model.save`.
            **kwargs: As in `keras.Model.save`.

        Raises:
            ValueError: If the file would be HDF5, which cannot be loaded again.
        """
        if str(filepath).endswith((".h5", ".hdf5")):
            raise refusal(
                "A Distiller must be saved in Keras' own format",
                expected="a path that ends in .keras",
                received=repr(str(filepath)),
                mend="Save the student alone, distiller.student.save(path), or only weights, "
                "distiller.save_weights('x.weights.h5')",
            )
        super().save(filepath, *args, **kwargs)

    def save_weights(self, filepath: Any, *args: Any, **kwargs: Any) -> None:
        """Saves all weights, as `keras.Model.save_weights`, and so that the student can load them.

        Args:
            filepath: A `.weights.h5` file. What `max_shard_size` splits is the Distiller's alone.
            *args: As in `keras.Model.save_weights`.
            **kwargs: As in `keras.Model.save_weights`.
        """
        super().save_weights(filepath, *args, **kwargs)
        weights_file.serve_the_student(filepath)

    def load_weights(self, filepath: Any, *args: Any, **kwargs: Any) -> None:
        """Loads what `save_weights` has saved, of a Distiller or of the student alone.

        Args:
            filepath: The file.
            *args: As in `keras.Model.load_weights`.
            **kwargs: As in `keras.Model.load_weights`.
        """
        if weights_file.is_the_students(filepath):
            self.student.load_weights(filepath, *args, **kwargs)
            return
        with weights_file.as_keras_wrote_it(filepath) as path:
            super().load_weights(path, *args, **kwargs)

    def save_own_variables(self, store: Any) -> None:
        """Saves the model's own variables, and how far the student's random numbers are."""
        super().save_own_variables(store)
        for number, generator in enumerate(_keras.seed_generators(self)):
            store[f"seed_{number}"] = ops.convert_to_numpy(generator.state)

    def load_own_variables(self, store: Any) -> None:
        """Loads what `save_own_variables` has saved."""
        names = store.keys()  # all that every store of Keras has of a dict
        saved = {name: store[name] for name in names}
        for number, generator in enumerate(_keras.seed_generators(self)):
            generator.state.assign(saved.pop(f"seed_{number}", generator.state))
        super().load_own_variables(saved)
