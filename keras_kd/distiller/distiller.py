"""Distiller: what happens to one batch when a student learns from a teacher."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_kd import _keras
from keras_kd.distiller import (
    compatibility,
    faults,
    forms,
    hard_loss,
    label_rules,
    plain,
    summary,
)
from keras_kd.distiller.as_student import AsStudent
from keras_kd.distiller.saving import SavedWithoutTeacher
from keras_kd.distiller.settings import live_scalar
from keras_kd.distiller.steps import Steps
from keras_kd.distiller.terms import keras_io
from keras_kd.distiller.terms.term import Term
from keras_kd.networks.heads import LogitsModel
from keras_kd.networks.models import (
    check_model,
    check_outputs_are_fixed,
    training_policy,
    warn_of_unused,
)
from keras_kd.networks.ports import Inputs
from keras_kd.teachers.keras_model import asked_teacher
from keras_kd.teachers.teacher import NoTeacher, Teacher


@keras.saving.register_keras_serializable(package="keras_kd")
class Distiller(SavedWithoutTeacher, AsStudent, Steps):
    """Trains a student on a teacher's softened outputs, blended with the labels.

    `fit` minimises `hard_weight · hard loss + Σ weight · term + regularizers`. Everything else is
    the student's: `evaluate`, `predict`, `output_names`, what is saved and what is exported. The
    teacher runs in inference mode, during training only, and is neither tracked nor saved.

    **Plain form** (no `terms`): Hinton's blend, `alpha · hard loss + (1 - alpha) · soft targets`
    per output: `SoftTargets` for softmax heads and linear heads of at least 2 units,
    `MultiLabelSoftTargets` for sigmoid heads, a sigmoid teacher or a binary loss.

    **Full form**: `terms=[...]`, each with a weight of its own, and `compile(hard_weight=1.0)`.

    Args:
        student: A built `keras.Model`. Its weights are trained; nothing else of it changes. A
            KerasHub task is given raw data, which its `preprocessor` is applied to.
        teacher: A trained `keras.Model` with outputs like the student's, a built layer such as
            `TFSMLayer`, or one of `keras_kd.teachers`. Inputs and outputs are matched by name.
        terms: Losses of `keras_kd.losses` or `keras_kd.Term`s. `None` takes the plain form.
        student_head: What the student's outputs are, `"logits"`, `"softmax"` or `"sigmoid"`, or a
            dict of these by output name. Found in models built from `keras.Input`; needed for
            subclassed ones.
        teacher_head: The same of the teacher.
        name: Name of the model. Default `"distiller"`.

    Attributes:
        teacher: The teacher. Setting another one drops the compiled training step.
        terms: List of `Term`s.
        alpha: Plain form: scalar variable, the weight of the hard loss.
        temperature: Plain form: scalar variable, the temperature of the soft targets.
        hard_weight: Scalar variable, the weight of the hard loss; in the plain form it is `alpha`.

    These variables and each `terms[i].weight` act on the next execution after `.assign(value)`. On
    JAX this holds for `distiller.alpha.assign`; a variable that was kept from before the epoch
    (`alpha = distiller.alpha`) is stale within it.
    The logs have `loss`, `hard_loss`, a column per term (unweighted) and the metrics.

    Raises:
        TypeError: If teacher or student is not a `keras.Model`.
        ValueError: If one is unbuilt, if their outputs differ in names or classes, if neither names
            nor shapes tell which belong together, or if a head that is needed is not known.

    Example:
    >>> distiller = keras_kd.Distiller(student=student, teacher=teacher)
    >>> loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    >>> distiller.compile("adam", loss=loss, metrics=["accuracy"], alpha=0.1, temperature=4.0)
    >>> history = distiller.fit(x, y, epochs=2)
    >>> distiller.student.save("student.keras")

    Reference:
        - [Hinton et al., Distilling the Knowledge in a Neural Network, 2015](
            https://arxiv.org/abs/1503.02531)
    """

    def __init__(
        self,
        *,
        student: keras.Model,
        teacher: keras.Model | Teacher,
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
        columns = form.columns if form else [term.name for term in terms]
        super().__init__(
            ["hard_loss", *columns],
            faults.faults_of(terms),
            name=name,
            # The policy brings Keras' loss scaling; the student's own layers do the casting.
            dtype=training_policy(student),
            autocast=False,
        )
        self.student = student
        self._logits = logits.with_taps(term.student for term in terms if term.student)
        self._student_inputs = Inputs(student)
        self._plain, self._form, self._terms = form is not None, form, terms
        self._heads_given = {"student_head": student_head, "teacher_head": teacher_head}
        self._hard_weight = (
            live_scalar(self, "alpha", 0.1) if form else live_scalar(self, "hard_weight", 1.0)
        )
        self._label_rules: dict[str, label_rules.Rule] = {}
        self.built = self.supports_masking = True
        self.teacher = teacher

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        *,
        alpha: float | None = None,
        temperature: float | None = None,
        hard_weight: float | None = None,
        evaluate_terms: bool = False,
        student_loss_fn: Any = None,
        distillation_loss_fn: Any = None,
        **kwargs: Any,
    ) -> None:
        """Configures the training.

        Args:
            optimizer: As in `keras.Model.compile`.
            loss: The hard loss, on labels; `None` trains on the terms alone, weighted as they are.
            loss_weights: Weights of the outputs within the hard loss.
            metrics: As in `keras.Model.compile`, on the student's outputs.
            alpha: Plain form: weight of the hard loss, from 0 to 1; the soft targets weigh
                `1 - alpha`. Default 0.1.
            temperature: Plain form: that of the soft targets. Default 4.0; 1.0 where there are
                sigmoids only.
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
        hard_loss.check(loss, self._logits.heads)
        if self._form:
            terms = self._form.follow(self._teacher.kinds(self._logits.names), loss)
            _keras.set_untracked(self, "_terms", terms)  # tracked since the beginning
            compatibility.check_teacher(self._teacher, terms, self._logits)
        forms.check_metrics(self._terms, [metrics, kwargs.get("weighted_metrics")])
        given = {"alpha": alpha, "temperature": temperature, "hard_weight": hard_weight}
        if self._plain:
            given["temperature"] = keras_io.temperature(distillation_loss_fn, temperature)
            weight, temperature = forms.plain_settings(self._terms, **given)
        else:
            weight = forms.full_settings(distillation_loss_fn=distillation_loss_fn, **given)
        kwargs.update(loss_weights=loss_weights, metrics=metrics)
        with _keras.compiling_anew(self):
            super().compile(optimizer=optimizer, loss=loss, **kwargs)
        self._hard_weight.assign(weight)
        if self._plain:
            self.temperature.assign(temperature)
        self._teacher.check_temperatures(self._terms, self._logits.names)
        self._label_rules = label_rules.rules(loss, self._logits.heads, self._terms)
        own = [name for name, rule in self._label_rules.items() if rule.own]
        self._own_losses = hard_loss.ByExample(self, own, self._logits.names)
        self._compared = hard_loss.outputs(loss, self._logits.names)
        terms = [term.name for term in self._terms]
        self._columns.shown = terms if loss is None else ["hard_loss", *terms]
        self._distils = True
        self._columns.evaluated = terms if evaluate_terms else []
        self._evaluates_terms = bool(evaluate_terms)

    def compute_mask(self, *args: Any) -> None:
        """Returns none: the student's outputs carry their own."""

    def fit_callbacks(self, steps_per_epoch: int | None) -> list[keras.callbacks.Callback]:
        """Returns the callbacks that `fit` adds: those of the teacher."""
        return self._teacher.callbacks(steps_per_epoch)

    @property
    def asked(self) -> Teacher:
        """The teacher as what is asked, one of `keras_kd.teachers`."""
        return self._teacher

    def check_batch_size(self, batch_size: int | None) -> None:
        """Raises where a term needs pairs of examples, and there are none."""
        forms.check_pairs(self._terms, batch_size)

    def check_data(self, x: Any) -> None:
        """Raises where the teacher cannot teach with what `fit` is given."""
        self._teacher.check_data(x)

    def explained(self, error: Exception) -> Exception | None:
        """Returns what an error of the teacher's data means, `None` for others."""
        return self._teacher.explained(error)

    @property
    def teacher(self) -> keras.Model | Teacher | None:
        """The teacher as it was given, or `None` after loading."""
        return self._teacher_given

    @teacher.setter
    def teacher(self, teacher: keras.Model | Teacher | NoTeacher) -> None:
        asked = asked_teacher(teacher, self._heads_given["teacher_head"])
        taught = self._form.known if self._form else forms.taught(self._terms, self._logits.names)
        asked = compatibility.matched(asked, taught, self._terms, self._logits)
        if self._form:
            self._form_follows(asked)
        asked = asked.with_taps([term.teacher for term in self._terms if term.teacher])
        compatibility.check_teacher(asked, self._terms, self._logits)
        if self.compiled:
            asked.check_temperatures(self._terms, self._logits.names)
        self._teacher = asked
        given = None if isinstance(teacher, NoTeacher) else teacher
        _keras.set_untracked(self, "_teacher_given", given)
        self.train_function = self.test_function = None  # their traces hold the last teacher

    def _form_follows(self, teacher: Teacher) -> None:
        kinds = teacher.kinds(self._logits.names)
        if self.compiled:
            self._form.check_taught(kinds, self.loss)
        else:
            _keras.set_untracked(self, "_terms", self._form.begin(kinds))

    def summary(self, *args: Any, **kwargs: Any) -> None:
        """Prints what teaches, what is minimised, trained and exported, then the student's summary.

        Args:
            *args: As in `keras.Model.summary`.
            **kwargs: As in `keras.Model.summary`.
        """
        summary.summary(self, *args, **kwargs)

    def __repr__(self) -> str:
        return summary.line(self)

    def __setattr__(self, name: str, value: Any) -> None:
        # Keras would track them before the property's setter sees them.
        if name in ("teacher", "observers"):
            _keras.set_untracked(self, name, value)
        elif name == "student" and "student" in vars(self):
            raise AttributeError("A Distiller keeps its student. Build a new Distiller instead.")
        else:
            super().__setattr__(name, value)
