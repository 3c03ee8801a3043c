"""One augmentation, whatever form the caller gave it: how to run it, name it and rebuild it."""

import functools
import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from keras_kd._errors import refusal
from keras_kd.soft_labels.augmentation.colors import color_jitter, cutout
from keras_kd.soft_labels.augmentation.crops import crop_flip, random_resized_crop
from keras_kd.soft_labels.augmentation.draws import folded
from keras_kd.soft_labels.augmentation.marks import MIXING, PER_IMAGE, call_of
from keras_kd.soft_labels.augmentation.mixes import cutmix, mixup

__all__ = ["Augmentation", "Stage", "compose"]

_SHIPPED = {
    function.__name__: function
    for function in (crop_flip, random_resized_crop, color_jitter, cutout, mixup, cutmix)
}


@dataclass(frozen=True)
class Stage:
    """One function of an augmentation.

    Args:
        function: A marked or a per-image function.
        parameters: Its keyword arguments, JSON-able.
    """

    function: Callable
    parameters: dict[str, Any]

    @functools.cached_property
    def call(self) -> str:
        """Says what the function takes: one of the constants of `marks`."""
        return call_of(self.function)

    @functools.cached_property
    def bound(self) -> Callable:
        """The function with its parameters; a per-image one mapped over the batch."""
        function = functools.partial(self.function, **self.parameters)
        return _mapped(function) if self.call == PER_IMAGE else function

    @functools.cached_property
    def name(self) -> str:
        """The name of a shipped function; that of a user's after `"own "`, whatever its module."""
        function = self.function
        if _SHIPPED.get(function.__name__) is function:
            return function.__name__
        return f"own {function.__qualname__}"

    def description(self) -> dict[str, Any]:
        """Returns name and parameters, the defaults of shipped functions among them."""
        parameters = dict(self.parameters)
        if self.name in _SHIPPED:
            given = inspect.signature(self.function).parameters.items()
            defaults = {key: p.default for key, p in given if p.default is not p.empty}
            parameters = defaults | parameters
        return {"name": self.name, "parameters": json.loads(json.dumps(parameters))}


@dataclass(frozen=True)
class Augmentation:
    """Any number of stages that change one sample each, and at most one that mixes, the last.

    The first stage gets the seeds as they are, each later one seeds of its own.

    Args:
        stages: What runs, in order. None at all leaves the images as they are.
    """

    stages: tuple[Stage, ...] = ()

    @classmethod
    def of(cls, augment: Any) -> "Augmentation":
        """Returns the augmentation that the caller means.

        Args:
            augment: `None`, a function, a `functools.partial` of one with keyword arguments
                only, or what `compose` returned.

        Raises:
            TypeError: If it is something else, has parameters that JSON cannot hold, or takes no
                such parameters.
        """
        if augment is None:
            return cls()
        if isinstance(augment, cls):
            return augment
        return cls((_stage(augment),))

    def anew(self) -> "Augmentation":
        """Returns the same stages, to be traced anew."""
        return Augmentation(tuple(replace(stage) for stage in self.stages))

    @property
    def mixes(self) -> bool:
        """Whether the last stage mixes each image with a partner."""
        return bool(self.stages) and self.stages[-1].call == MIXING

    def apply(self, images: Any, seeds: Any) -> Any:
        """Returns the images after all stages that do not mix.

        Args:
            images: Tensor `(batch, ...)`, or a nested structure for a user's own functions.
            seeds: int32 tensor `(batch, 2)`.
        """
        for number, stage in enumerate(self.stages):
            if stage.call != MIXING:
                images = stage.bound(images, _stage_seeds(seeds, number))
        return images

    def mix(self, images: Any, partners: Any, seeds: Any) -> tuple[Any, Any]:
        """Returns mixed images and the part of the own label, float32 `(batch,)`.

        Args:
            images: What `apply` returned.
            partners: What `apply` returned for the partners, with the partners' seeds.
            seeds: int32 tensor `(batch, 2)`, those of `images`.
        """
        number = len(self.stages) - 1
        return self.stages[number].bound(images, partners, _stage_seeds(seeds, number))

    def description(self) -> list[dict[str, Any]]:
        """Returns names and parameters of the stages, as JSON holds them."""
        return [stage.description() for stage in self.stages]

    @classmethod
    def from_description(cls, description: list[dict[str, Any]]) -> "Augmentation | None":
        """Rebuilds an augmentation of shipped functions.

        Returns:
            The augmentation, or `None` where a stage is not one of this package's functions: no
            name that stands in data is imported.
        """
        if any(stage["name"] not in _SHIPPED for stage in description):
            return None
        stages = (functools.partial(_SHIPPED[d["name"]], **d["parameters"]) for d in description)
        return compose(*stages)


