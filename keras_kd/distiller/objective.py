"""What is minimised and logged of one batch: hard loss, terms and regularizers."""

from collections.abc import Collection
from typing import Any

import keras
from keras import ops

from keras_kd import _keras
from keras_kd.distiller import (
    faults,
    first_look,
    forms,
    hard_loss,
    label_rules,
    labels,
    settings,
    weights,
)
from keras_kd.distiller.logs import LossColumns
from keras_kd.distiller.terms.term import Term
from keras_kd.losses.base import weighted_loss
from keras_kd.networks import structures
from keras_kd.networks.heads import Head
from keras_kd.teachers import batch as batches
from keras_kd.teachers.teacher import NoTeacher, Teacher

__all__ = ["Objective"]


class Objective:
    """A weighted sum of a hard loss, `Term`s and the model's regularizers, and who is asked for it.

    Args:
        heads: The student's heads by output name.
        terms: The terms.
        hard_weight: The weight of the hard loss.
        plain: Whether it is `alpha`, so that the terms weigh `1 - alpha`.
        watch: Notes what goes wrong.
        columns: The means in the logs.

    Attributes:
        terms: The terms.
        teacher: Who answers.
        hard_loss: What `compile(loss=)` asks for.
        distils: Whether the terms are minimised; where not, the hard loss is, as it is.
        evaluates_terms: Whether an evaluation compares answers, too.
        observers: Metrics that are told of the answers in an evaluation.
        weighs_all_alike: Whether weights by output are one array, which Keras has repeated.
    """

    def __init__(
        self,
        heads: dict[str, Head],
        terms: list[Term],
        hard_weight: keras.Variable,
        plain: bool,
        watch: faults.Watch,
        columns: LossColumns,
    ):
        self._heads, self._names = heads, list(heads)
        self._hard_weight, self.plain = hard_weight, plain
        self._watch, self._columns = watch, columns
        self.terms: list[Term] = terms
        self.teacher: Teacher = NoTeacher()
        self.distils, self.evaluates_terms, self.weighs_all_alike = True, False, False
        self.observers: tuple[keras.metrics.Metric, ...] = ()
        self.hard_loss = hard_loss.read(None, heads)
        self._rules: dict[str, label_rules.Rule] = {}
        self._by_batch: list[str] = []  # outputs whose own loss gives no value per example

    def follow(
        self,
        asked: hard_loss.HardLoss,
        guessed: Collection[str] = (),
        *,
        evaluate_terms: bool = False,
    ) -> None:
        """Takes what `compile` was given, for the terms as they are now.

        Args:
            asked: The hard loss.
            guessed: As in `label_rules.rules`.
            evaluate_terms: Whether an evaluation compares answers, too.
        """
        self.hard_loss, self.evaluates_terms = asked, bool(evaluate_terms)
        self._rules = label_rules.rules(asked.by_output, self._heads, self.terms, guessed)
        self._by_batch = [
            name
            for name, rule in self._rules.items()
            if rule.own
            and not hard_loss.gives_each_its_value(asked.by_output[name], self._heads[name].shape)
        ]
        self._columns.evaluated = [term.name for term in self.terms] if evaluate_terms else []
        self.distil(True)

    def distil(self, yes: bool) -> None:
        """Begins or ends to minimise the terms, with their columns in the logs."""
        self.distils = yes
        hard = ["hard_loss"] if self.hard_loss.is_given else []
        self._columns.shown = hard + [term.name for term in self.terms if yes]

    def look_at(self, y: Any, what: str = "y") -> None:
        """Raises where labels in arrays are none, before a step is made with them."""
        first_look.check_labels(y, self._rules, self._heads, what)

    def loss(
        self, model: keras.Model, x: Any, y: Any, y_pred: Any, sample_weight: Any, training: bool
    ) -> Any:
        """Returns hard loss + terms + regularizers; outside of training, without the terms.

        In an evaluation with answers the terms are logged, and the observers told.

        Args:
            model: The compiled model.
            x: As in `keras.Model.compute_loss`, with what the batch carries.
            y: As in `keras.Model.compute_loss`.
            y_pred: The student's output, with the signals that are compared.
            sample_weight: As in `keras.Model.compute_loss`.
            training: Whether the loss is minimised.

        Raises:
            ValueError: If `y_pred` lacks what the terms need in training, as in a loop of your own.
        """
        forms.check_carries(y_pred, training)
        batch = self._sorted_out(y, y_pred, sample_weight)
        joint = weights.joint(self._names, sample_weight, self.weighs_all_alike)
        if model.loss is not None:
            forms.require_labels(y)
        answers = self._answers(x, y_pred)
        signals = batches.signals(y_pred) if answers else {}
        by_column = {}
        if training and answers:
            with _keras.losses_that_keras_drops() as dropped:
                terms = self._compared(batch, joint, answers, signals, training)
                by_column = self._weighted(model, terms, batch)
            added = _keras.added_losses(model, dropped)
            total = sum([*by_column.values(), *(weighted_loss(1.0, each) for each in added)])
        else:
            total = self._without_terms(model, batch)
        if answers and not training:
            self._tell_observers(answers, signals, batch.ids)
            if self.evaluates_terms:
                by_column = self._compared(batch, joint, answers, signals, training)
        self._note_faults(batch, answers, signals, by_column)
        return total

    def update_metrics(
        self, model: keras.Model, y: Any, y_pred: Any, sample_weight: Any = None
    ) -> None:
        """Updates the compiled metrics with the student's output, where there are labels."""
        if y is not None:
            batch = batches.kept_labels(y_pred)
            if batch is None:  # of a loop that has not asked for the loss
                batch = self._sorted_out(y, y_pred, sample_weight)
            _keras.update_metrics(model, batch.y, batch.output, *batch.metric_weights(self._names))

    def _sorted_out(self, y: Any, y_pred: Any, sample_weight: Any) -> labels.Batch:
        """Returns the labels and weights of a batch, sorted out once, and lays them beside it."""
        output = batches.output(y_pred)
        batch = labels.sort_out(y, output, sample_weight, self._names, self._rules)
        batches.keep_labels(y_pred, batch)
        return batch

    def _answers(self, x: Any, y_pred: Any) -> dict[str, Any]:
        """Returns the teacher's logits and signals out of what came with the batch, if any."""
        carried = batches.answers(x) if batches.carries_signals(y_pred) else {}
        return self.teacher.carried(carried, self._names) if carried else {}

    def _tell_observers(
        self, answers: dict[str, Any], signals: dict[str, Any], ids: dict[str, Any]
    ) -> None:
        for observer in self.observers:
            name = observer.reading.output_of(self._names)
            answer = self.teacher.answer_to(observer.reading, answers[name])
            observer.update_state(answer, signals[name], ids.get(name))

    def _compared(
        self,
        batch: labels.Batch,
        joint: Any,
        answers: dict[str, Any],
        signals: dict[str, Any],
        training: bool,
    ) -> dict[str, Any]:
        """Returns the terms by column, without their weights, and logs them."""
        by_output = {**structures.by_name(batch.weights, self._names), None: joint}
        losses = {}
        for term in self.terms:
            output = term.output_of(self._names)
            answer, signal = term.signals_of(self._names)
            losses[term.name] = term(
                self.teacher.answer_to(term, answers[answer]),
                signals[signal],
                sample_weight=by_output[output],
                labels=batch.ids.get(output),
                training=training,
            )
        self._columns.update_state(losses, ops.shape(keras.tree.flatten(answers)[0])[0])
        return losses

    def _weighted(
        self, model: keras.Model, terms: dict[str, Any], batch: labels.Batch
    ) -> dict[str, Any]:
        """Returns terms and hard loss by column, weighted; logs the hard loss as it is."""
        share = 1.0 - self._hard_weight if self.plain else 1.0
        weighted = {
            term.name: weighted_loss(share * term.weight, terms[term.name]) for term in self.terms
        }
        # After the terms, which say more clearly what does not fit.
        if model.loss is not None:
            hard = self._on_labels(model, batch)
            self._columns.update_state({"hard_loss": hard}, batch.examples(self.hard_loss.compared))
            weighted["hard_loss"] = weighted_loss(self._hard_weight, hard)
        return weighted

    def _without_terms(self, model: keras.Model, batch: labels.Batch) -> Any:
        """Returns and logs what Keras calls the loss, of an evaluation e.g."""
        hard = [self._on_labels(model, batch)] if model.loss is not None else []
        losses = [*hard, *_keras.added_losses(model)]
        if not losses:
            return ops.zeros(())
        total = sum(losses)
        self._columns.update_state({"hard_loss": total}, batch.examples(self.hard_loss.compared))
        return total

    def _on_labels(self, model: keras.Model, batch: labels.Batch) -> Any:
        given = weights.for_losses(batch.output, self._names, batch.weights)
        return _keras.compiled_loss(model, batch.y, batch.output, given)

    def _note_faults(
        self,
        batch: labels.Batch,
        answers: dict[str, Any],
        signals: dict[str, Any],
        by_column: dict[str, Any],
    ) -> None:
        names, asked = self._names, bool(answers)
        settings_fault = settings.out_of_range(self._hard_weight, self.terms, self.plain)
        self._watch.update_state(
            **batch.wrong,
            hard_loss=batch.missing_in(self._by_batch),
            answers=self.teacher.not_finite(answers, names) if asked else None,
            settings=settings_fault if asked else None,
            temperatures=self.teacher.out_of_range(self.terms, names) if asked else None,
            **(self._faults_of_terms(answers, signals, by_column) if by_column else {}),
        )

    def _faults_of_terms(
        self, answers: dict[str, Any], signals: dict[str, Any], by_column: dict[str, Any]
    ) -> dict[str, Any]:
        """Returns what is wrong with the terms on features: a signal, a value, too few examples."""
        found, noted = {"teacher": answers, "student": signals}, {}
        for term in self.terms:
            for role, path in term.tapped().items():
                fault = faults.not_finite({path: found[role][path]})
                noted[faults.signal_fault(role, term.name)] = fault
            if term.tapped():
                fault = faults.not_finite({term.name: by_column[term.name]})
                noted[faults.value_fault(term.name)] = fault
        if any(getattr(term.loss, "needs_pairs", False) for term in self.terms):
            examples = ops.shape(keras.tree.flatten(answers)[0])[0]
            noted["pairs"] = self._watch.at_the_start() & (examples < 2)
        return noted
