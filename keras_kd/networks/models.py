"""What may be a student or a teacher."""

import os
import warnings
from collections.abc import Sequence
from typing import Any

import keras

from keras_kd import _keras
from keras_kd._errors import check_type, reason, refusal, wrong

__all__ = [
    "STEPS",
    "LayerModel",
    "check_model",
    "check_outputs_are_fixed",
    "check_stateless",
    "layers_between",
    "not_made_again",
    "own_methods",
    "teacher_model",
    "training_policy",
    "warn_of_unused",
]

# What `fit`, `evaluate` and `predict` call for each batch.
STEPS = ("train_step", "compute_loss", "test_step", "compute_metrics", "predict_step")


def check_model(model: Any, role: str) -> keras.Model:
    """Returns `model` if it is a built `keras.Model`, else raises in the name of its role.

    Raises:
        TypeError: If `model` is not a `keras.Model`, or is a Distiller.
        ValueError: If it is not built.
    """
    if _is_distiller(model):
        raise refusal(
            f"{role} must be a model itself, not a Distiller around it",
            received=f"{model.name!r} of type {type(model).__name__}",
            mend=f"Pass its student: {role}={model.name}.student",
            error=TypeError,
        )
    mend = f"Pass {role}=keras.Model(...)"
    if role == "teacher" and callable(getattr(model, "predict_proba", model)):
        mend = "Wrap what is not a Keras model: keras_kd.teachers.Function(fn, head='softmax')"
    if isinstance(model, (str, os.PathLike)):
        mend = (
            "Load it: keras.saving.load_model(path), or keras_kd.teachers.TFLite, ONNX, SavedModel"
        )
    check_type(role, model, keras.Model, "be a Keras model", expected="a keras.Model", mend=mend)
    if not model.built:
        mend = "Start it with keras.Input(shape), or call it on one batch"
        raise wrong(role, "be built", model, expected="a model that has its weights", mend=mend)
    return model


def _is_distiller(model: Any) -> bool:
    """Whether it is a Distiller: this one, that of `keras.distillation`, or keras.io's example."""
    is_model = isinstance(model, keras.Model) and hasattr(model, "teacher")
    return is_model and isinstance(getattr(model, "student", None), keras.Model)


def teacher_model(model: Any) -> keras.Model:
    """Returns a teacher as a built model that answers each batch by itself.

    Raises:
        TypeError: If it is neither a `keras.Model` nor a built layer.
        ValueError: If it is not built, or carries a state from batch to batch.
    """
    if isinstance(model, keras.layers.Layer) and not isinstance(model, keras.Model):
        model = LayerModel(_check_built(model))
    model = check_model(model, "teacher")
    check_stateless(model, "teacher")
    return model


def check_stateless(model: keras.Model, role: str) -> None:
    """Raises where layers carry a state from one call to the next.

    Raises:
        ValueError: If there are some.
    """
    stateful = [lay.name for lay in _keras.all_layers(model) if getattr(lay, "stateful", False)]
    if stateful:
        raise refusal(
            f"{role} must answer each batch by itself, whatever came before",
            expected="layers with stateful=False, which carry no state from call to call",
            received=f"stateful=True in {stateful}",
            mend="Build it so and copy the weights: again.set_weights(model.get_weights())",
        )


def not_made_again(
    what: str,
    error: Exception,
    mend: str = "Give their classes get_config and @keras.saving.register_keras_serializable",
) -> Exception:
    """Returns the error of layers that Keras cannot make again from their configuration."""
    return refusal(
        f"{what} must be what Keras can make again",
        expected="layers with get_config and from_config, like all of Keras' own",
        received=reason(error),
        mend=mend,
    )


def _check_built(layer: keras.layers.Layer) -> keras.layers.Layer:
    if layer.built:
        return layer
    raise refusal(
        "teacher must be a Keras model, or a built layer",
        expected="a keras.Model, or a layer that has its weights",
        received=f"{layer.name!r}, a {type(layer).__name__} that is not built",
        mend="Call it on one batch, or load its weights",
        error=TypeError,
    )


