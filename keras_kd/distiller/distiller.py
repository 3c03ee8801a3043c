"""Distiller: what happens to one batch when a student learns from a teacher."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import keras

from keras_kd import _keras
from keras_kd.distiller import compatibility, forms, hard_loss, plain, summary
from keras_kd.distiller.fitting import Fitting
from keras_kd.distiller.terms import keras_io
from keras_kd.distiller.terms.term import Term
from keras_kd.networks.heads import LogitsModel
from keras_kd.networks.models import (
    check_model,
    check_outputs_are_fixed,
    training_policy,
    warn_of_unused,
)
from keras_kd.teachers.asked import asked_teacher
from keras_kd.teachers.teacher import NoTeacher, Teacher

__all__ = ["Distiller"]


@keras.saving.register_keras_serializable(package="keras_kd")
class Distiller(Fitting):
    """Trains a student on a teacher's softened outputs, blended with the labels.

    `fit` minimises `hard_weight · hard loss + Σ weight · term + regularizers`. Everything else is
    the student's: `evaluate`, `predict`, `output_names`, what is saved and what is exported. The
    teacher runs in inference mode, during training only, and is neither tracked nor saved.

    **Plain form** (no `terms`): Hinton's blend, `alpha · hard loss + (1 - alpha) · soft targets`
    per output: `SoftTargets` for softmax heads and linear heads of at least 2 units,
    `MultiLabelSoftTargets` for sigmoid heads, a sigmoid teacher or a binary loss. Where `compile`
    is given no temperature, it is found, and softens the student less than the teacher.

    **Full form**: `terms=[...]`, each with a weight of its own, and `compile(hard_weight=1.0)`.

    Args:
        student: A built `keras.Model`. Its weights are trained; nothing else of it changes. A
            KerasHub task is given raw data, which its `preprocessor` is applied to.
        teacher: A trained `keras.Model` with outputs like the student's, a built layer such as
            `TFSMLayer`, one of `keras_kd.teachers`, or a list of these. All are matched by name.
        terms: Losses of `keras_kd.losses` or `keras_kd.Term`s. `None` takes the plain form.
        student_head: What the student's outputs are, `"logits"`, `"softmax"` or `"sigmoid"`, or a
            dict of these by output name. Read off models of `keras.Input`; needed for others.
        teacher_head: The same of the teacher.
        name: Name of the model. Default `"distiller"`.

    Attributes:
        teacher: The teacher. Setting another one drops the compiled training step.
        terms: List of `Term`s.
        alpha: Plain form: scalar variable, the weight of the hard loss.
        temperature: Plain form: scalar variable, that of the (first output's) soft targets.
        hard_weight: Scalar variable, the weight of the hard loss; in the plain form it is `alpha`.

    These variables and each `terms[i].weight` act on the next step after `.assign(value)`; on JAX
    only through the Distiller, `distiller.alpha.assign`, not through a variable kept from before.
    The logs have `loss`, `hard_loss`, a column per term (unweighted) and the metrics.

    Raises:
        TypeError: If teacher or student is not a `keras.Model`.
        ValueError: If one is unbuilt, or their outputs or heads do not belong together.

    Example:
    >>> distiller = keras_kd.Distiller(student=student, teacher=teacher)
    >>> loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    >>> distiller.compile("adam", loss=loss, metrics=["accuracy"])
    >>> history = distiller.fit(x, y, epochs=2)
    >>> distiller.student.save("student.keras")

    Reference:
        - [Hinton et al., 2015](https://arxiv.org/abs/1503.02531)
    """

    def __init__(
        self,
        *,
        student: keras.Model,
        teacher: keras.Model | Teacher | Sequence[keras.Model | Teacher],
        terms: Sequence[keras.losses.Loss | Term] | None = None,
        student_head: str | dict[str, str] | None = None,
        teacher_head: str | dict[str, str] | None = None,
        name: str = "distiller",
    ):
        check_outputs_are_fixed(check_model(student, "student"))
        if not isinstance(teacher, NoTeacher):  # else it has been said before
            warn_of_unused(student)
        logits = LogitsModel(student, student_head, role="student")
        form = plain.PlainForm(logits.heads) if terms is None else None
        terms = form.terms if form else forms.full_terms(terms, logits.heads)
        super().__init__(
            logits.with_taps(term.student for term in terms if term.student),
            terms,
            form.columns if form else [term.name for term in terms],
            plain=form is not None,
            name=name,
            # The policy brings Keras' loss scaling; the student's own layers do the casting.
            dtype=training_policy(student),
            autocast=False,
        )
        self._form = form
        self._heads_given = {"student_head": student_head, "teacher_head": teacher_head}
        self.teacher = teacher

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        *,
        alpha: float | None = None,
        temperature: float | str | dict[str, float] | None = None,
        student_power: float | None = None,
        hard_weight: float | None = None,
        evaluate_terms: bool = False,
        student_loss_fn: Any = None,
        distillation_loss_fn: Any = None,
        **kwargs: Any,
    ) -> None:
        """Configures the training.

        Args:
            optimizer: As in `keras.Model.compile`.
            loss: The hard loss, on labels; `None` trains on the terms alone, with the weights that
                they have: `1 - alpha` in the plain form.
            loss_weights: Weights of the outputs within the hard loss.
            metrics: As in `keras.Model.compile`, on the student's outputs.
            alpha: Plain form: weight of the hard loss, from 0 to 1; the soft targets weigh
                `1 - alpha`. Default 0.8; where all outputs are `C` labels that do not exclude each
                other, under a binary loss of Keras, `C / (C + 1)`: the soft targets are a sum over
                them, that loss a mean.
            temperature: Plain form: that of the soft targets; `"auto"` softens each output until
                the teacher's mean confidence is 0.8. Left out, it is found likewise, and softens
                the student less, see `student_power`; of answers that are stored for certain
                temperatures, the nearest of these serves then.
            student_power: Plain form: how much of the temperature softens a student whose classes
                exclude each other, from 0 to 1: its own temperature is
                `temperature**student_power`, see `keras_kd.losses.SoftTargets`. Default 0.5 where
                `temperature` is left out, else 1.0, which is Hinton's loss.
            hard_weight: Full form: weight of the hard loss, at least 0. Default 1.0.
            evaluate_terms: Whether the teacher is asked in `evaluate` and validation, too, which
                then log the terms (`val_<term>`). `val_loss` stays the hard loss.
            student_loss_fn: The name of `loss` in keras.io's example.
            distillation_loss_fn: keras.io's `KLDivergence()`, which means the soft targets.
            **kwargs: The other arguments of `keras.Model.compile`.

        Raises:
            TypeError: If a weight or the temperature is not a number.
            ValueError: If one is out of range or of the other form, or `loss` contradicts a head or
                leaves open, in the plain form, what to distil.
        """
        loss = keras_io.hard_loss(loss, student_loss_fn)
        asked = hard_loss.read(loss, self._logits.heads)
        settings = (forms.plain_settings if self.is_plain else forms.full_settings)(
            alpha=alpha,
            temperature=temperature,
            student_power=student_power,
            hard_weight=hard_weight,
            loss_fn=distillation_loss_fn,
        )
        kwargs.update(loss_weights=loss_weights, metrics=metrics)
        with _keras.compiling_anew(self), self._terms_for(asked, settings):
            forms.check_metrics(self._terms, [metrics, kwargs.get("weighted_metrics")])
            forms.check_softens(self._terms, student_power)
            super().compile(optimizer=optimizer, loss=loss, **kwargs)
            if self.is_plain:
                self.plain_temperature.take(settings.temperature, self._terms)
                self._find_stored_temperature()
            self._objective.teacher.check_temperatures(self._terms, self._logits.names)
            own = settings.hard_weight
            self._hard_weight.assign(self._form.alpha(asked.by_output) if own is None else own)
        guessed = ()
        if self.is_plain:
            guessed = self._form.guessed(asked.by_output, self._heads_given["student_head"])
        self._objective.follow(asked, guessed, evaluate_terms=evaluate_terms)

    @contextlib.contextmanager
    def _terms_for(self, asked: hard_loss.HardLoss, settings: forms.Settings) -> Iterator[None]:
        """Gives the plain form the terms that suit a loss; they stay if what follows succeeds."""
        if not self._form:
            yield
            return
        last, teacher = self._terms, self._objective.teacher
        try:
            kinds = teacher.kinds(self._logits.names)
            with self._form.following(kinds, asked.by_output, settings.student_power) as terms:
                self._take(terms)
                compatibility.check_teacher(teacher, terms, self._logits)
                yield
        except BaseException:
            self._take(last)
            raise

    def _take(self, terms: list[Term]) -> None:
        _keras.set_untracked(self, "_terms", terms)  # tracked since the beginning
        self._objective.terms = terms

    @property
    def is_plain(self) -> bool:
        """Whether the Distiller chose its terms itself, so that `alpha` blends them."""
        return self._form is not None

    @property
    def alpha(self) -> keras.Variable:
        """Plain form: the weight of the hard loss."""
        if not self.is_plain:
            raise AttributeError("A Distiller with terms has no alpha. Use distiller.hard_weight.")
        return self.hard_weight

    @property
    def temperature(self) -> keras.Variable:
        """Plain form: the temperature of the soft targets."""
        if not self.is_plain:
            raise AttributeError("A Distiller with terms has no temperature. Use that of a term.")
        return self.terms[0].temperature

    @property
    def hard_weight(self) -> keras.Variable:
        """The weight of the hard loss."""
        _keras.up_to_date(self)
        return self._hard_weight

    @property
    def terms(self) -> tuple[Term, ...]:
        """The terms, in order."""
        _keras.up_to_date(self)
        return tuple(self._terms)

    @property
    def teacher(self) -> keras.Model | Teacher | None:
        """The teacher as it was given, or `None` after loading."""
        return self._teacher_given

    @teacher.setter
    def teacher(self, teacher: keras.Model | Teacher | NoTeacher) -> None:
        names, terms = self._logits.names, self._terms
        asked = asked_teacher(teacher, self._heads_given["teacher_head"])
        taught = self._form.known if self._form else forms.taught(terms, names)
        asked = compatibility.matched(asked, taught, terms, self._logits)
        if self._form and self.compiled:
            self._form.check_taught(asked.kinds(names), self._objective.hard_loss.by_output)
        elif self._form:  # there is no loss yet that would tell more
            self._take(self._form.begin(asked.kinds(names)))
        asked = asked.with_taps([term.teacher for term in self._terms if term.teacher])
        compatibility.check_teacher(asked, self._terms, self._logits)
        self._ask_from_now_on(asked)
        given = None if isinstance(teacher, NoTeacher) else teacher
        _keras.set_untracked(self, "_teacher_given", given)
        self.train_function = self.test_function = None  # their traces hold the last teacher

    def get_config(self) -> dict[str, Any]:
        """Returns student, terms and heads; never the teacher."""
        serialize = keras.saving.serialize_keras_object
        kinds = self._objective.teacher.kinds(self._logits.names)
        terms = [serialize(term) for term in self._terms]
        form = {"terms": None, "taught": kinds} if self.is_plain else {"terms": terms}
        return {
            "student": serialize(self.student),
            **form,
            "name": self.name,
            **{key: keras.tree.map_structure(str, v) for key, v in self._heads_given.items() if v},
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "Distiller":
        """Rebuilds a Distiller without teacher; set `distiller.teacher` to train on."""
        student, terms = keras.saving.deserialize_keras_object(
            [config["student"], config["terms"]], custom_objects=custom_objects
        )
        config = {**config, "student": student, "terms": terms}
        return cls(teacher=NoTeacher(config.pop("taught", None)), **config)

    def get_compile_config(self) -> dict[str, Any]:
        """Returns what `compile` was given, with alpha, temperature and weights as they are now."""
        config = super().get_compile_config()
        if not config:
            return config
        config["alpha" if self.is_plain else "hard_weight"] = summary.value(self.hard_weight)
        if self.is_plain:
            config["temperature"] = self.plain_temperature.now(self._terms)
            power = self._form.student_power
            if power != forms.default_power(config["temperature"]) and self._form.softens:
                config["student_power"] = power  # else left out, for older versions to load
        return config | ({"evaluate_terms": True} if self.evaluates_terms else {})

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compiles from `get_compile_config()` and creates the optimizer's variables."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.optimizer is not None:
            self.optimizer.build(self.trainable_variables)

    def summary(self, *args: Any, **kwargs: Any) -> None:
        """Prints what teaches, is trained and exported, then as `keras.Model.summary`."""
        summary.summary(self, self._objective.teacher, *args, **kwargs)

    def __repr__(self) -> str:
        return summary.line(self, self._objective.teacher)

    def __dir__(self) -> list[str]:
        # Keras saves every model that dir() leads to.
        hidden = ("teacher", "_teacher_given", "observers")
        return [name for name in super().__dir__() if name not in hidden]

    def __setattr__(self, name: str, value: Any) -> None:
        # Keras would track them before the property's setter sees them.
        if name in ("teacher", "observers"):
            _keras.set_untracked(self, name, value)
        elif name == "student" and "student" in vars(self):
            raise AttributeError("A Distiller keeps its student. Build a new Distiller instead.")
        else:
            super().__setattr__(name, value)
