"""Trainable layers from the shape of a student's signal to the teacher's."""

import math
from typing import Any

import keras
from keras import ops

from keras_kd._errors import check_count, check_number, refusal, wrong
from keras_kd.losses.features import pooled, spatial
from keras_kd.losses.variational import LEAST_VARIANCE

__all__ = ["Linear", "Projector", "ProjectorEnsemble", "Variational"]


class Projector(keras.layers.Layer):
    """A layer that learns which number of channels it has to give from the Term that owns it.

    Subclasses define `build` and `call`. They compute in float32 and drop Keras' masks, which a
    Term has taken before.

    Args:
        units: Channels of the teacher's signal. Default: learned from the Term.
        sizes: Sizes of the teacher's map between batch and channels. Default: the student's own.
        name: Name of the layer.
        **kwargs: As in `keras.layers.Layer`.
    """

    def __init__(
        self,
        units: int | None = None,
        sizes: tuple[int, ...] | None = None,
        name: str | None = None,
        **kwargs: Any,
    ):
        kwargs.setdefault("dtype", "float32")
        super().__init__(name=name, **kwargs)
        self.units = check_count("units", units, optional=True)
        self.sizes = None if sizes is None else _checked_sizes(sizes)
        self.supports_masking = True

    def aim_at(self, teacher: tuple[int | None, ...]) -> None:
        """Takes units and sizes that were not given from the shape of the teacher's signal."""
        if self.units is None:
            self.units = teacher[-1]
        if self.sizes is None and len(teacher) == 4 and None not in teacher[1:3]:
            self.sizes = spatial(teacher)

    def compute_mask(self, inputs: Any, previous_mask: Any) -> None:
        """Returns none."""

    def dense(self, **kwargs: Any) -> keras.layers.Dense:
        """Returns a layer on the channels alone: Dense, by token, or a 1×1 convolution."""
        if self.units is None:
            raise refusal(
                f"The units of {type(self).__name__} must be known when it is built",
                expected="the number of the teacher's channels",
                received="None",
                mend="Pass units=, or give the layer to a Term as its projector",
            )
        return keras.layers.Dense(self.units, dtype=self.dtype_policy, **kwargs)

    def smaller(self, maps: Any) -> Any:
        """Averages maps over bins along each axis that is known to be longer than the teacher's."""
        return maps if self.sizes is None else _smaller(maps, self.sizes)

    def larger(self, maps: Any) -> Any:
        """Resizes maps bilinearly that are still of other sizes than the teacher's."""
        return maps if self.sizes is None else _larger(maps, self.sizes)

    def resized(self, projected: Any, teacher: tuple[int | None, ...]) -> Any:
        """Brings a projected map to sizes of the teacher's that only the batch shows.

        Args:
            projected: What the layer gives.
            teacher: Shape of the teacher's signal in this batch.
        """
        if self.sizes is not None or len(teacher) != 4 or None in teacher[1:3]:
            return projected
        maps, *others = projected if isinstance(projected, tuple) else (projected,)
        maps = _larger(_smaller(maps, spatial(teacher)), spatial(teacher))
        return (maps, *others) if others else maps

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments that rebuild the layer."""
        return {**super().get_config(), "units": self.units, "sizes": self.sizes}


def _smaller(maps: Any, sizes: tuple[int, ...]) -> Any:
    # On JAX, sizes that are not known are symbols, which have no order.
    pairs = zip(spatial(maps.shape), sizes)
    return pooled(maps, [min(a, b) if isinstance(a, int) else None for a, b in pairs])


def _larger(maps: Any, sizes: tuple[int, ...]) -> Any:
    if spatial(maps.shape) == sizes:
        return maps
    return ops.image.resize(maps, sizes, interpolation="bilinear", data_format="channels_last")


def _checked_sizes(sizes: Any) -> tuple[int, ...]:
    if isinstance(sizes, (tuple, list)) and len(sizes) == 2:
        return tuple(check_count("sizes", size) for size in sizes)
    rule = "be the height and the width of the teacher's map"
    raise wrong(
        "sizes", rule, sizes, expected="a pair of integers", example=(8, 8), error=TypeError
    )


@keras.saving.register_keras_serializable(package="keras_kd")
class Linear(Projector):
    """The smallest projector that fits, which `projector="auto"` builds for most losses.

    A linear map of the channels: a Dense layer on vectors, the same by token on sequences, a 1×1
    convolution on maps. A map larger than the teacher's is average pooled before, a smaller one or
    one of unknown size resized bilinearly after.

    Args:
        units: As in `Projector`.
        sizes: As in `Projector`.
        name: Name of the layer. Default `"linear"`.
        **kwargs: As in `keras.layers.Layer`.

    Call arguments:
        inputs: The student's signal, `(batch, ..., channels)`.

    Call returns:
        `(batch, ..., units)`, of the teacher's sizes where it is a map.

    Example:
    >>> projector = keras_kd.projectors.Linear(64, sizes=(4, 4))
    >>> tuple(projector(keras.ops.ones((2, 8, 8, 16))).shape)
    (2, 4, 4, 64)
    """

    def build(self, input_shape: tuple) -> None:
        """Creates the weights."""
        self.projection = self.dense(name="projection")
        self.projection.build(input_shape)

    def call(self, inputs: Any) -> Any:
        """Returns the projected signal."""
        return self.larger(self.projection(self.smaller(inputs)))


@keras.saving.register_keras_serializable(package="keras_kd")
class ProjectorEnsemble(Projector):
    """The mean of several projectors, each a linear map and a ReLU: PEFD's.

    `mean_k ReLU(W_k·f + b_k)`. Projectors that start apart see the features apart; their mean
    generalises better than one. Made for `keras_kd.losses.CosineHint` on pooled features.

    Args:
        units: As in `Projector`.
        projectors: Number of projectors, at least 1. Default 3.
        sizes: As in `Projector`.
        name: Name of the layer. Default `"projector_ensemble"`.
        **kwargs: As in `keras.layers.Layer`.

    Call arguments:
        inputs: The student's signal, `(batch, ..., channels)`.

    Call returns:
        `(batch, ..., units)`, of the teacher's sizes where it is a map.

    Example:
    >>> term = keras_kd.Term(
    ...     keras_kd.losses.CosineHint(), projector=keras_kd.projectors.ProjectorEnsemble()
    ... )

    Reference:
        - [Chen et al., Improved Feature Distillation via Projector Ensemble, NeurIPS 2022](
            https://arxiv.org/abs/2210.15274)
    """

    def __init__(
        self,
        units: int | None = None,
        projectors: int = 3,
        sizes: tuple[int, ...] | None = None,
        name: str | None = None,
        **kwargs: Any,
    ):
        super().__init__(units, sizes, name, **kwargs)
        self.projectors = check_count("projectors", projectors)

    def build(self, input_shape: tuple) -> None:
        """Creates the weights."""
        self.projections = [
            self.dense(activation="relu", name=f"projection_{number}")
            for number in range(self.projectors)
        ]
        for projection in self.projections:
            projection.build(input_shape)

    def call(self, inputs: Any) -> Any:
        """Returns the mean of the projected signals."""
        smaller = self.smaller(inputs)
        total = sum(projection(smaller) for projection in self.projections)
        return self.larger(total / self.projectors)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments that rebuild the layer."""
        return {**super().get_config(), "projectors": self.projectors}


# The loss of the same name is registered under it.
@keras.saving.register_keras_serializable(package="keras_kd", name="VariationalProjector")
class Variational(Projector):
    """Mean and log-scale of a Gaussian around the student's prediction of the teacher's signal.

    The mean is the authors' regressor, three linear maps of the channels with a ReLU between them.
    The log-scale is a trained number per channel, from which
    `keras_kd.losses.Variational` makes the variance `softplus(ρ) + 1e-5`.

    Args:
        units: As in `Projector`.
        hidden: Channels between the linear maps. Default: `units`.
        initial_variance: The variance to start from, above 1e-5. Default 5.0, the authors'.
        sizes: As in `Projector`.
        name: Name of the layer. Default `"variational"`.
        **kwargs: As in `keras.layers.Layer`.

    Call arguments:
        inputs: The student's signal, `(batch, ..., channels)`.

    Call returns:
        A pair: the mean, `(batch, ..., units)`, of the teacher's sizes where it is a map; and the
        log-scale `ρ`, `(units,)`.

    Example:
    >>> mean, log_scale = keras_kd.projectors.Variational(64)(keras.ops.ones((2, 16)))
    >>> tuple(mean.shape), tuple(log_scale.shape)
    ((2, 64), (64,))

    Reference:
        - [Ahn et al., Variational Information Distillation for Knowledge Transfer, CVPR 2019](
            https://arxiv.org/abs/1904.05835)
    """

    def __init__(
        self,
        units: int | None = None,
        hidden: int | None = None,
        initial_variance: float = 5.0,
        sizes: tuple[int, ...] | None = None,
        name: str | None = None,
        **kwargs: Any,
    ):
        super().__init__(units, sizes, name, **kwargs)
        self.hidden = check_count("hidden", hidden, optional=True)
        self.initial_variance = check_number("initial_variance", initial_variance, "above 0")

    def build(self, input_shape: tuple) -> None:
        """Creates the weights."""
        last, hidden = self.dense(name="mean"), self.hidden or self.units
        self.layers = [
            keras.layers.Dense(
                hidden, activation="relu", dtype=self.dtype_policy, name=f"hidden_{number}"
            )
            for number in range(2)
        ] + [last]
        for layer in self.layers:
            layer.build(input_shape)
            input_shape = layer.compute_output_shape(input_shape)
        softened = max(self.initial_variance - LEAST_VARIANCE, LEAST_VARIANCE)
        start = softened + math.log(-math.expm1(-softened))  # the inverse of softplus
        self.log_scale = self.add_weight(
            shape=(self.units,),
            initializer=keras.initializers.Constant(start),
            name="log_scale",
        )

    def call(self, inputs: Any) -> tuple[Any, Any]:
        """Returns mean and log-scale."""
        mean = self.smaller(inputs)
        for layer in self.layers:
            mean = layer(mean)
        return self.larger(mean), ops.convert_to_tensor(self.log_scale)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments that rebuild the layer."""
        config = {"hidden": self.hidden, "initial_variance": self.initial_variance}
        return {**super().get_config(), **config}
