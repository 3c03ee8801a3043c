"""What is tried: keras_kd and keras.distillation, used as their documentation says."""

import keras
import pytest
from keras import layers

import keras_kd
from tests.traps.formulas import ALPHA, SPARSE, T


class Ours:
    """keras_kd."""

    def build(self, student, teacher, weights=None, **_):
        """Distils at `T`, or at `T`, `2T`, ... with these weights within the share `1 - ALPHA`."""
        if weights is None:
            return keras_kd.Distiller(student=student, teacher=teacher)
        terms = [
            keras_kd.Term(
                keras_kd.losses.SoftTargets(T * (1 + place)),
                (1 - ALPHA) * weight,
                name=f"term_{place}",
            )
            for place, weight in enumerate(weights)
        ]
        return keras_kd.Distiller(student=student, teacher=teacher, terms=terms)

    def compile(self, model, optimizer="sgd", loss=SPARSE, alpha=ALPHA, **kwargs):
        weight = {"alpha": alpha, "temperature": T} if model.is_plain else {"hard_weight": alpha}
        model.compile(optimizer, loss=loss, **weight, **kwargs)

    def on_features(self, student, teacher, path="conv", teacher_path="conv"):
        """Distils features from a layer to a layer."""
        term = keras_kd.Term(
            keras_kd.losses.Hint(),
            teacher=teacher_path,
            student=path,
            projector="auto",
            name="features",
        )
        return keras_kd.Distiller(student=student, teacher=teacher, terms=[term])

    def set_live(self, model, alpha, temperature):
        model.alpha.assign(alpha)
        model.temperature.assign(temperature)

    def set_teacher(self, model, teacher):
        model.teacher = teacher

    def widened(self, model):
        """Returns a teacher that is shown twice the width, ten times as bright."""
        shown = keras.layers.Lambda(lambda x: keras.ops.repeat(10 * x, 2, axis=-1))
        return keras_kd.teachers.KerasModel(model, preprocess=shown)

    def teacher(self, kind, given, x):
        """Returns what a user passes who has a file, a function, or several models."""
        own = {"saved_model": "SavedModel", "tflite": "TFLite", "function": "Function"}
        if kind in own:
            return getattr(keras_kd.teachers, own[kind])(given, head="logits")
        if kind == "stored":
            return keras_kd.SoftLabels.write(None, teacher=given, data=x, dtype="float32")
        return given

    def batches(self, teacher, x, y):
        """Returns the arguments of `fit` for one batch."""
        if isinstance(teacher, keras_kd.SoftLabels):
            return {"x": teacher.dataset(x, y, batch_size=len(x), shuffle=False)}
        return {"x": x, "y": y, "batch_size": len(x)}


class Theirs:
    """keras.distillation."""

    def build(self, student, teacher, weights=None, outputs=None, default=False, alpha=ALPHA):
        loss = {} if default else {"loss": keras.losses.KLDivergence()}
        terms = [
            keras.distillation.LogitsDistillation(T * (1 + place), **loss)
            for place, _ in enumerate(weights or [1])
        ]
        if outputs:
            loss = {name: keras.losses.KLDivergence() for name in outputs}
            terms = [keras.distillation.LogitsDistillation(T, loss=loss)]
        return keras.distillation.Distiller(
            teacher=teacher,
            student=student,
            distillation_losses=terms if len(terms) > 1 else terms[0],
            distillation_loss_weights=weights,
            student_loss_weight=alpha,
        )

    def compile(self, model, optimizer="sgd", loss=SPARSE, alpha=ALPHA, **kwargs):
        model.compile(optimizer, loss=loss, **kwargs)

    def on_features(self, student, teacher, path="conv", teacher_path="conv"):
        return keras.distillation.Distiller(
            teacher=teacher,
            student=student,
            distillation_losses=keras.distillation.FeatureDistillation(
                loss="mse", teacher_layer_name=teacher_path, student_layer_name=path
            ),
            student_loss_weight=ALPHA,
        )

    def set_live(self, model, alpha, temperature):
        model.student_loss_weight = alpha
        model.distillation_losses[0].temperature = temperature

    def set_teacher(self, model, teacher):
        """It is loaded with the rest."""

    def widened(self, model):
        """Returns the model with a layer in front of it."""
        inputs = keras.Input((4,))
        return keras.Model(inputs, model(keras.ops.repeat(10 * inputs, 2, axis=-1)))

    def teacher(self, kind, given, x):
        """Returns it as it is; of a SavedModel the layer that Keras has for it, in a model."""
        if kind == "stored":
            pytest.skip("it stores no answers")
        if kind == "saved_model":
            inputs = keras.Input(x.shape[1:])
            layer = layers.TFSMLayer(str(given), call_endpoint="serve")
            return keras.Model(inputs, layer(inputs))
        return given

    def batches(self, teacher, x, y):
        return {"x": x, "y": y, "batch_size": len(x)}
