"""What is minimised and logged of one batch: hard loss, terms and regularizers."""

from typing import Any

from keras import ops

from keras_kd import _keras
from keras_kd.distiller import faults as watch
from keras_kd.distiller import forms, labels
from keras_kd.distiller.fitting import EntryPoints
from keras_kd.losses.base import weighted_loss
from keras_kd.teachers import batch as batches


class Objective(EntryPoints):
    """A model that minimises a weighted sum of a hard loss and `Term`s.

    Subclasses set what the methods read: the student's `_logits`, `_teacher`, `_terms`, and what
    `compile` finds out about the losses.
    """

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """Returns hard loss + terms + regularizers; outside of training, without the terms.

        Raises:
            ValueError: If `y_pred` lacks what the terms need in training, as in a loop of your own.
        """
        forms.check_carries(y_pred, training)
        names, output = self._logits.names, batches.output(y_pred)
        answers = self._carried(batches.answers(x)) if batches.carries_signals(y_pred) else {}
        faults = {}
        batch = labels.sort_out(y, output, names, self._label_rules)
        joint = batches.joint_weights(names, sample_weight, self._weighs_all_alike)
        sample_weight = batches.weights_like(output, names, sample_weight)
        if _keras.has_loss(self):
            forms.check_labels(y)
        if answers:
            signals = batches.signals(y_pred)
            by_output = {**batches.by_name(sample_weight, names), None: joint}
            with _keras.losses_that_keras_drops() as dropped:
                by_column = self._training_losses(batch, sample_weight, by_output, answers, signals)
            added = _keras.added_losses(self, dropped)
            loss = sum([*by_column.values(), *(weighted_loss(1.0, each) for each in added)])
            faults = self._faults_of_terms(answers, signals, by_column)
        elif _keras.has_loss(self) or self.losses:
            weights = batches.loss_weights(batch.output, names, sample_weight)
            loss = super().compute_loss(x, batch.y, batch.output, weights, training=training)
            self._columns.update_state({"hard_loss": loss}, batch.examples(self._compared))
        else:
            loss = ops.zeros(())
        self._watch.update_state(
            labels=batch.wrong,
            hard_loss=batch.missing_in(self._own_losses.others()),
            answers=batches.not_finite({n: answers[n] for n in names if n in answers}),
            settings=self._settings_out_of_range() if answers else None,
            temperatures=self._teacher.out_of_range(self._terms, names) if answers else None,
            **faults,
        )
        return loss

    def _carried(self, answers: dict[str, Any]) -> dict[str, Any]:
        """Returns the teacher's logits and signals out of what came with the batch."""
        names = self._logits.names
        temperatures = {
            term.output_of(names): term.temperature for term in self._terms if term.teacher is None
        }
        return self._teacher.carried(answers, names, temperatures)

    def _training_losses(
        self,
        batch: labels.Batch,
        sample_weight: Any,
        by_output: dict[str | None, Any],
        answers: dict[str, Any],
        signals: dict[str, Any],
    ) -> dict[str, Any]:
        """Returns hard loss and terms by column, weighted; logs them without their weights."""
        losses, weights = {}, {}
        share = 1.0 - self._hard_weight if self._plain else 1.0
        for term in self._terms:
            output = term.output_of(self._logits.names)
            answer, signal = term.signals_of(self._logits.names)
            losses[term.name] = term(
                answers[answer],
                signals[signal],
                sample_weight=by_output[output],
                labels=batch.ids.get(output),
                training=True,
            )
            weights[term.name] = share * term.weight
        self._columns.update_state(losses, ops.shape(next(iter(answers.values())))[0])
        # After the terms, which say more clearly what does not fit.
        if _keras.has_loss(self):
            given = batches.loss_weights(batch.output, self._logits.names, sample_weight)
            losses["hard_loss"] = _keras.compiled_loss(self, batch.y, batch.output, given)
            weights["hard_loss"] = self._hard_weight
            self._columns.update_state(
                {"hard_loss": losses["hard_loss"]}, batch.examples(self._compared)
            )
        return {column: weighted_loss(weights[column], loss) for column, loss in losses.items()}

    def _faults_of_terms(
        self, answers: dict[str, Any], signals: dict[str, Any], by_column: dict[str, Any]
    ) -> dict[str, Any]:
        """Returns what is wrong with the terms on features: a signal, a value, too few examples."""
        found, faults = {"teacher": answers, "student": signals}, {}
        for term in self._terms:
            for role, path in term.tapped().items():
                fault = batches.not_finite({path: found[role][path]})
                faults[watch.signal_fault(role, term.name)] = fault
            if term.tapped():
                fault = batches.not_finite({term.name: by_column[term.name]})
                faults[watch.value_fault(term.name)] = fault
        if any(getattr(term.loss, "needs_pairs", False) for term in self._terms):
            examples = ops.shape(next(iter(answers.values())))[0]
            faults["pairs"] = self._watch.at_the_start() & (examples < 2)
        return faults

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> dict:
        """Updates the metrics with the student's output, where there are labels."""
        names, output = self._logits.names, batches.output(y_pred)
        if y is not None:
            batch = labels.sort_out(y, output, names, self._label_rules)
            sample_weight = batches.weights_like(output, names, sample_weight)
            weights = batch.metric_weights(names, sample_weight)
            _keras.update_metrics(self, batch.y, batch.output, *weights)
        training = batches.carries_signals(y_pred)
        return self._logs_of_step(training=training, labelled=y is not None)
