"""Several teachers that teach as one."""

import copy
import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_kd._errors import check_count
from keras_kd.networks.heads import Head
from keras_kd.teachers import held_out, members
from keras_kd.teachers.averaging import check_read_once, mean, reading_of, stored_reading
from keras_kd.teachers.teacher import Teacher

__all__ = ["Ensemble"]


class Ensemble(Teacher):
    """Several teachers, all of whom are asked; the student follows their mean.

    Terms that soften logits learn from the mean of the members' probabilities at the term's
    temperature, `Σ_m w_m·softmax(z_m/T)`, also when that moves; terms that compare logits as they
    are, such as `LogitMSE`, from the mean of the logits. Losses without a temperature of their
    own, such as `HardLabels`, read the mean probabilities at temperature 1.

    All members answer every batch. Drawing one at random for each batch is cheaper, but adds noise
    to the gradient; stored answers cost no more than those of one teacher, without the noise.

    Args:
        models: Models, built layers or teachers of `keras_kd.teachers`, at least one. Their heads
            and resolutions may differ: say so by `head=` and `preprocess=` of each, as in
            `keras_kd.teachers.KerasModel`. Ensembles among them count as their members.
        weights: The weight of each, at least 0. They are divided by their sum, and members of
            weight 0 are not asked. Default: equal ones.
        multi_label: Whether each class is a label of its own, yes or no, which linear heads do not
            show: stored answers and `fitted` then take the mean of the sigmoids. Online, the loss
            of each term says it. Default: where a member ends in sigmoids.

    Attributes:
        members: The teachers, those of weight 0 among them.
        weights: Their weights in the same order, together 1.

    Raises:
        TypeError: If a member cannot be asked, or a weight is not a number.
        ValueError: If there is no member, a weight is negative or all are 0, there are not as many
            weights as members, the members' outputs or inputs differ, or they end in a softmax with
            `multi_label=True`.

    Example:
    >>> teacher = keras_kd.teachers.Ensemble([resnet, mobilenet, vit], weights=[0.5, 0.25, 0.25])
    >>> distiller = keras_kd.Distiller(student=student, teacher=teacher)

    Reference:
        - [Hinton et al., Distilling the Knowledge in a Neural Network, 2015](
            https://arxiv.org/abs/1503.02531)
        - [You et al., Learning from Multiple Teacher Networks, KDD 2017](
            https://doi.org/10.1145/3097983.3098135)
    """

    def __init__(
        self,
        models: Sequence[Any],
        weights: Sequence[float] | None = None,
        *,
        multi_label: bool = False,
    ):
        given = [members.member(model, place) for place, model in enumerate(members.listed(models))]
        pairs = [
            (member, share * weight)
            for (whole, weight) in zip(given, members.shares(weights, len(given)))
            for member, share in (
                zip(whole.members, whole.weights) if isinstance(whole, Ensemble) else [(whole, 1.0)]
            )
        ]
        self.members: list[Teacher] = [member for member, _ in pairs]
        self.weights: list[float] = [weight for _, weight in pairs]
        first = self._asked[0]
        self._own = [members.own_names(first, member) for member in self._asked]
        self._multi_label = multi_label or any(getattr(m, "_multi_label", False) for m in given)
        self.outputs, self.keyed = first.outputs, first.keyed
        self.heads = {name: self._joint_head(name) for name in first.heads}
        self.inverted = {
            name: any(m.inverted[own[name]] for m, own in zip(self._asked, self._own))
            for name in first.heads
        }
        self.inputs = next((m.inputs for m in self._asked if m.input_shapes()), None)
        members.check_inputs(self._asked)
        self.preprocess_samples = members.shared_preprocessor(self._asked)

    @classmethod
    def fitted(
        cls,
        models: Sequence[Any],
        x: Any,
        y: Any,
        batch_size: int = 128,
        *,
        multi_label: bool = False,
    ) -> "Ensemble":
        """Returns an ensemble whose weights make held-out labels most likely.

        They minimise the log loss of the members' mean probabilities at temperature 1, over all
        weights of at least 0 that add up to 1. Members that do not help get weight 0, and are not
        asked again; `print` the ensemble to see them.

        Args:
            models: As in `Ensemble`, with one output each.
            x: Samples that no member was trained on: an array, or a list or dict of arrays.
            y: Their labels: class ids, or rows of 0 and 1 where the members end in sigmoids, or
                with `multi_label`.
            batch_size: How many samples the members are asked about at a time.
            multi_label: As in `Ensemble`.

        Raises:
            ImportError: If SciPy is not installed (extra `report`).
            ValueError: If the labels do not fit the samples, or an answer is not finite.

        Example:
        >>> teacher = keras_kd.teachers.Ensemble.fitted([a, b, c], x_val, y_val)
        >>> len(teacher.weights), round(sum(teacher.weights), 6)
        (3, 1.0)
        """
        whole, size = cls(models, multi_label=multi_label), check_count("batch_size", batch_size)
        logits = held_out.answers(whole, x, size)
        sigmoid = stored_reading(next(iter(whole.heads.values())).kind) == "sigmoid"
        likely = held_out.log_likelihoods(logits, y, whole.respondents, sigmoid=sigmoid)
        found = iter(held_out.best_weights(likely))
        weights = [next(found) if weight > 0 else 0.0 for weight in whole.weights]
        return cls(whole.members, weights, multi_label=whole._multi_label)

    @property
    def _asked(self) -> list[Teacher]:
        return [member for member, weight in zip(self.members, self.weights) if weight > 0]

    @property
    def _shares(self) -> list[float]:
        return [weight for weight in self.weights if weight > 0]

    @property
    def models(self) -> list[keras.Model]:
        """The Keras models among the members that are asked."""
        return [model for member in self._asked for model in member.models]

    @property
    def variables(self) -> list[keras.Variable]:
        """The variables of all members."""
        found = {id(v): v for member in self._asked for v in member.variables}
        return list(found.values())

    @property
    def name(self) -> str:
        """The members' names."""
        return f"ensemble of {', '.join(self.respondents)}"

    @property
    def respondents(self) -> list[str]:
        """The names of the members that are asked, numbered where they are equal."""
        return [name for name, weight in zip(self._names(), self.weights) if weight > 0]

    @property
    def on_host(self) -> bool:
        """Whether one of the members is asked on the host."""
        return any(member.on_host for member in self._asked)

    @property
    def averages(self) -> bool:
        """True: one mean is stored for each temperature."""
        return True

    def fingerprint(self) -> str:
        """Returns a hash of the members' own, their preprocessing by name and their weights."""
        parts = [(m.fingerprint(), m.preprocess_name, w) for m, w in zip(self._asked, self._shares)]
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    def described(self) -> str:
        """Returns the members with their weights."""
        parts = (
            f"{weight:.3g} · {name}{'' if weight > 0 else ' (not asked)'}"
            for weight, name in zip(self.weights, self._names())
        )
        return f"ensemble of {', '.join(parts)}; neither trained nor saved"

    def __repr__(self) -> str:
        return f"<Ensemble: {self.described()}>"

    def _names(self) -> list[str]:
        names = [str(member.name) for member in self.members]
        return [
            f"{name} ({names[: place + 1].count(name)})" if names.count(name) > 1 else name
            for place, name in enumerate(names)
        ]

    def each(self, change: Callable[[Teacher], Teacher]) -> "Ensemble":
        """Returns the ensemble of the changed members."""
        twin = copy.copy(self)
        twin.members = [
            change(member) if weight > 0 else member
            for member, weight in zip(self.members, self.weights)
        ]
        return twin

    def taught_by(self, names: list[str]) -> dict[str, str]:
        """Returns the ensemble's output names, those of its first member, by the student's."""
        return self._asked[0].taught_by(names)

    def __call__(
        self, x: Any, names: list[str], values: Sequence[tuple[keras.Variable, Any]] = ()
    ) -> dict[str, Any]:
        """Returns a list of the members' logits by the student's output names."""
        said = [member(x, names, values) for member in self._asked]
        return {name: [each[name] for each in said] for name in said[0]}

    def predict(self, x: Any) -> dict[str, Any]:
        """Returns a list of the members' logits by output name."""
        said = [member.predict(x) for member in self._asked]
        return {
            name: [each[own[name]] for each, own in zip(said, self._own)] for name in self.heads
        }

    def answer_to(self, term: Any, answer: list[Any]) -> Any:
        """Returns the members' mean, as the term reads it."""
        if not isinstance(answer, list):  # a mean that came with the batch
            return answer
        return mean(answer, self._shares, *reading_of(term))

    def stored(
        self, answers: dict[str, list[np.ndarray]], temperatures: Sequence[float]
    ) -> dict[str, np.ndarray]:
        """Returns the members' mean at each temperature, `(batch, temperatures, ..., classes)`."""
        return {
            name: np.stack([self._mean(name, logits, each) for each in temperatures], axis=1)
            for name, logits in answers.items()
        }

    def _mean(self, name: str, logits: list[np.ndarray], temperature: float) -> np.ndarray:
        reading = stored_reading(self.heads[name].kind)
        values = ops.convert_to_numpy(mean(logits, self._shares, reading, temperature))
        if reading == "sigmoid":
            return values
        # Logarithms of probabilities are all far below 0, where half precision is coarse.
        return values - values.mean(axis=-1, keepdims=True)

    def not_finite(self, answers: dict[str, Any], names: list[str]) -> Any:
        """Returns which of the members gave NaN or Inf."""
        logits = [answers[name] for name in names if isinstance(answers.get(name), list)]
        if not logits:
            return super().not_finite(answers, names)
        return ops.stack(
            [
                ~ops.all(ops.stack([ops.all(ops.isfinite(each)) for each in of_member]))
                for of_member in zip(*logits)
            ]
        )

    def explained(self, error: Exception) -> Exception | None:
        """Returns what an error of one of the members means."""
        told = [member.explained(error) for member in self._asked]
        return next((each for each in told if each is not None), None)

    def check_terms(self, terms: Sequence[Any], names: list[str]) -> None:
        """Raises where a term reads its teacher at two temperatures."""
        for term in terms:
            check_read_once(term)

    check_temperatures = check_terms

    def out_of_range(self, terms: Sequence[Any], names: list[str]) -> Any:
        """Returns whether a term has begun to read its teacher at two temperatures."""
        twice = [t.temperature.value for t in terms if getattr(t.loss, "reads_twice", False)]
        return ops.any(ops.stack(twice) != 1.0) if twice else False

    def _joint_head(self, name: str) -> Head:
        heads = [member.heads[own[name]] for member, own in zip(self._asked, self._own)]
        kinds, shapes = {head.kind for head in heads}, {head.shape for head in heads if head.shape}
        if self._multi_label:
            kinds.add("sigmoid")
        if {"softmax", "sigmoid"} <= kinds or len({shape[1:] for shape in shapes}) > 1:
            said = [f"{head.kind} {head.shape}" for head in heads]
            raise members.misfit("outputs of one kind and shape", dict(zip(self.respondents, said)))
        kind = None if None in kinds else next((k for k in kinds if k != "logits"), "logits")
        return Head(kind, next(iter(shapes), None))
