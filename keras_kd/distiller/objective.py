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

        In an evaluation with answers the terms are logged.

        Raises:
            ValueError: If `y_pred` lacks what the terms need in training, as in a loop of your own.
        """
        forms.check_carries(y_pred, training)
        names, output = self._logits.names, batches.output(y_pred)
        carried = batches.answers(x) if batches.carries_signals(y_pred) else {}
        answers = self._carried(carried) if carried else {}
        faults = {}
        batch = labels.sort_out(y, output, names, self._label_rules)
        joint = batches.joint_weights(names, sample_weight, self._weighs_all_alike)
        sample_weight = batches.weights_like(output, names, sample_weight)
        if _keras.has_loss(self):
            forms.check_labels(y)
        signals = batches.signals(y_pred) if answers else {}
        by_output = {**batches.by_name(sample_weight, names), None: joint}
        if answers and training:
            with _keras.losses_that_keras_drops() as dropped:
                terms = self._term_losses(batch, by_output, answers, signals, training)
                by_column = self._weighted(terms, batch, sample_weight)
            added = _keras.added_losses(self, dropped)
            loss = sum([*by_column.values(), *(weighted_loss(1.0, each) for each in added)])
            faults = self._faults_of_terms(answers, signals, by_column)
        elif _keras.has_loss(self) or self.losses:
            weights = batches.loss_weights(batch.output, names, sample_weight)
            loss = super().compute_loss(x, batch.y, batch.output, weights, training=training)
            self._columns.update_state({"hard_loss": loss}, batch.examples(self._compared))
        else:
            loss = ops.zeros(())
        if answers and not training:
            for observer in self.observers:
                observer.update_state(answers, signals, batch.ids)
        if answers and not training and self.evaluates_terms:
            terms = self._term_losses(batch, by_output, answers, signals, training)
            faults = self._faults_of_terms(answers, signals, terms)
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

    def _term_losses(
        self,
        batch: labels.Batch,
        by_output: dict[str | None, Any],
        answers: dict[str, Any],
        signals: dict[str, Any],
        training: bool,
    ) -> dict[str, Any]:
        """Returns the terms by column, without their weights, and logs them."""
        losses = {}
        for term in self._terms:
            output = term.output_of(self._logits.names)
            answer, signal = term.signals_of(self._logits.names)
            losses[term.name] = term(
                answers[answer],
                signals[signal],
                sample_weight=by_output[output],
                labels=batch.ids.get(output),
                training=training,
            )
        self._columns.update_state(losses, ops.shape(next(iter(answers.values())))[0])
        return losses

    def _weighted(
        self, terms: dict[str, Any], batch: labels.Batch, sample_weight: Any
    ) -> dict[str, Any]:
        """Returns terms and hard loss by column, weighted; logs the hard loss as it is."""
        share = 1.0 - self._hard_weight if self._plain else 1.0
        weighted = {
            term.name: weighted_loss(share * term.weight, terms[term.name]) for term in self._terms
        }
        # After the terms, which say more clearly what does not fit.
        if _keras.has_loss(self):
            given = batches.loss_weights(batch.output, self._logits.names, sample_weight)
            hard = _keras.compiled_loss(self, batch.y, batch.output, given)
            self._columns.update_state({"hard_loss": hard}, batch.examples(self._compared))
            weighted["hard_loss"] = weighted_loss(self._hard_weight, hard)
        return weighted

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
        training = batches.carries_signals(y_pred) and not batches.is_to_evaluate(x)
        return self._logs_of_step(training=training, labelled=y is not None)