def compose(*augmentations: Any) -> Augmentation:
    """Runs augmentations one after the other, each with random draws of its own.

    Args:
        augmentations: Functions, `functools.partial` of them, or other compositions, which take
            part as if their parts stood here. One that mixes may only be the last.

    Returns:
        What `augment=` of `SoftLabels` takes.

    Raises:
        ValueError: If one that mixes is not the last.
        TypeError: If one is not an augmentation.

    Example:
    >>> augment = keras_kd.soft_labels.compose(crop_flip, functools.partial(mixup, alpha=0.1))
    """
    stages = tuple(stage for part in augmentations for stage in Augmentation.of(part).stages)
    early = [stage.name for stage in stages[:-1] if stage.call == MIXING]
    if early:
        raise refusal(
            "An augmentation that mixes must be the last, and the only one that does",
            received=f"{[stage.name for stage in stages]}, of which {early} stand too early",
            mend="Move it to the end, or leave all but one out",
        )
    return Augmentation(stages)


def _stage_seeds(seeds: Any, number: int) -> Any:
    return folded(seeds, number) if number else seeds


def _stage(augment: Any) -> Stage:
    is_partial = isinstance(augment, functools.partial)
    function = augment.func if is_partial else augment
    parameters = dict(augment.keywords) if is_partial else {}
    if not hasattr(function, "__qualname__") or inspect.isclass(function):
        raise refusal(
            "augment must be a function of (image, seed), a partial of one, or compose(...)",
            received=repr(augment),
            mend="Wrap it: def augment(image, seed): ...",
            error=TypeError,
        )
    _check_parameters(function, parameters, augment.args if is_partial else ())
    return Stage(function, parameters)


def _check_parameters(function: Callable, parameters: dict[str, Any], args: tuple) -> None:
    taken = (None,) * (3 if call_of(function) == MIXING else 2)
    try:
        if args:
            raise TypeError("positional arguments stand where the images belong")
        json.dumps(parameters, allow_nan=False)
        inspect.signature(function).bind(*taken, **parameters)
    except (TypeError, ValueError) as error:
        raise refusal(
            f"parameters of {function.__qualname__} must be keyword arguments it takes",
            expected=f"{function.__qualname__}{inspect.signature(function)}, JSON-able values",
            received=f"{args or ''}{parameters} ({error})",
            mend="Use functools.partial(function, name=value) with numbers, text or lists",
            error=TypeError,
        ) from error


def _mapped(function: Callable) -> Callable:
    """Runs a per-image function on each image of a batch."""
    import tensorflow as tf

    traced = tf.function(function)

    def on_batch(images: Any, seeds: Any) -> Any:
        one = tf.nest.map_structure(lambda t: tf.TensorSpec(t.shape[1:], t.dtype), images)
        concrete = traced.get_concrete_function(one, tf.TensorSpec((2,), tf.int32))
        result = tf.nest.map_structure(
            lambda t: tf.TensorSpec(t.shape, t.dtype), concrete.structured_outputs
        )
        return tf.map_fn(lambda both: traced(*both), (images, seeds), fn_output_signature=result)

    return on_batch
