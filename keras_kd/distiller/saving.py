"""What is saved of a Distiller, and how it comes back."""

from typing import Any

import keras
from keras import ops

from keras_kd import _keras
from keras_kd._errors import message
from keras_kd.distiller import weights_file
from keras_kd.distiller.settings import LiveSettings
from keras_kd.teachers.teacher import NoTeacher


class SavedWithoutTeacher(LiveSettings):
    """The part of a Distiller that writes it down: student, terms, settings; never the teacher.

    The Distiller sets what is declared here.
    """

    student: keras.Model
    _heads_given: dict[str, str | dict[str, str] | None]

    def __dir__(self) -> list[str]:
        # Keras saves every model that dir() leads to.
        hidden = ("teacher", "_teacher_given", "observers", "_observers")
        return [name for name in super().__dir__() if name not in hidden]

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
            raise ValueError(
                message(
                    "A Distiller must be saved in Keras' own format",
                    expected="a path that ends in .keras",
                    received=repr(str(filepath)),
                    mend="Save the student alone, distiller.student.save(path), or only weights, "
                    "distiller.save_weights('x.weights.h5')",
                )
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
        """Saves the Distiller's own variables, and how far the student's random numbers are."""
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

    def get_config(self) -> dict[str, Any]:
        """Returns student, terms and heads; never the teacher."""
        serialize = keras.saving.serialize_keras_object
        return {
            "student": serialize(self.student),
            "terms": None if self._plain else [serialize(term) for term in self._terms],
            "name": self.name,
            **({"taught": self._teacher.kinds(self._logits.names)} if self._plain else {}),
            **{key: keras.tree.map_structure(str, v) for key, v in self._heads_given.items() if v},
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: Any = None
    ) -> "SavedWithoutTeacher":
        """Rebuilds a Distiller without teacher; set `distiller.teacher` to train on."""
        student, terms = keras.saving.deserialize_keras_object(
            [config["student"], config["terms"]], custom_objects=custom_objects
        )
        config = {**config, "student": student, "terms": terms}
        teacher = NoTeacher(config.pop("taught", None))
        return cls(**config, teacher=teacher)

    def get_compile_config(self) -> dict[str, Any]:
        """Returns what `compile` was given, with alpha, temperature and weights as they are now."""
        config = super().get_compile_config()
        if config and self._plain:
            config.update(alpha=float(self.alpha), temperature=float(self.temperature))
        elif config:
            config.update(hard_weight=float(self.hard_weight))
        if config and self.evaluates_terms:
            config.update(evaluate_terms=True)
        return config

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compiles from `get_compile_config()` and creates the optimizer's variables."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.optimizer is not None:
            self.optimizer.build(self.trainable_variables)
