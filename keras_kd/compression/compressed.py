"""A layer that computes with transforms of its kernels."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_kd import _keras
from keras_kd.compression.kernels import called_with
from keras_kd.networks.stand_ins import LikeItsLayer

__all__ = ["Compressed", "KernelTransform"]


class KernelTransform(keras.layers.Layer):
    """A function from a layer's kernel to the kernel that the layer computes with.

    Subclasses implement `call(kernel, training)` and may own weights; `fault(kernel)` says what is
    wrong with a kernel that is to have the property that the transform promises.

    Args:
        index: The kernel's place among the layer's weights.
        kernel_name: The kernel's name, for reports.
    """

    method = ""

    def __init__(self, index: int, kernel_name: str, **kwargs: Any):
        # In float32 under mixed precision, too, as the kernel itself is.
        super().__init__(**{"dtype": "float32", **kwargs})
        self.index, self.kernel_name = index, kernel_name

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments."""
        return {**super().get_config(), "index": self.index, "kernel_name": self.kernel_name}

    def compute_output_shape(self, shape: Any) -> Any:
        """Returns the kernel's shape."""
        return shape


@keras.saving.register_keras_serializable("keras_kd")
class Compressed(LikeItsLayer):
    """Calls a layer of any kind, unchanged, while its kernels read as transforms of themselves.

    Transforms of frozen kernels have no trainable weights. `trainable` freezes and thaws the layer
    and its transforms together.

    Args:
        layer: A built layer.
        transforms: `KernelTransform`s in the order in which they act on their kernels.
        bare: Whether the layer is called without its activation, which another layer computes.
    """

    def __init__(
        self,
        layer: keras.layers.Layer,
        transforms: Sequence[KernelTransform],
        bare: bool = False,
        **kwargs: Any,
    ):
        # The layer itself casts what it is given, and transforms see the kernels in float32.
        given = {"name": layer.name, "dtype": layer.dtype_policy, "trainable": layer.trainable}
        super().__init__(layer, **{**given, "autocast": False, **kwargs})
        self.transforms, self.bare = list(transforms), bare
        if bare:
            called = _keras.shallow_copy(layer)
            called.__dict__["activation"] = keras.activations.linear
            called.__dict__["activity_regularizer"] = None  # it is the activation's to apply
            # The weights are the layer's, which is tracked already.
            _keras.set_untracked(self, "_bare_layer", called)
        self.supports_masking = layer.supports_masking
        for transform in self.transforms:
            kernel = layer.weights[transform.index]
            if not transform.built:
                transform.build(tuple(kernel.shape))
            if not kernel.trainable:
                transform.trainable = False
        self.built = True

    def build(self, *args: Any, **kwargs: Any) -> None:
        """Does nothing: the layer is built."""

    def call(
        self,
        inputs: Any,
        *others: Any,
        training: bool | None = None,
        attention_mask: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Calls the layer, with its arguments."""
        given = {"training": training, "attention_mask": attention_mask}
        kwargs |= {name: value for name, value in given.items() if value is not None}
        layer = self._bare_layer if self.bare else self.layer
        output, losses = called_with(layer, self.kernels(training), (inputs, *others), kwargs)
        for loss in losses:
            self.add_loss(loss)
        return output

    def kernels(self, training: bool | None = False, without: str = "") -> dict[int, Any]:
        """Returns the kernels that the layer computes with, by their place in its weights.

        Args:
            training: Whether the layer trains.
            without: The method whose transforms are left out.
        """
        kernels: dict[int, Any] = {}
        for transform in self.transforms:
            if transform.method == without:
                continue
            kernel = kernels.get(transform.index)
            if kernel is None:
                kernel = ops.convert_to_tensor(self.layer.weights[transform.index])
            kernels[transform.index] = transform(kernel, training=bool(training))
        return kernels

    def fault(self, transform: KernelTransform, kernel: Any) -> str | None:
        """Says what is wrong with a kernel after a transform of it, `None` if it is right."""
        return transform.fault(kernel)

    def around(
        self, layer: keras.layers.Layer, transforms: Sequence[KernelTransform]
    ) -> "Compressed":
        """Returns one like this around another layer of the same kind."""
        return type(self)(layer, transforms, bare=self.bare, name=self.name)

    def compute_output_shape(self, *args: Any, **kwargs: Any) -> Any:
        """Returns the shape of the layer's output."""
        return self.layer.compute_output_shape(*args, **kwargs)

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        """Returns the layer's symbolic output."""
        kwargs.pop("training", None)
        return self.layer.compute_output_spec(*args, **kwargs)

    def compute_mask(self, inputs: Any, previous_mask: Any) -> Any:
        """Returns the mask of the layer's output."""
        return self.layer.compute_mask(inputs, previous_mask)

    def get_config(self) -> dict[str, Any]:
        """Returns the layer and the transforms, serialized."""
        transforms = [keras.saving.serialize_keras_object(each) for each in self.transforms]
        return {**super().get_config(), "transforms": transforms, "bare": self.bare}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "Compressed":
        """Rebuilds the layer, and this around it."""
        config = dict(config)
        layer, *transforms = (
            keras.saving.deserialize_keras_object(each, custom_objects=custom_objects)
            for each in (config.pop("layer"), *config.pop("transforms"))
        )
        return cls(layer, transforms, **config)
