"""Where the teacher's signals come from."""

from typing import Any

import keras

from keras_kd._errors import message
from keras_kd.heads import Head, LogitsModel
from keras_kd.models import check_model


class ModelTeacher:
    """A `keras.Model` that is asked online, in inference mode and without gradient.

    A plain object, so that a Distiller that holds it neither tracks nor saves the model.

    Args:
        model: A built model. It is not changed, its `trainable` flag included.
        head: As in `keras_kd.heads.LogitsModel`.

    Raises:
        TypeError: If `model` is not a `keras.Model`.
        ValueError: If it is not built.
    """

    def __init__(self, model: keras.Model, head: str | dict | None = None):
        self.model = check_model(model, "teacher")
        self._logits = LogitsModel(model, head, role="teacher")

    @property
    def heads(self) -> dict[str, Head]:
        """The heads by output name, in order."""
        return self._logits.heads

    @property
    def keyed(self) -> bool:
        """Whether the model returns a dict, so that its outputs are known by name."""
        return self._logits.keyed

    @property
    def inverted(self) -> dict[str, bool]:
        """Whether each output's logits come from its probabilities' logarithm, by name."""
        return self._logits.inverted

    def __call__(self, x: Any, names: list[str]) -> dict[str, Any]:
        """Returns the logits by the student's output names: by key for dicts, else in order."""
        _, logits = self._logits(x, training=False)
        if self.keyed and len(names) > 1:
            return {name: logits[name] for name in names}
        return dict(zip(names, logits.values()))


class NoTeacher:
    """The place of the teacher in a Distiller that has just been loaded."""

    model = None

    def __call__(self, x: Any, names: list[str]) -> dict[str, Any]:
        """Raises, for there is nobody to ask."""
        raise ValueError(
            message(
                "The teacher must be set before training",
                expected="a keras.Model",
                received="no teacher, for saved Distillers do not hold one",
                mend="Set distiller.teacher = teacher",
            )
        )
