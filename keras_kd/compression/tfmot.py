"""The bridge to tensorflow-model-optimization (TFMOT), for those who have annotated models."""

import json
from typing import Any

import keras

from keras_kd import _keras
from keras_kd._errors import check_type, refusal
from keras_kd.compression.tf_keras_port import packages, to_tf_keras

__all__ = ["Adopted", "adopt", "to_tf_keras"]


def adopt(model: Any) -> keras.Model:
    """Returns a Keras 3 student over the variables of an annotated tf_keras model.

    Ranges follow the data and pruning steps go on in each training step, without a callback; the
    weights that a mask has taken are 0 after each step. `model` trains with the student, as the
    variables are the same: `tfmot.sparsity.keras.strip_pruning(model)` works afterwards. A student
    whose `model` is quantisation-aware is exported to int8 without calibration samples, given
    `verify=`.

    The student is one layer; terms on its inner layers are not possible. Where it ends in a softmax
    say so: `Distiller(student_head="softmax")`.

    Args:
        model: A built `tf_keras` model, e.g. of `tfmot.quantization.keras.quantize_model` or
            `tfmot.sparsity.keras.prune_low_magnitude`.

    Returns:
        A Keras model like any other.

    Raises:
        TypeError: If `model` is not a tf_keras model.
        ValueError: If it is not built, or was annotated without `quantize_apply`.
        ImportError: If TFMOT is missing, with the command to type.

    Example:
    ```python
    annotated = tfmot.quantization.keras.quantize_model(tf_keras_model)
    student = keras_kd.compression.tfmot.adopt(annotated)
    distiller = keras_kd.Distiller(student=student, teacher=teacher)
    ```
    """
    tf_keras, _ = packages()
    expected = "a model of tf_keras, which tensorflow-model-optimization annotates"
    mend = "Port a Keras 3 student first: compression.tfmot.to_tf_keras(student)"
    check_type("model", model, tf_keras.Model, "be a tf_keras model", expected=expected, mend=mend)
    if not model.built or not model.inputs:
        raise _refused("be built from tf_keras.Input", f"{model.name!r} of unknown inputs")
    annotated = [x.name for x in model.layers if type(x).__name__ == "QuantizeAnnotate"]
    if annotated:
        raise _refused("be quantised, not annotated alone", f"{annotated[0]!r}, annotated")
    inputs = [
        keras.Input(tuple(x.shape[1:]), name=_clean(x.name), dtype=x.dtype.name)
        for x in model.inputs
    ]
    given = inputs if len(inputs) > 1 else inputs[0]
    name = _clean(model.layers[-1].name)
    return keras.Model(given, Adopted(model, name=name)(given), name=_clean(model.name))


def _refused(rule: str, received: str) -> ValueError:
    return refusal(
        f"model must {rule}",
        expected="what tfmot's quantize_model, quantize_apply or prune_low_magnitude returned",
        received=received,
        mend="Call tfmot.quantization.keras.quantize_apply(model), or give it an Input",
    )


def _clean(name: str) -> str:
    return name.split(":")[0].replace("/", "_")


@keras.saving.register_keras_serializable("keras_kd")
class Adopted(keras.layers.Layer):
    """Calls a tf_keras model, whose variables are this layer's.

    Args:
        twin: The tf_keras model.
    """

    # tf_keras and TFMOT assign under conditions, which XLA cannot compile.
    supports_jit = False

    def __init__(self, twin: Any, **kwargs: Any):
        super().__init__(autocast=False, **kwargs)
        self.supports_jit = False
        _keras.set_untracked(self, "_twin", twin)
        trained = {id(variable) for variable in twin.trainable_variables}
        self.adopted = [
            keras.Variable(
                initializer=variable,
                trainable=id(variable) in trained,
                dtype=variable.dtype.name,
                name=_clean(variable.name),
            )
            for variable in twin.variables
        ]
        self._prune()
        self.built = True

    @property
    def twin(self) -> Any:
        """The tf_keras model."""
        return self._twin

    @property
    def gives_logits(self) -> bool:
        """Whether the model ends in a linear layer."""
        last = self._twin.layers[-1]
        last = getattr(last, "layer", last)
        activation = getattr(last, "activation", None)
        activation = getattr(activation, "activation", activation)  # of TFMOT's wrapper
        return getattr(activation, "__name__", None) == "linear"

    def _prune(self) -> None:
        """Keeps what masks have taken at 0 after the optimizer's step."""
        parts = [x for x in self._twin.submodules if hasattr(x, "pruning_vars")]
        masks = {id(w): mask for x in parts for w, mask, _ in x.pruning_vars}
        for part in parts:  # TFMOT's callback makes 0 of its -1, and each call in training adds 1
            part.pruning_step.assign(max(0, int(part.pruning_step)))
        for variable in self.adopted:
            mask = masks.get(id(variable.value))
            if mask is not None:
                variable.constraint = _Masked(mask, variable.value.constraint)
        # Pruned layers assign to their weights in inference, too, which no file could hold.
        plain = packages()[1].sparsity.keras.strip_pruning(self._twin) if parts else self._twin
        _keras.set_untracked(self, "_plain", plain)

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Calls the tf_keras model."""
        if not training:
            return self._plain(inputs, training=False)
        outputs = self._twin(inputs, training=True)
        for loss in self._twin.losses:
            self.add_loss(loss)
        return outputs

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        """Returns the symbolic outputs."""
        outputs = [keras.KerasTensor(tuple(x.shape), x.dtype.name) for x in self._twin.outputs]
        return outputs if len(outputs) > 1 else outputs[0]

    def get_config(self) -> dict[str, Any]:
        """Returns the tf_keras model's architecture."""
        return {**super().get_config(), "architecture": self._twin.to_json()}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Adopted":
        """Rebuilds the tf_keras model."""
        tf_keras, tfmot = packages()
        config = dict(config)
        architecture = json.dumps(_built_by_calls(json.loads(config.pop("architecture"))))
        with tfmot.quantization.keras.quantize_scope(), tfmot.sparsity.keras.prune_scope():
            return cls(tf_keras.models.model_from_json(architecture), **config)


def _built_by_calls(config: Any) -> Any:
    """Returns a configuration without shapes to build layers for, as TFMOT's make weights anew."""
    if isinstance(config, list):
        return [_built_by_calls(each) for each in config]
    if not isinstance(config, dict):
        return config
    return {key: _built_by_calls(each) for key, each in config.items() if key != "build_config"}


class _Masked(keras.constraints.Constraint):
    """Multiplies a kernel by its mask, after its own constraint."""

    def __init__(self, mask: Any, own: Any):
        self._mask, self._own = mask, own

    def __call__(self, kernel: Any) -> Any:
        kernel = keras.ops.convert_to_tensor(kernel)
        return (self._own(kernel) if self._own is not None else kernel) * self._mask
