"""What a Distiller answers in its student's name."""

import os
from typing import Any

import keras

from keras_kd.networks.heads import LogitsModel


class AsStudent(keras.Model):
    """The part of a Distiller that is its student, seen from outside.

    The Distiller sets what is declared here.
    """

    student: keras.Model
    _logits: LogitsModel

    def __dir__(self) -> list[str]:
        # Keras saves what dir() leads to.
        hidden = ("inputs", "outputs", "input_shape", "output_shape")
        return [name for name in super().__dir__() if name not in hidden]

    def export(self, filepath: str | os.PathLike[str], *args: Any, **kwargs: Any) -> Any:
        """Exports the student alone, as `keras.Model.export` in all of its formats.

        `keras_kd.export` has files that are run and compared before they are handed over.

        Args:
            filepath: Where to.
            *args: As in `keras.Model.export`.
            **kwargs: As in `keras.Model.export`.
        """
        return self.student.export(filepath, *args, **kwargs)

    @property
    def student_heads(self) -> dict[str, str | None]:
        """`"logits"`, `"softmax"` or `"sigmoid"` by output, `None` where nobody has said."""
        return {name: head.kind for name, head in self._logits.heads.items()}

    @property
    def output_names(self) -> list[str]:
        """The student's output names, to which Keras matches losses and metrics."""
        return self.student.output_names

    @property
    def inputs(self) -> list[keras.KerasTensor]:
        """The student's symbolic inputs, where it has some."""
        return self.student.inputs

    @property
    def outputs(self) -> list[keras.KerasTensor]:
        """The student's symbolic outputs, where it has some."""
        return self.student.outputs

    @property
    def input_shape(self) -> Any:
        """The shapes that the student takes, where they are known."""
        return self.student.input_shape

    @property
    def output_shape(self) -> Any:
        """The shapes that the student gives, where they are known."""
        return self.student.output_shape

    @property
    def metrics_names(self) -> list[str]:
        """The names of Keras' own metrics."""
        own = (self._watch.name, self._columns.name)
        return [name for name in super().metrics_names if name not in own]