class LayerModel(keras.Model):
    """A layer as a model, which does not show its graph. The layer is called, not copied.

    Args:
        layer: A layer that takes one argument.
    """

    def __init__(self, layer: keras.layers.Layer):
        super().__init__(name=layer.name, autocast=False)
        self.layer = layer
        self.built = True

    def call(self, inputs: Any) -> Any:
        """Returns what the layer gives."""
        return self.layer(inputs)


def training_policy(model: keras.Model) -> str:
    """Returns `"mixed_float16"`, which needs loss scaling, if a layer of `model` has it."""
    mixed = any(layer.dtype_policy.name == "mixed_float16" for layer in _keras.all_layers(model))
    return "mixed_float16" if mixed else "float32"


def own_methods(model: keras.Model, names: Sequence[str]) -> list[str]:
    """Returns which of some methods a model's class has written itself, instead of Keras."""
    methods = {name: getattr(type(model), name, None) for name in names}
    return [name for name, m in methods.items() if m and m.__module__.split(".")[0] != "keras"]


def warn_of_unused(student: keras.Model) -> None:
    """Warns of what a student does in its own training, and not as a Distiller's student."""
    overridden = own_methods(student, STEPS)
    if overridden:
        warnings.warn(
            f"The Distiller trains and evaluates in its own way and never calls "
            f"{type(student).__name__}.{f', {type(student).__name__}.'.join(overridden)}. Pass its "
            "losses as loss= or terms=, or add them in call with add_loss.",
            stacklevel=3,
        )
    random = [
        part.name
        for layer in layers_between(student)
        for part in _keras.all_layers(layer)
        # Keras' own name in all layers that augment images.
        if hasattr(part, "get_random_transformation") and _keras.seed_generators(part)
    ]
    if random:
        warnings.warn(
            f"Layers inside the student augment its images while it trains, so it sees other views "
            f"than the teacher: {', '.join(dict.fromkeys(random))}. Augment in the input pipeline, "
            "before both see the batch, or with augment= of keras_kd.SoftLabels.write.",
            stacklevel=3,
        )


def layers_between(model: keras.layers.Layer) -> list[keras.layers.Layer]:
    """Returns the layers on the way from a model's inputs to its outputs, in nested models, too.

    Others that it has as attributes, e.g. a KerasHub task's tokenizer, are not among them. A model
    without a graph comes as a whole.
    """
    graph = _keras.graph(model) if isinstance(model, keras.Model) else None
    if graph is None:
        return [model]
    called = [node.operation for node in _keras.nodes(keras.tree.flatten(graph[1]))]
    layers = [each for each in dict.fromkeys(called) if isinstance(each, keras.layers.Layer)]
    return list(dict.fromkeys(part for layer in layers for part in layers_between(layer)))


def check_outputs_are_fixed(student: keras.Model) -> None:
    """Raises where a subclassed student gives other outputs in training than in inference.

    It is traced with symbolic inputs. One that cannot be traced shows it at its first batch.

    Raises:
        ValueError: If structure or shapes of the outputs depend on `training`.
    """
    if _keras.graph(student) is not None:
        return
    try:
        inputs = _symbolic(student.get_build_config()["input_shape"])
        training, inference = (
            keras.tree.map_structure(
                lambda output: str(tuple(output.shape)),
                student.compute_output_spec(inputs, training=training),
            )
            for training in (True, False)
        )
    except Exception:
        return
    if training != inference:
        raise refusal(
            "student must give the same outputs in training and in inference",
            expected="one structure and one set of shapes, whatever training= is",
            received=f"{training} in training, {inference} in inference",
            mend="Build it from keras.Input with all outputs, each with a name, {'class': ..., "
            "'distilled': ...}, give each its term by output=, and combine them in a second "
            "keras.Model on the same layers, as docs/losses.md does for DeiT",
        )


def _symbolic(shape: Any) -> Any:
    """Returns symbolic inputs for a shape, or a list or dict of them."""
    if isinstance(shape, dict):
        return {name: _symbolic(each) for name, each in shape.items()}
    if any(isinstance(each, (list, tuple)) for each in shape):
        return [_symbolic(each) for each in shape]
    return keras.KerasTensor((None, *shape[1:]), "float32")
